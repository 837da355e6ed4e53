//! What a page shows of a run.

use aseptic_model::{Status, Timestamp};

use super::field::{Column, Field};
use super::page::Found;
use crate::column::{get, params};
use crate::query::{RunSummary, summary};
use crate::{Catalog, CatalogError};

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// An instant.
    Time(Timestamp),
    /// Milliseconds.
    Duration(f64),
}

impl Catalog {
    pub(super) fn found(&self, entry: i64, columns: &[Field]) -> Result<Option<Found>, CatalogError> {
        let Some(run) = self.rows("SELECT * FROM run WHERE entry = ?1", params![entry], summary)?.pop()
        else {
            return Ok(None);
        };
        let sql = "SELECT tag FROM run_tag WHERE entry = ?1";
        let tags = self.rows(sql, params![entry], |row| get(row, "tag"))?.into_iter().collect();
        let cells: Result<_, _> = columns.iter().map(|field| self.cell(entry, &run, field)).collect();
        Ok(Some(Found { cells: cells?, tags, run }))
    }

    fn cell(&self, entry: i64, run: &RunSummary, field: &Field) -> Result<Option<Cell>, CatalogError> {
        Ok(match field {
            Field::Metric(name, statistic) => {
                let sql = format!(
                    "SELECT CAST({} AS DOUBLE PRECISION) AS value FROM run_metric WHERE name = ?1 AND entry = ?2",
                    statistic.column()
                );
                let value = self.rows(&sql, params![name, entry], |row| get::<Option<f64>>(row, "value"))?;
                value.into_iter().flatten().next().map(Cell::Number)
            }
            Field::Param(name) => {
                let sql = "SELECT number, text FROM run_param WHERE key = ?1 AND entry = ?2";
                let value = self.rows(sql, params![name, entry], |row| {
                    let number = get::<Option<f64>>(row, "number")?.map(Cell::Number);
                    Ok(number.or(get::<Option<String>>(row, "text")?.map(Cell::Text)))
                })?;
                value.into_iter().flatten().next()
            }
            Field::Data(name) => {
                let sql = "SELECT dataset, version FROM run_input WHERE entry = ?1 AND name = ?2";
                let value = self.rows(sql, params![entry, name], |row| {
                    Ok(get::<Option<String>>(row, "dataset")?.zip(get::<Option<u32>>(row, "version")?))
                })?;
                let value = value.into_iter().flatten().next();
                value.map(|(dataset, version)| Cell::Text(format!("{dataset}@{version}")))
            }
            Field::Package(name) => {
                let Some(environment) = &run.environment else { return Ok(None) };
                let sql = "SELECT version FROM environment_package
                           WHERE environment = ?1 AND name = ?2 ORDER BY version";
                let versions = self
                    .rows(sql, params![environment.as_bytes(), name], |row| get::<String>(row, "version"))?;
                (!versions.is_empty()).then(|| Cell::Text(versions.join(" ")))
            }
            Field::Column(column) => of_run(run, *column),
        })
    }
}

fn of_run(run: &RunSummary, column: Column) -> Option<Cell> {
    let text = |text: Option<String>| text.map(Cell::Text);
    match column {
        Column::Status => text(Some(run.status.map_or("running", Status::as_str).to_owned())),
        Column::Experiment => text(run.experiment.as_ref().map(ToString::to_string)),
        Column::Name => text(run.name.as_ref().map(ToString::to_string)),
        Column::Note => text(run.note.clone()),
        Column::Actor => text(Some(run.actor.clone())),
        Column::Host => text(run.host.as_ref().map(ToString::to_string)),
        Column::Run => text(Some(run.run.to_string())),
        Column::Replays => text(run.replays.as_ref().map(ToString::to_string)),
        Column::Code => text(run.code.map(|digest| digest.to_string())),
        Column::Commit => text(run.git_commit.clone()),
        Column::Plan => text(Some(run.plan.to_string())),
        Column::Environment => text(run.environment.map(|digest| digest.to_string())),
        Column::Policy => text(run.policy.map(|digest| digest.to_string())),
        Column::Outputs => text(run.outputs.map(|digest| digest.to_string())),
        Column::Planned => Some(Cell::Time(run.planned)),
        Column::Started => run.started.map(Cell::Time),
        Column::Ended => run.ended.map(Cell::Time),
        Column::Duration => run.duration_ms.map(Cell::Duration),
        Column::ExitCode => run.exit_code.map(|code| Cell::Number(f64::from(code))),
        Column::Lineage => {
            text(run.complete.map(|complete| if complete { "complete" } else { "incomplete" }.to_owned()))
        }
    }
}
