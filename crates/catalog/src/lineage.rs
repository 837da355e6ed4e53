//! Where things come from and where they went: runs, what they read and what they produced.
//!
//! An input that was taken from a run has a snapshot of its own, so it is linked by the run it names; equal
//! digests find things, they never link them.
//! **Absent on purpose:** the files inside a dataset version, which only the store knows.

use std::collections::{BTreeSet, VecDeque};

use aseptic_model::{DatasetName, Digest, FilePath, InputName, ProjectName, RunId};
use rusqlite::{Params, Row};
use serde::Serialize;

use crate::column::get;
use crate::{Catalog, CatalogError};

/// Edges in one answer: more than anyone reads, few enough to keep in memory.
pub const EDGES_MAX: usize = 10_000;

/// Something that data is in or goes through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Node {
    /// A run.
    Run {
        /// Its id.
        run: RunId,
    },
    /// A version of a dataset.
    Dataset {
        /// Name of the dataset.
        name: DatasetName,
        /// Its version, from 1.
        version: u32,
        /// Its tree.
        digest: Digest,
    },
    /// What a run left: a file, a directory, or all of it.
    Artifact {
        /// The run.
        run: RunId,
        /// Which output; nothing for all.
        path: Option<FilePath>,
        /// The file, or the tree.
        digest: Digest,
    },
    /// An input whose plan and record could not be read.
    Snapshot {
        /// Its tree.
        digest: Digest,
    },
}

/// One step that data took.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct LineageEdge {
    /// Where it was.
    pub from: Node,
    /// Where it went.
    pub to: Node,
    /// How.
    #[serde(flatten)]
    pub kind: EdgeKind,
}

/// How data took a step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EdgeKind {
    /// The run had it as an input.
    Read {
        /// The name of the input.
        input: InputName,
    },
    /// The run left it.
    Produced,
}

/// Edges, nearest to the question first, each once. Cycles are possible only in a forged plan, and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineageGraph {
    /// The edges.
    pub edges: Vec<LineageEdge>,
    /// Whether there are others, which [`EDGES_MAX`] cut off.
    pub truncated: bool,
}

/// A run that had something as an input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Consumer {
    /// The run.
    pub run: RunId,
    /// The name of the input.
    pub input: InputName,
}

impl Catalog {
    /// Every dataset version and every output that is `digest`, be it a file or a tree.
    ///
    /// A directory of outputs is found once a run has had it as an input.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn producers(&self, project: &ProjectName, digest: &Digest) -> Result<Vec<Node>, CatalogError> {
        let key = (project.as_str(), digest.as_bytes());
        let datasets = self.rows(DATASETS, key, |row| {
            Ok(Node::Dataset { name: get(row, "name")?, version: get(row, "version")?, digest: *digest })
        })?;
        let artifacts = self.rows(ARTIFACTS, key, |row| {
            Ok(Node::Artifact { run: get(row, "run")?, path: get(row, "path")?, digest: *digest })
        })?;
        let nodes: BTreeSet<_> = datasets.into_iter().chain(artifacts).collect();
        Ok(nodes.into_iter().collect())
    }

    /// Every run that had the tree `snapshot` as an input, first planned first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn consumers(&self, project: &ProjectName, snapshot: &Digest) -> Result<Vec<Consumer>, CatalogError> {
        let reads = self.reads(BY_SNAPSHOT, (project.as_str(), snapshot.as_bytes()))?;
        Ok(reads.into_iter().map(|read| Consumer { run: read.run, input: read.input }).collect())
    }

    /// Everything that `run` depends on: its inputs, the runs that left them, their inputs, and so on.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn ancestors(&self, project: &ProjectName, run: &RunId) -> Result<LineageGraph, CatalogError> {
        let next = |run: &RunId| self.reads(BY_RUN, [project.as_str(), run.as_str()]);
        walk(next(run)?, Read::source_run, next)
    }

    /// Everything that depends on `digest`: runs that had it as an input, or as part of one, the runs that
    /// had outputs of those, and so on. `digest` is a file that a run left, or a tree.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn descendants(&self, project: &ProjectName, digest: &Digest) -> Result<LineageGraph, CatalogError> {
        let mut first = self.reads(BY_SNAPSHOT, (project.as_str(), digest.as_bytes()))?;
        for node in self.producers(project, digest)? {
            let Node::Artifact { run, path, .. } = node else { continue };
            let reads = self.reads(BY_SOURCE, [project.as_str(), run.as_str()])?;
            first.extend(reads.into_iter().filter(|read| read.meets(path.as_ref())));
        }
        walk(first, Read::to_run, |run| self.reads(BY_SOURCE, [project.as_str(), run.as_str()]))
    }

    /// Everything that depends on any output of `run`.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn descendants_of_run(
        &self,
        project: &ProjectName,
        run: &RunId,
    ) -> Result<LineageGraph, CatalogError> {
        let next = |run: &RunId| self.reads(BY_SOURCE, [project.as_str(), run.as_str()]);
        walk(next(run)?, Read::to_run, next)
    }

    fn reads(&self, sql: &str, key: impl Params) -> Result<Vec<Read>, CatalogError> {
        self.rows(sql, key, Read::from_row)
    }
}

