//! Which condition finds the candidates: the one that few runs fulfil, if there is one that an index knows; else one
//! whose index has its runs in the order of the ledger.

use super::compile::{Comparison, Statement};
use super::field::{Column, Field, Statistic};
use super::{Mark, Operator, Search, Term, Value};
use crate::CatalogError;
use crate::column::get;

/// Most candidates that are all looked at for a page: it takes some hundredths of a second.
const CANDIDATES_MAX: i64 = 10_000;

/// Most runs of a term whose index is walked through instead of all runs: counting them takes milliseconds.
const ORDERED_MAX: i64 = 100_000;

/// Terms whose candidates are counted; the others are only checked.
const COUNTED_MAX: usize = 16;

/// A condition that every run which is wanted fulfils, and that an index answers.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    search: Search,
    count: i64,
}

/// The best of such conditions in `search`; nothing when each is fulfilled by more than [`CANDIDATES_MAX`] runs.
pub(super) fn best(statement: &Statement<'_>, search: &Search) -> Result<Option<Drive>, CatalogError> {
    let mut left = COUNTED_MAX;
    find(statement, search, &mut left)
}

fn find(statement: &Statement<'_>, search: &Search, left: &mut usize) -> Result<Option<Drive>, CatalogError> {
    match search {
        Search::Not(_) => Ok(None),
        Search::All(parts) => {
            let mut best: Option<Drive> = None;
            for part in parts {
                if let Some(found) = find(statement, part, left)?
                    && best.as_ref().is_none_or(|best| found.count < best.count)
                {
                    best = Some(found);
                }
            }
            Ok(best)
        }
        Search::Any(parts) => {
            let mut found = Vec::new();
            for part in parts {
                let Some(part) = find(statement, part, left)? else { return Ok(None) };
                found.push(part);
            }
            let count = found.iter().map(|drive| drive.count).sum();
            let search = Search::Any(found.into_iter().map(|drive| drive.search).collect());
            Ok((count < CANDIDATES_MAX).then_some(Drive { search, count }))
        }
        Search::Term(Term::OneOf(field, values)) => find(statement, &one_by_one(field, values), left),
        Search::Term(term) if is_indexed(term) && *left > 0 => {
            *left -= 1;
            let count = count(statement, term, CANDIDATES_MAX)?;
            Ok((count < CANDIDATES_MAX).then(|| Drive { search: search.clone(), count }))
        }
        Search::Term(_) => Ok(None),
    }
}

/// How many rows an index has for a term, up to `most`.
fn count(statement: &Statement<'_>, term: &Term, most: i64) -> Result<i64, CatalogError> {
    let mut counting = Statement::new(statement.catalog, statement.project, statement.now);
    let rows = rows(&mut counting, term)?;
    let sql = format!("SELECT COUNT(*) AS count FROM (SELECT 1 {rows} LIMIT {most}) AS found");
    let count = statement.catalog.rows(&sql, counting.parameters.as_slice(), |row| get(row, "count"))?;
    Ok(count.first().copied().unwrap_or(0))
}

fn one_by_one(field: &Field, values: &[Value]) -> Search {
    let one = |value: &Value| Search::Term(Term::Compare(field.clone(), Operator::Equal, value.clone()));
    Search::Any(values.iter().map(one).collect())
}

/// A term that every run which is wanted fulfils, whose index has its runs in the order of the ledger, and that not
/// all runs fulfil.
pub(super) fn in_order(statement: &Statement<'_>, search: &Search) -> Result<Option<Term>, CatalogError> {
    let terms: &[Search] = match search {
        Search::All(parts) => parts,
        other => std::slice::from_ref(other),
    };
    let mut best: Option<(i64, Term)> = None;
    for part in terms.iter().take(COUNTED_MAX) {
        let Search::Term(term) = part else { continue };
        let is_in_order = match term {
            Term::Mark(Mark::Tag | Mark::Label, _) => true,
            Term::Has(Field::Metric(_, Statistic::Last) | Field::Param(_)) => true,
            Term::Compare(Field::Column(Column::Experiment), Operator::Equal, _) => true,
            Term::Compare(Field::Column(Column::Status), Operator::Equal, Value::Text(text)) => {
                text != "running"
            }
            _ => false,
        };
        if !is_in_order {
            continue;
        }
        let count = count(statement, term, ORDERED_MAX)?;
        if count < best.as_ref().map_or(ORDERED_MAX, |(best, _)| *best) {
            best = Some((count, term.clone()));
        }
    }
    Ok(best.map(|(_, term)| term))
}

impl Drive {
    /// A statement that gives each candidate once, as `entry`.
    pub(super) fn sql(&self, statement: &mut Statement<'_>) -> Result<String, CatalogError> {
        candidates(statement, &self.search)
    }
}

fn candidates(statement: &mut Statement<'_>, search: &Search) -> Result<String, CatalogError> {
    match search {
        Search::Any(parts) => {
            let parts: Result<Vec<_>, _> = parts.iter().map(|part| candidates(statement, part)).collect();
            Ok(parts?.join(" UNION "))
        }
        Search::Term(term) => Ok(format!("SELECT DISTINCT m.entry AS entry {}", rows(statement, term)?)),
        // No such search drives.
        Search::All(_) | Search::Not(_) => Ok("SELECT entry FROM run WHERE 1 = 0".to_owned()),
    }
}

pub(super) fn rows(statement: &mut Statement<'_>, term: &Term) -> Result<String, CatalogError> {
    match term {
        Term::Mark(mark, text) => statement.marked(*mark, text),
        Term::Has(field) => statement.rows_of(field, None),
        Term::Compare(field, operator, value) => {
            let comparison = Comparison { operator: *operator, values: std::slice::from_ref(value) };
            statement.rows_of(field, Some(&comparison))
        }
        Term::OneOf(field, values) => {
            statement.rows_of(field, Some(&Comparison { operator: Operator::Equal, values }))
        }
    }
}

/// Whether an index gives the runs of a term without looking at others.
fn is_indexed(term: &Term) -> bool {
    match term {
        Term::Mark(mark, _) => !matches!(mark, Mark::Read),
        Term::Has(field) => matches!(
            field,
            Field::Metric(_, Statistic::Last)
                | Field::Param(_)
                | Field::Package(_)
                | Field::Column(Column::Name | Column::Replays)
        ),
        Term::Compare(field, operator, _) => match field {
            Field::Metric(_, statistic) => *statistic == Statistic::Last && *operator != Operator::Unequal,
            Field::Param(_) | Field::Data(_) => !matches!(operator, Operator::Unequal | Operator::Contains),
            Field::Package(_) => true,
            Field::Column(Column::Planned | Column::Duration) => *operator != Operator::Unequal,
            Field::Column(column) => *operator == Operator::Equal && has_index(*column),
        },
        // Looked at one by one.
        Term::OneOf(..) => false,
    }
}

fn has_index(column: Column) -> bool {
    match column {
        Column::Status
        | Column::Experiment
        | Column::Name
        | Column::Host
        | Column::Run
        | Column::Replays
        | Column::Code
        | Column::Plan
        | Column::Environment
        | Column::Policy
        | Column::Outputs => true,
        Column::Note
        | Column::Actor
        | Column::Commit
        | Column::Planned
        | Column::Started
        | Column::Ended
        | Column::Duration
        | Column::ExitCode
        | Column::Lineage => false,
    }
}
