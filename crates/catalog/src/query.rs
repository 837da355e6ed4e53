//! Questions about datasets and runs. Every one is about a single project.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{
    DatasetName, Decision, Digest, Event, ExperimentName, Label, MachineName, Metadata, Origin, ProjectName,
    RetainedKind, Retention, RunId, RunName, Status, Tag, Timestamp,
};
use serde::Serialize;

use crate::column::{Params, Read, Row, get, params};
use crate::{Catalog, CatalogError};

/// A version of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetVersion {
    /// Name of the dataset.
    pub name: DatasetName,
    /// Its version, from 1.
    pub version: u32,
    /// The tree.
    pub snapshot: Digest,
    /// Number of files in it.
    pub files: u64,
    /// Their total size.
    pub bytes: u64,
    /// Its labels.
    pub labels: BTreeSet<Label>,
    /// When it was imported.
    pub added: Timestamp,
    /// Who imported it.
    pub actor: String,
    /// What is said about it.
    pub metadata: Metadata,
    /// Where it comes from, if not from files of the user.
    pub origin: Option<Origin>,
    /// How long its bytes are kept, where that is not left to the project.
    pub retention: Option<Retention>,
    /// When its time was over and its bytes were given up; they may be archived.
    pub expired: Option<Timestamp>,
    /// Its class when that was.
    pub expired_class: Option<Retention>,
    /// When they came back from an archive; its time counts from then.
    pub restored: Option<Timestamp>,
    /// Where it was archived last.
    pub archived: Option<String>,
}

/// One thing that was done to a dataset version, the import included.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetChange {
    /// The version.
    pub version: u32,
    /// When.
    pub time: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What.
    pub event: Event,
}

/// What a list of runs shows of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// Its experiment.
    pub experiment: Option<ExperimentName>,
    /// Who started it.
    pub actor: String,
    /// How it ended; nothing while it has not.
    pub status: Option<Status>,
    /// When it was planned.
    pub planned: Timestamp,
    /// When the job started.
    pub started: Option<Timestamp>,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// From the start of the job to its end.
    pub duration_ms: Option<f64>,
    /// Digest of its plan.
    pub plan: Digest,
    /// Digest of its record.
    pub record: Option<Digest>,
    /// The tree of its outputs.
    pub outputs: Option<Digest>,
    /// Digest of its signed attestations.
    pub attestation: Option<Digest>,
    /// The code snapshot.
    pub code: Option<Digest>,
    /// The git commit that was checked out.
    pub git_commit: Option<String>,
    /// Its parameters.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The decision on its plan, with the reasons when it was denied.
    pub decision: Option<Decision>,
    /// Labels of its outputs.
    pub labels: BTreeSet<Label>,
    /// The run that it repeats, if it is a replay.
    pub replays: Option<RunId>,
    /// Digest of the rules that decided.
    pub policy: Option<Digest>,
    /// The machine that it ran on.
    pub host: Option<MachineName>,
    /// Digest of its Python environment.
    pub environment: Option<Digest>,
    /// Digest of the inventory of its environment, which is in the store.
    pub inventory: Option<Digest>,
    /// Exit code of the job.
    pub exit_code: Option<i32>,
    /// Whether every file that it opened is known; nothing before it is sealed.
    pub complete: Option<bool>,
    /// The name that a person gave it.
    pub name: Option<RunName>,
    /// The note of a person.
    pub note: Option<String>,
    /// Why its plan or record, and what only they say, is not here.
    pub unreadable: Option<String>,
    /// How long its bytes are kept, where that is not left to the project.
    pub retention: Option<Retention>,
    /// When its time was over and its bytes were given up; they may be archived.
    pub expired: Option<Timestamp>,
    /// Its class when that was.
    pub expired_class: Option<Retention>,
    /// When they came back from an archive; its time counts from then.
    pub restored: Option<Timestamp>,
    /// Where it was archived last.
    pub archived: Option<String>,
}

/// Which runs to list; the default is all.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Those of this experiment.
    pub experiment: Option<ExperimentName>,
    /// Those that ended so.
    pub status: Option<Status>,
}

