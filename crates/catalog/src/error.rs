//! What can go wrong with a catalog, and what helps.

use aseptic_model::{Class, Diagnose, Diagnosis, ExperimentName, RunId, RunRef};
use rusqlite::ErrorCode;

use crate::query::PREFIX_CHARACTERS_MIN;

/// Why a catalog could not be opened, filled or read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file is damaged, of another version, of another ledger, or no catalog at all. Nothing is lost:
    /// reset it and apply every entry again.
    #[error("the catalog cannot be used: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
        /// What SQLite said.
        #[source]
        source: Option<rusqlite::Error>,
    },
    /// Another process held the catalog for longer than we wait.
    #[error("the catalog is in use by another process")]
    Busy,
    /// The file system refused.
    #[error("could not read or write the catalog")]
    Storage(#[source] rusqlite::Error),
    /// An entry was passed before the one that comes next.
    #[error("entry {found} was applied where entry {expected} comes next")]
    Gap {
        /// Zero-based index of the entry that comes next.
        expected: u64,
        /// Index of the entry that was passed.
        found: u64,
    },
    /// An entry was written by another version of aseptic.
    #[error("entry {index} has a format that this version does not know")]
    Format {
        /// Zero-based index of the entry.
        index: u64,
    },
}

impl CatalogError {
    pub(crate) fn unusable(reason: impl Into<String>) -> Self {
        Self::Unusable { reason: reason.into(), source: None }
    }
}

impl From<rusqlite::Error> for CatalogError {
    /// What is neither the disk nor another process is the content of the file: a reset helps.
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::DiskFull
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure,
            ) => Self::Storage(error),
            _ => Self::Unusable { reason: "its content is damaged".to_owned(), source: Some(error) },
        }
    }
}

impl Diagnose for CatalogError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Unusable { .. } => Diagnosis::new(
                Class::Damaged,
                "catalog/unusable",
                "nothing is lost: `aseptic catalog rebuild` makes it again from the ledger and the store",
            ),
            Self::Busy => Diagnosis::new(
                Class::Host,
                "catalog/busy",
                "wait for the other `aseptic` to finish, then try again",
            ),
            Self::Storage(_) => Diagnosis::new(
                Class::Host,
                "catalog/storage",
                "check that the disk has space and works, and who may use the directory, then try again",
            ),
            Self::Gap { .. } => Diagnosis::new(
                Class::Internal,
                "catalog/gap",
                "nothing is lost: `aseptic catalog rebuild` makes it again from the ledger and the store",
            ),
            Self::Format { .. } => Diagnosis::new(
                Class::User,
                "catalog/format",
                "use the version of aseptic that wrote the ledger, or a newer one",
            ),
        }
    }
}

/// Why a [`RunRef`] names no run.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The catalog could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Several runs begin so.
    #[error("`{reference}` is the start of several run ids: {}{}", list(candidates), if *more { ", …" } else { "" })]
    Ambiguous {
        /// What was asked for.
        reference: RunRef,
        /// The first of them.
        candidates: Vec<RunId>,
        /// Whether there are others.
        more: bool,
    },
    /// It is an experiment, and no run of it succeeded.
    #[error("no run of the experiment `{0}` has succeeded")]
    NoneSucceeded(ExperimentName),
    /// No run and no experiment has this name.
    #[error("`{reference}` is no run of this project")]
    NotFound {
        /// What was asked for.
        reference: RunRef,
        /// Every experiment that has runs.
        experiments: Vec<ExperimentName>,
    },
    /// The project has no runs.
    #[error("this project has no runs")]
    NoRuns,
}

fn list<T: std::fmt::Display>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Diagnose for ResolveError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Catalog(error) => error.diagnosis(),
            Self::Ambiguous { .. } => {
                Diagnosis::new(Class::User, "run/ambiguous", "give more characters of the id")
            }
            Self::NoneSucceeded(_) => Diagnosis::new(
                Class::User,
                "run/none-succeeded",
                "name one of its runs by id; `aseptic runs` lists them",
            ),
            Self::NotFound { experiments, .. } => {
                let known = match experiments.as_slice() {
                    [] => String::new(),
                    names => format!(", such as {}", list(&names[..names.len().min(5)])),
                };
                let help = format!(
                    "name a run id or at least {PREFIX_CHARACTERS_MIN} characters of one, `latest`, or an \
                     experiment that has runs{known}"
                );
                Diagnosis::new(Class::User, "run/not-found", help)
            }
            Self::NoRuns => Diagnosis::new(Class::User, "run/none", "start one with `aseptic run`"),
        }
    }
}
