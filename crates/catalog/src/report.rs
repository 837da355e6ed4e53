//! What a report on a project counts: sums over its runs, never the runs themselves.

use aseptic_model::{DatasetName, ExperimentName, ProjectName, Status, Timestamp};

use crate::column::{get, params};
use crate::{Catalog, CatalogError};

/// How many runs of an experiment ended in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunCount {
    /// The experiment; nothing for runs without one.
    pub experiment: Option<ExperimentName>,
    /// How they ended; nothing while they go on.
    pub status: Option<Status>,
    /// How many.
    pub runs: u64,
    /// Entry that planned the first of them.
    pub first: u64,
    /// Entry that planned the last of them.
    pub last: u64,
}

/// How many runs were let at a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetUse {
    /// The dataset.
    pub dataset: DatasetName,
    /// A version of it; nothing for all versions together, where a run that had two of them counts once.
    pub version: Option<u32>,
    /// Runs of the project that started with it.
    pub runs: u64,
}

impl Catalog {
    /// The runs of `project` that were planned not before `since`, counted by experiment and status.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn run_counts(
        &self,
        project: &ProjectName,
        since: Option<Timestamp>,
    ) -> Result<Vec<RunCount>, CatalogError> {
        let since = since.map_or(i64::MIN, Timestamp::as_unix_ms);
        let sql =
            "SELECT experiment, status, COUNT(*) AS runs, MIN(entry) AS first_entry, MAX(entry) AS last_entry
             FROM run WHERE project = ?1 AND planned >= ?2
             GROUP BY experiment, status";
        let mut counts = self.rows(sql, params![project.as_str(), since], |row| {
            Ok(RunCount {
                experiment: get(row, "experiment")?,
                status: get(row, "status")?,
                runs: get(row, "runs")?,
                first: get(row, "first_entry")?,
                last: get(row, "last_entry")?,
            })
        })?;
        // The two databases do not agree on where nothing comes in an order.
        counts.sort_by(|a, b| {
            (&a.experiment, a.status.map(Status::as_str)).cmp(&(&b.experiment, b.status.map(Status::as_str)))
        });
        Ok(counts)
    }

    /// How many runs of `project` started with each dataset, and with each version of it. Runs that were denied or
    /// wait for an approval saw nothing and do not count.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn dataset_uses(&self, project: &ProjectName) -> Result<Vec<DatasetUse>, CatalogError> {
        let together =
            "SELECT dataset, COUNT(DISTINCT entry) AS runs FROM run CROSS JOIN run_input USING (entry)
             WHERE project = ?1 AND started IS NOT NULL AND dataset IS NOT NULL GROUP BY dataset";
        let each = "SELECT dataset, version, COUNT(DISTINCT entry) AS runs
             FROM run CROSS JOIN run_input USING (entry)
             WHERE project = ?1 AND started IS NOT NULL AND dataset IS NOT NULL GROUP BY dataset, version";
        let mut uses = self.rows(together, [project.as_str()], |row| {
            Ok(DatasetUse { dataset: get(row, "dataset")?, version: None, runs: get(row, "runs")? })
        })?;
        uses.extend(self.rows(each, [project.as_str()], |row| {
            Ok(DatasetUse {
                dataset: get(row, "dataset")?,
                version: get(row, "version")?,
                runs: get(row, "runs")?,
            })
        })?);
        uses.sort_by(|a, b| (&a.dataset, a.version).cmp(&(&b.dataset, b.version)));
        Ok(uses)
    }
}
