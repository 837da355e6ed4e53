//! Finding the runs of a page.
//!
//! Where few runs fulfil one of the conditions, all of these are looked at; where no index has the order, all runs. Otherwise the runs are walked through in
//! their order, a part at a time, until the page is full or as many were looked at as one page may cost.

use std::fmt::Write as _;

use aseptic_model::Timestamp;

use super::compile::Statement;
use super::cursor::Place;
use super::drive;
use super::order::{Key, KeyKind};
use super::page::Question;
use super::{Mark, Search, Term};
use crate::column::{Parameter, Read, Row, get, int};
use crate::{Catalog, CatalogError};

/// How many runs are looked at for one page, divided by the number of conditions: some hundredths of a second.
const EXAMINED_MAX: usize = 30_000;

/// Runs that are looked at in one statement: few at first, since most pages are full soon.
const PART_MIN: usize = 64;
const PART_MAX: usize = 16_384;

/// A run that was found, and the value that it is sorted by.
pub(super) struct Match {
    pub(super) entry: i64,
    pub(super) key: Option<Parameter>,
}

/// How far an answer came.
pub(super) struct Progress {
    pub(super) found: Vec<Match>,
    pub(super) examined: usize,
    /// Where to go on; nothing at the end.
    pub(super) place: Option<Place>,
}

