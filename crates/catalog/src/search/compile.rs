//! A search as an SQL condition on a candidate, `c.entry`, and its row, `run`.
//!
//! `not` is carried down to the terms, so that each can say what it means where there is no value: a comparison
//! without a value is false, and its negation true.

use std::cmp::Ordering;

use aseptic_model::{InputRef, ProjectName, Timestamp};

use super::field::{Column, Field, Kind};
use super::{Mark, Operator, Search, Term, Value, version};
use crate::column::{Parameter, get, params};
use crate::{Catalog, CatalogError};

/// An SQL text under construction, with its parameters.
#[derive(Debug)]
pub(super) struct Statement<'c> {
    pub(super) catalog: &'c Catalog,
    pub(super) project: &'c ProjectName,
    /// When the search began: what `-7d` counts from.
    pub(super) now: Timestamp,
    pub(super) parameters: Vec<Parameter>,
}

/// A comparison of one expression.
pub(super) struct Comparison<'s> {
    pub(super) operator: Operator,
    pub(super) values: &'s [Value],
}

impl<'c> Statement<'c> {
    pub(super) fn new(catalog: &'c Catalog, project: &'c ProjectName, now: Timestamp) -> Self {
        Self { catalog, project, now, parameters: Vec::new() }
    }

    /// The placeholder of a value.
    pub(super) fn place(&mut self, value: Parameter) -> String {
        self.parameters.push(value);
        format!("?{}", self.parameters.len())
    }

    pub(super) fn place_text(&mut self, text: &str) -> String {
        self.place(Parameter::Text(text.to_owned()))
    }

    /// The condition of `search`, or of its negation. Never unknown where it is negated.
    pub(super) fn condition(&mut self, search: &Search, negated: bool) -> Result<String, CatalogError> {
        let (parts, between) = match search {
            Search::Not(inner) => return self.condition(inner, !negated),
            Search::Term(term) => return self.term(term, negated),
            Search::All(parts) => (parts, if negated { " OR " } else { " AND " }),
            Search::Any(parts) => (parts, if negated { " AND " } else { " OR " }),
        };
        let parts: Result<Vec<_>, _> = parts.iter().map(|part| self.condition(part, negated)).collect();
        Ok(format!("({})", parts?.join(between)))
    }

    fn term(&mut self, term: &Term, negated: bool) -> Result<String, CatalogError> {
        let (field, comparison) = match term {
            Term::Mark(mark, text) => {
                let rows = self.marked(*mark, text)?;
                return Ok(exists(&format!("{rows} AND m.entry = c.entry"), negated));
            }
            Term::Has(field) => (field, None),
            Term::Compare(field, operator, value) => {
                (field, Some(Comparison { operator: *operator, values: std::slice::from_ref(value) }))
            }
            Term::OneOf(field, values) => (field, Some(Comparison { operator: Operator::Equal, values })),
        };
        match field {
            Field::Column(column) => Ok(self.column(*column, comparison.as_ref(), negated)),
            _ => {
                let rows = self.rows_of(field, comparison.as_ref())?;
                // The row of one run is looked up; the planner would go through the index of the values for each run.
                let rows = rows.replace("m.last ", "+m.last ").replace("m.number ", "+m.number ");
                Ok(exists(&format!("{rows} AND m.entry = c.entry"), negated))
            }
        }
    }

    /// `FROM … WHERE …` of the rows that give a run this mark; `m.entry` is the run.
    pub(super) fn marked(&mut self, mark: Mark, text: &str) -> Result<String, CatalogError> {
        Ok(match mark {
            Mark::Tag => format!("FROM run_tag AS m WHERE m.tag = {}", self.place_text(text)),
            Mark::Label => format!("FROM run_label AS m WHERE m.label = {}", self.place_text(text)),
            Mark::Dataset => {
                let dataset = self.dataset(text, Operator::Equal);
                format!("FROM run_input AS m WHERE {dataset}")
            }
            Mark::Read => {
                let path = self.place(Parameter::Blob(text.as_bytes().to_vec()));
                format!(
                    "FROM run_input AS m CROSS JOIN read_file AS f ON f.read_set = m.read_set
                     WHERE f.path = {path}"
                )
            }
            Mark::Package => {
                let (name, wanted) = match text.split_once('@') {
                    Some((name, wanted)) => (name, Some(wanted)),
                    None => (text, None),
                };
                let is = |known: &str| wanted.is_none_or(|wanted| version::starts_with(known, wanted));
                self.package(name, wanted.is_some().then_some(&is))?
            }
        })
    }

