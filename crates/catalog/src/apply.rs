//! The fold: what each entry changes.
//!
//! It is total. A second entry about the same thing changes nothing, an entry about a run that was never
//! planned changes nothing, and a plan or record that cannot be read leaves a note in the run's row.

use std::collections::BTreeMap;
use std::error::Error;

use aseptic_model::{
    CanonicalError, Decision, Digest, ENTRY_FORMAT, Entry, Event, Input, InputName, InputSource, Outcome,
    PLAN_FORMAT, Plan, ProjectName, RUN_SCHEMA, RunId, RunRecord, Status, Timestamp, from_canonical,
    to_canonical,
};
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use serde::Serialize;

use crate::applied::{Position, applied, applied_time};
use crate::column::int;
use crate::{Catalog, CatalogError, schema};

/// Reads an object of a project from the store and checks its digest.
pub type Fetch<'a> = dyn FnMut(&ProjectName, &Digest) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> + 'a;

impl Catalog {
    /// Applies `entries` in one transaction and returns how many were new. Each comes with the position
    /// after it. Those that are already applied, by whichever process, are skipped.
    ///
    /// `fetch` is called for the plan of each planned run and the record of each sealed one. Where it fails,
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
        fetch: &mut Fetch<'_>,
    ) -> Result<u64, CatalogError> {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_none() {
            return Ok(0);
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = applied(&transaction)?;
        let mut now = before;
        let mut time = applied_time(&transaction)?;
        let mut fold = Fold { transaction: &transaction, fetch };
        for (after, entry) in entries {
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
            fold.entry(now.index, &entry)?;
            now = after;
            time = entry.latest_time(time);
        }
        if now != before {
            let row = params![int(now.index), int(now.offset), time.map(Timestamp::as_unix_ms)];
            transaction.execute("UPDATE applied SET entries = ?1, offset = ?2, time = ?3", row)?;
        }
        transaction.commit()?;
        // The entries are in the log already; if it cannot be moved now, a later apply moves it.
        let _ = schema::settle(&self.connection);
        Ok(now.index - before.index)
    }
}

pub(crate) struct Fold<'a, 'f> {
    pub(crate) transaction: &'a Transaction<'a>,
    fetch: &'a mut Fetch<'f>,
}

