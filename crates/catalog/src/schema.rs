//! The tables, how older ones become these, and what all of them hold as text.

use std::fmt::Write as _;

use aseptic_model::escape_bytes;
use rusqlite::types::ValueRef;

use crate::database::Database;
use crate::{CatalogError, Difference, Place, indexes};

/// Version of the tables. Raised with every change of [`TABLES`] or of the fold, with a line in [`STEPS`].
const VERSION: i64 = 7;

/// Digests are raw bytes, paths are raw bytes, instants are milliseconds since 1970, sets and maps are
/// JSON. The first columns are the key. A run is the index of the entry that planned it, which orders runs by
/// time; only `run` knows its id and project.
pub(crate) const TABLES: &str = "
CREATE TABLE applied (entries INTEGER NOT NULL, ledger_offset INTEGER NOT NULL, time INTEGER) STRICT;
INSERT INTO applied VALUES (0, 0, NULL);

CREATE TABLE dataset_version (
    project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
    snapshot BLOB NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL, labels TEXT NOT NULL,
    added INTEGER NOT NULL, actor TEXT NOT NULL, metadata TEXT NOT NULL, origin TEXT,
    retention TEXT, expired INTEGER, expired_class TEXT, restored INTEGER, archived TEXT,
    entry INTEGER NOT NULL, inherited TEXT NOT NULL,
    PRIMARY KEY (project, name, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX dataset_version_snapshot ON dataset_version (snapshot);
CREATE INDEX dataset_version_entry ON dataset_version (entry);

CREATE TABLE dataset_change (
    project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, entry INTEGER NOT NULL,
    time INTEGER NOT NULL, actor TEXT NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (project, name, version, entry)
) STRICT, WITHOUT ROWID;

CREATE TABLE dataset_source (
    project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, entry INTEGER NOT NULL, path BLOB NOT NULL,
    PRIMARY KEY (project, name, version, entry, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX dataset_source_entry ON dataset_source (entry);

CREATE TABLE run (
    entry INTEGER PRIMARY KEY, project TEXT NOT NULL, run TEXT NOT NULL,
    experiment TEXT, actor TEXT NOT NULL, planned INTEGER NOT NULL,
    plan BLOB NOT NULL, code BLOB, git_commit TEXT, params TEXT NOT NULL, environment BLOB, replays TEXT,
    decision TEXT, policy BLOB, host TEXT,
    started INTEGER, ended INTEGER, duration_ms REAL, status TEXT, exit_code INTEGER,
    record BLOB, outputs BLOB, attestation BLOB, inventory BLOB, labels TEXT NOT NULL, complete INTEGER,
    name TEXT, note TEXT, unreadable TEXT,
    retention TEXT, expired INTEGER, expired_class TEXT, restored INTEGER, archived TEXT,
    inherited TEXT NOT NULL,
    UNIQUE (project, run)
) STRICT;
CREATE INDEX run_project ON run (project, entry);
CREATE INDEX run_planned ON run (project, planned);
CREATE INDEX run_duration ON run (project, duration_ms, entry);
CREATE INDEX run_experiment ON run (project, experiment, entry);
CREATE INDEX run_name ON run (project, name, entry) WHERE name IS NOT NULL;
CREATE INDEX run_status ON run (project, status, entry);
CREATE INDEX run_plan ON run (plan);
CREATE INDEX run_code ON run (code) WHERE code IS NOT NULL;
CREATE INDEX run_outputs ON run (outputs) WHERE outputs IS NOT NULL;
CREATE INDEX run_environment ON run (environment) WHERE environment IS NOT NULL;
CREATE INDEX run_policy ON run (policy) WHERE policy IS NOT NULL;
CREATE INDEX run_host ON run (host) WHERE host IS NOT NULL;
CREATE INDEX run_replays ON run (replays) WHERE replays IS NOT NULL;

CREATE TABLE run_input (
    entry INTEGER NOT NULL, name TEXT NOT NULL,
    snapshot BLOB NOT NULL, dataset TEXT, version INTEGER, source_run TEXT, source_path BLOB, read_set BLOB,
    PRIMARY KEY (entry, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_input_snapshot ON run_input (snapshot);
CREATE INDEX run_input_dataset ON run_input (dataset, version) WHERE dataset IS NOT NULL;
CREATE INDEX run_input_source ON run_input (source_run) WHERE source_run IS NOT NULL;

CREATE TABLE read_file (
    read_set BLOB NOT NULL, path BLOB NOT NULL,
    PRIMARY KEY (read_set, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_output (
    entry INTEGER NOT NULL, path BLOB NOT NULL,
    size INTEGER NOT NULL, blake3 BLOB NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (entry, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_output_blake3 ON run_output (blake3);

CREATE TABLE run_log (
    entry INTEGER NOT NULL, blake3 BLOB NOT NULL,
    PRIMARY KEY (entry, blake3)
) STRICT, WITHOUT ROWID;
CREATE INDEX log_blake3 ON run_log (blake3);

CREATE TABLE run_param (
    key TEXT NOT NULL, entry INTEGER NOT NULL, number REAL, text TEXT,
    PRIMARY KEY (key, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_param_number ON run_param (key, number, entry) WHERE number IS NOT NULL;
CREATE INDEX run_param_text ON run_param (key, text, entry) WHERE number IS NULL;

CREATE TABLE run_metric (
    name TEXT NOT NULL, entry INTEGER NOT NULL,
    count INTEGER NOT NULL, last REAL, min REAL, max REAL, last_step INTEGER,
    PRIMARY KEY (name, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_metric_last ON run_metric (name, last, entry);

CREATE TABLE run_label (
    label TEXT NOT NULL, entry INTEGER NOT NULL,
    PRIMARY KEY (label, entry)
) STRICT, WITHOUT ROWID;

CREATE TABLE label_act (
    entry INTEGER NOT NULL, label TEXT NOT NULL, path BLOB NOT NULL,
    given INTEGER NOT NULL, act INTEGER NOT NULL, event TEXT NOT NULL,
    time INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT,
    PRIMARY KEY (entry, label, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_tag (
    tag TEXT NOT NULL, entry INTEGER NOT NULL,
    PRIMARY KEY (tag, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_tag_entry ON run_tag (entry);

CREATE TABLE environment (
    environment BLOB PRIMARY KEY, python TEXT NOT NULL, interpreter BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE environment_package (
    environment BLOB NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, record BLOB,
    PRIMARY KEY (environment, name, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX environment_package_name ON environment_package (name, version);

CREATE TABLE replay (
    entry INTEGER PRIMARY KEY, project TEXT NOT NULL, run TEXT NOT NULL, replays TEXT NOT NULL,
    verdict TEXT NOT NULL, report BLOB NOT NULL
) STRICT;
CREATE INDEX replay_replays ON replay (project, replays);

CREATE TABLE quarantine (
    entry INTEGER PRIMARY KEY, project TEXT NOT NULL, object TEXT NOT NULL,
    reason TEXT, added INTEGER NOT NULL, actor TEXT NOT NULL, runs INTEGER NOT NULL, reached BLOB,
    lifted INTEGER, lifted_by TEXT, lifted_because TEXT, unreadable TEXT
) STRICT;
CREATE INDEX quarantine_object ON quarantine (project, object);

CREATE TABLE quarantine_place (
    quarantine INTEGER NOT NULL, snapshot BLOB NOT NULL, path BLOB NOT NULL,
    PRIMARY KEY (quarantine, snapshot, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE given_away (
    entry INTEGER PRIMARY KEY, project TEXT NOT NULL, run TEXT, dataset TEXT, version INTEGER,
    time INTEGER NOT NULL, actor TEXT NOT NULL, snapshot BLOB, path BLOB, event TEXT NOT NULL
) STRICT;
CREATE INDEX given_away_run ON given_away (run) WHERE run IS NOT NULL;
CREATE INDEX given_away_dataset ON given_away (dataset, version) WHERE dataset IS NOT NULL;
CREATE INDEX given_away_snapshot ON given_away (snapshot) WHERE snapshot IS NOT NULL;

CREATE TABLE incident (
    project TEXT NOT NULL, incident TEXT NOT NULL, entry INTEGER NOT NULL,
    objects TEXT NOT NULL, reason TEXT, opened INTEGER NOT NULL, actor TEXT NOT NULL,
    closed INTEGER, closed_by TEXT, closed_because TEXT,
    PRIMARY KEY (project, incident)
) STRICT, WITHOUT ROWID;

CREATE TABLE retention_default (
    project TEXT NOT NULL, kind TEXT NOT NULL, class TEXT NOT NULL,
    PRIMARY KEY (project, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE attestation_key (entry INTEGER PRIMARY KEY, public_key TEXT NOT NULL) STRICT;

CREATE TABLE policy_applied (
    entry INTEGER PRIMARY KEY, project TEXT NOT NULL, policy BLOB NOT NULL, signer TEXT,
    time INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT
) STRICT;
CREATE INDEX policy_applied_project ON policy_applied (project, entry);

CREATE TABLE kept_object (
    project TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (project, digest)
) STRICT, WITHOUT ROWID;
";

/// Every table with the columns of its key.
const NAMES: [(&str, &str); 25] = [
    ("applied", "1"),
    ("attestation_key", "1"),
    ("dataset_change", "1, 2, 3, 4"),
    ("dataset_source", "1, 2, 3, 4, 5"),
    ("dataset_version", "1, 2, 3"),
    ("environment", "1"),
    ("environment_package", "1, 2, 3"),
    ("given_away", "1"),
    ("incident", "1, 2"),
    ("kept_object", "1, 2"),
    ("label_act", "1, 2, 3"),
    ("policy_applied", "1"),
    ("quarantine", "1"),
    ("quarantine_place", "1, 2, 3"),
    ("read_file", "1, 2"),
    ("replay", "1"),
    ("retention_default", "1, 2"),
    ("run", "1"),
    ("run_input", "1, 2"),
    ("run_label", "1, 2"),
    ("run_log", "1, 2"),
    ("run_metric", "1, 2"),
    ("run_output", "1, 2"),
    ("run_param", "1, 2"),
    ("run_tag", "1, 2"),
];

/// A change from one version of the tables to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Statements that keep what is there and make it what the new version has, in one transaction.
    #[allow(
        dead_code,
        reason = "every version so far has another fold, and only the ledger knows what it would keep"
    )]
    Sql(&'static str),
    /// All is derived: it is emptied, and filled again from the ledger.
    Refill,
}

/// How older versions become this one, by the version that each step leads to.
const STEPS: [(i64, Step); 1] = [(VERSION, Step::Refill)];

pub(crate) fn open(place: &Place) -> Result<Database, CatalogError> {
    let database = Database::connect(place)?;
    database.configure()?;
    if database.version()? == 0 {
        database.create(TABLES, VERSION)?;
    }
    migrate(&database, &STEPS, VERSION)?;
    match database.version()? {
        VERSION => {
            // Whoever filled it may have been interrupted.
            indexes::create(&database)?;
            Ok(database)
        }
        other => Err(CatalogError::unusable(format!("it has version {other}, not {VERSION}"))),
    }
}

/// Takes every step that is missing up to `version`, each at once or not at all, waiting for other processes.
fn migrate(database: &Database, steps: &[(i64, Step)], version: i64) -> Result<(), CatalogError> {
    for (to, step) in steps {
        if database.version()? >= *to {
            continue;
        }
        match step {
            Step::Refill => {
                // Whatever a value that was erased since left in the file goes with it.
                database.recreate(TABLES, version)?;
                return database.flush();
            }
            Step::Sql(sql) => database.write(|database| {
                // Another process may have taken it while we waited.
                if database.version()? >= *to {
                    return Ok(());
                }
                database.batch(sql)?;
                database.set_version(*to)
            })?,
        }
    }
    Ok(())
}

pub(crate) fn reset(place: &Place) -> Result<Database, CatalogError> {
    let database = Database::connect(place)?;
    database.recreate(TABLES, VERSION)?;
    Ok(database)
}

pub(crate) fn clear(database: &Database) -> Result<(), CatalogError> {
    database.write(|database| {
        for (name, _) in NAMES {
            database.batch(&format!("DELETE FROM {name}"))?;
        }
        database.batch("INSERT INTO applied VALUES (0, 0, NULL)")
    })
}

pub(crate) fn dump(database: &Database) -> Result<String, CatalogError> {
    let mut text = String::new();
    database.read(|database| {
        for table in NAMES {
            lines(database, table, |line| {
                text.push_str(line);
                text.push('\n');
            })?;
        }
        Ok(())
    })?;
    Ok(text)
}

/// The first row that is not the same in both, each seen at one moment.
pub(crate) fn difference(kept: &Database, fresh: &Database) -> Result<Option<Difference>, CatalogError> {
    kept.read(|kept| {
        fresh.read(|fresh| {
            for table in NAMES {
                let mut rows = Vec::new();
                lines(fresh, table, |line| rows.push(line.to_owned()))?;
                let mut expected = rows.into_iter();
                let mut found = None;
                lines(kept, table, |line| {
                    if found.is_none() {
                        let row = expected.next();
                        if row.as_deref() != Some(line) {
                            found = Some((Some(line.to_owned()), row));
                        }
                    }
                })?;
                let found = found.or_else(|| expected.next().map(|row| (None, Some(row))));
                if let Some((kept, fresh)) = found {
                    return Ok(Some(Difference { table: table.0, kept, fresh }));
                }
            }
            Ok(None)
        })
    })
}

/// Calls `with` for each row of a table as text, in the order of its key.
fn lines(
    database: &Database,
    (name, key): (&str, &str),
    mut with: impl FnMut(&str),
) -> Result<(), CatalogError> {
    let mut columns = Vec::new();
    let mut text = String::new();
    database.each(&format!("SELECT * FROM {name} ORDER BY {key}"), [], |row| {
        if columns.is_empty() {
            columns = row.columns();
        }
        text.clear();
        text.push_str(name);
        for column in &columns {
            row.get(column, |value| {
                show(&mut text, column, value);
                Ok(())
            })?;
        }
        with(&text);
        Ok(())
    })
}

fn show(text: &mut String, column: &str, value: ValueRef<'_>) {
    let _ = match value {
        ValueRef::Null => Ok(()),
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

#[cfg(test)]
mod tests;
