//! The fold: what each entry changes.
//!
//! It is total. A second entry about the same thing changes nothing, an entry about a run that was never
//! planned changes nothing, and a plan or record that cannot be read leaves a note in the run's row.

use std::error::Error;

use aseptic_model::{
    CanonicalError, Digest, ENTRY_FORMAT, Entry, Event, ProjectName, Python, Timestamp, to_canonical,
};
use serde::Serialize;

use crate::ahead::{Named, Ready, ahead};
use crate::applied::{Position, applied, applied_time};
use crate::column::{Params, get, int, params};
use crate::database::Database;
use crate::{Catalog, CatalogError, indexes};

/// Entries in one go after which others probably follow.
const MANY: u64 = 1_000;

/// Reads an object of a project from the store and checks its digest.
pub type Fetch<'a> =
    dyn Fn(&ProjectName, &Digest) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> + Sync + 'a;

impl Catalog {
    /// Before very many entries are applied: an empty catalog in a file is without the indexes that only questions
    /// need, until [`Self::end_many`] or until somebody opens it. Until then questions may fail.
    ///
    /// # Errors
    /// [`CatalogError`]: nothing was changed.
    pub fn begin_many(&mut self) -> Result<(), CatalogError> {
        self.database.write(|database| match applied(database)?.index {
            0 => indexes::drop(database),
            _ => Ok(()),
        })
    }

    /// Creates the indexes that are missing, and leaves no long log.
    ///
    /// # Errors
    /// [`CatalogError`]: nothing was changed; opening the catalog does it too.
    pub fn end_many(&mut self) -> Result<(), CatalogError> {
        indexes::create(&self.database)?;
        self.database.settle(false); // A long log is read by whoever opens the catalog.
        Ok(())
    }

    /// Applies `entries` in one transaction and returns how many were new. Each comes with the position
    /// after it. Those that are already applied, by whichever process, are skipped.
    ///
    /// `fetch` is called, in another thread when there are many, for the plan of each planned run and the record of each sealed one. Where it fails,
    /// or the bytes are not a plan or a record, the run's row says so until the catalog is rebuilt.
    ///
    /// # Errors
    /// Nothing was applied.
    /// - [`CatalogError::Gap`]: an entry is not the next one.
    /// - [`CatalogError::Format`]: an entry is of another version.
    /// - [`CatalogError::Unusable`]: the catalog is damaged, or was filled from another ledger.
    /// - [`CatalogError::Busy`], [`CatalogError::Storage`]: try again.
    pub fn apply(
        &mut self,
        entries: impl IntoIterator<Item = (Position, Entry)>,
        fetch: &Fetch<'_>,
    ) -> Result<u64, CatalogError> {
        let entries: Vec<_> = entries.into_iter().collect();
        if entries.is_empty() {
            return Ok(0);
        }
        let applied =
            self.database.write(|database| ahead(entries, fetch, |entries| fold(database, entries)))?;
        self.database.settle(applied >= MANY);
        Ok(applied)
    }
}

/// Applies `entries` in the transaction that is open.
fn fold(database: &Database, entries: &mut dyn Iterator<Item = Ready>) -> Result<u64, CatalogError> {
    let before = applied(database)?;
    let mut now = before;
    let mut time = applied_time(database)?;
    let mut fold = Fold { database, python: None, follows_labels: false, any_labels: None };
    for (after, entry, named) in entries {
        if after.index <= now.index {
            if after.index == now.index && after.offset != now.offset {
                return Err(CatalogError::unusable("it was filled from another ledger"));
            }
            continue;
        }
        if after.index != now.index + 1 {
            return Err(CatalogError::Gap { expected: now.index, found: after.index - 1 });
        }
        if entry.format != ENTRY_FORMAT {
            return Err(CatalogError::Format { index: now.index });
        }
        fold.entry(now.index, &entry, named)?;
        now = after;
        time = entry.latest_time(time);
    }
    if now != before {
        let row = params![int(now.index), int(now.offset), time.map(Timestamp::as_unix_ms)];
        database.execute("UPDATE applied SET entries = ?1, ledger_offset = ?2, time = ?3", row)?;
    }
    Ok(now.index - before.index)
}

