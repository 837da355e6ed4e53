//! Lineage: what something came from and what came from it.

use aseptic_catalog::{EdgeKind, LineageEdge, LineageGraph, Node};
use aseptic_model::{Digest, InputRef, ProjectName, RunId, RunRef};
use aseptic_store::EntryKind;
use serde::Serialize;

use crate::dataset::DatasetError;
use crate::home::Home;
use crate::results::{ResultError, summary};
use crate::retention::there_run;

/// The lineage of one thing.
#[derive(Debug, Serialize)]
pub struct Lineage {
    /// What was asked about: several when equal bytes came about more than once.
    pub objects: Vec<Node>,
    /// What it came from.
    pub from: LineageGraph,
    /// What came from it.
    pub to: LineageGraph,
}

/// Follows what `text` names in both directions: `run:RUN`, `run:RUN/PATH`, a dataset, a run, or a digest.
///
/// # Errors
/// [`ResultError`] when it names nothing.
pub fn lineage(home: &Home, project: &ProjectName, text: &str) -> Result<Lineage, ResultError> {
    if let Ok(digest) = text.parse::<Digest>() {
        return of_digest(home, project, &digest);
    }
    let reference: InputRef = text.parse()?;
    match &reference {
        InputRef::Artifact { run, path: None } => of_run(home, project, run),
        InputRef::Artifact { run, path: Some(path) } => {
            let sealed = summary(home, project, run)?;
            let missing = || ResultError::NoOutput { run: sealed.run.clone(), path: path.clone() };
            let outputs = sealed.outputs.ok_or_else(missing)?;
            there_run(&sealed)?;
            let entry = home.store(project)?.lookup(&outputs, path)?.ok_or_else(missing)?;
            let digest = match entry.kind {
                EntryKind::File { digest, .. } | EntryKind::Directory { digest, .. } => digest,
                EntryKind::Symlink { .. } => return Err(missing()),
            };
            let artifact = Node::Artifact { run: sealed.run.clone(), path: Some(path.clone()), digest };
            Ok(Lineage {
                from: produced(home, project, &sealed.run, &artifact)?,
                to: home.catalog.descendants(project, &digest)?,
                objects: vec![artifact],
            })
        }
        InputRef::Dataset { name, version } => {
            match home.catalog.dataset_version(project, name, *version)? {
                Some(found) => Ok(Lineage {
                    from: LineageGraph::default(),
                    to: home.catalog.descendants(project, &found.snapshot)?,
                    objects: vec![Node::Dataset {
                        name: found.name,
                        version: found.version,
                        digest: found.snapshot,
                    }],
                }),
                // A run may be named without `run:` where no dataset has its name.
                None => match text.parse() {
                    Ok(run) if home.catalog.resolve_run(project, &run).is_ok() => of_run(home, project, &run),
                    _ => Err(DatasetError::Missing { project: project.clone(), reference }.into()),
                },
            }
        }
    }
}

fn of_run(home: &Home, project: &ProjectName, run: &RunRef) -> Result<Lineage, ResultError> {
    let run = home.catalog.resolve_run(project, run)?;
    Ok(Lineage {
        from: home.catalog.ancestors(project, &run)?,
        to: home.catalog.descendants_of_run(project, &run)?,
        objects: vec![Node::Run { run }],
    })
}

fn of_digest(home: &Home, project: &ProjectName, digest: &Digest) -> Result<Lineage, ResultError> {
    let objects = home.catalog.producers(project, digest)?;
    let mut from = LineageGraph::default();
    for object in &objects {
        if let Node::Artifact { run, .. } = object {
            let graph = produced(home, project, run, object)?;
            from.truncated |= graph.truncated;
            from.edges.extend(
                graph.edges.into_iter().filter(|edge| !from.edges.contains(edge)).collect::<Vec<_>>(),
            );
        }
    }
    Ok(Lineage { objects, from, to: home.catalog.descendants(project, digest)? })
}

/// The run that left `artifact`, and what that run came from.
fn produced(
    home: &Home,
    project: &ProjectName,
    run: &RunId,
    artifact: &Node,
) -> Result<LineageGraph, ResultError> {
    let mut graph = home.catalog.ancestors(project, run)?;
    let last =
        LineageEdge { from: Node::Run { run: run.clone() }, to: artifact.clone(), kind: EdgeKind::Produced };
    graph.edges.insert(0, last);
    Ok(graph)
}