// Without statistics SQLite would walk a whole project: `INDEXED BY` and `CROSS JOIN` say where to begin.
const BY_RUN: &str = "SELECT * FROM run_input WHERE project = ?1 AND run = ?2 ORDER BY name";
const BY_SNAPSHOT: &str = "
    SELECT run_input.* FROM run_input INDEXED BY run_input_snapshot CROSS JOIN run USING (project, run)
    WHERE project = ?1 AND snapshot = ?2 ORDER BY entry, name";
const BY_SOURCE: &str = "
    SELECT run_input.* FROM run_input INDEXED BY run_input_source CROSS JOIN run USING (project, run)
    WHERE project = ?1 AND source_run = ?2 ORDER BY entry, name";
const DATASETS: &str = "
    SELECT name, version FROM dataset_version INDEXED BY dataset_version_snapshot
    WHERE project = ?1 AND snapshot = ?2";
const ARTIFACTS: &str = "
    SELECT run, NULL AS path FROM run INDEXED BY run_outputs WHERE project = ?1 AND outputs = ?2
    UNION SELECT run, path FROM run_output INDEXED BY run_output_blake3 WHERE project = ?1 AND blake3 = ?2
    UNION SELECT source_run, source_path FROM run_input INDEXED BY run_input_snapshot
          WHERE project = ?1 AND snapshot = ?2 AND source_run IS NOT NULL";

/// One input of one run.
struct Read {
    run: RunId,
    input: InputName,
    source: Node,
}

impl Read {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let digest = get(row, "snapshot")?;
        let source = match (get(row, "dataset")?, get(row, "source_run")?) {
            (Some(name), _) => Node::Dataset { name, version: get(row, "version")?, digest },
            (None, Some(run)) => Node::Artifact { run, path: get(row, "source_path")?, digest },
            (None, None) => Node::Snapshot { digest },
        };
        Ok(Self { run: get(row, "run")?, input: get(row, "name")?, source })
    }

    fn source_run(&self) -> Option<&RunId> {
        match &self.source {
            Node::Artifact { run, .. } => Some(run),
            _ => None,
        }
    }

    fn to_run(&self) -> Option<&RunId> {
        Some(&self.run)
    }

    /// Whether the input and the output `path` of the same run have something in common.
    fn meets(&self, path: Option<&FilePath>) -> bool {
        match (&self.source, path) {
            (Node::Artifact { path: Some(taken), .. }, Some(path)) => {
                let (taken, path) = (taken.as_path(), path.as_path());
                taken.starts_with(path) || path.starts_with(taken)
            }
            _ => true,
        }
    }

    fn edges(&self) -> impl Iterator<Item = LineageEdge> {
        let read = LineageEdge {
            from: self.source.clone(),
            to: Node::Run { run: self.run.clone() },
            kind: EdgeKind::Read { input: self.input.clone() },
        };
        let produced = self.source_run().map(|run| LineageEdge {
            from: Node::Run { run: run.clone() },
            to: self.source.clone(),
            kind: EdgeKind::Produced,
        });
        [read].into_iter().chain(produced)
    }
}

/// The edges of `first`, then of what `next` says of the run that each leads to, breadth first, every edge
/// and every run once.
fn walk(
    first: Vec<Read>,
    leads_to: fn(&Read) -> Option<&RunId>,
    next: impl Fn(&RunId) -> Result<Vec<Read>, CatalogError>,
) -> Result<LineageGraph, CatalogError> {
    let mut graph = LineageGraph::default();
    let (mut edges, mut runs) = (BTreeSet::new(), BTreeSet::new());
    let mut queue = VecDeque::from(first);
    while let Some(read) = queue.pop_front() {
        for edge in read.edges() {
            if edges.insert(edge.clone()) {
                if graph.edges.len() == EDGES_MAX {
                    graph.truncated = true;
                    return Ok(graph);
                }
                graph.edges.push(edge);
            }
        }
        if let Some(run) = leads_to(&read)
            && runs.insert(run.clone())
        {
            queue.extend(next(run)?);
        }
    }
    Ok(graph)
}
