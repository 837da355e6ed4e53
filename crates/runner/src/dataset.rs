//! Datasets: versions, what is said about them, and who else has them.
//!
//! **Invariant:** a label that is given to a version is given to every other version of the same bytes, whatever they are
//! called. One is taken off only by name, with a reason. What runs bring goes with them, as the catalog says.
//! **Invariant:** whoever changes what is known of datasets holds the lock of their project, and looks at what
//! is known under that lock.

mod add;
mod compare;
mod describe;
mod history;
mod implied;
mod made;
mod share;
mod unpack;
mod verify;

use std::fs::File;

use aseptic_catalog::DatasetVersion;
use aseptic_model::{
    Class, DatasetName, Diagnose, Diagnosis, Digest, InputRef, METADATA_MAX, ProjectName, Retained,
};
use aseptic_policy::Act;
use aseptic_store::{ImportError, StoreError, TarError, VerifyError};
use rustix::fs::FlockOperation;

use crate::home::{Home, HomeError, io_error};
use crate::labels::{self, sidecar::SidecarError};
use crate::retention::Gone;

pub(crate) use add::adopt;
pub use add::{Added, Said, add, keep_state_out};
pub use compare::{Compared, SnapshotRef, SnapshotRefError, compare};
pub use describe::{Relabelled, describe, label, unlabel};
pub use history::{Details, details, history};
pub use share::{Shared, share};
pub use unpack::{Unpack, add_file, add_tar};
pub use verify::{Portion, Share, ShareError, Verification, verify};

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
        /// What was likely meant, of what the user may look at.
        meant: Option<String>,
    },
    /// The labels that lie beside it cannot be read; nothing was imported.
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
    /// Its bytes were deleted.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// No directory of this digest is in the store of the project.
    #[error("project `{project}` has no snapshot {digest}")]
    NoSnapshot {
        /// Where it was looked for.
        project: ProjectName,
        /// What was asked for.
        digest: Digest,
    },
    /// What may be looked at depends on what it is, and a digest does not say that.
    #[error(
        "project `{project}` has policies about what may be looked at, and {digest} does not say what it is"
    )]
    ByDigest {
        /// Where it was looked for.
        project: ProjectName,
        /// What was asked for.
        digest: Digest,
    },
    /// More would be said about a version than there is room for.
    #[error("{statements} statements about `{object}`, and there is room for {METADATA_MAX}")]
    TooMuchSaid {
        /// The version.
        object: Retained,
        /// How many it would have.
        statements: usize,
    },
    /// A hold ends only with a reason.
    #[error("`{0}` is on hold")]
    Held(Retained),
    /// It must not be used any more.
    #[error("`{object}` is in quarantine: {by}")]
    Quarantined {
        /// The version.
        object: Retained,
        /// What is in quarantine, and how it reaches the version.
        by: String,
    },
    /// The state of aseptic is no dataset: it holds the key of the ledger and what every project has.
    #[error("`{path}` holds the state of aseptic, or lies in it")]
    State {
        /// What was to be imported.
        path: String,
    },
    /// The ledger names it, so it is there; the catalog does not show it yet.
    #[error("`{object}` is recorded, but the catalog could not be brought up to date")]
    Recorded {
        /// The version.
        object: Retained,
        /// Why not.
        #[source]
        source: HomeError,
    },
    /// A project cannot share with itself.
    #[error("`{0}` is the project that would share")]
    ToItself(ProjectName),
    /// It could not be imported; nothing is visible of it.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// It could not be imported from an archive or a pipe; nothing is visible of it.
    #[error(transparent)]
    Tar(#[from] TarError),
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
            Self::Missing { meant: Some(meant), .. } => {
                Diagnosis::new(Class::User, "dataset/missing", format!("did you mean `{meant}`?"))
            }
            Self::Missing { .. } => Diagnosis::new(
                Class::User,
                "dataset/missing",
                "`aseptic dataset list` shows those there are; add one with `aseptic dataset add PATH --name NAME`, or \
                 name its project with `--project`",
            ),
            Self::State { .. } => Diagnosis::new(
                Class::User,
                "dataset/state",
                "name another directory, or keep the state elsewhere with ASEPTIC_HOME",
            ),
            Self::Recorded { source, .. } => {
                let inner = source.diagnosis();
                let help = format!("nothing is to be done again; {}", inner.help);
                Diagnosis::new(inner.class, "dataset/recorded", help)
            }
            Self::Sidecar(_) => Diagnosis::new(
                Class::User,
                "dataset/sidecar",
                "export the files again, or move the list of labels away and give the labels with `--label`",
            ),
            Self::Gone(gone) => gone.diagnosis(),
            Self::NoSnapshot { .. } => Diagnosis::new(
                Class::User,
                "dataset/no-snapshot",
                "`aseptic dataset show NAME` shows the digest of each version; those of another project are never read",
            ),
            Self::ByDigest { .. } => Diagnosis::new(
                Class::Denied,
                "dataset/by-digest",
                "name versions instead: `aseptic dataset diff NAME@VERSION NAME@VERSION`",
            ),
            Self::TooMuchSaid { .. } => Diagnosis::new(
                Class::User,
                "dataset/too-much-said",
                "take statements back with `aseptic dataset describe NAME --unset KEY`",
            ),
            Self::Held(object) => Diagnosis::new(
                Class::User,
                "dataset/held",
                format!("lift the hold first with `aseptic retention set {object} CLASS --reason TEXT`"),
            ),
            Self::Quarantined { .. } => Diagnosis::new(
                Class::Denied,
                "dataset/quarantined",
                "share a version that is not in quarantine",
            ),
            Self::ToItself(_) => Diagnosis::new(
                Class::User,
                "dataset/to-itself",
                "name another project; `aseptic dataset add` gives the same files another name in this one",
            ),
            Self::Import(error) => error.diagnosis(),
            Self::Tar(error) => error.diagnosis(),
            Self::Verify(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl DatasetError {
    /// The files that are damaged and what is wrong with each, a line for one.
    #[must_use]
    pub fn damaged(&self) -> Vec<String> {
        match self {
            Self::Verify(VerifyError::Damaged { list, .. }) => {
                list.iter().map(|damage| format!("`{}`: {}", damage.path, damage.cause)).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl From<StoreError> for DatasetError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

/// Every dataset of `project` whose newest version the user may look at, in that version.
///
/// # Errors
/// [`DatasetError::Home`].
pub fn list(home: &Home, project: &ProjectName) -> Result<Vec<DatasetVersion>, DatasetError> {
    let sight = home.sight(project)?;
    let mut datasets = home.catalog.datasets(project).map_err(HomeError::from)?;
    datasets.retain(|version| sight.has_version(version));
    Ok(datasets)
}

/// Every version of one dataset that the user may look at, the newest first.
///
/// # Errors
/// [`DatasetError::Missing`] when there is none; [`DatasetError::Home`] when there are others.
pub fn versions(
    home: &Home,
    project: &ProjectName,
    name: &DatasetName,
) -> Result<Vec<DatasetVersion>, DatasetError> {
    let sight = home.sight(project)?;
    let mut versions = home.catalog.versions(project, name).map_err(HomeError::from)?;
    let Some(newest) = versions.first().map(labels::object_of) else {
        let reference = InputRef::Dataset { name: name.clone(), version: None };
        return Err(missing(home, project, &reference));
    };
    versions.retain(|version| sight.has_version(version));
    if versions.is_empty() {
        home.allowed_on(project, Act::View, &newest)?;
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
    look_for(home, project, reference)?.ok_or_else(|| missing(home, project, reference))
}

/// As [`find`], and nothing when there is none.
pub(crate) fn look_for(
    home: &Home,
    project: &ProjectName,
    reference: &InputRef,
) -> Result<Option<DatasetVersion>, DatasetError> {
    home.allowed(project, Act::View, None)?;
    Ok(match reference {
        InputRef::Dataset { name, version } => {
            home.catalog.dataset_version(project, name, *version).map_err(HomeError::from)?
        }
        InputRef::Artifact { .. } => None,
    })
}

/// That there is none, with the one that was likely meant.
pub(crate) fn missing(home: &Home, project: &ProjectName, reference: &InputRef) -> DatasetError {
    DatasetError::Missing {
        project: project.clone(),
        reference: reference.clone(),
        meant: meant(home, project, reference),
    }
}

/// The newest version of the dataset, where another one was asked for, or the one whose name is nearest.
fn meant(home: &Home, project: &ProjectName, reference: &InputRef) -> Option<String> {
    let InputRef::Dataset { name, .. } = reference else { return None };
    let datasets = list(home, project).ok()?; // What cannot be looked at is no help, and no other error.
    if let Some(newest) = datasets.iter().find(|version| version.name == *name) {
        return Some(format!("{name}@{}", newest.version));
    }
    let names = datasets.iter().map(|version| version.name.as_str());
    aseptic_model::spec::nearest(name.as_str(), names).map(str::to_owned)
}

/// As [`find`], where the user may look at it.
///
/// # Errors
/// As [`find`].
pub(crate) fn seen(
    home: &Home,
    project: &ProjectName,
    reference: &InputRef,
) -> Result<DatasetVersion, DatasetError> {
    let version = find(home, project, reference)?;
    home.allowed_on(project, Act::View, &labels::object_of(&version))?;
    Ok(version)
}

/// Keeps everyone else from changing what is known of the datasets of `project`, and brings the catalog up to
/// date. Ends when it is dropped.
pub(crate) fn lock(home: &mut Home, project: &ProjectName) -> Result<File, HomeError> {
    locked(home, project, FlockOperation::LockExclusive)
}

/// As [`lock`], for who only relies on what is known to stay so: several may hold it at once.
pub(crate) fn hold_still(home: &mut Home, project: &ProjectName) -> Result<File, HomeError> {
    locked(home, project, FlockOperation::LockShared)
}

fn locked(home: &mut Home, project: &ProjectName, how: FlockOperation) -> Result<File, HomeError> {
    home.store(project)?; // Makes the directory.
    let path = home.dir().join("projects").join(project.as_str()).join("datasets.lock");
    let held = File::create(&path).map_err(|source| io_error("make", &path, source))?;
    rustix::fs::flock(&held, how).map_err(|source| io_error("lock", &path, source.into()))?;
    home.catch_up()?;
    Ok(held)
}

/// How a version is named in the ledger.
pub(crate) fn object_of(version: &DatasetVersion) -> Retained {
    Retained::Dataset { name: version.name.clone(), version: version.version }
}
