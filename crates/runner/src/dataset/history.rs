//! What was done to a dataset, and how a version of it stands.

use std::collections::BTreeSet;

use aseptic_catalog::{DatasetChange, DatasetVersion};
use aseptic_model::{DatasetName, InputRef, ProjectName, RetainedKind, Retention};
use aseptic_policy::is_held_out;
use aseptic_store::Storage;

use super::{DatasetError, seen, versions};
use crate::holdout::{Evaluations, evaluations_of};
use crate::home::{Home, HomeError};

/// Everything that was done to the versions of a dataset that the user may look at, the last first.
///
/// # Errors
/// [`DatasetError::Missing`] when there is none.
pub fn history(
    home: &Home,
    project: &ProjectName,
    name: &DatasetName,
) -> Result<Vec<DatasetChange>, DatasetError> {
    let seen: BTreeSet<u32> = versions(home, project, name)?.iter().map(|one| one.version).collect();
    let mut changes = home.catalog.dataset_changes(project, name).map_err(HomeError::from)?;
    changes.retain(|change| seen.contains(&change.version));
    Ok(changes)
}

/// One version and how it stands.
#[derive(Debug)]
pub struct Details {
    /// The version.
    pub version: DatasetVersion,
    /// The class of datasets that have none of their own.
    pub retention_default: Retention,
    /// How it is stored; nothing when its bytes were given up.
    pub storage: Option<Storage>,
    /// How often it was looked at, if it is hold-out data.
    pub evaluations: Option<Evaluations>,
}

/// How one version stands.
///
/// # Errors
/// [`DatasetError`].
pub fn details(home: &Home, project: &ProjectName, reference: &InputRef) -> Result<Details, DatasetError> {
    let version = seen(home, project, reference)?;
    let retention_default =
        home.catalog.retention_default(project, RetainedKind::Datasets).map_err(HomeError::from)?;
    let storage = match version.expired {
        Some(_) => None,
        None => {
            let store = home.store(project)?;
            let _lease = store.lease()?;
            Some(store.storage(&version.snapshot)?)
        }
    };
    let evaluations = is_held_out(&version.labels)
        .then(|| evaluations_of(home, project, &version.name, &version.snapshot))
        .transpose()?;
    Ok(Details { version, retention_default, storage, evaluations })
}
