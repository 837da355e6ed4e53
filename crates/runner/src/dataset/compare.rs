//! What differs between two snapshots of a project.

use std::fmt;
use std::str::FromStr;

use aseptic_model::{Digest, InputRef, InputRefError, ProjectName};
use aseptic_policy::Act;
use aseptic_store::{Comparison, StoreError};

use super::{DatasetError, seen};
use crate::home::Home;
use crate::retention::there;

/// A snapshot as a person names it: `DATASET`, `DATASET@VERSION` or a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotRef {
    /// A version of a dataset.
    Dataset(InputRef),
    /// Any snapshot of the project.
    Digest(Digest),
}

/// The text is not a [`SnapshotRef`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotRefError {
    /// It names nothing.
    #[error(transparent)]
    Reference(#[from] InputRefError),
    /// It names what a run left.
    #[error("`{0}` is no dataset; name the tree of a run by its digest, which `aseptic show --json` has")]
    Artifact(InputRef),
}

impl FromStr for SnapshotRef {
    type Err = SnapshotRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(digest) = text.parse() {
            return Ok(Self::Digest(digest));
        }
        match text.parse()? {
            artifact @ InputRef::Artifact { .. } => Err(SnapshotRefError::Artifact(artifact)),
            dataset => Ok(Self::Dataset(dataset)),
        }
    }
}

impl fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset(reference) => reference.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Two snapshots and what differs.
#[derive(Debug)]
pub struct Compared {
    /// The first, with the version that is meant.
    pub before: (SnapshotRef, Digest),
    /// The second.
    pub after: (SnapshotRef, Digest),
    /// What the second has that the first has not, and the reverse.
    pub comparison: Comparison,
}

/// Compares two snapshots of `project`, in time proportional to the difference; lists at most `limit` changes.
///
/// # Errors
/// [`DatasetError`].
pub fn compare(
    home: &Home,
    project: &ProjectName,
    before: &SnapshotRef,
    after: &SnapshotRef,
    limit: usize,
) -> Result<Compared, DatasetError> {
    home.allowed(project, Act::View, None)?;
    let store = home.store(project)?;
    let _lease = store.lease()?; // What is deleted while it is read would look damaged.
    let (before, after) = (resolve(home, project, before)?, resolve(home, project, after)?);
    for (reference, digest) in [&before, &after] {
        if let SnapshotRef::Digest(_) = reference {
            store.snapshot(digest).map_err(|error| match error {
                StoreError::Missing { .. } | StoreError::NotTree { .. } | StoreError::TooLarge { .. } => {
                    DatasetError::NoSnapshot { project: project.clone(), digest: *digest }
                }
                other => other.into(),
            })?;
        }
    }
    let comparison = store.compare(&before.1, &after.1, limit)?;
    Ok(Compared { before, after, comparison })
}

fn resolve(
    home: &Home,
    project: &ProjectName,
    reference: &SnapshotRef,
) -> Result<(SnapshotRef, Digest), DatasetError> {
    match reference {
        // A tree may be part of anything, and does not say of what.
        SnapshotRef::Digest(digest) if !home.sight(project)?.is_whole() => {
            Err(DatasetError::ByDigest { project: project.clone(), digest: *digest })
        }
        SnapshotRef::Digest(digest) => Ok((reference.clone(), *digest)),
        SnapshotRef::Dataset(reference) => {
            let found = seen(home, project, reference)?;
            there(&found)?;
            let exact = InputRef::Dataset { name: found.name, version: Some(found.version) };
            Ok((SnapshotRef::Dataset(exact), found.snapshot))
        }
    }
}