    /// `FROM … WHERE …` of the rows that have a value of `field` that compares so; `m.entry` is the run.
    pub(super) fn rows_of(
        &mut self,
        field: &Field,
        comparison: Option<&Comparison<'_>>,
    ) -> Result<String, CatalogError> {
        match field {
            Field::Metric(name, statistic) => {
                let column = format!("m.{}", statistic.column());
                let name = self.place_text(name);
                let value = match comparison {
                    None => format!("{column} IS NOT NULL"),
                    Some(comparison) => self.compared(&column, Kind::Number, comparison),
                };
                Ok(format!("FROM run_metric AS m WHERE m.name = {name} AND {value}"))
            }
            Field::Param(name) => {
                let name = self.place_text(name);
                let value = comparison.map(|comparison| self.scalar(comparison));
                let value = value.map_or_else(String::new, |value| format!(" AND {value}"));
                Ok(format!("FROM run_param AS m WHERE m.key = {name}{value}"))
            }
            Field::Data(name) => {
                let name = self.place_text(name);
                let Some(Comparison { operator, values }) = comparison else {
                    return Ok(format!("FROM run_input AS m WHERE m.name = {name}"));
                };
                let each: Vec<_> = texts(values).map(|text| self.dataset(text, *operator)).collect();
                Ok(format!("FROM run_input AS m WHERE m.name = {name} AND ({})", each.join(" OR ")))
            }
            Field::Package(name) => match comparison {
                None => self.package(name, None),
                Some(Comparison { operator, values }) => {
                    let is = |known: &str| texts(values).any(|wanted| compares(known, *operator, wanted));
                    self.package(name, Some(&is))
                }
            },
            Field::Column(column) => {
                let value = self.column(*column, comparison, false);
                let project = self.place_text(self.project.as_str());
                // The planner would take the index of the project, which is equal for all.
                let index = column.index().map(|index| format!(" INDEXED BY {index}")).unwrap_or_default();
                let value = value.replace("run.", "m.");
                Ok(format!("FROM run AS m{index} WHERE m.project = {project} AND {value}"))
            }
        }
    }

    /// The environments with a package of a version that `is` wanted. Versions have an order that SQL does not know,
    /// so the few that a package has are compared here.
    fn package(&mut self, name: &str, is: Option<&dyn Fn(&str) -> bool>) -> Result<String, CatalogError> {
        let rows = "FROM environment_package AS p CROSS JOIN run AS m ON m.environment = p.environment WHERE";
        let Some(is) = is else {
            return Ok(format!("{rows} p.name = {}", self.place_text(name)));
        };
        let sql = "SELECT DISTINCT version FROM environment_package WHERE name = ?1 ORDER BY version";
        let known: Vec<String> = self.catalog.rows(sql, params![name], |row| get(row, "version"))?;
        let wanted: Vec<_> = known
            .iter()
            .filter(|known| is(known))
            .take(VERSIONS_MAX)
            .map(|known| self.place_text(known))
            .collect();
        if wanted.is_empty() {
            return Ok(format!("{rows} 1 = 0"));
        }
        let name = self.place_text(name);
        Ok(format!("{rows} p.name = {name} AND p.version IN ({})", wanted.join(", ")))
    }

    fn dataset(&mut self, text: &str, operator: Operator) -> String {
        let Ok(InputRef::Dataset { name, version }) = text.parse() else { return "1 = 0".to_owned() };
        let same = format!("m.dataset = {}", self.place_text(name.as_str()));
        let same = match version {
            None => same,
            Some(version) => {
                format!("{same} AND m.version = {}", self.place(Parameter::Int(i64::from(version))))
            }
        };
        match operator {
            Operator::Unequal => format!("(m.dataset IS NOT NULL AND NOT ({same}))"),
            _ => format!("({same})"),
        }
    }

