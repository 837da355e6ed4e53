//! The file: how it is opened, kept and emptied.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::CatalogError;

/// How long to wait for another process: far longer than it takes to apply the entries of a run, and than
/// most rebuilds.
const BUSY: Duration = Duration::from_secs(30);

/// Pages in the write-ahead log before it is moved into the file. Every process that opens the catalog
/// reads the log (a millisecond for each MiB), moving it waits for the disk: this is a balance.
const LOG_PAGES: i64 = 256;

/// The same while very many entries are applied: then waiting for the disk is what counts.
const LOG_PAGES_MANY: i64 = 32_768;

/// Memory for pages, in KiB, taken as it is needed: most of the indexes of a million runs.
const CACHE_KIB: i64 = 256 << 10;

/// Reads nothing of the file yet.
pub(super) fn connect(path: &Path) -> Result<Connection, CatalogError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX; // A connection stays in one thread at a time.
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    // Without this, a statement whose plan may depend on a parameter is planned anew whenever that has another value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// A write-ahead log with `synchronous = NORMAL` waits for the disk only when the log is moved into the
/// file, and then in an order that leaves either state after a crash of the machine. SQLite moves it after
/// every commit of a long log and at every close, and each command would wait for that; [`settle`] does not.
pub(super) fn configure(connection: &Connection) -> Result<(), CatalogError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(())
}

pub(super) fn use_log(connection: &Connection) -> Result<(), CatalogError> {
    Ok(connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?)
}

/// Source: `SQLITE_DBCONFIG_RESET_DATABASE` in the documentation of SQLite, which empties a file under its
/// usual locks, however damaged it is. Deleting it would tear it from under another process.
pub(super) fn empty(connection: &Connection) -> Result<(), CatalogError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
    connection.execute_batch("VACUUM")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, false)?;
    configure(connection)
}

/// An empty file has no version, and neither has a database of somebody else.
pub(super) fn refuse_foreign(connection: &Connection) -> Result<(), CatalogError> {
    let any: bool =
        connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    if any { Err(CatalogError::unusable("it is a database of something else")) } else { Ok(()) }
}

pub(super) fn indexes(connection: &Connection) -> Result<BTreeSet<String>, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'index'")?;
    let names = statement.query_map([], |row| row.get("name"))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Moves all of the write-ahead log into the file and empties it, waiting for other processes.
pub(super) fn flush(connection: &Connection) -> Result<(), CatalogError> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get("busy"))?;
    if busy == 0 { Ok(()) } else { Err(CatalogError::Busy) }
}

/// Moves the write-ahead log into the file when it has become long, unless another process is using it.
pub(super) fn settle(connection: &Connection, many: bool) -> Result<(), CatalogError> {
    let pages: i64 = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get("log"))?;
    if pages > if many { LOG_PAGES_MANY } else { LOG_PAGES } {
        connection.busy_timeout(Duration::ZERO)?;
        let settled = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        connection.busy_timeout(BUSY)?;
        settled?;
    }
    Ok(())
}
