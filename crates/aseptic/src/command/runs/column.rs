//! Columns of the list of runs.

use std::str::FromStr;

use aseptic_model::{Label, Tag, describe_ms, escape_bytes};
use aseptic_runner::{Cell as FieldCell, Column, Field, Found, SearchError};
use serde_json::json;

use crate::command::run::whole_ms;
use crate::table::{self, csv_field};

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    Field(Field),
    Params,
    Tags,
    Labels,
}

const fn of(column: Column) -> Shown {
    Shown::Field(Field::Column(column))
}

/// The columns of a list for which none were chosen.
pub(super) const DEFAULT: &[Shown] = &[
    of(Column::Run),
    of(Column::Name),
    of(Column::Experiment),
    of(Column::Status),
    of(Column::Planned),
    of(Column::Duration),
    Shown::Tags,
    Shown::Params,
];

impl Shown {
    pub(super) fn run() -> Self {
        of(Column::Run)
    }

    pub(super) fn field(&self) -> Option<&Field> {
        match self {
            Self::Field(field) => Some(field),
            Self::Params | Self::Tags | Self::Labels => None,
        }
    }

    pub(super) fn title(&self) -> String {
        match self {
            Self::Field(field) => field.to_string(),
            Self::Params => "params".to_owned(),
            Self::Tags => "tags".to_owned(),
            Self::Labels => "labels".to_owned(),
        }
    }

    /// Whether a list for which no columns were chosen leaves it out where it would be empty.
    fn is_rare(&self) -> bool {
        matches!(self, Self::Tags | Self::Field(Field::Column(Column::Name)))
    }
}

impl FromStr for Shown {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        Ok(match text {
            "params" => Self::Params,
            "tags" => Self::Tags,
            "labels" => Self::Labels,
            other => Self::Field(other.parse()?),
        })
    }
}

/// What stands in a column.
pub(super) enum Cell {
    Field(Option<FieldCell>),
    Text(String),
}

impl Cell {
    /// For people, on one line.
    fn shown(&self) -> String {
        let text = match self {
            Self::Field(None) => "-".to_owned(),
            Self::Field(Some(FieldCell::Number(number))) => plain(*number),
            Self::Field(Some(FieldCell::Time(time))) => time.to_string(),
            Self::Field(Some(FieldCell::Duration(ms))) => describe_ms(whole_ms(*ms)),
            Self::Field(Some(FieldCell::Text(text))) | Self::Text(text) => text.clone(),
        };
        // What a terminal would act on, it does not get.
        if text.chars().any(char::is_control) { escape_bytes(text.as_bytes()) } else { text }
    }

    /// For a spreadsheet: numbers as they are, texts in quotes where they need them.
    pub(super) fn csv(&self) -> String {
        match self {
            Self::Field(None) => String::new(),
            Self::Field(Some(FieldCell::Number(number) | FieldCell::Duration(number))) => plain(*number),
            Self::Field(Some(FieldCell::Time(time))) => time.to_string(),
            Self::Field(Some(FieldCell::Text(text))) | Self::Text(text) => csv_field(text),
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Field(None) => serde_json::Value::Null,
            Self::Field(Some(FieldCell::Number(number) | FieldCell::Duration(number))) => json!(number),
            Self::Field(Some(FieldCell::Time(time))) => json!(time),
            Self::Field(Some(FieldCell::Text(text))) | Self::Text(text) => json!(text),
        }
    }
}

/// A number with all of its digits, and no hundreds of zeros.
fn plain(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e16).contains(&size) { number.to_string() } else { format!("{number:e}") }
}

/// The cells of a run; those of fields come in the order in which they were asked for.
pub(super) fn cells(columns: &[Shown], found: &Found) -> Vec<Cell> {
    let mut fields = found.cells.iter();
    let words = |words: Vec<&str>| Cell::Text(words.join(" "));
    let cell = |column: &Shown| match column {
        Shown::Field(_) => Cell::Field(fields.next().cloned().flatten()),
        Shown::Tags => words(found.tags.iter().map(Tag::as_str).collect()),
        Shown::Labels => words(found.run.labels.iter().map(Label::as_str).collect()),
        Shown::Params => {
            let params = found.run.params.iter().map(|(key, value)| format!("{key}={value}"));
            Cell::Text(params.collect::<Vec<_>>().join(" "))
        }
    };
    columns.iter().map(cell).collect()
}

/// The list for people.
pub(super) fn table(columns: &[Shown], runs: &[Found]) -> String {
    let title = |column: &Shown| match column {
        Shown::Field(Field::Column(Column::Duration)) => "took".to_owned(),
        other => other.title(),
    };
    let mut rows = vec![columns.iter().map(title).collect::<Vec<_>>()];
    let mut is_used: Vec<_> = columns.iter().map(|column| columns != DEFAULT || !column.is_rare()).collect();
    for found in runs {
        let cells = cells(columns, found);
        for (used, cell) in is_used.iter_mut().zip(&cells) {
            *used |=
                !matches!(cell, Cell::Field(None)) && !matches!(cell, Cell::Text(text) if text.is_empty());
        }
        rows.push(cells.iter().map(Cell::shown).collect());
    }
    for row in &mut rows {
        let mut used = is_used.iter();
        row.retain(|_| used.next().is_none_or(|used| *used));
    }
    table::columns(&rows).join("\n")
}