pub(crate) struct Fold<'a> {
    pub(crate) database: &'a Database,
    /// The Python environment of the last run with its digest: that of the next is mostly the same.
    pub(crate) python: Option<(Python, Digest)>,
    /// Whether the indexes are there by which labels are followed.
    pub(crate) follows_labels: bool,
    /// Whether anybody ever gave a label to anything; nothing until somebody asks.
    pub(crate) any_labels: Option<bool>,
}

impl Fold<'_> {
    fn entry(&mut self, index: u64, entry: &Entry, named: Named) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        match &entry.event {
            Event::DatasetAdded { .. } | Event::DatasetLabelled { .. } | Event::DatasetDescribed { .. } => {
                self.dataset(index, entry)
            }
            Event::DatasetShared { .. } => {
                self.dataset(index, entry)?;
                self.given_away(index, entry)
            }
            Event::RunExported { .. } | Event::AttestationExported { .. } => self.given_away(index, entry),
            Event::ArchiveWritten { .. } => {
                self.kept(index, entry)?;
                self.given_away(index, entry)
            }
            Event::ArchiveRestored { .. }
            | Event::RetentionSet { .. }
            | Event::RetentionExpired { .. }
            | Event::RetentionDefault { .. } => self.kept(index, entry),
            Event::StoreCollected { list: digest, .. } | Event::DrillCompleted { report: digest, .. } => {
                self.keep(project, digest)
            }
            Event::RunPlanned { .. }
            | Event::RunDecided { .. }
            | Event::RunStarted { .. }
            | Event::RunSealed { .. } => self.run(index, entry, named),
            Event::RunDescribed { .. } => self.described(entry),
            Event::RunReplayed { run, replays, verdict, report } => {
                self.keep(project, report)?;
                let row = params![
                    int(index),
                    project,
                    run.as_str(),
                    replays.as_str(),
                    verdict.as_str(),
                    report.as_bytes()
                ];
                self.execute("INSERT INTO replay VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row)
            }
            Event::QuarantineAdded { .. } | Event::QuarantineLifted { .. } => {
                self.quarantine(index, entry, named)
            }
            Event::IncidentOpened { .. } | Event::IncidentClosed { .. } => self.incident(index, entry),
            Event::AttestationKey { public_key, .. } => self.execute(
                "INSERT INTO attestation_key VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![int(index), public_key],
            ),
            Event::PolicyApplied { policy, signer, reason, .. } => {
                self.keep(project, policy)?;
                self.execute(
                    "INSERT INTO policy_applied VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        int(index),
                        project,
                        policy.as_bytes(),
                        signer,
                        entry.time.as_unix_ms(),
                        entry.actor,
                        reason
                    ],
                )
            }
            Event::RunLabelled { .. } => self.labelled(index, entry),
            // Answer no question of the catalog.
            Event::ActDenied { .. }
            | Event::ActDenials(..)
            | Event::RunStopped { .. }
            | Event::RunReused { .. }
            | Event::GrantRevoked { .. }
            | Event::RunDenied { .. }
            | Event::RunReached { .. }
            | Event::LedgerKeyRotated { .. }
            | Event::LedgerClockWentBack { .. }
            | Event::LedgerErased { .. }
            | Event::WitnessPolicy { .. }
            | Event::IncidentExported { .. } => Ok(()),
        }
    }

    /// An object of the store that an entry names beside datasets and runs.
    pub(crate) fn keep(&self, project: &str, digest: &Digest) -> Result<(), CatalogError> {
        self.execute(
            "INSERT INTO kept_object VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![project, digest.as_bytes()],
        )
    }

    /// Index of the entry that planned a run; nothing if none did.
    pub(crate) fn run_entry(&self, project: &str, run: &str) -> Result<Option<i64>, CatalogError> {
        let sql = "SELECT entry FROM run WHERE project = ?1 AND run = ?2";
        self.database.first(sql, [project, run], |row| get(row, "entry"))
    }

    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<(), CatalogError> {
        self.database.execute(sql, params)
    }

    /// As [`Self::execute`]; how many rows it changed.
    pub(crate) fn count(&self, sql: &str, params: impl Params) -> Result<u64, CatalogError> {
        self.database.count(sql, params)
    }
}

/// `value` as the catalog keeps it. Fails for numbers that an entry or a record, being JSON, cannot hold.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, CatalogError> {
    let bytes =
        to_canonical(value).map_err(|error: CanonicalError| CatalogError::unusable(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
