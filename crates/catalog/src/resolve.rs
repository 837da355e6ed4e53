//! Which run a person means.

use aseptic_model::{ExperimentName, ProjectName, RunId, RunRef, Status};

use crate::column::{get, int, params};
use crate::{Catalog, CatalogError, ResolveError, RunFilter};

/// Shortest start of a run id that may stand for it: a project of a thousand runs has one chance in a
/// thousand that such a start is not unique.
pub const PREFIX_CHARACTERS_MIN: usize = 4;

/// Ids that an error lists.
const CANDIDATES_MAX: usize = 5;

impl Catalog {
    /// The run that `reference` names. In this order: a whole id; `latest`, the run planned last; an
    /// experiment that has runs, for the last of them that succeeded and is no replay; the name that a person gave to one run; the start of
    /// one id.
    ///
    /// Names come before the start of an id, so that no new id changes what they mean.
    ///
    /// # Errors
    /// [`ResolveError`], which says what there is.
    pub fn resolve_run(&self, project: &ProjectName, reference: &RunRef) -> Result<RunId, ResolveError> {
        if let Some(id) = reference.as_id()
            && self.run(project, &id)?.is_some()
        {
            return Ok(id);
        }
        if reference.is_latest() {
            let newest = self.runs(project, 1, &RunFilter::default())?.pop();
            return newest.map(|run| run.run).ok_or(ResolveError::NoRuns);
        }
        if let Some(experiment) = reference.as_experiment() {
            if let Some(run) = self.newest_result(project, &experiment)? {
                return Ok(run);
            }
            let of_it = RunFilter { experiment: Some(experiment.clone()), status: None };
            if !self.runs(project, 1, &of_it)?.is_empty() {
                return Err(ResolveError::NoneSucceeded(experiment));
            }
        }
        match self.resolve_name(project, reference)? {
            Some(run) => Ok(run),
            None => self.resolve_prefix(project, reference),
        }
    }

    /// A replay repeats what may be long past, so it never stands for its experiment.
    fn newest_result(
        &self,
        project: &ProjectName,
        experiment: &ExperimentName,
    ) -> Result<Option<RunId>, CatalogError> {
        let sql =
            "SELECT run FROM run WHERE project = ?1 AND experiment = ?2 AND status = ?3 AND replays IS NULL
             ORDER BY entry DESC LIMIT 1";
        let key = params![project.as_str(), experiment.as_str(), Status::Succeeded.as_str()];
        Ok(self.rows(sql, key, |row| get(row, "run"))?.pop())
    }

    fn resolve_name(&self, project: &ProjectName, reference: &RunRef) -> Result<Option<RunId>, ResolveError> {
        let sql = "SELECT run FROM run WHERE project = ?1 AND name = ?2 ORDER BY entry DESC LIMIT ?3";
        let limit = int(CANDIDATES_MAX as u64 + 1);
        let mut candidates: Vec<RunId> =
            self.rows(sql, params![project.as_str(), reference.as_str(), limit], |row| get(row, "run"))?;
        let more = candidates.len() > CANDIDATES_MAX;
        candidates.truncate(CANDIDATES_MAX);
        match candidates.as_slice() {
            [] => Ok(None),
            [run] => Ok(Some(run.clone())),
            _ => Err(ResolveError::SharedName { reference: reference.clone(), candidates, more }),
        }
    }

    fn resolve_prefix(&self, project: &ProjectName, reference: &RunRef) -> Result<RunId, ResolveError> {
        let prefix = reference.as_str();
        let mut candidates: Vec<RunId> = Vec::new();
        if prefix.len() >= PREFIX_CHARACTERS_MIN {
            let sql =
                "SELECT run FROM run WHERE project = ?1 AND run >= ?2 AND run < ?3 ORDER BY run LIMIT ?4";
            let end = format!("{prefix}~"); // After every character of an id.
            let limit = int(CANDIDATES_MAX as u64 + 1);
            candidates =
                self.rows(sql, params![project.as_str(), prefix, end, limit], |row| get(row, "run"))?;
        }
        let more = candidates.len() > CANDIDATES_MAX;
        candidates.truncate(CANDIDATES_MAX);
        match candidates.as_slice() {
            [run] => Ok(run.clone()),
            [] if self.runs(project, 1, &RunFilter::default())?.is_empty() => Err(ResolveError::NoRuns),
            [] => {
                let experiments = self.experiments(project)?;
                Err(ResolveError::NotFound { reference: reference.clone(), experiments })
            }
            _ => Err(ResolveError::Ambiguous { reference: reference.clone(), candidates, more }),
        }
    }
}
