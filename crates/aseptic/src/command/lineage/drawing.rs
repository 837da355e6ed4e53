//! A lineage as a graph: both directions in one.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_runner::{EdgeKind, Lineage, Node as Thing, NodeDetails};

use super::directions;
use super::words::{about, how, name};
use crate::table::amount;
use aseptic_runner::graph::{Edge, Graph, Node};

pub(super) fn of(lineage: &Lineage) -> Graph {
    let asked: BTreeSet<&Thing> = lineage.objects.iter().map(|object| &object.id).collect();
    let mut graph = Graph { title: format!("Lineage of {}", lineage.object), ..Graph::default() };
    let mut numbers: BTreeMap<&Thing, usize> = BTreeMap::new();
    let found = directions(lineage).flat_map(|(_, graph)| &graph.nodes);
    for details in found.chain(&lineage.objects) {
        if !numbers.contains_key(&details.id) {
            numbers.insert(&details.id, graph.nodes.len());
            graph.nodes.push(node(details, asked.contains(&details.id)));
        }
    }
    let mut known = BTreeSet::new();
    for edge in directions(lineage).flat_map(|(_, graph)| &graph.edges) {
        let (Some(from), Some(to)) = (numbers.get(&edge.from), numbers.get(&edge.to)) else { continue };
        let title = how(&edge.kind);
        if known.insert((from, to, title.clone())) {
            let declared = matches!(&edge.kind, EdgeKind::Read { opened: None, .. });
            graph.edges.push(Edge { from: *from, to: *to, title, declared });
        }
    }
    graph
}

/// The second line of a box: what its colours and labels do not say.
fn detail(details: &NodeDetails) -> String {
    match (&details.run, &details.id) {
        (Some(run), _) => {
            let status = run.status.map_or("not sealed", aseptic_model::Status::as_str);
            let replay = if run.replays.is_some() { "replay, " } else { "" };
            match (run.outputs.first(), details.files) {
                (Some(first), Some(1)) => format!("{replay}{status}, left {first}"),
                (Some(_), Some(files)) => format!("{replay}{status}, left {files} files"),
                _ => format!("{replay}{status}"),
            }
        }
        (None, Thing::Artifact { run, .. }) => format!("of run {run}"),
        (None, Thing::Dataset { .. }) => match (details.files, details.bytes) {
            (Some(files), Some(bytes)) => amount(files, bytes),
            _ => String::new(),
        },
        _ => details.digest.map(|digest| digest.short()).unwrap_or_default(),
    }
}

fn node(details: &NodeDetails, asked: bool) -> Node {
    let about = about(details);
    let title = match details.digest {
        Some(digest) => format!("{}\n{about}\n{digest}", details.id),
        None => format!("{}\n{about}", details.id),
    };
    Node {
        name: match &details.id {
            // The end of a path says more than the id of the run before it.
            Thing::Artifact { path: Some(path), .. } => path.to_string(),
            Thing::Run { run } => match details.run.as_ref().and_then(|run| run.experiment.as_ref()) {
                Some(experiment) => format!("{experiment} · {run}"),
                None => format!("run {run}"),
            },
            other => name(other),
        },
        detail: detail(details),
        title,
        class: details.kind,
        asked,
        quarantined: details.quarantined || details.reached_by.is_some(),
        labels: details.labels.iter().map(ToString::to_string).collect(),
    }
}
