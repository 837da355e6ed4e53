//! The state of aseptic on this machine: one directory with the ledger, the catalog, the stores and
//! the runs that are going on.
//!
//! **Invariant:** the ledger is the truth. [`Home::record`] returns when an entry is durable; the
//! catalog catches up from the ledger and may be deleted at any time.

mod acts;
mod ledger;
mod refusals;
mod sight;
#[cfg(test)]
mod tests;
mod too_large;

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aseptic_catalog::{Catalog, CatalogError, Place, Server};
use aseptic_ledger::{AppendError, Ledger, OpenError, Position, ReadError};
use aseptic_model::{
    ByteSize, CanonicalError, Class, Diagnose, Diagnosis, Digest, ProjectName, RunId, Timestamp,
    from_canonical,
};
use aseptic_policy::{PolicyError, QUESTION_BYTES_MAX};
use aseptic_store::{Store, StoreError};
use serde::de::DeserializeOwned;

pub use acts::NotAllowed;
use too_large::TooLarge;

use crate::policy::Parsed;
use crate::record::ValuesError;

/// Family of the name under which the ledger of a state directory signs.
const ORIGIN: &str = "aseptic.local/ledger";

/// Directories of the system that every run sees.
const SHOWN: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];

/// Largest record, plan or log that is read back; a run with a million outputs has a record of 300 MB.
pub(crate) const RECORD_BYTES_MAX: usize = 1 << 30;

/// An open state directory.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    actor: String,
    ledger: Ledger,
    pub(crate) catalog: Catalog,
    /// Where the catalog is.
    place: Place,
    /// How far the ledger was looked at for its latest time, and that time.
    seen: Cell<(Position, Option<Timestamp>)>,
    /// Whether this handle added entries.
    written: Cell<bool>,
    /// Policies that were parsed.
    pub(crate) parsed: Parsed,
}

/// Why the state of this machine could not be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A directory or file of it.
    #[error("could not {what} `{path}`")]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On what.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger took no entry.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entry of the ledger, or a plan or record in a store, is none of ours.
    #[error("could not understand {what}")]
    Format {
        /// Which one.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A value that can be erased could not be written or read.
    #[error(transparent)]
    Values(#[from] ValuesError),
    /// A value has no JSON form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The catalog, after something was recorded.
    #[error("it is in the ledger, and the catalog could not be brought up to date with it")]
    Behind(#[source] CatalogError),
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policies.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A plan has too many elements with too many labels.
    #[error(
        "the policies would be asked {}, and at most {} are asked at once", ByteSize(*bytes), ByteSize(QUESTION_BYTES_MAX)
    )]
    TooMuch {
        /// About how much.
        bytes: u64,
    },
    /// An entry of the ledger has no room for it; nothing was written.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Nobody with the roles of this user may do this.
    #[error(transparent)]
    NotAllowed(Box<NotAllowed>),
}

impl Diagnose for HomeError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => Diagnosis::new(
                Class::Host,
                "home/full",
                "free space on the disk that holds the state directory, then try again",
            ),
            Self::Io { .. } => Diagnosis::new(
                Class::Host,
                "home/io",
                "check the disk and the permissions, or name another state directory with ASEPTIC_HOME",
            ),
            Self::Open(error) => error.diagnosis(),
            Self::Append(error) => error.diagnosis(),
            Self::Read(error) => error.diagnosis(),
            Self::Format { .. } => Diagnosis::new(
                Class::Damaged,
                "home/format",
                "use the version of aseptic that wrote it, or run `aseptic ledger verify`",
            ),
            Self::Canonical(_) => {
                Diagnosis::new(Class::User, "home/canonical", "use finite numbers in the parameters")
            }
            Self::Values(error) => error.diagnosis(),
            Self::Catalog(error) => error.diagnosis(),
            Self::Behind(_) => Diagnosis::new(
                Class::Host,
                "home/behind",
                "check that the disk has space and works; what was recorded holds, and the next command brings the catalog \
                 up to date",
            ),
            Self::Store(error) => error.diagnosis(),
            Self::Policy(error) => error.diagnosis(),
            Self::TooLarge(error) => error.diagnosis(),
            Self::TooMuch { .. } => Diagnosis::new(
                Class::User,
                "plan/too-large",
                "name fewer inputs, or fewer destinations, such as `*.example.org:443` for several, or give the data fewer labels",
            ),
            Self::NotAllowed(denied) => {
                Diagnosis::new(Class::Denied, "policy/act-denied", denied.help.clone())
            }
        }
    }
}

impl Drop for Home {
    /// Publishes what was added. A failure leaves the tiles behind, which the next time mends; proofs read the log then.
    fn drop(&mut self) {
        if self.written.get() {
            let _ = aseptic_ledger::update_tiles(&self.ledger_dir());
        }
    }
}