impl Fold<'_, '_> {
    fn entry(&mut self, index: u64, entry: &Entry) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        let time = entry.time.as_unix_ms();
        match &entry.event {
            Event::DatasetAdded { .. }
            | Event::DatasetLabelled { .. }
            | Event::DatasetDescribed { .. }
            | Event::DatasetShared { .. } => self.dataset(index, entry),
            Event::ArchiveWritten { object, url, .. } => {
                self.update(project, object, "archived", url)?;
                self.change(index, entry, object)
            }
            Event::ArchiveRestored { object, .. } => {
                self.update(project, object, "expired", None::<i64>)?;
                self.update(project, object, "expired_class", None::<String>)?;
                self.update(project, object, "restored", time)?;
                self.change(index, entry, object)
            }
            Event::RetentionSet { object, class, .. } => {
                self.update(project, object, "retention", class.map(|class| class.to_string()))?;
                self.change(index, entry, object)
            }
            Event::RetentionExpired { object, class, .. } => {
                self.update(project, object, "expired", time)?;
                self.update(project, object, "expired_class", class.to_string())?;
                self.change(index, entry, object)
            }
            Event::RetentionDefault { kind, class } => self.execute(
                "INSERT OR REPLACE INTO retention_default VALUES (?1, ?2, ?3)",
                params![project, kind.as_str(), class.to_string()],
            ),
            Event::StoreCollected { list: digest, .. } | Event::DrillCompleted { report: digest, .. } => self
                .execute(
                    "INSERT INTO kept_object VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                    params![project, digest.as_bytes()],
                ),
            Event::RunPlanned { run, plan, code, inputs, .. } => {
                self.planned(index, entry, run, plan, code.as_ref(), inputs)
            }
            Event::RunDecided { run, decision, .. } => self.decided(project, run, decision, time),
            Event::RunStarted { run, .. } => self.execute(
                "UPDATE run SET started = ?3 WHERE project = ?1 AND run = ?2 AND started IS NULL",
                params![project, run.as_str(), time],
            ),
            Event::RunSealed { run, status, record, outputs, labels, attestation } => {
                let labels = json(labels)?;
                let attestation = attestation.as_ref().map(Digest::as_bytes);
                let sql = "UPDATE run SET status = ?3, ended = ?4, record = ?5, outputs = ?6, labels = ?7,
                     attestation = ?8 WHERE project = ?1 AND run = ?2 AND record IS NULL";
                let sealed = self.transaction.prepare_cached(sql)?.execute(params![
                    project,
                    run.as_str(),
                    status.as_str(),
                    time,
                    record.as_bytes(),
                    outputs.as_bytes(),
                    labels,
                    attestation
                ])?;
                if sealed == 0 { Ok(()) } else { self.sealed(&entry.project, run, record) }
            }
            Event::AttestationKey { public_key, .. } => self.execute(
                "INSERT INTO attestation_key VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![int(index), public_key],
            ),
            // Answer no question of the catalog.
            Event::RunExported { .. }
            | Event::GrantRevoked { .. }
            | Event::RunDenied { .. }
            | Event::RunReached { .. }
            | Event::AttestationExported { .. }
            | Event::LedgerKeyRotated { .. }
            | Event::LedgerClockWentBack { .. }
            | Event::LedgerErased { .. }
            | Event::WitnessPolicy { .. } => Ok(()),
            Event::QuarantineAdded { snapshot, reason } => self.execute(
                "INSERT INTO quarantine VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                params![
                    project,
                    snapshot.as_bytes(),
                    reason.as_deref().unwrap_or("erased"),
                    time,
                    entry.actor
                ],
            ),
        }
    }

    fn planned(
        &mut self,
        index: u64,
        entry: &Entry,
        run: &RunId,
        digest: &Digest,
        code: Option<&Digest>,
        inputs: &BTreeMap<InputName, Digest>,
    ) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        let exists: Option<i64> = self
            .transaction
            .prepare_cached("SELECT 1 FROM run WHERE project = ?1 AND run = ?2")?
            .query_row([project, run.as_str()], |row| row.get(0))
            .optional()?;
        if exists.is_some() {
            return Ok(());
        }
        let plan: Result<Plan, String> = self.read(&entry.project, digest).and_then(|plan: Plan| {
            if plan.format != PLAN_FORMAT {
                return Err("it has another version".to_owned());
            }
            Ok(plan)
        });
        let experiment = match &entry.event {
            Event::RunPlanned { experiment, .. } => {
                experiment.as_ref().map(aseptic_model::ExperimentName::as_str)
            }
            _ => None,
        };
        let (params, git_commit, unreadable) = match &plan {
            Ok(plan) => {
                (json(&plan.params)?, plan.code.as_ref().and_then(|code| code.git_commit.clone()), None)
            }
            Err(why) => ("{}".to_owned(), None, Some(format!("plan unreadable: {why}"))),
        };
        self.execute(
            "INSERT INTO run (project, run, entry, experiment, actor, planned, plan, code, git_commit, params,
                              labels, unreadable)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, '[]', ?11)",
            params![
                project,
                run.as_str(),
                int(index),
                experiment,
                entry.actor,
                entry.time.as_unix_ms(),
                digest.as_bytes(),
                code.map(Digest::as_bytes),
                git_commit,
                params,
                unreadable
            ],
        )?;
        let known = plan.map(|plan| plan.inputs).unwrap_or_default();
        for (name, snapshot) in inputs {
            let source =
                known.get(name).filter(|input| input.snapshot == *snapshot).map(|input| &input.source);
            self.input(project, run, name, snapshot, source)?;
        }
        Ok(())
    }

    /// The snapshot is the entry's, which is signed; the source is what the plan says of it.
    fn input(
        &self,
        project: &str,
        run: &RunId,
        name: &InputName,
        snapshot: &Digest,
        source: Option<&InputSource>,
    ) -> Result<(), CatalogError> {
        let (dataset, artifact) = match source {
            Some(InputSource::Dataset { name, version }) => (Some((name, version)), None),
            Some(InputSource::Artifact { run, path }) => (None, Some((run, path))),
            None => (None, None),
        };
        self.execute(
            "INSERT OR REPLACE INTO run_input VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                project,
                run.as_str(),
                name.as_str(),
                snapshot.as_bytes(),
                dataset.map(|(name, _)| name.as_str()),
                dataset.map(|(_, version)| version),
                artifact.map(|(run, _)| run.as_str()),
                artifact.and_then(|(_, path)| path.as_ref()).map(|path| path.as_bytes())
            ],
        )
    }

    /// A plan that was denied never starts, also when nothing seals the run.
    fn decided(
        &self,
        project: &str,
        run: &RunId,
        decision: &Decision,
        time: i64,
    ) -> Result<(), CatalogError> {
        self.execute(
            "UPDATE run SET decision = ?3 WHERE project = ?1 AND run = ?2 AND decision IS NULL",
            params![project, run.as_str(), json(decision)?],
        )?;
        match decision.outcome {
            Outcome::Allow => Ok(()),
            Outcome::Deny => self.execute(
                "UPDATE run SET status = ?3, ended = ?4 WHERE project = ?1 AND run = ?2 AND status IS NULL",
                params![project, run.as_str(), Status::Denied.as_str(), time],
            ),
        }
    }

    /// Adds what only the record says to the row of the run.
    fn sealed(&mut self, project: &ProjectName, run: &RunId, digest: &Digest) -> Result<(), CatalogError> {
        let record: Result<RunRecord, String> = self.read(project, digest).and_then(|record: RunRecord| {
            if record.schema != RUN_SCHEMA {
                return Err("it has another version".to_owned());
            }
            if record.run != *run || record.project != *project {
                return Err("it is the record of another run".to_owned());
            }
            Ok(record)
        });
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                return self.execute(
                    "UPDATE run SET unreadable = ?3 WHERE project = ?1 AND run = ?2",
                    params![project.as_str(), run.as_str(), format!("record unreadable: {why}")],
                );
            }
        };
        self.execute(
            "UPDATE run SET ended = ?3, duration_ms = ?4, params = ?5, git_commit = ?6, unreadable = NULL
             WHERE project = ?1 AND run = ?2",
            params![
                project.as_str(),
                run.as_str(),
                record.ended.as_unix_ms(),
                record.duration_ms,
                json(&record.params)?,
                record.code.as_ref().and_then(|code| code.git_commit.as_ref())
            ],
        )?;
        for (name, Input { snapshot, source, .. }) in &record.inputs {
            self.input(project.as_str(), run, name, snapshot, Some(source))?;
        }
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO run_output VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?;
        for output in &record.outputs {
            insert.execute(params![
                project.as_str(),
                run.as_str(),
                output.path.as_bytes(),
                int(output.size),
                output.blake3.as_bytes(),
                output.sha256
            ])?;
        }
        Ok(())
    }

    /// An object from the store, or why it cannot be read.
    fn read<T: serde::de::DeserializeOwned>(
        &mut self,
        project: &ProjectName,
        digest: &Digest,
    ) -> Result<T, String> {
        let bytes = (self.fetch)(project, digest).map_err(|error| error.to_string())?;
        from_canonical(&bytes).map_err(|error| error.to_string())
    }

    pub(crate) fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), CatalogError> {
        self.count(sql, params).map(|_| ())
    }

    /// As [`Self::execute`]; how many rows it changed.
    pub(crate) fn count(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, CatalogError> {
        Ok(self.transaction.prepare_cached(sql)?.execute(params)?)
    }
}

/// `value` as the catalog keeps it. Fails for numbers that an entry or a record, being JSON, cannot hold.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, CatalogError> {
    let bytes =
        to_canonical(value).map_err(|error: CanonicalError| CatalogError::unusable(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
