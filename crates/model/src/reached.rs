//! What something had reached when it was put in quarantine.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{DatasetName, Digest, FilePath, Object, ProjectName, RunId};

/// Version tag of [`Reached`].
pub const REACHED_FORMAT: &str = "aseptic.reached/1";

/// Everything that an object had reached at one moment. An entry `quarantine.added` names its digest; the catalog
/// reads `places` of it, and the rest is evidence of what was known then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// [`REACHED_FORMAT`].
    pub format: String,
    /// What was put in quarantine.
    pub object: Object,
    /// Where it lies, for a file or a directory.
    pub places: BTreeSet<Place>,
    /// Trees that could not be looked into: their bytes were deleted, or there were too many places.
    pub unseen: BTreeSet<Digest>,
    /// The runs that it had reached.
    pub runs: BTreeSet<ReachedRun>,
    /// The dataset versions that it had reached.
    pub datasets: BTreeSet<ReachedDataset>,
}

/// A file or directory in a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The tree: an input or the code of a run, or a version of a dataset.
    pub snapshot: Digest,
    /// Its path there.
    pub path: FilePath,
}

/// A run that was reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachedRun {
    /// Its project.
    pub project: ProjectName,
    /// The run.
    pub run: RunId,
    /// The tree of its outputs; none while it goes on.
    pub outputs: Option<Digest>,
}

/// A dataset version that was reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachedDataset {
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub name: DatasetName,
    /// Its version, from 1.
    pub version: u32,
    /// Its tree.
    pub snapshot: Digest,
}
