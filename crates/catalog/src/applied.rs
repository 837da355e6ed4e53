//! How far the catalog is.

use aseptic_model::Timestamp;

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
        let position = applied(&self.connection)?;
        Ok((position.index > 0).then_some(position))
    }

    /// The latest time of the entries that were applied; see [`Entry::latest_time`].
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn applied_time(&self) -> Result<Option<Timestamp>, CatalogError> {
        applied_time(&self.connection)
    }
}

pub(crate) fn applied(connection: &rusqlite::Connection) -> Result<Position, CatalogError> {
    let row = connection
        .prepare_cached("SELECT entries, offset FROM applied")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    match (u64::try_from(row.0), u64::try_from(row.1)) {
        (Ok(index), Ok(offset)) => Ok(Position { index, offset }),
        _ => Err(CatalogError::unusable("its position is damaged")),
    }
}

pub(crate) fn applied_time(connection: &rusqlite::Connection) -> Result<Option<Timestamp>, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT time FROM applied")?;
    let time: Option<i64> = statement.query_row([], |row| row.get("time"))?;
    Ok(time.and_then(Timestamp::from_unix_ms))
}
