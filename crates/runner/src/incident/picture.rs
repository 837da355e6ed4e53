//! What came of what, as a graph. Pure: whoever verifies a bundle draws it again and compares.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::Object;

use super::document::{Document, STEPS_MAX, Step, Thing};
use crate::graph::{Edge, Graph, Node};

/// Most boxes of one picture; the files beside it list all.
const BOXES_MAX: usize = 400;

/// Things and steps of `document`, each object of the incident first.
pub(super) fn picture(document: &Document) -> Graph {
    let mut graph = Graph { title: format!("Lineage of incident {}", document.incident), ..Graph::default() };
    let here = |object: &Object| Thing { project: document.project.clone(), object: object.clone() };
    let asked: BTreeSet<Thing> = document.objects.iter().map(here).collect();
    let mut numbers: BTreeMap<&Thing, usize> = BTreeMap::new();
    let ends = document.steps.iter().flat_map(|Step { from, to }| [from, to]);
    for thing in asked.iter().chain(ends) {
        if !numbers.contains_key(thing) && numbers.len() < BOXES_MAX {
            numbers.insert(thing, graph.nodes.len());
            graph.nodes.push(node(document, thing, asked.contains(thing)));
        }
    }
    for Step { from, to } in &document.steps {
        let (Some(from), Some(to)) = (numbers.get(from), numbers.get(to)) else { continue };
        let title = "came of it".to_owned();
        graph.edges.push(Edge { from: *from, to: *to, title, declared: false });
    }
    graph
}

fn node(document: &Document, thing: &Thing, asked: bool) -> Node {
    let known = match &thing.object {
        Object::Run(run) => {
            document.runs.iter().find(|known| known.run == *run && known.project == thing.project)
        }
        _ => None,
    };
    let status = known.map(|run| run.status.map_or("running", aseptic_model::Status::as_str));
    let elsewhere = (thing.project != document.project).then(|| format!("of project {}", thing.project));
    let detail: Vec<_> = status.map(str::to_owned).into_iter().chain(elsewhere).collect();
    Node {
        name: thing.object.to_string(),
        detail: detail.join(", "),
        title: format!("{} of project {}", thing.object, thing.project),
        class: class(&thing.object),
        asked,
        quarantined: asked,
        labels: Vec::new(),
    }
}

fn class(object: &Object) -> &'static str {
    match object {
        Object::Run(_) => "run",
        Object::Dataset { .. } => "dataset",
        Object::Artifact { .. } => "artifact",
        Object::Snapshot(_) => "snapshot",
        Object::File(_) => "file",
        Object::Host(_) => "host",
        Object::Policy(_) => "policy",
        Object::Package { .. } => "package",
    }
}

/// Whether the steps of a document are between things that it lists.
pub(super) fn is_of(document: &Document) -> bool {
    let is_listed = |thing: &Thing| match &thing.object {
        object if thing.project == document.project && document.objects.contains(object) => true,
        Object::Run(run) => {
            document.runs.iter().any(|known| known.run == *run && known.project == thing.project)
        }
        Object::Dataset { name, version } => document.datasets.iter().any(|known| {
            known.name == *name && Some(known.version) == *version && known.project == thing.project
        }),
        _ => false,
    };
    document.steps.len() <= STEPS_MAX
        && document.steps.iter().all(|step| is_listed(&step.from) && is_listed(&step.to))
}
