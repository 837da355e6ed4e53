//! Where things come from and where they went: runs, what they read and what they left.
//!
//! An input that was taken from a run has a snapshot of its own, so it is linked by the run it names. Equal bytes
//! link only where a dataset was added after a run had left them, and between datasets.
//!
//! **Invariant:** a step is taken for all runs of a level together, so an answer costs statements for each level,
//! not for each run; a page ends as soon as it is full.
//! **Absent on purpose:** the files inside a dataset version, which only the store knows: see [`FilePlace`].

mod details;
mod node;
mod start;
mod walk;

use std::collections::BTreeSet;

use aseptic_model::{DatasetName, Digest, FilePath, InputName, ProjectName, RunId};
use serde::Serialize;

pub use details::{NodeDetails, RunDetails};
pub use node::{EdgeKind, Evidence, LineageEdge, Node};

use crate::column::get;
use crate::{Catalog, CatalogError};

/// Edges that one question goes over, those of the pages before included: what bounds its memory.
pub const EDGES_MAX: usize = 1_000_000;

/// Which way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To what something came from.
    Up,
    /// To what came from it.
    Down,
}

/// Which part of an answer is wanted.
#[derive(Clone, Copy, Debug)]
pub struct LineagePage {
    /// Steps from the question, each from one run to the next; without one, all.
    pub depth: Option<u32>,
    /// Edges that were on the pages before.
    pub skip: usize,
    /// Edges on this page.
    pub limit: usize,
}

/// A file or directory at a place in a version of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePlace {
    /// The dataset.
    pub name: DatasetName,
    /// Its version.
    pub version: u32,
    /// The tree of that version.
    pub snapshot: Digest,
    /// Where in it.
    pub path: FilePath,
}

impl FilePlace {
    fn dataset(&self) -> Node {
        Node::Dataset { name: self.name.clone(), version: self.version, digest: self.snapshot }
    }
}

/// Edges, nearest to the question first, each once, and the nodes at their ends. Cycles are possible only in a
/// forged plan, and kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LineageGraph {
    /// What is at the ends of the edges, in the order of the edges.
    pub nodes: Vec<NodeDetails>,
    /// The edges.
    pub edges: Vec<LineageEdge>,
    /// Whether there are more edges.
    pub truncated: bool,
    /// Where the next page begins; nothing on the last one, and after [`EDGES_MAX`] edges.
    pub next: Option<usize>,
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
        self.rows(CONSUMERS, (project.as_str(), snapshot.as_bytes()), |row| {
            Ok(Consumer { run: get(row, "run")?, input: get(row, "name")? })
        })
    }
}

// Without statistics SQLite would walk a whole project: `INDEXED BY` and `CROSS JOIN` say where to begin.
const CONSUMERS: &str = "
    SELECT run.run, run_input.name FROM run_input INDEXED BY run_input_snapshot CROSS JOIN run USING (entry)
    WHERE project = ?1 AND snapshot = ?2 ORDER BY entry, run_input.name";
const DATASETS: &str = "
    SELECT name, version FROM dataset_version INDEXED BY dataset_version_snapshot
    WHERE project = ?1 AND snapshot = ?2";
const ARTIFACTS: &str = "
    SELECT run, NULL AS path FROM run INDEXED BY run_outputs WHERE project = ?1 AND outputs = ?2
    UNION SELECT run, path FROM run_output INDEXED BY run_output_blake3 CROSS JOIN run USING (entry)
          WHERE project = ?1 AND blake3 = ?2
    UNION SELECT source_run, source_path FROM run_input INDEXED BY run_input_snapshot CROSS JOIN run USING (entry)
          WHERE project = ?1 AND snapshot = ?2 AND source_run IS NOT NULL";
