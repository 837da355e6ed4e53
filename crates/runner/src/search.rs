//! Searching the runs of a project.

use aseptic_catalog::{Cursor, Field, Found, Page, Question};
use aseptic_model::{Diagnose, Diagnosis};

use crate::home::{Home, HomeError, now};
use crate::observer::{Event, Observer};

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchFailed {
    /// The state.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] aseptic_catalog::SearchFailed),
}

impl Diagnose for SearchFailed {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Home(error) => error.diagnosis(),
            Self::Catalog(error) => error.diagnosis(),
        }
    }
}

/// Runs of a page that nobody sees: it is only counted how many of them may be looked at.
const COUNTED_AT_ONCE: usize = 1_000;

/// Up to `limit` runs that `question` asks for and that the user may look at, after `cursor` or from the start, with the values of `columns`.
///
/// Unlike a page of the catalog it is only shorter at the end of the answer; the observer is told how many runs were
/// looked at, and may end the search early: then `next` says where it can go on.
///
/// # Errors
/// [`SearchFailed`].
pub fn search(
    home: &Home,
    question: &Question,
    columns: &[Field],
    cursor: Option<&Cursor>,
    limit: usize,
    observer: &mut dyn Observer,
) -> Result<Page, SearchFailed> {
    let sight = home.sight(&question.project)?;
    let mut runs: Vec<Found> = Vec::new();
    let mut next = cursor.cloned();
    let mut examined = 0;
    loop {
        let wanted = limit.saturating_sub(runs.len());
        let page = home.catalog.search(question, columns, next.as_ref(), wanted, now())?;
        runs.extend(page.runs.into_iter().filter(|found| sight.has_run(&found.run)));
        examined += page.examined;
        next = page.next;
        if next.is_none() || runs.len() >= limit || observer.is_interrupted() {
            return Ok(Page { runs, next, examined });
        }
        observer.event(Event::Searched(examined));
    }
}

/// How many runs `question` asks for that the user may look at.
///
/// # Errors
/// [`SearchFailed`].
pub fn count(home: &Home, question: &Question) -> Result<u64, SearchFailed> {
    let sight = home.sight(&question.project)?;
    if sight.is_whole() {
        return Ok(home.catalog.count(question, now()).map_err(aseptic_catalog::SearchFailed::from)?);
    }
    let (mut count, mut next) = (0, None);
    loop {
        let page = home.catalog.search(question, &[], next.as_ref(), COUNTED_AT_ONCE, now())?;
        count += page.runs.iter().filter(|found| sight.has_run(&found.run)).count() as u64;
        next = page.next;
        if next.is_none() {
            return Ok(count);
        }
    }
}
