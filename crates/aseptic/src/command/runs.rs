mod column;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use aseptic_model::{Class, ExperimentName, ProjectName, RunId, Status};
use aseptic_runner::quarantine::Marks;
use aseptic_runner::{Cursor, Field, Found, Home, Operator, Question, RunSummary, Search, Sort, Term, Value};
use serde_json::json;

use self::column::{DEFAULT, Shown};
use crate::context::{Context, Shown as Output};
use crate::failure::Failure;
use crate::table;

/// List and search runs, the newest first
///
/// A search is made of conditions with `and`, `or`, `not` and parentheses: `metric.NAME`, `param.NAME`, `data.INPUT`,
/// `package.NAME`, `status`, `experiment`, `name`, `planned`, `duration` and others compare with =, !=, <, <=, >, >=, ~
/// (contains) and `in (…)`; `tag:X`, `label:X`, `dataset:NAME@V`, `read:PATH` and `package:NAME@V` are conditions by
/// themselves. docs/search.md has every field.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only runs for which this holds
    #[arg(long = "where", value_name = "SEARCH", allow_hyphen_values = true)]
    search: Option<String>,
    /// Only runs of this experiment
    #[arg(long, value_name = "NAME")]
    experiment: Option<ExperimentName>,
    /// Only runs that ended so
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<Status>,
    /// Order: a field, with `:asc` for the smallest and oldest first; runs without a value come last
    #[arg(long, value_name = "FIELD[:asc|desc]", default_value = "planned")]
    sort: String,
    /// Columns to show, with commas: fields, `params`, `tags` or `labels`
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    columns: Vec<String>,
    /// At most this many
    #[arg(long, default_value = "20", value_name = "N")]
    limit: NonZeroUsize,
    /// Go on where another page ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Say only how many there are
    #[arg(long, conflicts_with_all = ["cursor", "columns", "csv"])]
    count: bool,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

const EXAMPLES: &str = "\
Examples:
  aseptic runs
  aseptic runs --experiment train --status failed --limit 5
  aseptic runs --where 'metric.accuracy > 0.9 and data.digits and status = succeeded and label:pii'
  aseptic runs --where 'planned > -7d and not tag:baseline' --sort metric.loss:asc
  aseptic runs --columns experiment,param.lr,metric.loss --csv > runs.csv
  aseptic runs --where 'package:numpy@1.26' --count";

