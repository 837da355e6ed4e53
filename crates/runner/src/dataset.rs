//! Datasets: import, list, show, verify.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use aseptic_catalog::{DatasetVersion, Node};
use aseptic_model::{
    Class, DatasetName, Diagnose, Diagnosis, Digest, Event as Entry, InputRef, Label, ProjectName,
};
use aseptic_store::{ImportError, ImportOptions, StoreError, Verified, VerifyError};
use rustix::fs::FlockOperation;

use crate::home::{Home, HomeError, io_error};
use crate::observer::{Event, Observer};

/// Why something about a dataset could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// There is no such dataset or version.
    #[error("project `{project}` has no dataset `{reference}`")]
    Missing {
        /// Where it was looked for.
        project: ProjectName,
        /// What was asked for.
        reference: InputRef,
    },
    /// It could not be imported; nothing is visible of it.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// It is not what was imported.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for DatasetError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Missing { .. } => Diagnosis::new(
                Class::User,
                "dataset/missing",
                "`aseptic dataset list` shows those there are; another project is named with `--project`",
            ),
            Self::Import(error) => error.diagnosis(),
            Self::Verify(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<StoreError> for DatasetError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

/// A dataset version after [`add`].
#[derive(Debug)]
pub struct Added {
    /// The version.
    pub version: DatasetVersion,
    /// Whether it is new; the same bytes with the same labels are the same version.
    pub new: bool,
}

/// Imports the file or directory `path` as the next version of the dataset `name`.
///
/// Durable when it returns; after an error or a crash nothing of it is visible.
///
/// # Errors
/// [`DatasetError`].
pub fn add(
    home: &mut Home,
    project: &ProjectName,
    path: &Path,
    name: &DatasetName,
    labels: &BTreeSet<Label>,
    observer: &mut dyn Observer,
) -> Result<Added, DatasetError> {
    let store = home.store(project)?;
    let options = ImportOptions::default();
    let imported = store.import(path, &options, &mut |progress| observer.event(Event::Import(progress)))?;
    let snapshot = imported.snapshot;

    // Versions are numbered without gaps whoever imports at the same time.
    let lock = home.dir().join("projects").join(project.as_str()).join("datasets.lock");
    let held = File::create(&lock).map_err(|source| io_error("make", &lock, source))?;
    rustix::fs::flock(&held, FlockOperation::LockExclusive)
        .map_err(|source| io_error("lock", &lock, source.into()))?;
    home.catch_up()?;
    let latest = home.catalog.dataset_version(project, name, None).map_err(HomeError::from)?;
    let version = latest.as_ref().map_or(1, |latest| latest.version + 1);
    // A label is never lost by importing again: taking one off is a decision of its own.
    let mut labels = labels.clone();
    labels.extend(latest.iter().flat_map(|latest| latest.labels.iter().cloned()));
    labels.extend(labels_of(home, project, &snapshot.digest)?);
    if let Some(latest) =
        latest.filter(|latest| latest.snapshot == snapshot.digest && latest.labels == labels)
    {
        return Ok(Added { version: latest, new: false });
    }
    let entry = Entry::DatasetAdded {
        name: name.clone(),
        version,
        snapshot: snapshot.digest,
        files: snapshot.files,
        bytes: snapshot.bytes,
        labels,
    };
    home.record(project, vec![entry])?;
    home.catch_up()?;
    let added = find(home, project, &InputRef::Dataset { name: name.clone(), version: Some(version) })?;
    Ok(Added { version: added, new: true })
}

/// Labels of the datasets and artifacts that are the same bytes under other names.
fn labels_of(home: &Home, project: &ProjectName, digest: &Digest) -> Result<BTreeSet<Label>, HomeError> {
    let mut labels = BTreeSet::new();
    for node in home.catalog.producers(project, digest)? {
        match node {
            Node::Dataset { name, version, .. } => {
                let same = home.catalog.dataset_version(project, &name, Some(version))?;
                labels.extend(same.into_iter().flat_map(|same| same.labels));
            }
            Node::Artifact { run, .. } => {
                let run = home.catalog.run(project, &run)?;
                labels.extend(run.into_iter().flat_map(|run| run.labels));
            }
            Node::Run { .. } | Node::Snapshot { .. } => {}
        }
    }
    Ok(labels)
}

/// Every dataset of `project`, in its newest version.
///
/// # Errors
/// [`DatasetError::Home`].
pub fn list(home: &Home, project: &ProjectName) -> Result<Vec<DatasetVersion>, DatasetError> {
    Ok(home.catalog.datasets(project).map_err(HomeError::from)?)
}

/// Every version of one dataset, the newest first.
///
/// # Errors
/// [`DatasetError::Missing`] when there is none.
pub fn versions(
    home: &Home,
    project: &ProjectName,
    name: &DatasetName,
) -> Result<Vec<DatasetVersion>, DatasetError> {
    let versions = home.catalog.versions(project, name).map_err(HomeError::from)?;
    if versions.is_empty() {
        let reference = InputRef::Dataset { name: name.clone(), version: None };
        return Err(DatasetError::Missing { project: project.clone(), reference });
    }
    Ok(versions)
}

/// One version of a dataset.
///
/// # Errors
/// [`DatasetError::Missing`] when there is none, or `reference` is not about a dataset.
pub fn find(
    home: &Home,
    project: &ProjectName,
    reference: &InputRef,
) -> Result<DatasetVersion, DatasetError> {
    let found = match reference {
        InputRef::Dataset { name, version } => {
            home.catalog.dataset_version(project, name, *version).map_err(HomeError::from)?
        }
        InputRef::Artifact { .. } => None,
    };
    found.ok_or_else(|| DatasetError::Missing { project: project.clone(), reference: reference.clone() })
}

/// Reads every byte of a version again and compares it with its digest.
///
/// # Errors
/// [`DatasetError::Verify`] names each file that is not what was imported.
pub fn verify(
    home: &Home,
    project: &ProjectName,
    reference: &InputRef,
    observer: &mut dyn Observer,
) -> Result<(DatasetVersion, Verified), DatasetError> {
    let version = find(home, project, reference)?;
    let store = home.store(project)?;
    let verified =
        store.verify(&version.snapshot, &mut |progress| observer.event(Event::Import(progress)))?;
    Ok((version, verified))
}
