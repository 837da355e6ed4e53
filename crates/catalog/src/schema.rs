//! The file: its tables, how it is opened, and how it is emptied.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use aseptic_model::escape_bytes;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::CatalogError;

/// Version of the tables, kept in `user_version`. Raised with every change of [`TABLES`] or of the fold.
const VERSION: i64 = 4;

/// How long to wait for another process: far longer than it takes to apply the entries of a run, and than
/// most rebuilds.
const BUSY: Duration = Duration::from_secs(30);

/// Pages in the write-ahead log before it is moved into the file. Every process that opens the catalog
/// reads the log (a millisecond for each MiB), moving it waits for the disk: this is a balance.
const LOG_PAGES: i64 = 256;

/// Digests are raw bytes, paths are raw bytes, instants are milliseconds since 1970, sets and maps are
/// JSON. The first columns are the key.
const TABLES: &str = "
CREATE TABLE applied (entries INTEGER NOT NULL, offset INTEGER NOT NULL, time INTEGER) STRICT;
INSERT INTO applied VALUES (0, 0, NULL);

CREATE TABLE dataset_version (
    project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
    snapshot BLOB NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL, labels TEXT NOT NULL,
    added INTEGER NOT NULL, actor TEXT NOT NULL, metadata TEXT NOT NULL, origin TEXT,
    retention TEXT, expired INTEGER, expired_class TEXT, restored INTEGER, archived TEXT,
    PRIMARY KEY (project, name, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX dataset_version_snapshot ON dataset_version (project, snapshot);

CREATE TABLE run (
    project TEXT NOT NULL, run TEXT NOT NULL,
    entry INTEGER NOT NULL, experiment TEXT, actor TEXT NOT NULL, planned INTEGER NOT NULL,
    plan BLOB NOT NULL, code BLOB, git_commit TEXT, params TEXT NOT NULL, decision TEXT,
    started INTEGER, ended INTEGER, duration_ms REAL, status TEXT, record BLOB, outputs BLOB,
    attestation BLOB, labels TEXT NOT NULL, unreadable TEXT,
    retention TEXT, expired INTEGER, expired_class TEXT, restored INTEGER, archived TEXT,
    PRIMARY KEY (project, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_entry ON run (project, entry);
CREATE INDEX run_experiment ON run (project, experiment, entry);
CREATE INDEX run_outputs ON run (project, outputs);

CREATE TABLE run_input (
    project TEXT NOT NULL, run TEXT NOT NULL, name TEXT NOT NULL,
    snapshot BLOB NOT NULL, dataset TEXT, version INTEGER, source_run TEXT, source_path BLOB,
    PRIMARY KEY (project, run, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_input_snapshot ON run_input (project, snapshot);
CREATE INDEX run_input_source ON run_input (project, source_run) WHERE source_run IS NOT NULL;

CREATE TABLE run_output (
    project TEXT NOT NULL, run TEXT NOT NULL, path BLOB NOT NULL,
    size INTEGER NOT NULL, blake3 BLOB NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (project, run, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_output_blake3 ON run_output (project, blake3);

CREATE TABLE quarantine (
    project TEXT NOT NULL, snapshot BLOB NOT NULL,
    reason TEXT NOT NULL, added INTEGER NOT NULL, actor TEXT NOT NULL,
    PRIMARY KEY (project, snapshot)
) STRICT, WITHOUT ROWID;

CREATE TABLE retention_default (
    project TEXT NOT NULL, kind TEXT NOT NULL, class TEXT NOT NULL,
    PRIMARY KEY (project, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE dataset_change (
    project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, entry INTEGER NOT NULL,
    time INTEGER NOT NULL, actor TEXT NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (project, name, version, entry)
) STRICT, WITHOUT ROWID;

CREATE TABLE attestation_key (entry INTEGER PRIMARY KEY, public_key TEXT NOT NULL) STRICT;

CREATE TABLE kept_object (
    project TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (project, digest)
) STRICT, WITHOUT ROWID;
";

/// Every table with the columns of its key.
const NAMES: [(&str, &str); 10] = [
    ("applied", "1"),
    ("attestation_key", "1"),
    ("dataset_change", "1, 2, 3, 4"),
    ("dataset_version", "1, 2, 3"),
    ("kept_object", "1, 2"),
    ("quarantine", "1, 2"),
    ("retention_default", "1, 2"),
    ("run", "1, 2"),
    ("run_input", "1, 2, 3"),
    ("run_output", "1, 2, 3"),
];

pub(crate) fn open(path: &Path) -> Result<Connection, CatalogError> {
    let mut connection = connect(path)?;
    configure(&connection)?;
    if version(&connection)? == 0 {
        create(&mut connection)?;
    }
    match version(&connection)? {
        VERSION => Ok(connection),
        other => Err(CatalogError::unusable(format!("it has version {other}, not {VERSION}"))),
    }
}

/// Source: `SQLITE_DBCONFIG_RESET_DATABASE` in the documentation of SQLite, which empties a file under its
/// usual locks, however damaged it is. Deleting it would tear it from under another process.
pub(crate) fn reset(path: &Path) -> Result<Connection, CatalogError> {
    let mut connection = connect(path)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
    connection.execute_batch("VACUUM")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, false)?;
    configure(&connection)?;
    create(&mut connection)?;
    Ok(connection)
}

/// Moves all of the write-ahead log into the file and empties it, waiting for other processes.
pub(crate) fn flush(connection: &Connection) -> Result<(), CatalogError> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get("busy"))?;
    if busy == 0 { Ok(()) } else { Err(CatalogError::Busy) }
}

/// Reads nothing of the file yet.
fn connect(path: &Path) -> Result<Connection, CatalogError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX; // A connection stays in one thread at a time.
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// A write-ahead log with `synchronous = NORMAL` waits for the disk only when the log is moved into the
/// file, and then in an order that leaves either state after a crash of the machine. SQLite moves it after
/// every commit of a long log and at every close, and each command would wait for that; [`settle`] does not.
fn configure(connection: &Connection) -> Result<(), CatalogError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    Ok(())
}

/// Moves the write-ahead log into the file when it has become long, unless another process is using it.
pub(crate) fn settle(connection: &Connection) -> Result<(), CatalogError> {
    let pages: i64 = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get("log"))?;
    if pages > LOG_PAGES {
        connection.busy_timeout(Duration::ZERO)?;
        let settled = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        connection.busy_timeout(BUSY)?;
        settled?;
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<i64, CatalogError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Creates the tables, unless another process just did.
fn create(connection: &mut Connection) -> Result<(), CatalogError> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if version(&transaction)? != 0 {
        return Ok(());
    }
    if transaction.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))? {
        return Err(CatalogError::unusable("it is a database of something else"));
    }
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

pub(crate) fn clear(connection: &mut Connection) -> Result<(), CatalogError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (name, _) in NAMES {
        transaction.execute_batch(&format!("DELETE FROM {name}"))?;
    }
    transaction.execute_batch("INSERT INTO applied VALUES (0, 0, NULL)")?;
    Ok(transaction.commit()?)
}

pub(crate) fn dump(connection: &Connection) -> Result<String, CatalogError> {
    let transaction = connection.unchecked_transaction()?; // One state for all tables.
    let mut text = String::new();
    for (name, key) in NAMES {
        let mut statement = transaction.prepare(&format!("SELECT * FROM {name} ORDER BY {key}"))?;
        let columns: Vec<_> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            text.push_str(name);
            for (index, column) in columns.iter().enumerate() {
                let _ = match row.get_ref(index)? {
                    ValueRef::Null => continue,
                    ValueRef::Integer(value) => write!(text, "\t{column}={value}"),
                    ValueRef::Real(value) => write!(text, "\t{column}={value:?}"),
                    ValueRef::Text(value) => write!(text, "\t{column}={}", escape_bytes(value)),
                    ValueRef::Blob(value) if column.ends_with("path") => {
                        write!(text, "\t{column}={}", escape_bytes(value))
                    }
                    ValueRef::Blob(value) => {
                        let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
                        write!(text, "\t{column}={digits}")
                    }
                };
            }
            text.push('\n');
        }
    }
    Ok(text)
}