impl Catalog {
    /// A version of a dataset; without a number, the newest.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn dataset_version(
        &self,
        project: &ProjectName,
        name: &DatasetName,
        version: Option<u32>,
    ) -> Result<Option<DatasetVersion>, CatalogError> {
        let sql = "SELECT * FROM dataset_version
             WHERE project = ?1 AND name = ?2 AND (?3 IS NULL OR version = ?3)
             ORDER BY version DESC LIMIT 1";
        Ok(self.rows(sql, params![project.as_str(), name.as_str(), version], dataset)?.pop())
    }

    /// The newest version of every dataset, by name.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn datasets(&self, project: &ProjectName) -> Result<Vec<DatasetVersion>, CatalogError> {
        let sql = "SELECT * FROM dataset_version AS this
             WHERE project = ?1 AND version = (
                 SELECT MAX(version) FROM dataset_version WHERE project = ?1 AND name = this.name
             ) ORDER BY name";
        self.rows(sql, [project.as_str()], dataset)
    }

    /// Every version of a dataset, newest first; none when there is no such dataset.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn versions(
        &self,
        project: &ProjectName,
        name: &DatasetName,
    ) -> Result<Vec<DatasetVersion>, CatalogError> {
        let sql = "SELECT * FROM dataset_version
             WHERE project = ?1 AND name = ?2 ORDER BY version DESC";
        self.rows(sql, [project.as_str(), name.as_str()], dataset)
    }

    /// Versions with labels whose bytes are there, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn labelled_versions(&self, project: &ProjectName) -> Result<Vec<DatasetVersion>, CatalogError> {
        let sql = "SELECT * FROM dataset_version
             WHERE project = ?1 AND labels <> '[]' AND expired IS NULL ORDER BY entry DESC";
        self.rows(sql, [project.as_str()], dataset)
    }

    /// Everything that was done to the versions of a dataset, the last first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn dataset_changes(
        &self,
        project: &ProjectName,
        name: &DatasetName,
    ) -> Result<Vec<DatasetChange>, CatalogError> {
        let sql = "SELECT * FROM dataset_change WHERE project = ?1 AND name = ?2 ORDER BY entry DESC";
        self.rows(sql, [project.as_str(), name.as_str()], |row| {
            Ok(DatasetChange {
                version: get(row, "version")?,
                time: get(row, "time")?,
                actor: get(row, "actor")?,
                event: get(row, "event")?,
            })
        })
    }

    /// The class of what has none of its own.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn retention_default(
        &self,
        project: &ProjectName,
        kind: RetainedKind,
    ) -> Result<Retention, CatalogError> {
        let sql = "SELECT class FROM retention_default WHERE project = ?1 AND kind = ?2";
        let class = self.rows(sql, [project.as_str(), kind.as_str()], |row| get(row, "class"))?.pop();
        Ok(class.unwrap_or_default())
    }

    /// One run.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn run(&self, project: &ProjectName, run: &RunId) -> Result<Option<RunSummary>, CatalogError> {
        let sql = "SELECT * FROM run WHERE project = ?1 AND run = ?2";
        Ok(self.rows(sql, [project.as_str(), run.as_str()], summary)?.pop())
    }

    /// The tags of a run.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn tags(&self, project: &ProjectName, run: &RunId) -> Result<BTreeSet<Tag>, CatalogError> {
        let sql = "SELECT tag FROM run_tag AS t INNER JOIN run ON run.entry = t.entry WHERE project = ?1 AND run = ?2";
        let tags = self.rows(sql, [project.as_str(), run.as_str()], |row| get(row, "tag"))?;
        Ok(tags.into_iter().collect())
    }

    /// Up to `limit` runs of one plan that ended so, the last planned first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn runs_of_plan(
        &self,
        project: &ProjectName,
        plan: &Digest,
        status: Status,
        limit: usize,
    ) -> Result<Vec<RunSummary>, CatalogError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql =
            "SELECT * FROM run WHERE plan = ?1 AND project = ?2 AND status = ?3 ORDER BY entry DESC LIMIT ?4";
        self.rows(sql, params![plan.as_bytes(), project.as_str(), status.as_str(), limit], summary)
    }

    /// Index of the ledger entry that planned a run.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn run_entry(&self, project: &ProjectName, run: &RunId) -> Result<Option<u64>, CatalogError> {
        let sql = "SELECT entry FROM run WHERE project = ?1 AND run = ?2";
        Ok(self.rows(sql, [project.as_str(), run.as_str()], |row| get(row, "entry"))?.pop())
    }

    /// Up to `limit` runs, the last planned first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn runs(
        &self,
        project: &ProjectName,
        limit: usize,
        filter: &RunFilter,
    ) -> Result<Vec<RunSummary>, CatalogError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let status = filter.status.map(Status::as_str);
        let experiment = filter.experiment.as_ref().map(ExperimentName::as_str);
        // Two statements, so that each has the index it needs.
        let sql = if experiment.is_some() {
            "SELECT * FROM run WHERE project = ?1 AND experiment = ?2 AND (?3 IS NULL OR status = ?3)
             ORDER BY entry DESC LIMIT ?4"
        } else {
            "SELECT * FROM run WHERE project = ?1 AND ?2 IS NULL AND (?3 IS NULL OR status = ?3)
             ORDER BY entry DESC LIMIT ?4"
        };
        self.rows(sql, params![project.as_str(), experiment, status, limit], summary)
    }

    /// Every experiment that has runs, by name.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn experiments(&self, project: &ProjectName) -> Result<Vec<ExperimentName>, CatalogError> {
        let sql = "SELECT DISTINCT experiment FROM run
                   WHERE project = ?1 AND experiment IS NOT NULL ORDER BY experiment";
        self.rows(sql, [project.as_str()], |row| get(row, "experiment"))
    }

    /// Every row of an answer as it comes, until `take` says that it is enough.
    pub(crate) fn each<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: fn(&Row<'_>) -> Read<T>,
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), CatalogError> {
        self.database.until(sql, params, |row| Ok(take(read(row)?)))
    }

    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> Read<T>,
    ) -> Result<Vec<T>, CatalogError> {
        self.database.rows(sql, params, read)
    }
}

