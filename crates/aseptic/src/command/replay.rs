use std::num::NonZeroU32;
use std::process::ExitCode;

use aseptic_model::{RunRecord, RunRef, Tolerance, Verdict};
use aseptic_runner::{AfterDifference, Changes, ReplayError, ReplayRequest, Replayed, Request};
use serde_json::{Value, json};

use super::{effects, network};
use crate::context::{Context, Shown};
use crate::failure::{DIFFERENT, Failure, REPLAY_DENIED};
use crate::signals::Caught;
use crate::table;

/// Run a sealed run once more, and compare what comes of it
///
/// The plan is that of the run, by digest: the same code, inputs and parameters, whatever is in your directory
/// now. What is gone or damaged is named, and nothing starts; so it is where the environment or the machine is
/// another one, unless `--allow-changed` says that it may be. Newer versions of inputs are named and not used.
/// What was piped in then is given again. Networks are not repeated.
///
/// Each output is identical, equivalent (its values are equal within the tolerance: JSON, CSV, Parquet, NumPy,
/// safetensors) or different; pickles are never loaded. The exit code is 0 where all is identical or equivalent,
/// 1 where anything is different, 3 where a replay was denied.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic replay train\n  aseptic replay latest --times 5\n  \
                        aseptic replay latest --tolerance 1e-3 --json\n  \
                        aseptic replay latest --tolerance 0 --allow-changed")]
pub(crate) struct Args {
    /// Run: an id, the start of one, `latest`, an experiment for its newest success, or a name
    run: RunRef,
    /// Repeat it so often, and say whether it is deterministic
    #[arg(long, value_name = "N", default_value = "1")]
    times: NonZeroU32,
    /// Numbers that are no integers are equal if |b - a| <= ABSOLUTE + RELATIVE * |a|; 0 for equal numbers alone
    #[arg(long, value_name = "RELATIVE[,ABSOLUTE]", default_value = "1e-6,1e-12")]
    tolerance: Tolerance,
    /// Go on after a replay that is different
    #[arg(long)]
    keep_going: bool,
    /// Let packages, the machine and terminal input differ; the report names what does
    #[arg(long)]
    allow_changed: bool,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let mut home = context.home()?;
    let wanted = ReplayRequest {
        run: args.run.clone(),
        times: args.times,
        tolerance: args.tolerance,
        after_difference: if args.keep_going { AfterDifference::GoOn } else { AfterDifference::Stop },
        changes: if args.allow_changed { Changes::Allowed } else { Changes::Refused },
        request: Request { proxy: network::proxy(), ..Request::default() },
    };
    let mut observer = context.observer(Shown::Stderr);
    let replayed = aseptic_runner::replay(&mut home, &project, &wanted, Caught::new, &mut observer);
    drop(observer); // The line that it draws on is gone before anything is said.
    let replayed = replayed.map_err(failure)?;
    if context.json() {
        context.document(&document(&replayed, args))?;
    } else {
        print(context, &replayed);
    }
    let denied = replayed.replays.iter().any(|(_, report)| report.is_none());
    Ok(match replayed.verdict() {
        _ if denied => ExitCode::from(REPLAY_DENIED),
        Some(Verdict::Different) => ExitCode::from(DIFFERENT),
        _ => ExitCode::SUCCESS,
    })
}

fn failure(error: ReplayError) -> Failure {
    let changes = match &error {
        ReplayError::Changed { changes, .. } => changes.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    Failure::from(error).because(changes)
}

fn print(context: &Context, replayed: &Replayed) {
    for (record, report) in &replayed.replays {
        let Some(report) = report else {
            context.complain(format_args!("denied: run {} did not start", record.run));
            context.complain(table::reasons(&record.decision));
            continue;
        };
        context.out(format_args!("{}  run {} repeats {}", report.verdict, report.run, report.replays));
        for line in effects::describe(&report.effects) {
            context.out(format_args!("  {line}"));
        }
    }
    if replayed.wanted > 1 {
        context.out(conclusion(replayed));
    }
}

/// What several replays say together.
fn conclusion(replayed: &Replayed) -> String {
    let done = replayed.reports().count();
    let times = format!("{done} of {} replays", replayed.wanted);
    if replayed.is_deterministic() {
        return format!("deterministic: {times} left the same bytes as the first run");
    }
    let varying: Vec<_> = replayed.varying.iter().take(10).map(ToString::to_string).collect();
    let more = replayed.varying.len().saturating_sub(varying.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match (replayed.verdict(), varying.is_empty()) {
        (None, _) => "no replay ran".to_owned(),
        (Some(_), true) => {
            format!("not deterministic ({times}): no output varies, how it ends or a metric does")
        }
        (Some(verdict), false) => {
            format!("not deterministic ({times}, at worst {verdict}): {}{more} varies", varying.join(", "))
        }
    }
}

fn document(replayed: &Replayed, args: &Args) -> Value {
    let replay = |(record, report): &(RunRecord, Option<_>)| json!({ "run": record.run, "status": record.status, "decision": record.decision, "report": report });
    let replays: Vec<_> = replayed.replays.iter().map(replay).collect();
    json!({
        "schema": "aseptic.replay/1", "run": replayed.run, "wanted": replayed.wanted,
        "tolerance": args.tolerance, "verdict": replayed.verdict(), "deterministic": replayed.is_deterministic(),
        "varying": replayed.varying, "replays": replays,
    })
}
