//! Index for search and lineage: a fold over the entries of the ledger, in one SQLite file.
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

mod applied;
mod apply;
mod column;
mod error;
mod governed;
mod kept;
mod lineage;
mod query;
mod schema;

use std::path::Path;

use rusqlite::Connection;

pub use applied::Position;
pub use apply::Fetch;
pub use error::{CatalogError, ResolveError};
pub use lineage::{Consumer, EDGES_MAX, EdgeKind, LineageEdge, LineageGraph, Node};
pub use query::{DatasetChange, DatasetVersion, PREFIX_CHARACTERS_MIN, RunFilter, RunSummary};

/// An open catalog. Several processes may have the same one open; writers wait for each other.
#[derive(Debug)]
pub struct Catalog {
    connection: Connection,
}

impl Catalog {
    /// Opens the catalog at `path`, or creates an empty one. Blocks while another process creates it.
    ///
    /// # Errors
    /// - [`CatalogError::Unusable`]: the file is damaged, foreign, or of another version: [`Self::reset`]
    ///   it and apply every entry again.
    /// - [`CatalogError::Busy`], [`CatalogError::Storage`]: nothing was changed.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        Ok(Self { connection: schema::open(path)? })
    }

    /// Opens `path` as an empty catalog, whatever it holds. Atomic, also for processes that have it open.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Storage`]: the file is as it was.
    pub fn reset(path: &Path) -> Result<Self, CatalogError> {
        Ok(Self { connection: schema::reset(path)? })
    }

    /// Leaves no byte of what the catalog held in its files, and an empty catalog. Waits for other processes that
    /// are reading it. On the disk below, blocks that are free now may still hold some.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Storage`]: it may hold all of it yet.
    pub fn forget(path: &Path) -> Result<Self, CatalogError> {
        let connection = schema::reset(path)?;
        schema::flush(&connection)?;
        Ok(Self { connection })
    }

    /// Empties the catalog, for applying every entry again. Atomic.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog is as it was.
    pub fn clear(&mut self) -> Result<(), CatalogError> {
        schema::clear(&mut self.connection)
    }

    /// All content as text, one line for each row: equal exactly for equal catalogs.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn dump(&self) -> Result<String, CatalogError> {
        schema::dump(&self.connection)
    }
}
