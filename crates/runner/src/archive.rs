//! Archives: what a version of a dataset or a run has, at another place, and back from there.
//!
//! An archive is a small store with nothing else in it, and a list of its files. It is read back and compared
//! before the ledger says that it is there, and compared again on its way back.
//!
//! **Invariant:** the ledger says that something is archived when all of it was read back, and that it is
//! restored when all of it is in the store.

mod content;
mod restore;
mod scratch;
mod write;

use std::path::{Path, PathBuf};

use aseptic_archive::{ArchiveError as PlaceError, ArchiveUrl};
use aseptic_model::{CanonicalError, Class, Diagnose, Diagnosis, ProjectName, Retained, RunId};
use aseptic_store::{StoreError, VerifyError};

use crate::dataset::DatasetError;
use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer, Transfer, TransferStep};
use crate::results::ResultError;

pub(crate) use scratch::clear;

pub use restore::{Restore, Restored, restore};
pub use write::{Archived, archive};

/// Why something was not archived or restored. The ledger says nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// What it was about is not here any more.
    #[error("the bytes of `{object}` were given up")]
    Expired {
        /// It.
        object: Retained,
        /// Where it was archived.
        archived: Option<String>,
    },
    /// Only a whole run is archived.
    #[error("`{0}` is a part of a run")]
    Part(aseptic_model::InputRef),
    /// A run belongs to the ledger that it is recorded in.
    #[error("project `{project}` has no run {run} of this plan and record")]
    ForeignRun {
        /// Where it was looked for.
        project: ProjectName,
        /// The run of the archive.
        run: RunId,
    },
    /// The archive is another one than was expected.
    #[error("the archive at {url} is not the one that {expected}")]
    Other {
        /// The place.
        url: String,
        /// Who says which one it should be.
        expected: &'static str,
    },
    /// It is not a list of an archive, or lists what cannot be.
    #[error("the list of the archive at {url} cannot be used: {what}")]
    Manifest {
        /// The place.
        url: String,
        /// Why not.
        what: String,
    },
    /// The place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The run.
    #[error(transparent)]
    Run(#[from] ResultError),
    /// The dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// What was to be copied is damaged.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl From<StoreError> for ArchiveError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

impl From<CanonicalError> for ArchiveError {
    fn from(error: CanonicalError) -> Self {
        Self::Home(error.into())
    }
}

impl Diagnose for ArchiveError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Expired { archived: Some(url), .. } => Diagnosis::new(
                Class::User,
                "archive/expired",
                format!("it is archived: `aseptic restore {url}` brings it back"),
            ),
            Self::Expired { archived: None, .. } => Diagnosis::new(
                Class::User,
                "archive/expired",
                "archive it before its time is over, or choose `keep`",
            ),
            Self::Part(_) => Diagnosis::new(Class::User, "archive/part", "name the run alone, as `run:RUN`"),
            Self::ForeignRun { .. } => Diagnosis::new(
                Class::User,
                "archive/foreign-run",
                "restore it where its ledger is, with `--project`; datasets can be restored anywhere",
            ),
            Self::Other { .. } => Diagnosis::new(
                Class::Damaged,
                "archive/other",
                "keep it as evidence: somebody replaced the archive; restore from another copy, or name this one \
                 with `--manifest` if it is meant",
            ),
            Self::Manifest { .. } => Diagnosis::new(
                Class::Damaged,
                "archive/manifest",
                "use the version of aseptic that wrote it, or restore from another copy",
            ),
            Self::Place(error) => error.diagnosis(),
            Self::Run(error) => error.diagnosis(),
            Self::Dataset(error) => error.diagnosis(),
            Self::Verify(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// Refuses a directory that is in the state directory, or the other way round: what is in there is removed.
fn check_apart(home: &Home, url: &ArchiveUrl) -> Result<(), PlaceError> {
    let Some(directory) = url.directory() else { return Ok(()) };
    if home.overlaps(&real(&directory)) {
        let what = "an archive has a directory of its own, apart from the state directory";
        return Err(PlaceError::Url { url: url.to_string(), what });
    }
    Ok(())
}

/// A path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    for there in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

/// How far files are on their way, for the observer.
struct Moving<'o> {
    observer: &'o mut dyn Observer,
    state: Transfer,
}

impl<'o> Moving<'o> {
    fn new(observer: &'o mut dyn Observer, step: TransferStep, files: usize, bytes: u64) -> Self {
        let state = Transfer { step, files: 0, files_total: files as u64, bytes: 0, bytes_total: bytes };
        Self { observer, state }
    }

    /// Hears of bytes; says whether to go on.
    fn tick(&mut self, bytes: u64) -> std::ops::ControlFlow<()> {
        self.state.bytes += bytes;
        self.observer.event(Event::Transfer(self.state));
        match self.observer.is_interrupted() {
            true => std::ops::ControlFlow::Break(()),
            false => std::ops::ControlFlow::Continue(()),
        }
    }

    fn file_done(&mut self) {
        self.state.files += 1;
    }
}
