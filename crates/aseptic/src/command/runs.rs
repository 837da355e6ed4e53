use std::num::NonZeroUsize;
use std::process::ExitCode;

use aseptic_model::{ExperimentName, Status, describe_ms};
use aseptic_runner::{RunFilter, RunSummary};
use serde_json::json;

use super::run::whole_ms;
use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;

/// List runs, the newest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic runs\n  aseptic runs --experiment train --status failed --limit 5"
)]
pub(crate) struct Args {
    /// Only runs of this experiment
    #[arg(long, value_name = "NAME")]
    experiment: Option<ExperimentName>,
    /// Only runs that ended so
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<Status>,
    /// At most this many
    #[arg(long, default_value = "20", value_name = "N")]
    limit: NonZeroUsize,
}

fn status(text: &str) -> Result<Status, String> {
    let found = Status::ALL.into_iter().find(|status| status.as_str() == text);
    found.ok_or_else(|| format!("expected one of {}", Status::ALL.map(Status::as_str).join(", ")))
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let home = context.home()?;
    let filter = RunFilter { experiment: args.experiment.clone(), status: args.status };
    let runs = aseptic_runner::runs(&home, &project, args.limit.get(), &filter)?;
    if context.json() {
        let runs: Vec<_> = runs.iter().map(row).collect();
        context.document(&json!({ "schema": "aseptic.runs/1", "runs": runs }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if runs.is_empty() && (args.experiment.is_some() || args.status.is_some()) {
        context.say(format_args!("No such runs in project `{project}`. `aseptic runs` lists all."));
        return Ok(ExitCode::SUCCESS);
    }
    if runs.is_empty() {
        context.say(format_args!("No runs in project `{project}`. Start one with `aseptic run -- COMMAND`."));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            let params: Vec<_> = run.params.iter().map(|(key, value)| format!("{key}={value}")).collect();
            [
                run.run.to_string(),
                run.experiment.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                state(run).to_owned(),
                run.planned.to_string(),
                run.duration_ms.map_or_else(|| "-".to_owned(), |ms| describe_ms(whole_ms(ms))),
                params.join(" "),
            ]
        })
        .collect();
    context.out(table(["run", "experiment", "status", "planned", "took", "params"], &rows));
    Ok(ExitCode::SUCCESS)
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
        "archived": run.archived,
    })
}
