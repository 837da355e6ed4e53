//! What is in quarantine, what was given away, and incidents: the rows as they are.

use std::collections::BTreeSet;

use aseptic_model::{Digest, Event, IncidentId, Object, ProjectName, RunId, Timestamp};
use serde::Serialize;

use crate::column::{Read, Row, get, params};
use crate::{Catalog, CatalogError};

/// One object that was put in quarantine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quarantine {
    /// Index of the entry that put it there.
    pub entry: u64,
    /// The project.
    pub project: ProjectName,
    /// What it is.
    pub object: Object,
    /// Why; nothing when that was erased.
    pub reason: Option<String>,
    /// Since when.
    pub added: Timestamp,
    /// Who did it.
    pub actor: String,
    /// How many runs it had reached then.
    pub runs: u64,
    /// Digest of the list of what it had reached then.
    pub reached: Option<Digest>,
    /// Why that list cannot be read, so that old runs that it reached may not be known.
    pub unreadable: Option<String>,
    /// When it was lifted.
    pub lifted: Option<Timestamp>,
    /// Who lifted it.
    pub lifted_by: Option<String>,
    /// Why it was lifted; nothing when that was erased.
    pub lifted_because: Option<String>,
}

/// One incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    /// Its id.
    pub incident: IncidentId,
    /// Index of the entry that opened it.
    pub entry: u64,
    /// What it is about.
    pub objects: BTreeSet<Object>,
    /// What happened; nothing when that was erased.
    pub reason: Option<String>,
    /// Since when.
    pub opened: Timestamp,
    /// Who opened it.
    pub actor: String,
    /// When it was closed.
    pub closed: Option<Timestamp>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// How it ended; nothing when that was erased.
    pub closed_because: Option<String>,
}

/// Something that left: outputs, documents, a version for another project, an archive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GivenAway {
    /// Index of the entry that says so.
    pub entry: u64,
    /// The project.
    pub project: ProjectName,
    /// When.
    pub time: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What.
    pub event: Event,
}

impl Catalog {
    /// Everything that is or was in quarantine in `project`, the first added first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn quarantines(&self, project: &ProjectName) -> Result<Vec<Quarantine>, CatalogError> {
        self.rows(
            "SELECT * FROM quarantine WHERE project = ?1 ORDER BY entry",
            [project.as_str()],
            quarantine,
        )
    }

    /// Everything that is in quarantine, in every project, the first added first.
    pub(crate) fn active(&self) -> Result<Vec<Quarantine>, CatalogError> {
        self.rows("SELECT * FROM quarantine WHERE lifted IS NULL ORDER BY entry", [], quarantine)
    }

    /// Every incident of `project`, the first opened first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn incidents(&self, project: &ProjectName) -> Result<Vec<Incident>, CatalogError> {
        let sql = "SELECT * FROM incident WHERE project = ?1 ORDER BY entry";
        self.rows(sql, [project.as_str()], |row| {
            Ok(Incident {
                incident: get(row, "incident")?,
                entry: get(row, "entry")?,
                objects: get(row, "objects")?,
                reason: get(row, "reason")?,
                opened: get(row, "opened")?,
                actor: get(row, "actor")?,
                closed: get(row, "closed")?,
                closed_by: get(row, "closed_by")?,
                closed_because: get(row, "closed_because")?,
            })
        })
    }

    /// What of a run was given away, the first first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn given_away_of_run(
        &self,
        project: &ProjectName,
        run: &RunId,
    ) -> Result<Vec<GivenAway>, CatalogError> {
        let sql = "SELECT * FROM given_away WHERE project = ?1 AND run = ?2 ORDER BY entry";
        self.rows(sql, [project.as_str(), run.as_str()], given_away)
    }

    /// What of a dataset version was given away, the first first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn given_away_of_dataset(
        &self,
        project: &ProjectName,
        name: &aseptic_model::DatasetName,
        version: u32,
    ) -> Result<Vec<GivenAway>, CatalogError> {
        let sql = "SELECT * FROM given_away
             WHERE project = ?1 AND dataset = ?2 AND version = ?3 ORDER BY entry";
        self.rows(sql, params![project.as_str(), name.as_str(), version], given_away)
    }

    /// The files that a run left, by path: each with its size, BLAKE3 and SHA-256.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn outputs(
        &self,
        project: &ProjectName,
        run: &RunId,
    ) -> Result<Vec<(aseptic_model::FilePath, u64, Digest, String)>, CatalogError> {
        let sql = "SELECT path, size, blake3, sha256 FROM run CROSS JOIN run_output USING (entry)
             WHERE project = ?1 AND run = ?2 ORDER BY path";
        self.rows(sql, [project.as_str(), run.as_str()], |row| {
            Ok((get(row, "path")?, get(row, "size")?, get(row, "blake3")?, get(row, "sha256")?))
        })
    }

    /// How many files a run left.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn output_count(&self, project: &ProjectName, run: &RunId) -> Result<u64, CatalogError> {
        let sql = "SELECT COUNT(*) AS files FROM run CROSS JOIN run_output USING (entry)
             WHERE project = ?1 AND run = ?2";
        let count = self.rows(sql, [project.as_str(), run.as_str()], |row| get(row, "files"))?.pop();
        Ok(count.unwrap_or(0))
    }

    /// The runs of every project that were allowed and are not over, the first planned first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn unfinished(&self) -> Result<Vec<(ProjectName, RunId)>, CatalogError> {
        let sql = "SELECT project, run FROM run WHERE status IS NULL ORDER BY entry";
        self.rows(sql, [], |row| Ok((get(row, "project")?, get(row, "run")?)))
    }

    /// Every tree that a run of `project` had as code or input, or that a version of a dataset is, each once.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn trees(&self, project: &ProjectName) -> Result<BTreeSet<Digest>, CatalogError> {
        let sql = "SELECT snapshot FROM dataset_version WHERE project = ?1
             UNION SELECT code FROM run WHERE project = ?1 AND code IS NOT NULL
             UNION SELECT snapshot FROM run CROSS JOIN run_input USING (entry) WHERE project = ?1";
        Ok(self.rows(sql, [project.as_str()], |row| get(row, "snapshot"))?.into_iter().collect())
    }
}

fn quarantine(row: &Row<'_>) -> Read<Quarantine> {
    Ok(Quarantine {
        entry: get(row, "entry")?,
        project: get(row, "project")?,
        object: get(row, "object")?,
        reason: get(row, "reason")?,
        added: get(row, "added")?,
        actor: get(row, "actor")?,
        runs: get(row, "runs")?,
        reached: get(row, "reached")?,
        unreadable: get(row, "unreadable")?,
        lifted: get(row, "lifted")?,
        lifted_by: get(row, "lifted_by")?,
        lifted_because: get(row, "lifted_because")?,
    })
}

fn given_away(row: &Row<'_>) -> Read<GivenAway> {
    Ok(GivenAway {
        entry: get(row, "entry")?,
        project: get(row, "project")?,
        time: get(row, "time")?,
        actor: get(row, "actor")?,
        event: get(row, "event")?,
    })
}