impl Catalog {
    pub(super) fn progress(
        &self,
        question: &Question,
        start: Option<Place>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Progress, CatalogError> {
        let statement = Statement::new(self, &question.project, now);
        let drive = match &question.search {
            Some(search) => drive::best(&statement, search)?,
            None => None,
        };
        match drive {
            Some(drive) => self.all(statement, question, Some(&drive), start, limit),
            None if question.sort.is_indexed() => self.walk(question, start, limit, now),
            None => self.all(statement, question, None, start, limit),
        }
    }

    /// Looks at every run that fulfils one condition, or at every one of the project.
    fn all(
        &self,
        mut statement: Statement<'_>,
        question: &Question,
        drive: Option<&drive::Drive>,
        start: Option<Place>,
        limit: usize,
    ) -> Result<Progress, CatalogError> {
        let sort = &question.sort;
        let key = sort.key(&mut statement);
        let project = statement.place_text(question.project.as_str());
        let candidates = match drive {
            Some(drive) => drive.sql(&mut statement)?,
            None => format!("SELECT entry FROM run WHERE project = {project}"),
        };
        let selected = key.as_ref().map_or_else(String::new, |key| format!(", {} AS k", key.sql));
        let mut sql = format!(
            "SELECT c.entry AS entry{selected} FROM ({candidates}) AS c CROSS JOIN run ON run.entry = c.entry"
        );
        if let Some((table, on)) = key.as_ref().and_then(|key| key.table.as_ref()) {
            let _ = write!(sql, " LEFT JOIN {table} AS s ON {on} AND s.entry = c.entry");
        }
        let _ = write!(sql, " WHERE run.project = {project}");
        if let Some(search) = &question.search {
            let _ = write!(sql, " AND {}", statement.condition(search, false)?);
        }
        let direction = sort.direction();
        let after = sort.after();
        if let Some(Place { key: value, entry }) = start {
            let entry = statement.place(Parameter::Int(entry));
            let _ = match (&key, value) {
                (None, _) => write!(sql, " AND c.entry {after} {entry}"),
                (Some(Key { sql: key, .. }), None) => {
                    write!(sql, " AND {key} IS NULL AND c.entry {after} {entry}")
                }
                (Some(Key { sql: key, .. }), Some(value)) => {
                    let value = statement.place(value);
                    write!(sql, " AND ({key} IS NULL OR ({key}, c.entry) {after} ({value}, {entry}))")
                }
            };
        }
        let _ = match &key {
            None => write!(sql, " ORDER BY c.entry {direction}"),
            Some(Key { sql: key, .. }) => {
                write!(sql, " ORDER BY ({key} IS NULL), {key} {direction}, c.entry {direction}")
            }
        };
        let _ = write!(sql, " LIMIT {}", limit.saturating_add(1));
        let kind = key.map(|key| key.kind);
        let found = self.rows(&sql, statement.parameters.as_slice(), |row| matched(row, kind))?;
        Ok(Progress { examined: found.len(), found, place: None })
    }

    /// Goes through the runs in their order: those with a value to sort by, then those without.
    fn walk(
        &self,
        question: &Question,
        start: Option<Place>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Progress, CatalogError> {
        let sort = &question.sort;
        let terms = question.search.as_ref().map_or(1, terms);
        // By the values of a field the rows lie all over the file.
        let scattered = if sort.by.is_some() { 4 } else { 1 };
        let budget = (EXAMINED_MAX / terms / scattered).max(limit).max(PART_MIN);
        let first_missing = Place { key: None, entry: if sort.ascending { -1 } else { i64::MAX } };
        let mut has_key = sort.by.is_some() && start.as_ref().is_none_or(|place| place.key.is_some());
        let mut place = start.or_else(|| (!has_key).then(|| first_missing.clone()));
        let mut progress = Progress { found: Vec::new(), examined: 0, place: None };
        let statement = Statement::new(self, &question.project, now);
        let source = match &question.search {
            Some(search) if sort.by.is_none() => drive::in_order(&statement, search)?,
            _ => None,
        };
        let mut part = PART_MIN.max(limit.saturating_add(1));
        loop {
            let part_now = part.min(budget.saturating_sub(progress.examined).max(1));
            let rows = self.part(question, source.as_ref(), has_key, place.as_ref(), part_now, now)?;
            let ended = rows.len() < part_now;
            progress.examined += rows.len();
            for (row, is_match) in rows {
                place = Some(Place { key: row.key.clone(), entry: row.entry });
                if is_match {
                    progress.found.push(row);
                }
                if progress.found.len() > limit {
                    return Ok(progress);
                }
            }
            match (ended, has_key) {
                (true, false) => return Ok(progress),
                (true, true) => {
                    has_key = false;
                    place = Some(first_missing.clone());
                }
                (false, _) => part = part.saturating_mul(8).min(PART_MAX.max(limit.saturating_add(1))),
            }
            if progress.examined >= budget {
                progress.place = place;
                return Ok(progress);
            }
        }
    }

    /// The next runs in their order, and whether each is wanted.
    fn part(
        &self,
        question: &Question,
        source: Option<&Term>,
        has_key: bool,
        place: Option<&Place>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(Match, bool)>, CatalogError> {
        let sort = &question.sort;
        let mut statement = Statement::new(self, &question.project, now);
        let project = statement.place_text(question.project.as_str());
        let key = sort.key(&mut statement);
        let (direction, after) = (sort.direction(), sort.after());
        let entry = match &key {
            Some(Key { table: Some(_), .. }) if has_key => "s.entry",
            _ if source.is_some() => "m.entry",
            _ => "run.entry",
        };
        let mut wanted = Vec::new();
        let mut sql = format!("SELECT {entry} AS entry");
        let mut order = format!("{entry} {direction}");
        match &key {
            Some(Key { sql: value, table, .. }) if has_key => {
                let _ = match table {
                    Some((table, on)) => write!(
                        sql,
                        ", {value} AS k FROM {table} AS s CROSS JOIN run ON run.entry = s.entry WHERE {on} AND"
                    ),
                    None => write!(sql, ", {value} AS k FROM run WHERE"),
                };
                let _ = write!(sql, " run.project = {project} AND {value} IS NOT NULL");
                order = format!("{value} {direction}, {order}");
                if let Some(Place { key: Some(key), entry: last }) = place {
                    let (key, last) = (statement.place(key.clone()), statement.place(Parameter::Int(*last)));
                    let _ = write!(sql, " AND ({value}, {entry}) {after} ({key}, {last})");
                }
            }
            other => {
                match source {
                    // Of all projects; those of others are not wanted.
                    Some(term) => {
                        let _ = write!(sql, " {}", drive::rows(&mut statement, term)?);
                        wanted.push(format!("run.project = {project}"));
                    }
                    None => {
                        let _ = write!(sql, " FROM run WHERE run.project = {project}");
                    }
                }
                if let Some(Place { entry: last, .. }) = place {
                    let _ = write!(sql, " AND {entry} {after} {}", statement.place(Parameter::Int(*last)));
                }
                match other {
                    Some(Key { sql: value, table: Some((table, on)), .. }) => wanted.push(format!(
                        "NOT EXISTS (SELECT 1 FROM {table} AS s WHERE {on} AND s.entry = c.entry AND {value} IS NOT NULL)"
                    )),
                    Some(Key { sql: value, .. }) => wanted.push(format!("{value} IS NULL")),
                    None => {}
                }
            }
        }
        let _ = write!(sql, " ORDER BY {order} LIMIT {limit}");
        if let Some(search) = &question.search {
            wanted.push(statement.condition(search, false)?);
        }
        let wanted = if wanted.is_empty() { "1 = 1".to_owned() } else { wanted.join(" AND ") };
        // The row is read only where a condition asks for it.
        let row = if wanted.contains("run.") { " CROSS JOIN run ON run.entry = c.entry" } else { "" };
        let (selected, order) = match has_key {
            true => (", c.k AS k", format!("c.k {direction}, c.entry {direction}")),
            false => ("", format!("c.entry {direction}")),
        };
        let sql = format!(
            "SELECT c.entry AS entry{selected}, CASE WHEN {wanted} THEN 1 ELSE 0 END AS wanted
             FROM ({sql}) AS c{row} ORDER BY {order}"
        );
        let kind = has_key.then(|| sort.key_kind());
        self.rows(&sql, statement.parameters.as_slice(), |row| {
            Ok((matched(row, kind)?, get::<i64>(row, "wanted")? == 1))
        })
    }
}

fn matched(row: &Row<'_>, kind: Option<KeyKind>) -> Read<Match> {
    let key = match kind {
        None => None,
        Some(KeyKind::Int) => get::<Option<i64>>(row, "k")?.map(Parameter::Int),
        Some(KeyKind::Real) => get::<Option<f64>>(row, "k")?.map(Parameter::Real),
        Some(KeyKind::Text) => get::<Option<String>>(row, "k")?.map(Parameter::Text),
    };
    Ok(Match { entry: int(get(row, "entry")?), key })
}

fn terms(search: &Search) -> usize {
    match search {
        Search::All(parts) | Search::Any(parts) => parts.iter().map(terms).sum(),
        Search::Not(inner) => terms(inner),
        // Files are looked up among those of each run.
        Search::Term(Term::Mark(Mark::Read, _)) => 3,
        Search::Term(_) => 1,
    }
}