impl Home {
    /// As [`Self::open_with`], with the catalog in a file of the state directory.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        Self::open_with(dir, None)
    }

    /// Opens the state directory `dir`, making it if it is not there, and brings the catalog up to date, which is in
    /// the PostgreSQL database `server` (its URL) or in a file of the state directory.
    ///
    /// # Errors
    /// [`HomeError`]; nothing of the state was changed. None repeats the URL, which may hold a password.
    pub fn open_with(dir: &Path, server: Option<&str>) -> Result<Self, HomeError> {
        make_private(dir)?;
        let dir = dir.canonicalize().map_err(|source| io_error("find", dir, source))?;
        if SHOWN.iter().any(|shown| dir.starts_with(shown)) {
            let source = io::Error::other("every run sees this directory of the system");
            return Err(io_error("keep the state in", &dir, source));
        }
        if !dir.join("ledger").exists() && dir.join("projects").exists() {
            let source = io::Error::other("there are stores, and the ledger that they belong to is gone");
            return Err(io_error("use the state in", &dir, source));
        }
        let ledger = Ledger::open_below(&dir.join("ledger"), ORIGIN)?;
        let place = match server {
            Some(url) => Server::parse(url, &ledger.origin())?.into(),
            None => private_file(dir.join("catalog.sqlite"))?,
        };
        let catalog = open_catalog(&place)?;
        let seen = Cell::new((Position::START, None));
        let (actor, written, parsed) = (actor(), Cell::new(false), Parsed::default());
        let mut home = Self { dir, actor, ledger, catalog, place, seen, written, parsed };
        match home.catch_up() {
            // Damage deep in the catalog shows only when it is read; and it may be of another ledger, such as
            // one that was brought back from a copy.
            Err(HomeError::Catalog(CatalogError::Unusable { .. }) | HomeError::Read(_)) => {
                home.catalog = Catalog::reset(&home.place)?;
                home.catch_up()?;
            }
            other => other?,
        }
        Ok(home)
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Who uses it: `user:NAME`.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// Name of the ledger.
    pub(crate) fn origin(&self) -> String {
        self.ledger.origin()
    }

    /// Whether `real`, a path without links, is part of the state or holds it.
    pub(crate) fn overlaps(&self, real: &Path) -> bool {
        real.starts_with(&self.dir) || self.dir.starts_with(real)
    }

    /// Whether `real` is the state directory, or in it.
    pub(crate) fn holds(&self, real: &Path) -> bool {
        real.starts_with(&self.dir)
    }

    /// The directory of the ledger.
    #[must_use]
    pub fn ledger_dir(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    /// The store of one project.
    ///
    /// # Errors
    /// [`HomeError::Store`].
    pub fn store(&self, project: &ProjectName) -> Result<Store, HomeError> {
        let dir = self.dir.join("projects").join(project.as_str());
        make_private(&dir)?;
        Ok(Store::open(&dir.join("store"))?)
    }

    /// The file that says which inventory an environment had the last time.
    pub(crate) fn inventories(&self, project: &ProjectName) -> PathBuf {
        self.dir.join("projects").join(project.as_str()).join("inventories")
    }

    /// Whether anything was ever stored for a project.
    pub(crate) fn has_store(&self, project: &ProjectName) -> bool {
        self.dir.join("projects").join(project.as_str()).join("store/format").exists()
    }

    /// Every project that has a directory, by name.
    pub(crate) fn projects(&self) -> Result<Vec<ProjectName>, HomeError> {
        let dir = self.dir.join("projects");
        let failed = |source| io_error("list", &dir, source);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut projects = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            projects.extend(name.to_str().and_then(|name| name.parse().ok()));
        }
        projects.sort();
        Ok(projects)
    }

    /// The plan or record `digest` of a project.
    pub(crate) fn object<T: DeserializeOwned>(
        &self,
        project: &ProjectName,
        digest: &Digest,
    ) -> Result<T, HomeError> {
        let bytes = self.store(project)?.get_bytes(digest, RECORD_BYTES_MAX)?;
        from_canonical(&bytes).map_err(|source| format_error(format!("the object {digest}"), source))
    }

    /// The directory of a run while it goes on.
    pub(crate) fn run_dir(&self, project: &ProjectName, run: &RunId) -> PathBuf {
        self.dir.join("runs").join(project.as_str()).join(run.as_str())
    }
}

/// Names and labels are nobody else's business, whoever may enter the directory.
fn private_file(path: PathBuf) -> Result<Place, HomeError> {
    let private = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    private.map_err(|source| io_error("open", &path, source))?;
    Ok(Place::File(path))
}

/// The catalog at `place`; one that cannot be used is made anew, since it holds no fact of its own.
fn open_catalog(place: &Place) -> Result<Catalog, HomeError> {
    match Catalog::open(place) {
        Err(CatalogError::Unusable { .. }) => Ok(Catalog::reset(place)?),
        other => Ok(other?),
    }
}

/// Makes `dir` and what is missing above it, for this user alone.
pub(crate) fn make_private(dir: &Path) -> Result<(), HomeError> {
    let builder = || {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
    };
    builder().create(dir).map_err(|source| io_error("make", dir, source))
}

/// Removes `dir` and everything in it, whatever a job left there.
pub(crate) fn remove(dir: &Path) -> Result<(), HomeError> {
    aseptic_store::remove_tree(dir).map_err(|error| io_error("remove", dir, io::Error::other(error)))
}

pub(crate) fn io_error(what: &'static str, path: &Path, source: io::Error) -> HomeError {
    HomeError::Io { what, path: path.display().to_string(), source }
}

pub(crate) fn format_error(what: String, source: serde_json::Error) -> HomeError {
    HomeError::Format { what, source }
}

/// The present, by the clock of the machine.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = i64::try_from(since.as_millis()).unwrap_or(0);
    Timestamp::from_unix_ms(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Name of the user of the operating system who runs this process; the number where there is none.
#[must_use]
pub fn user_name() -> String {
    let actor = actor();
    actor.strip_prefix("user:").unwrap_or(&actor).to_owned()
}

/// Who runs this process: the operating system's user, by name where it has one.
fn actor() -> String {
    let user = rustix::process::getuid().as_raw();
    // One name in another encoding must not take the names of all others away.
    let accounts = fs::read("/etc/passwd").unwrap_or_default();
    let lines = accounts.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    let name = lines.into_iter().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        // A name of digits could be taken for the number of somebody else.
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        (fields.nth(1)?.parse() == Ok(user) && !is_number).then_some(name)
    });
    name.map_or_else(|| format!("user:{user}"), |name| format!("user:{name}"))
}
