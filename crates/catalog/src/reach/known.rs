//! What is known from the other end, so that most of the way back need not be gone.

use std::rc::Rc;

use aseptic_model::{DatasetName, Digest, FilePath, ProjectName, RunId, Status};

use super::Tracer;
use super::left::Left;
use crate::CatalogError;
use crate::column::get;

/// Runs that quarantine may have reached for all of them to be looked up first: it takes as long as the questions of a
/// page may. Of more, each question goes back through everything that the run came from.
const REACHED_MAX: usize = 10_000;

impl Tracer<'_> {
    /// Whether a run may be reached. One that was asked about may never
    /// have started, which nothing knows that it has reached.
    pub(super) fn may_be(&mut self, entry: i64, asked: bool) -> Result<bool, CatalogError> {
        let reached = match self.reached.take() {
            Some(known) => known,
            None => self.catalog.reached_of(&self.active, REACHED_MAX)?,
        };
        let known = reached.as_ref().map(|reached| reached.contains(&entry));
        self.reached = Some(reached);
        match known {
            Some(false) => Ok(asked && self.is_denied(entry)?),
            _ => Ok(true),
        }
    }

    fn is_denied(&self, entry: i64) -> Result<bool, CatalogError> {
        let sql = "SELECT status FROM run WHERE entry = ?1";
        let found = self.catalog.rows(sql, [entry], |row| get::<Option<Status>>(row, "status"))?;
        Ok(found.into_iter().flatten().any(|status| !status.has_started()))
    }

    /// [`Catalog::left`](crate::Catalog::left), asked once.
    pub(super) fn left(
        &self,
        snapshot: &Digest,
        before: i64,
        version: (&ProjectName, &DatasetName, u32),
    ) -> Result<Rc<Left>, CatalogError> {
        if let Some(known) = self.left.borrow().get(&(*snapshot, before)) {
            return Ok(Rc::clone(known));
        }
        let found = Rc::new(self.catalog.left(snapshot, before, version)?);
        self.left.borrow_mut().insert((*snapshot, before), Rc::clone(&found));
        Ok(found)
    }

    pub(super) fn left_in_quarantine(
        &self,
        entry: i64,
        path: Option<&FilePath>,
    ) -> Result<Option<usize>, CatalogError> {
        if self.seeds.values().all(|seeds| seeds.artifacts.is_empty()) {
            return Ok(None);
        }
        let rows = self.catalog.rows(super::RUN, [entry], |row| {
            Ok((get::<ProjectName>(row, "project")?, get::<RunId>(row, "run")?))
        })?;
        let seeds = rows.first().and_then(|(project, run)| Some((self.seeds.get(project)?, run)));
        Ok(seeds.and_then(|(seeds, run)| seeds.artifact(run, path)))
    }
}
