//! Index for search and lineage: a fold over the entries of the ledger, in one SQLite file or in a schema of a
//! PostgreSQL server.
//!
//! [`Catalog::apply`] takes entries in order and remembers how far it came; everything else reads. The
//! fold is total: no entry of this version and no record that it names can stop it.
//!
//! **Invariant:** derived. Whatever is here is also in the ledger or the store, so a catalog that cannot be
//! used is emptied with [`Catalog::reset`] and filled again; two folds over equal entries and records have
//! equal [`Catalog::dump`]s.
//! **Invariant:** a crash, of the process or of the machine, takes back whole transactions and never parts
//! of one: what is missing afterwards is applied again, since [`Catalog::applied`] went back with it.
//! **Absent on purpose:** reading the ledger or the store, checking digests, deciding. See
//! `docs/formats/catalog.md`.
#![forbid(unsafe_code)]

mod ahead;
mod applied;
mod apply;
mod batch;
mod column;
mod database;
mod environment;
mod error;
mod evaluation;
mod governed;
mod indexes;
mod kept;
mod known;
mod labels;
mod left_files;
mod lineage;
mod place;
mod policy;
mod quarantine;
mod query;
mod reach;
mod replay;
mod report;
mod resolve;
mod response;
mod run;
mod schema;
mod search;
mod spread;

use database::Database;

pub use applied::Position;
pub use apply::Fetch;
pub use environment::EnvironmentUse;
pub use error::{CatalogError, ResolveError, ServerProblem};
pub use evaluation::HeldOut;
pub use known::{KnownDigest, version_is};
pub use labels::{Descendants, LabelCount, LabelSource, LabelSources, SOURCES_MAX, TakenOff};
pub use lineage::{
    Consumer, Direction, EDGES_MAX, EdgeKind, Evidence, FilePlace, LineageEdge, LineageGraph, LineagePage,
    Node, NodeDetails, RunDetails,
};
pub use place::{Place, Server};
pub use policy::PolicyApplied;
pub use quarantine::{GivenAway, Incident, Quarantine};
pub use query::{DatasetChange, DatasetVersion, RunFilter, RunSummary};
pub use reach::{Reach, Tracer};
pub use replay::Replay;
pub use report::{DatasetUse, RunCount};
pub use resolve::PREFIX_CHARACTERS_MIN;
pub use spread::{Places, ReachedStep};

pub use search::{
    Cell, Column, Cursor, CursorError, Field, Found, Mark, Operator, Page, Question, SEARCH_BYTES_MAX,
    SEARCH_DEPTH_MAX, SEARCH_TERMS_MAX, Search, SearchError, SearchFailed, Sort, Statistic, Term, Value,
};

/// An open catalog. Several processes may have the same one open; writers wait for each other.
#[derive(Debug)]
pub struct Catalog {
    database: Database,
}

/// A row in which two catalogs differ.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Its table.
    pub table: &'static str,
    /// The row as the catalog has it, as a line of [`Catalog::dump`]; nothing if it lacks it.
    pub kept: Option<String>,
    /// The row as it should be; nothing if there should be none.
    pub fresh: Option<String>,
}

impl Catalog {
    /// Opens the catalog at `place`, or creates an empty one. One of an older version becomes one of this version,
    /// which may leave it empty. Blocks while another process does the same.
    ///
    /// # Errors
    /// - [`CatalogError::Unusable`]: it is damaged, foreign, or of a newer version: [`Self::reset`] it and apply every
    ///   entry again.
    /// - [`CatalogError::Busy`], [`CatalogError::Storage`], [`CatalogError::Server`]: nothing was changed.
    pub fn open(place: impl Into<Place>) -> Result<Self, CatalogError> {
        Ok(Self { database: schema::open(&place.into())? })
    }

    /// Opens `place` as an empty catalog, whatever it holds. Atomic, also for processes that have it open.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Storage`], [`CatalogError::Server`]: it is as it was.
    pub fn reset(place: impl Into<Place>) -> Result<Self, CatalogError> {
        Ok(Self { database: schema::reset(&place.into())? })
    }

    /// Leaves no byte of what the catalog held in its files, and an empty catalog. Waits for other processes that
    /// are reading it. On the disk below, blocks that are free now may still hold some, as may the log, replicas and
    /// backups of a server.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Storage`], [`CatalogError::Server`]: it may hold all of it yet.
    pub fn forget(place: impl Into<Place>) -> Result<Self, CatalogError> {
        let database = schema::reset(&place.into())?;
        database.flush()?;
        Ok(Self { database })
    }

    /// An empty catalog in memory, which nobody else sees.
    ///
    /// # Errors
    /// [`CatalogError::Storage`].
    pub fn in_memory() -> Result<Self, CatalogError> {
        Self::open(std::path::Path::new(":memory:"))
    }

    /// The first row in which this catalog and `fresh` differ.
    ///
    /// # Errors
    /// [`CatalogError`]: one of them could not be read.
    pub fn difference(&self, fresh: &Self) -> Result<Option<Difference>, CatalogError> {
        schema::difference(&self.database, &fresh.database)
    }

    /// Empties the catalog, for applying every entry again. Atomic.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog is as it was.
    pub fn clear(&mut self) -> Result<(), CatalogError> {
        schema::clear(&self.database)
    }

    /// All content as text, one line for each row: equal exactly for equal catalogs, wherever they are.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn dump(&self) -> Result<String, CatalogError> {
        schema::dump(&self.database)
    }
}
