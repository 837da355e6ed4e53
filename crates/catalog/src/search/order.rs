//! In which order runs are listed.

use std::fmt;
use std::str::FromStr;

use super::compile::Statement;
use super::error::SearchError;
use super::field::{Column, Field, Kind, Statistic};

/// An order of runs: by the value of a field, those without one last. Without a field, by the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what; nothing for the order in which the ledger planned them.
    pub(crate) by: Option<Field>,
    pub(crate) ascending: bool,
}

impl Default for Sort {
    /// The newest first.
    fn default() -> Self {
        Self { by: None, ascending: false }
    }
}

impl FromStr for Sort {
    type Err = SearchError;

    /// `FIELD`, `FIELD:asc` or `FIELD:desc`; without a direction the largest and the newest come first.
    fn from_str(text: &str) -> Result<Self, SearchError> {
        let (field, ascending) = match (text.strip_suffix(":asc"), text.strip_suffix(":desc")) {
            (Some(field), _) => (field, true),
            (None, Some(field)) => (field, false),
            (None, None) => (text, false),
        };
        let by: Field = field.parse()?;
        match by {
            Field::Column(Column::Planned) => return Ok(Self { by: None, ascending }),
            Field::Metric(..) | Field::Param(_) => {}
            Field::Column(
                Column::Status
                | Column::Experiment
                | Column::Name
                | Column::Actor
                | Column::Host
                | Column::Started
                | Column::Ended
                | Column::Duration
                | Column::ExitCode,
            ) => {}
            Field::Column(_) | Field::Data(_) | Field::Package(_) => {
                let help = "sort by metric.NAME, param.NAME, planned, started, ended, duration, status, experiment, \
                            name, actor, host or exit_code";
                let what = "runs have no order by this field".to_owned();
                return Err(SearchError { text: text.to_owned(), at: 0, what, help: help.to_owned() });
            }
        }
        Ok(Self { by: Some(by), ascending })
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some(field) => field.fmt(f)?,
            None => f.write_str("planned")?,
        }
        f.write_str(if self.ascending { ":asc" } else { ":desc" })
    }
}

/// Type of the values that runs are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Int,
    Real,
    Text,
}

/// Where the values to sort by are.
pub(super) struct Key {
    pub(super) kind: KeyKind,
    /// The value as an expression: a column of `run` or of `s`.
    pub(super) sql: String,
    /// `JOIN`ed to `run`, the condition that makes `s` the row of the field.
    pub(super) table: Option<(&'static str, String)>,
}

impl Sort {
    pub(super) fn key_kind(&self) -> KeyKind {
        match &self.by {
            None | Some(Field::Metric(_, Statistic::Step)) => KeyKind::Int,
            Some(Field::Metric(..) | Field::Param(_)) => KeyKind::Real,
            Some(field) => match field.kind() {
                Kind::Duration => KeyKind::Real,
                Kind::Number | Kind::Instant => KeyKind::Int,
                _ => KeyKind::Text,
            },
        }
    }

    /// `None` for the order of the ledger.
    pub(super) fn key(&self, statement: &mut Statement<'_>) -> Option<Key> {
        let kind = self.key_kind();
        Some(match self.by.as_ref()? {
            Field::Metric(name, statistic) => {
                let name = statement.place_text(name);
                let sql = format!("s.{}", statistic.column());
                Key { kind, sql, table: Some(("run_metric", format!("s.name = {name}"))) }
            }
            Field::Param(name) => {
                let name = statement.place_text(name);
                Key {
                    kind,
                    sql: "s.number".to_owned(),
                    table: Some(("run_param", format!("s.key = {name}"))),
                }
            }
            Field::Column(column) => Key { kind, sql: column.sql().to_owned(), table: None },
            Field::Data(_) | Field::Package(_) => return None,
        })
    }

    /// Whether an index has the runs in this order.
    pub(super) fn is_indexed(&self) -> bool {
        match &self.by {
            None | Some(Field::Metric(_, Statistic::Last) | Field::Param(_)) => true,
            Some(Field::Column(column)) => {
                matches!(column, Column::Experiment | Column::Status | Column::Name | Column::Duration)
            }
            Some(_) => false,
        }
    }

    pub(super) fn direction(&self) -> &'static str {
        if self.ascending { "ASC" } else { "DESC" }
    }

    /// How what comes after a place compares with it.
    pub(super) fn after(&self) -> &'static str {
        if self.ascending { ">" } else { "<" }
    }
}