    /// A parameter: numbers with numbers, texts with texts.
    fn scalar(&mut self, comparison: &Comparison<'_>) -> String {
        let Comparison { operator, values } = comparison;
        let mut each = Vec::new();
        for value in *values {
            let one = Comparison { operator: *operator, values: std::slice::from_ref(value) };
            let (same_kind, other_kind) = match value {
                Value::Number(_) => (self.compared("m.number", Kind::Number, &one), "m.number IS NULL"),
                _ => {
                    let text = self.compared("m.text", Kind::Text, &one);
                    let only = if *operator == Operator::Contains { "1 = 1" } else { "m.number IS NULL" };
                    (format!("({only} AND {text})"), "m.number IS NOT NULL")
                }
            };
            // A text is unequal to every number.
            each.push(match operator {
                Operator::Unequal => format!("({same_kind} OR {other_kind})"),
                _ => same_kind,
            });
        }
        format!("({})", each.join(" OR "))
    }

    /// A comparison of a column of `run`.
    fn column(&mut self, column: Column, comparison: Option<&Comparison<'_>>, negated: bool) -> String {
        let sql = column.sql();
        let Some(comparison) = comparison else {
            return match (column, negated) {
                (Column::Status, false) => "1 = 1".to_owned(), // A run without one is `running`.
                (Column::Status, true) => "1 = 0".to_owned(),
                (_, false) => format!("{sql} IS NOT NULL"),
                (_, true) => format!("{sql} IS NULL"),
            };
        };
        if column == Column::Status {
            return self.status(comparison, negated);
        }
        let condition = match column.kind() {
            Kind::Word(_) => self.lineage(comparison),
            Kind::Prefix if column.is_digest() => self.each(sql, comparison, Self::digest_start),
            Kind::Prefix => self.each(sql, comparison, Self::text_start),
            kind => self.compared(sql, kind, comparison),
        };
        if negated { format!("({sql} IS NULL OR NOT ({condition}))") } else { condition }
    }

    fn status(&mut self, comparison: &Comparison<'_>, negated: bool) -> String {
        let unequal = (comparison.operator == Operator::Unequal) != negated;
        let mut each = Vec::new();
        for text in texts(comparison.values) {
            each.push(match (text, unequal) {
                ("running", false) => "run.status IS NULL".to_owned(),
                ("running", true) => "run.status IS NOT NULL".to_owned(),
                (text, false) => format!("run.status = {}", self.place_text(text)),
                (text, true) => format!("(run.status IS NULL OR run.status <> {})", self.place_text(text)),
            });
        }
        format!("({})", each.join(if unequal { " AND " } else { " OR " }))
    }

    fn lineage(&mut self, comparison: &Comparison<'_>) -> String {
        let mut each = Vec::new();
        for text in texts(comparison.values) {
            let complete = (text == "complete") == (comparison.operator != Operator::Unequal);
            each.push(format!("run.complete = {}", self.place(Parameter::Int(i64::from(complete)))));
        }
        format!("({})", each.join(" OR "))
    }

    /// One of several starts, or none of them.
    fn each(
        &mut self,
        sql: &str,
        comparison: &Comparison<'_>,
        start: fn(&mut Self, &str, &str) -> String,
    ) -> String {
        let each: Vec<_> = texts(comparison.values).map(|text| start(self, sql, text)).collect();
        let any = format!("({})", each.join(" OR "));
        match comparison.operator {
            Operator::Unequal => format!("({sql} IS NOT NULL AND NOT {any})"),
            _ => any,
        }
    }

    fn digest_start(&mut self, sql: &str, digits: &str) -> String {
        let bytes = |digits: String| data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap_or_default();
        let low = bytes(format!("{digits:0<64}"));
        let high = bytes(format!("{digits:f<64}"));
        let (low, high) = (self.place(Parameter::Blob(low)), self.place(Parameter::Blob(high)));
        format!("({sql} >= {low} AND {sql} <= {high})")
    }

