use std::process::ExitCode;

use aseptic_model::ExperimentName;
use aseptic_runner::policy::{Suggestion, Suggestions};
use serde_json::{Value, json};

use super::count;
use crate::context::Context;
use crate::failure::Failure;
use crate::table;

/// Show what experiments may have and their runs never used, with the narrower line for the spec
///
/// Destinations never connected to, wildcards of which few names were reached, inputs never opened, limits far above
/// what was used, and what needed not to go unenforced. An experiment with fewer runs that succeeded is left out. Which
/// GPUs a job used is not known.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic policy suggest\n  aseptic policy suggest train --runs 30\n  \
                        aseptic policy suggest --json")]
pub(super) struct Args {
    /// Experiment of the spec [default: all]
    experiment: Option<ExperimentName>,
    /// How many of the last runs that succeeded must agree
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, home) = (context.project()?, context.home()?);
    let (spec, only) = (context.spec(), args.experiment.as_ref());
    let found = aseptic_runner::policy::suggest(&home, &project, spec.as_deref(), only, args.runs.into())?;
    if context.json() {
        context.document(&document(&found))?;
    } else {
        print(context, &found);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(context: &Context, found: &Suggestions) {
    for one in &found.found {
        let at = one.at.as_ref().map(|at| format!("{}: ", table::name(at))).unwrap_or_default();
        context.out(format_args!("{at}{}: {}", one.experiment, table::name(&one.message)));
        context.out(match &one.line {
            Some(line) => format!("  write  {}", table::name(line)),
            None => format!("  remove `{}`", table::name(&one.element)),
        });
    }
    for (experiment, runs) in &found.too_few {
        context.say(format_args!(
            "note: `{experiment}` has {} that succeeded, and {} are needed to say anything; `--runs N` needs others",
            count(*runs, "run"),
            found.runs
        ));
    }
    if found.found.is_empty() {
        context.out("nothing to narrow");
    }
}

fn document(found: &Suggestions) -> Value {
    let one = |one: &Suggestion| {
        json!({
            "experiment": one.experiment, "element": one.element, "finding": one.finding, "at": one.at,
            "message": one.message, "line": one.line,
        })
    };
    let too_few: serde_json::Map<String, Value> =
        found.too_few.iter().map(|(name, runs)| (name.to_string(), json!(runs))).collect();
    json!({
        "schema": "aseptic.policy-suggest/1", "runs": found.runs,
        "suggestions": found.found.iter().map(one).collect::<Vec<_>>(), "too_few": too_few,
    })
}
