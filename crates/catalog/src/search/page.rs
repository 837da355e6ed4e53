//! Pages of a search.

use std::collections::BTreeSet;

use aseptic_model::{ProjectName, Tag, Timestamp};

use super::cell::Cell;
use super::compile::Statement;
use super::cursor::{Cursor, CursorError, Place, fingerprint};
use super::drive;
use super::field::Field;
use super::order::{KeyKind, Sort};
use super::{Search, SearchError};
use crate::column::{Parameter, get};
use crate::query::RunSummary;
use crate::{Catalog, CatalogError};

/// What is asked for: runs of a project, in an order.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of which project.
    pub project: ProjectName,
    /// Which of them; without, all.
    pub search: Option<Search>,
    /// In which order.
    pub sort: Sort,
}

/// Some runs of an answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// In their order; fewer than wanted at the end, or where as many were looked at as one page may cost.
    pub runs: Vec<Found>,
    /// Where the next page begins; nothing after the last one.
    pub next: Option<Cursor>,
    /// How many runs were looked at.
    pub examined: u64,
}

/// A run of an answer.
#[derive(Clone, Debug)]
pub struct Found {
    /// The run.
    pub run: RunSummary,
    /// Its tags.
    pub tags: BTreeSet<Tag>,
    /// The value of each field that was asked for.
    pub cells: Vec<Option<Cell>>,
}

impl Question {
    /// What tells the cursors of two questions apart.
    fn fingerprint(&self) -> [u8; 10] {
        let search = self.search.as_ref().map(ToString::to_string).unwrap_or_default();
        fingerprint(&format!("{}\n{}\n{search}", self.project, self.sort))
    }
}

impl Catalog {
    /// The page after `cursor`, or the first: up to `limit` runs with the values of `columns`. `now` is what times
    /// such as `-7d` count from; a cursor has its own.
    ///
    /// The work is bounded: a page may be short or empty and have a `next` all the same.
    ///
    /// # Errors
    /// [`SearchFailed`].
    pub fn search(
        &self,
        question: &Question,
        columns: &[Field],
        cursor: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, SearchFailed> {
        let fingerprint = question.fingerprint();
        if cursor.is_some_and(|cursor| cursor.question != fingerprint || !fits(cursor, &question.sort)) {
            return Err(CursorError::Other.into());
        }
        let now = cursor.map_or(now, |cursor| cursor.now);
        let start = cursor.map(|cursor| cursor.place.clone());
        let mut progress = self.progress(question, start, limit, now)?;
        let cut = progress.found.len() > limit;
        progress.found.truncate(limit);
        let place = match progress.found.last() {
            Some(last) if cut => Some(Place { key: last.key.clone(), entry: last.entry }),
            _ => progress.place,
        };
        let runs: Result<Vec<_>, _> =
            progress.found.iter().map(|found| self.found(found.entry, columns)).collect();
        Ok(Page {
            runs: runs?.into_iter().flatten().collect(),
            next: place.map(|place| Cursor { question: fingerprint, now, place }),
            examined: progress.examined as u64,
        })
    }

    /// How many runs the whole answer has. Looks at each run that it must: a second for a million.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn count(&self, question: &Question, now: Timestamp) -> Result<u64, CatalogError> {
        let mut statement = Statement::new(self, &question.project, now);
        let project = statement.place_text(question.project.as_str());
        let Some(search) = &question.search else {
            let sql = format!("SELECT COUNT(*) AS count FROM run WHERE project = {project}");
            return Ok(self
                .rows(&sql, statement.parameters.as_slice(), |row| get(row, "count"))?
                .pop()
                .unwrap_or(0));
        };
        let sql = match drive::best(&statement, search)? {
            Some(drive) => {
                let candidates = drive.sql(&mut statement)?;
                format!(
                    "SELECT COUNT(*) AS count FROM ({candidates}) AS c CROSS JOIN run ON run.entry = c.entry"
                )
            }
            None => "SELECT COUNT(*) AS count FROM run AS c CROSS JOIN run ON run.entry = c.entry".to_owned(),
        };
        let condition = statement.condition(search, false)?;
        let sql = format!("{sql} WHERE run.project = {project} AND {condition}");
        Ok(self.rows(&sql, statement.parameters.as_slice(), |row| get(row, "count"))?.pop().unwrap_or(0))
    }
}

/// Whether the place of a cursor can be one in this order.
fn fits(cursor: &Cursor, sort: &Sort) -> bool {
    match (&cursor.place.key, &sort.by) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(key), Some(_)) => match sort.key_kind() {
            KeyKind::Int => matches!(key, Parameter::Int(_)),
            KeyKind::Real => matches!(key, Parameter::Real(_)),
            KeyKind::Text => matches!(key, Parameter::Text(_)),
        },
    }
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchFailed {
    /// The text is no search.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The page cannot be gone on from.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The catalog could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl aseptic_model::Diagnose for SearchFailed {
    fn diagnosis(&self) -> aseptic_model::Diagnosis {
        match self {
            Self::Search(error) => error.diagnosis(),
            Self::Cursor(error) => error.diagnosis(),
            Self::Catalog(error) => error.diagnosis(),
        }
    }
}