pub(crate) fn dataset(row: &Row<'_>) -> Read<DatasetVersion> {
    Ok(DatasetVersion {
        name: get(row, "name")?,
        version: get(row, "version")?,
        snapshot: get(row, "snapshot")?,
        files: get(row, "files")?,
        bytes: get(row, "bytes")?,
        labels: get(row, "labels")?,
        added: get(row, "added")?,
        actor: get(row, "actor")?,
        metadata: get(row, "metadata")?,
        origin: get(row, "origin")?,
        retention: get(row, "retention")?,
        expired: get(row, "expired")?,
        expired_class: get(row, "expired_class")?,
        restored: get(row, "restored")?,
        archived: get(row, "archived")?,
    })
}

pub(crate) fn summary(row: &Row<'_>) -> Read<RunSummary> {
    Ok(RunSummary {
        run: get(row, "run")?,
        experiment: get(row, "experiment")?,
        actor: get(row, "actor")?,
        status: get(row, "status")?,
        planned: get(row, "planned")?,
        started: get(row, "started")?,
        ended: get(row, "ended")?,
        duration_ms: get(row, "duration_ms")?,
        plan: get(row, "plan")?,
        record: get(row, "record")?,
        outputs: get(row, "outputs")?,
        attestation: get(row, "attestation")?,
        code: get(row, "code")?,
        git_commit: get(row, "git_commit")?,
        params: get(row, "params")?,
        decision: get(row, "decision")?,
        labels: get(row, "labels")?,
        replays: get(row, "replays")?,
        policy: get(row, "policy")?,
        host: get(row, "host")?,
        environment: get(row, "environment")?,
        inventory: get(row, "inventory")?,
        exit_code: get(row, "exit_code")?,
        complete: get(row, "complete")?,
        name: get(row, "name")?,
        note: get(row, "note")?,
        unreadable: get(row, "unreadable")?,
        retention: get(row, "retention")?,
        expired: get(row, "expired")?,
        expired_class: get(row, "expired_class")?,
        restored: get(row, "restored")?,
        archived: get(row, "archived")?,
    })
}
