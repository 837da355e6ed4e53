//! What can go wrong with a catalog, and what helps.

use std::error::Error;

use aseptic_model::{Class, Diagnose, Diagnosis, ExperimentName, RunId, RunRef};
use rusqlite::ErrorCode;

use crate::Server;
use crate::database::problem;
use crate::resolve::PREFIX_CHARACTERS_MIN;

/// Why a catalog could not be opened, filled or read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file is damaged, of another version, of another ledger, or no catalog at all. Nothing is lost:
    /// reset it and apply every entry again.
    #[error("the catalog cannot be used: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
        /// What the database said.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Another process held the catalog for longer than we wait.
    #[error("the catalog is in use by another process")]
    Busy,
    /// The file system refused, ours or that of the server.
    #[error("could not read or write the catalog")]
    Storage(#[source] Box<dyn Error + Send + Sync>),
    /// What should say where the catalog is does not. The text is not repeated: it may hold a password.
    #[error("ASEPTIC_CATALOG does not say where the catalog is: {reason}")]
    Url {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The server that has the catalog cannot be used.
    #[error("the server of the catalog, {server}, {problem}")]
    Server {
        /// Which one.
        server: String,
        /// What kind of trouble it is.
        problem: ServerProblem,
        /// What it, or the network, said.
        #[source]
        source: tokio_postgres::Error,
    },
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

/// Why a server cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerProblem {
    /// It does not answer, or stopped doing so.
    Unreachable,
    /// It does not let this user in.
    Login,
    /// It has no such database.
    NoDatabase,
    /// Its certificate is not accepted, or it has no TLS.
    Tls,
    /// This user may not create or change what the catalog needs.
    Rights,
    /// Another process held the catalog for longer than we wait.
    Busy,
    /// It has no space or no memory.
    Storage,
}

impl std::fmt::Display for ServerProblem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Unreachable => "does not answer",
            Self::Login => "does not let this user in",
            Self::NoDatabase => "has no such database",
            Self::Tls => "cannot be spoken to with TLS",
            Self::Rights => "does not let this user keep a catalog",
            Self::Busy => "is busy",
            Self::Storage => "has no space",
        })
    }
}

impl CatalogError {
    pub(crate) fn server(server: &Server, error: tokio_postgres::Error) -> Self {
        match problem(&error) {
            None => {
                Self::Unusable { reason: "its content is damaged".to_owned(), source: Some(error.into()) }
            }
            Some(ServerProblem::Busy) => Self::Busy,
            Some(problem) => Self::Server { server: server.to_string(), problem, source: error },
        }
    }

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
            ) => Self::Storage(error.into()),
            _ => Self::Unusable { reason: "its content is damaged".to_owned(), source: Some(error.into()) },
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
            Self::Url { .. } => Diagnosis::new(
                Class::User,
                "catalog/url",
                "write ASEPTIC_CATALOG as `postgresql://USER:PASSWORD@HOST/DATABASE`, with `%40` for `@` and `%3F` for \
                 `?` in the password, or unset it to keep the catalog in a file",
            ),
            Self::Server { problem, .. } => of_server(*problem),
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

fn of_server(problem: ServerProblem) -> Diagnosis {
    let (class, code, help) = match problem {
        ServerProblem::Unreachable => (
            Class::Host,
            "catalog/server-unreachable",
            "check the host and the port in ASEPTIC_CATALOG and that the server runs; without ASEPTIC_CATALOG the catalog \
             is a file, made anew from the ledger",
        ),
        ServerProblem::Login => (
            Class::User,
            "catalog/server-login",
            "check user and password in ASEPTIC_CATALOG, and that `pg_hba.conf` of the server lets them in",
        ),
        ServerProblem::NoDatabase => (
            Class::User,
            "catalog/server-database",
            "create the database with `createdb`, or name another one in ASEPTIC_CATALOG",
        ),
        ServerProblem::Tls => (
            Class::User,
            "catalog/server-tls",
            "turn on `ssl` in the server, name the certificate of its authority with `sslrootcert=FILE`, or say \
             `sslmode=disable` in ASEPTIC_CATALOG where the network is trusted",
        ),
        ServerProblem::Rights => (
            Class::User,
            "catalog/server-rights",
            "as owner of the database, `GRANT CREATE ON DATABASE … TO …`, and name a server that can be written to",
        ),
        ServerProblem::Busy => {
            (Class::Host, "catalog/busy", "wait for the other `aseptic` to finish, then try again")
        }
        ServerProblem::Storage => (
            Class::Host,
            "catalog/server-storage",
            "free space on the disk of the server, or raise its limits, then try again",
        ),
    };
    Diagnosis::new(class, code, help)
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
    /// Several runs have this name.
    #[error("several runs have the name `{reference}`: {}{}", list(candidates), if *more { ", …" } else { "" })]
    SharedName {
        /// What was asked for.
        reference: RunRef,
        /// The last planned of them, the newest first.
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
            Self::SharedName { .. } => Diagnosis::new(
                Class::User,
                "run/shared-name",
                "name one of them by id, or give one another name with `aseptic annotate RUN --name NAME`",
            ),
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
                    "name a run id or at least {PREFIX_CHARACTERS_MIN} characters of one, `latest`, an \
                     experiment that has runs{known}, or the name of a run"
                );
                Diagnosis::new(Class::User, "run/not-found", help)
            }
            Self::NoRuns => Diagnosis::new(Class::User, "run/none", "start one with `aseptic run`"),
        }
    }
}
