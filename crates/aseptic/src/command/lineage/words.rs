//! How nodes and edges are called in front of people.

use aseptic_model::Status;
use aseptic_runner::{EdgeKind, Node, NodeDetails};

use crate::table::amount;

/// What a node is called.
pub(super) fn name(node: &Node) -> String {
    match node {
        Node::Dataset { name, version, .. } => format!("{name}@{version}"),
        Node::Snapshot { digest } => format!("tree {}", digest.short()),
        Node::File { digest } => format!("file {}", digest.short()),
        Node::Policy { digest } => format!("rules {}", digest.short()),
        Node::Artifact { run, path: None, .. } => format!("all of run:{run}"),
        Node::Host { host } => format!("host {host}"),
        Node::Package { name, version } => format!("{name} {}", printable(version)),
        Node::Elsewhere { project, name, version } => match version {
            Some(version) => format!("{name}@{version} of project {project}"),
            None => format!("project {project}"),
        },
        Node::Run { .. } | Node::Artifact { .. } => node.to_string(),
    }
}

/// What is known of it, in a line.
pub(super) fn about(node: &NodeDetails) -> String {
    let mut parts = Vec::new();
    if let Some(run) = &node.run {
        parts.extend(run.name.as_ref().map(|name| format!("“{name}”")));
        parts.extend(run.experiment.as_ref().map(ToString::to_string));
        parts.push(run.status.map_or("not sealed", Status::as_str).to_owned());
        parts.extend(run.replays.as_ref().map(|replays| format!("replays {replays}")));
        if let Some(files) = node.files {
            let listed = run.outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            parts.push(match files {
                0 => "left nothing".to_owned(),
                files if files > run.outputs.len() as u64 => format!("left {files} files: {listed}, …"),
                _ => format!("left {listed}"),
            });
        }
    } else if let (Some(files), Some(bytes)) = (node.files, node.bytes) {
        parts.push(amount(files, bytes));
    }
    if node.run.is_none() {
        parts.extend(node.digest.map(|digest| digest.short()));
    }
    parts.extend(node.labels.iter().map(|label| format!("[{label}]")));
    if node.quarantined {
        parts.push("IN QUARANTINE".to_owned());
    }
    parts.extend(node.reached_by.as_ref().map(|object| format!("IN QUARANTINE through {object}")));
    if node.expired {
        parts.push("bytes deleted".to_owned());
    }
    parts.join(", ")
}

/// How data came from one node to the next.
pub(super) fn how(kind: &EdgeKind) -> String {
    match kind {
        EdgeKind::Read { input, evidence, opened, path } => {
            let what = path.as_ref().map_or_else(String::new, |path| format!("/{path}"));
            match opened {
                Some(1) => format!("read as /data/{input}{what}: opened 1 file, {}", evidence.as_str()),
                Some(files) => {
                    format!("read as /data/{input}{what}: opened {files} files, {}", evidence.as_str())
                }
                None => format!("read as /data/{input}{what}: {}", evidence.as_str()),
            }
        }
        EdgeKind::Left => "left".to_owned(),
        EdgeKind::Became => "became, by equal bytes".to_owned(),
        EdgeKind::Same => "the same bytes".to_owned(),
        EdgeKind::Part { path } => format!("part, as {path}"),
        EdgeKind::Shared => "shared".to_owned(),
        EdgeKind::Ran => "ran".to_owned(),
        EdgeKind::Used => "in the environment".to_owned(),
        EdgeKind::Decided => "decided".to_owned(),
        EdgeKind::Code => "code".to_owned(),
    }
}

/// Versions of packages come from files of the environment.
fn printable(text: &str) -> String {
    aseptic_model::escape_bytes(text.as_bytes())
}
