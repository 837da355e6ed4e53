use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aseptic_model::{Class, describe_ms};
use aseptic_runner::{DrillReport, DrillRequest, Outcome, Walls};
use serde_json::json;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};

use crate::context::{Context, Shown};
use crate::failure::{DRILL_BREACHED, DRILL_BROKEN, Failure};
use crate::table::table;

/// Attack sealed runs of this machine and show that every wall holds
///
/// A red team tries to get out of a sealed run and across to another one, by more than two hundred ways.
/// Each attempt is made once more without walls, where it must succeed: an attempt that fails everywhere
/// proves nothing, and is reported as broken. Nothing is sent to another machine, no root is needed, and
/// nothing is left behind but a report in the store and an entry in the ledger.
///
/// The exit code is 0 when every wall held, 6 when an attempt got through, 7 when one proves nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only the attempts of this family
    #[arg(long, value_name = "NAME")]
    family: Vec<String>,
    /// List the attempts without making them
    #[arg(long)]
    list: bool,
    /// Try the drill itself: make the attempts without walls, where each must be reported as a breach
    #[arg(long, conflicts_with = "list")]
    without_walls: bool,
}

const EXAMPLES: &str = "\
Examples:
  aseptic drill                                  every attempt; half a minute
  aseptic drill --family network --family terminal
  aseptic drill --list                           what is tried, without trying it
  aseptic drill --json > drill.json              the report as one document";

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    if args.list {
        return list(context, args);
    }
    let host = |code, message: String, help: &str| Failure::new(Class::Host, code, message, help);
    let program = std::env::current_exe().map_err(|error| {
        let help = "start aseptic by the path of its file";
        host("drill/program", format!("could not find the program that is running: {error}"), help)
    })?;
    let project = context.project()?;
    let mut home = context.home()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| {
            host("drill/signals", format!("could not catch signals: {error}"), "raise `ulimit -n`")
        })?;
    }
    let walls = if args.without_walls { Walls::None } else { Walls::Sealed };
    let request = DrillRequest { program, families: args.family.clone(), walls, stop: &stop };
    let report = {
        let mut observer = context.observer(Shown::Nothing);
        aseptic_runner::drill(&mut home, &project, &request, &mut observer)?
    };
    if context.json() {
        context.document(&report)?;
    } else {
        show(context, &report);
    }
    Ok(ExitCode::from(exit_code(&report)))
}

fn exit_code(report: &DrillReport) -> u8 {
    match (report.breached, report.broken) {
        (0, 0) => 0,
        (0, _) => DRILL_BROKEN,
        _ => DRILL_BREACHED,
    }
}

fn show(context: &Context, report: &DrillReport) {
    let rows: Vec<_> = report
        .attempts
        .iter()
        .map(|attempt| {
            let result = match attempt.result {
                Outcome::Held => "held".to_owned(),
                Outcome::Breached => "BREACHED".to_owned(),
                Outcome::Broken => "BROKEN".to_owned(),
            };
            let text = |text: &str| text.to_owned();
            [text(attempt.family), text(attempt.name), text(attempt.wall), result]
        })
        .collect();
    context.out(table(["family", "attempt", "wall", "result"], &rows));
    for attempt in report.attempts.iter().filter(|attempt| attempt.result != Outcome::Held) {
        let detail: String = attempt.detail.chars().flat_map(char::escape_debug).collect();
        context.out(format_args!("{} {}: {} ({detail})", attempt.name, attempt.result, attempt.what));
    }
    let all = report.attempts.len();
    let duration = describe_ms(report.duration_ms);
    context.out(format_args!(
        "\n{} of {all} attempts held, {} breached, {} broken, in {duration}",
        report.held, report.breached, report.broken
    ));
}

fn list(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let wanted = aseptic_runner::drill_families(&args.family)?;
    let attempts =
        wanted.iter().flat_map(|family| family.attempts.iter().map(move |attempt| (family, attempt)));
    if context.json() {
        let attempts: Vec<_> = attempts
            .map(|(family, attempt)| {
                json!({
                    "name": attempt.name, "family": family.name,
                    "wall": attempt.wall, "what": attempt.what,
                })
            })
            .collect();
        let families: Vec<_> =
            wanted.iter().map(|family| json!({ "name": family.name, "about": family.about })).collect();
        context.document(&json!({
            "schema": "aseptic.drill-list/1", "families": families, "attempts": attempts,
        }))?;
    } else {
        let rows: Vec<_> = attempts
            .map(|(family, attempt)| {
                [family.name, attempt.name, attempt.wall, attempt.what].map(str::to_owned)
            })
            .collect();
        context.out(table(["family", "attempt", "wall", "what it does"], &rows));
    }
    Ok(ExitCode::SUCCESS)
}