fn status(text: &str) -> Result<Status, String> {
    let found = Status::ALL.into_iter().find(|status| status.as_str() == text);
    found.ok_or_else(|| format!("expected one of {}", Status::ALL.map(Status::as_str).join(", ")))
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let sort: Sort = args.sort.parse()?;
    let question = Question { project: context.project()?, search: search(args)?, sort };
    let columns = columns(args)?;
    let cursor: Option<Cursor> = args.cursor.as_deref().map(str::parse).transpose()?;
    let home = context.home()?;
    if args.count {
        let count = aseptic_runner::count_runs(&home, &question)?;
        match context.json() {
            true => context.document(&json!({ "schema": "aseptic.runs/1", "count": count }))?,
            false => context.out(count),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let fields: Vec<_> = columns.iter().filter_map(Shown::field).cloned().collect();
    let mut observer = context.observer(Output::Nothing);
    let limit = args.limit.get();
    let page = aseptic_runner::search_runs(&home, &question, &fields, cursor.as_ref(), limit, &mut observer)?;
    drop(observer); // The line of progress is gone before anything is printed.
    let marked = marked(&home, &question.project, &page.runs)?;
    let next = page.next.as_ref().map(ToString::to_string);
    if context.json() {
        let document = |found: &Found| {
            let mut row = document(found, &columns);
            if let (Some(by), Some(members)) = (marked.get(&found.run.run), row.as_object_mut()) {
                members.insert("quarantined".to_owned(), json!(by));
            }
            row
        };
        let runs: Vec<_> = page.runs.iter().map(document).collect();
        context.document(&json!({ "schema": "aseptic.runs/1", "runs": runs, "next": next }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.csv {
        context.out_exactly(csv(&columns, &page.runs));
    } else if page.runs.is_empty() {
        let project = &question.project;
        context.say(match question.search {
            Some(_) => format!("No such runs in project `{project}`. `aseptic runs` lists all."),
            None => format!("No runs in project `{project}`. Start one with `aseptic run -- COMMAND`."),
        });
    } else {
        context.out(column::table(&columns, &page.runs));
    }
    if let Some(next) = next {
        context.say(format_args!("more: {}", following(std::env::args().collect(), &next)));
    }
    for (run, by) in &marked {
        context.say(format_args!("note: run {run} is in quarantine: {by}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The conditions of the options, together.
fn search(args: &Args) -> Result<Option<Search>, Failure> {
    let equal = |field: &str, text: &str| -> Result<Search, Failure> {
        let field: Field = field.parse()?;
        Ok(Search::Term(Term::Compare(field, Operator::Equal, Value::Text(text.to_owned()))))
    };
    let mut parts = Vec::new();
    if let Some(experiment) = &args.experiment {
        parts.push(equal("experiment", experiment.as_str())?);
    }
    if let Some(status) = args.status {
        parts.push(equal("status", status.as_str())?);
    }
    if let Some(text) = &args.search {
        parts.push(text.parse()?);
    }
    Ok(match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(Search::All(parts)),
    })
}

/// Most columns of a table.
const COLUMNS_MAX: usize = 64;

fn columns(args: &Args) -> Result<Vec<Shown>, Failure> {
    if args.columns.len() > COLUMNS_MAX {
        let message = format!("more than {COLUMNS_MAX} columns");
        return Err(Failure::new(Class::User, "runs/columns", message, "ask for fewer"));
    }
    if args.columns.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    let mut columns = Vec::with_capacity(args.columns.len() + 1);
    for text in &args.columns {
        columns.push(text.parse()?);
    }
    let run = Shown::run();
    if !columns.contains(&run) {
        columns.insert(0, run);
    }
    Ok(columns)
}

/// The command that was typed, for the next page.
fn following(words: Vec<String>, next: &str) -> String {
    let mut kept = Vec::new();
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--cursor" => drop(words.next()),
            word if word.starts_with("--cursor=") => {}
            _ => kept.push(word),
        }
    }
    kept.extend(["--cursor".to_owned(), next.to_owned()]);
    format!("aseptic {}", table::command(&kept))
}

fn csv(columns: &[Shown], runs: &[Found]) -> String {
    let line = |cells: Vec<String>| cells.join(",") + "\r\n";
    let mut text = line(columns.iter().map(|column| table::csv_field(&column.title())).collect());
    for found in runs {
        let cells = column::cells(columns, found);
        let _ = write!(text, "{}", line(cells.iter().map(column::Cell::csv).collect()));
    }
    text
}

/// What in quarantine reaches these runs.
fn marked(home: &Home, project: &ProjectName, runs: &[Found]) -> Result<BTreeMap<RunId, String>, Failure> {
    let mut marks = Marks::new(home)?;
    let mut marked = BTreeMap::new();
    for Found { run, .. } in runs {
        let found = marks.run(project, &run.run)?;
        marked.extend(found.map(|found| (run.run.clone(), found.describe())));
    }
    Ok(marked)
}

/// The status, or what a run without one is doing.
pub(crate) fn state(run: &RunSummary) -> &'static str {
    run.status.map_or("running", Status::as_str)
}

pub(crate) fn row(run: &RunSummary) -> serde_json::Value {
    json!({
        "run": run.run, "experiment": run.experiment, "status": state(run), "planned": run.planned,
        "ended": run.ended, "duration_ms": run.duration_ms, "params": run.params, "plan": run.plan,
        "record": run.record, "actor": run.actor, "decision": run.decision,
        "retention": run.retention, "expired": run.expired, "expired_class": run.expired_class,
        "archived": run.archived, "name": run.name, "note": run.note, "host": run.host,
        "replays": run.replays, "labels": run.labels, "exit_code": run.exit_code,
    })
}

fn document(found: &Found, columns: &[Shown]) -> serde_json::Value {
    let mut row = row(&found.run);
    row["tags"] = json!(found.tags);
    let chosen = columns.iter().zip(column::cells(columns, found));
    let chosen: serde_json::Map<_, _> = chosen
        .filter(|(column, _)| column.field().is_some())
        .map(|(column, cell)| (column.title(), cell.json()))
        .collect();
    if columns != DEFAULT {
        row["columns"] = chosen.into();
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_is_the_same_with_another_cursor() {
        let words =
            ["/bin/aseptic", "runs", "--where", "a b", "--cursor", "old", "--limit=2"].map(str::to_owned);
        assert_eq!(following(words.to_vec(), "new"), "aseptic runs --where 'a b' --limit=2 --cursor new");
        let words = ["aseptic", "runs", "--cursor=old"].map(str::to_owned);
        assert_eq!(following(words.to_vec(), "new"), "aseptic runs --cursor new");
    }
}