    fn text_start(&mut self, sql: &str, start: &str) -> String {
        // After every character of an id and of a commit.
        let (low, high) = (self.place_text(start), self.place_text(&format!("{start}~")));
        format!("({sql} >= {low} AND {sql} < {high})")
    }

    /// `sql OPERATOR value`, for one of the values.
    pub(super) fn compared(&mut self, sql: &str, kind: Kind, comparison: &Comparison<'_>) -> String {
        let Comparison { operator, values } = comparison;
        let each: Vec<_> = values.iter().map(|value| self.one(sql, kind, *operator, value)).collect();
        match each.as_slice() {
            [one] => one.clone(),
            _ => format!("({})", each.join(" OR ")),
        }
    }

    fn one(&mut self, sql: &str, kind: Kind, operator: Operator, value: &Value) -> String {
        let symbol = match operator {
            Operator::Unequal => "<>",
            other => other.as_str(),
        };
        match value {
            Value::Text(text) => {
                let place = self.place_text(text);
                match operator {
                    // What is unequal without the text contains it; it is the same in every database and every
                    // language, as LIKE is not.
                    Operator::Contains => format!("REPLACE({sql}, {place}, '') <> {sql}"),
                    _ => format!("{sql} {symbol} {place}"),
                }
            }
            // Whole numbers are compared as what the user writes.
            Value::Number(number) if sql.ends_with("exit_code") || sql.ends_with("last_step") => {
                format!("CAST({sql} AS DOUBLE PRECISION) {symbol} {}", self.place(Parameter::Real(*number)))
            }
            Value::Number(number) => format!("{sql} {symbol} {}", self.place(Parameter::Real(*number))),
            Value::Duration(milliseconds) => {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
                let milliseconds = *milliseconds as f64;
                format!("{sql} {symbol} {}", self.place(Parameter::Real(milliseconds)))
            }
            Value::Day(_) | Value::Instant(_) | Value::Ago(_) => {
                debug_assert_eq!(kind, Kind::Instant);
                self.instant(sql, operator, value)
            }
        }
    }

    /// A day is all of its instants: before it, in it, after it.
    fn instant(&mut self, sql: &str, operator: Operator, value: &Value) -> String {
        let (first, last) = match value {
            Value::Day(day) => (day.as_unix_ms(), day.as_unix_ms().saturating_add(86_400_000 - 1)),
            Value::Instant(instant) => (instant.as_unix_ms(), instant.as_unix_ms()),
            Value::Ago(ago) => {
                let instant = self.now.as_unix_ms().saturating_sub_unsigned(*ago);
                (instant, instant)
            }
            Value::Number(_) | Value::Text(_) | Value::Duration(_) => return "1 = 0".to_owned(),
        };
        let mut at = |instant| self.place(Parameter::Int(instant));
        match operator {
            Operator::Less => format!("{sql} < {}", at(first)),
            Operator::AtLeast => format!("{sql} >= {}", at(first)),
            Operator::AtMost => format!("{sql} <= {}", at(last)),
            Operator::Greater => format!("{sql} > {}", at(last)),
            Operator::Unequal => format!("({sql} < {} OR {sql} > {})", at(first), at(last)),
            Operator::Equal | Operator::Contains => {
                format!("({sql} >= {} AND {sql} <= {})", at(first), at(last))
            }
        }
    }
}

/// Versions of one package that a condition may name: far more than a package has in one project.
const VERSIONS_MAX: usize = 2_000;

fn exists(rows: &str, negated: bool) -> String {
    format!("{}EXISTS (SELECT 1 {rows})", if negated { "NOT " } else { "" })
}

/// The texts among `values`.
fn texts(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().filter_map(|value| match value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

/// Whether a version of a package compares so.
fn compares(known: &str, operator: Operator, wanted: &str) -> bool {
    let order = version::compare(known, wanted);
    match operator {
        Operator::Equal => known == wanted,
        Operator::Unequal => known != wanted,
        Operator::Less => order == Ordering::Less,
        Operator::AtMost => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::AtLeast => order != Ordering::Less,
        Operator::Contains => known.contains(wanted),
    }
}
