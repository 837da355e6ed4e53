//! How far the catalog is.

use aseptic_model::Timestamp;

use crate::column::get;
use crate::database::Database;
use crate::{Catalog, CatalogError};

/// A place between two entries of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Zero-based index of the entry after it, which is the number of entries before it.
    pub index: u64,
    /// Where that entry begins in the ledger; the catalog only keeps it.
    pub offset: u64,
}

impl Catalog {
    /// Where the next entry to apply begins; nothing when none was applied yet.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn applied(&self) -> Result<Option<Position>, CatalogError> {
        let position = applied(&self.database)?;
        Ok((position.index > 0).then_some(position))
    }

    /// The latest time of the entries that were applied; see [`Entry::latest_time`](aseptic_model::Entry::latest_time).
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn applied_time(&self) -> Result<Option<Timestamp>, CatalogError> {
        applied_time(&self.database)
    }
}

pub(crate) fn applied(database: &Database) -> Result<Position, CatalogError> {
    let row = database.first("SELECT entries, ledger_offset FROM applied", [], |row| {
        Ok(Position { index: get(row, "entries")?, offset: get(row, "ledger_offset")? })
    })?;
    row.ok_or_else(|| CatalogError::unusable("its position is missing"))
}

pub(crate) fn applied_time(database: &Database) -> Result<Option<Timestamp>, CatalogError> {
    let time: Option<i64> = database.first("SELECT time FROM applied", [], |row| get(row, "time"))?.flatten();
    Ok(time.and_then(Timestamp::from_unix_ms))
}
