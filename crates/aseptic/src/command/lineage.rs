use std::process::ExitCode;

use aseptic_runner::{EdgeKind, LineageEdge, LineageGraph, Node};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Follow what something came from and what came from it
///
/// The answer rests on what the sandbox let each run read, not on what its code says: an input that is
/// not in a plan cannot be read.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic lineage run:train/out/model.joblib\n  aseptic lineage digits@1\n  \
                        aseptic lineage --json latest"
)]
pub(crate) struct Args {
    /// Run, run:RUN/PATH, dataset, or a digest of 64 digits
    object: String,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let home = context.home()?;
    let lineage = aseptic_runner::lineage(&home, &project, &args.object)?;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.lineage/1", "objects": lineage.objects, "from": lineage.from, "to": lineage.to,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for object in &lineage.objects {
        context.out(describe(object));
    }
    if lineage.objects.is_empty() {
        context.out("no dataset and no output has this digest");
    }
    print(context, "came from", &lineage.from, &[]);
    print(context, "went into", &lineage.to, &lineage.objects);
    Ok(ExitCode::SUCCESS)
}

/// Who left one of `objects` was said before, and is no place that it went into.
fn print(context: &Context, title: &str, graph: &LineageGraph, objects: &[Node]) {
    context.out(title);
    let again = |edge: &&LineageEdge| {
        matches!(edge.kind, EdgeKind::Produced) && objects.iter().any(|object| is_same(object, &edge.to))
    };
    let (_, edges): (Vec<_>, Vec<_>) = graph.edges.iter().partition(again);
    for LineageEdge { from, to, kind } in &edges {
        let how = match kind {
            EdgeKind::Read { input } => format!("as /data/{input} into"),
            EdgeKind::Produced => "left".to_owned(),
        };
        context.out(format_args!("  {} {how} {}", describe(from), describe(to)));
    }
    if edges.is_empty() {
        context.out("  nothing");
    }
    if graph.truncated {
        context.out("  and more, which are not listed");
    }
}

/// Whether it is the same output: a file alone has another digest as an input than among the outputs.
fn is_same(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::Artifact { run, path, .. }, Node::Artifact { run: run_too, path: path_too, .. }) => {
            run == run_too && path == path_too
        }
        _ => false,
    }
}

fn describe(node: &Node) -> String {
    match node {
        Node::Run { run } => format!("run {run}"),
        Node::Dataset { name, version, digest } => format!("dataset {name}@{version} ({})", digest.short()),
        Node::Artifact { run, path: None, digest } => format!("all of run:{run} ({})", digest.short()),
        Node::Artifact { run, path: Some(path), digest } => format!("run:{run}/{path} ({})", digest.short()),
        Node::Snapshot { digest } => format!("snapshot {}", digest.short()),
    }
}
