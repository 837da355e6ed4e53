use std::process::ExitCode;

use aseptic_model::{MetaValue, RunRef};
use aseptic_runner::{Ending, Insist, StopError, StoppedRun};
use clap::ValueHint;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Ask running runs to end, and wait until they have
///
/// Each job gets TERM, and KILL after the grace period of its plan. The run is sealed as aborted with what it left.
/// Who stopped it and why is an entry of the ledger, before anything is done.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic stop latest --reason \"wrong labels\"\n  aseptic stop --kill 7jmg7qmxnc0m"
)]
pub(crate) struct Args {
    /// Runs: an id, the start of one, or `latest`
    #[arg(value_name = "RUN", required = true, value_hint = ValueHint::Other)]
    runs: Vec<RunRef>,
    /// Why; it can be erased later
    #[arg(long, value_name = "TEXT")]
    reason: Option<MetaValue>,
    /// Kill the job where the supervisor does not answer, or the job takes longer than half a minute
    #[arg(long)]
    kill: bool,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let mut home = context.home()?;
    let insist = if args.kill { Insist::Kill } else { Insist::No };
    let reason = args.reason.as_ref().map(MetaValue::as_str);
    let stopped = aseptic_runner::stop(&mut home, &project, &args.runs, reason, insist)?;
    if context.json() {
        let runs: Vec<_> = stopped.iter().map(row).collect();
        context.document(&json!({ "schema": "aseptic.stop/1", "runs": runs }))?;
    } else {
        for one in &stopped {
            context.out(describe(one));
        }
    }
    match stopped.into_iter().find(|one| one.ending == Ending::Unanswered) {
        Some(one) => Err(StopError::Silent { run: one.run }.into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

pub(crate) fn row(one: &StoppedRun) -> serde_json::Value {
    let (ending, status) = match one.ending {
        Ending::Sealed(status) => ("sealed", Some(status)),
        Ending::Over => ("over", None),
        Ending::Unanswered => ("unanswered", None),
    };
    json!({ "project": one.project, "run": one.run, "ending": ending, "status": status })
}

pub(crate) fn describe(one: &StoppedRun) -> String {
    let run = &one.run;
    match one.ending {
        Ending::Sealed(status) => format!("stopped run {run}, which is {status}"),
        Ending::Over => format!("stopped run {run}; what it left is being stored"),
        Ending::Unanswered => format!("asked run {run}, whose supervisor does not answer"),
    }
}
