//! Questions about the environments of runs.

use aseptic_model::{Digest, ExperimentName, ProjectName, RunId};

use crate::column::{get, int, params};
use crate::query::summary;
use crate::{Catalog, CatalogError, RunSummary};

/// An environment, and which runs had it.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentUse {
    /// Digest of the inventory; nothing of runs that have none.
    pub inventory: Option<Digest>,
    /// Digest of the Python environment; nothing of runs without one.
    pub environment: Option<Digest>,
    /// How many runs.
    pub runs: u64,
    /// The first.
    pub first: RunId,
    /// The last.
    pub last: RunSummary,
}

impl Catalog {
    /// The last sealed run of an experiment that was planned before an entry; without one, the last of all. Without
    /// an experiment, of the runs that have none.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn sealed_before(
        &self,
        project: &ProjectName,
        experiment: Option<&ExperimentName>,
        entry: Option<u64>,
    ) -> Result<Option<RunSummary>, CatalogError> {
        // Two statements, so that each has the index it needs.
        let sql = if experiment.is_some() {
            "SELECT * FROM run WHERE project = ?1 AND experiment = ?2 AND entry < ?3 AND record IS NOT NULL
             ORDER BY entry DESC LIMIT 1"
        } else {
            "SELECT * FROM run WHERE project = ?1 AND ?2 IS NULL AND experiment IS NULL AND entry < ?3
                 AND record IS NOT NULL
             ORDER BY entry DESC LIMIT 1"
        };
        let experiment = experiment.map(ExperimentName::as_str);
        let before = entry.map_or(i64::MAX, int);
        Ok(self.rows(sql, params![project.as_str(), experiment, before], summary)?.pop())
    }

    /// Environments of the sealed runs of a project, the last used first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn environments(
        &self,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Vec<EnvironmentUse>, CatalogError> {
        let sql = "SELECT inventory, environment, COUNT(*) AS runs, MIN(entry) AS first, MAX(entry) AS last
             FROM run WHERE project = ?1 AND record IS NOT NULL
             GROUP BY inventory, environment ORDER BY last DESC LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.rows(sql, params![project.as_str(), limit], |row| {
            let environment: (Option<Digest>, Option<Digest>) =
                (get(row, "inventory")?, get(row, "environment")?);
            let runs: (u64, u64, u64) = (get(row, "runs")?, get(row, "first")?, get(row, "last")?);
            Ok((environment, runs))
        })?;
        let mut uses = Vec::with_capacity(rows.len());
        for ((inventory, environment), (runs, first, last)) in rows {
            let at = |entry: u64| {
                let sql = "SELECT * FROM run WHERE entry = ?1";
                Ok::<_, CatalogError>(self.rows(sql, params![int(entry)], summary)?.pop())
            };
            if let (Some(first), Some(last)) = (at(first)?, at(last)?) {
                uses.push(EnvironmentUse { inventory, environment, runs, first: first.run, last });
            }
        }
        Ok(uses)
    }
}
