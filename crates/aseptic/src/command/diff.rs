use std::process::ExitCode;

use aseptic_model::{RunRef, Tolerance};
use aseptic_runner::{Cause, Part, RunDiff};
use serde_json::{Value, json};

use super::effects;
use crate::context::Context;
use crate::failure::{DIFFERENT, Failure};

/// Show what differs between two runs, what most likely explains a changed result first
///
/// Everything that went in is compared: command, parameters, inputs (version, files, rows), code (with a patch),
/// packages, variables, network, limits, machine, rules. Then what came out: how they ended, metrics, outputs.
/// docs/diff.md has the order, and why.
///
/// The exit code is 0 where nothing differs by more than the tolerance, and 1 where anything does.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic diff train latest\n  aseptic diff 7jmg qmxn --only code --patch\n  \
                        aseptic diff 7jmg qmxn --tolerance 1e-3 --json"
)]
pub(crate) struct Args {
    /// Run: an id, the start of one, `latest`, an experiment for its newest success, or a name
    before: RunRef,
    /// The same
    after: RunRef,
    /// Show one part alone
    #[arg(long, value_name = "PART", value_parser = part)]
    only: Option<Part>,
    /// Show whole patches of the code
    #[arg(long)]
    patch: bool,
    /// Numbers of outputs and metrics are equal if |b - a| <= ABSOLUTE + RELATIVE * |a|
    #[arg(long, value_name = "RELATIVE[,ABSOLUTE]", default_value = "1e-6,1e-12")]
    tolerance: Tolerance,
}

fn part(text: &str) -> Result<Part, String> {
    let known = || Part::ALL.map(Part::as_str).join(", ");
    Part::ALL
        .into_iter()
        .find(|part| part.as_str() == text)
        .ok_or_else(|| format!("expected one of {}", known()))
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, home) = (context.project()?, context.home()?);
    let mut diff = aseptic_runner::diff(&home, &project, &args.before, &args.after, args.tolerance)?;
    if let Some(only) = args.only {
        diff.causes.retain(|cause| cause.part == only);
        diff.effects = None;
    }
    let is_equal = if args.only.is_some() { diff.causes.is_empty() } else { diff.is_equal() };
    if context.json() {
        context.document(&document(&diff, args, is_equal))?;
    } else {
        print(context, &diff, args, is_equal);
    }
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// So many lines of a patch are shown without `--patch`.
const PATCH_LINES_SHOWN: usize = 12;
/// So many causes are shown as text.
const CAUSES_SHOWN: usize = 50;

fn print(context: &Context, diff: &RunDiff, args: &Args, is_equal: bool) {
    let RunDiff { before, after, causes, effects } = diff;
    let shown = if args.patch { causes.len() } else { CAUSES_SHOWN };
    for cause in causes.iter().take(shown) {
        context.out(headline(cause));
        for detail in &cause.details {
            context.out(format_args!("    {detail}"));
        }
        if let Some(values) = &cause.values {
            context.out(format_args!("    {}", effects::values(values)));
        }
        for line in patch(cause, args.patch) {
            context.out(line);
        }
    }
    if causes.len() > shown {
        context.out(format_args!("and {} more; `--json` lists all", causes.len() - shown));
    }
    if causes.is_empty() {
        let what = args.only.map_or("nothing that went in".to_owned(), |part| format!("nothing of {part}"));
        context.out(format_args!("{what} differs between {} and {}", before.0, after.0));
    }
    match effects {
        _ if args.only.is_some() => {}
        Some(effects) => {
            context.out(format_args!("what came of it: {}", effects.verdict));
            for line in effects::describe(effects) {
                context.out(format_args!("  {line}"));
            }
        }
        None => {
            for (run, status) in [before, after] {
                let status = status.map_or("still running", aseptic_model::Status::as_str);
                context.out(format_args!("what came of it: run {run} is {status}"));
            }
        }
    }
    if !is_equal && !causes.is_empty() {
        context.say("The likeliest explanation of a changed result comes first.");
    }
}

fn headline(cause: &Cause) -> String {
    let opened = match (cause.part, cause.opened) {
        (_, Some(true)) => " (opened)",
        (_, Some(false)) => " (not opened)",
        _ => "",
    };
    let what = match (&cause.before, &cause.after) {
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (Some(before), None) => format!("{before} is gone"),
        (None, Some(after)) => format!("{after} is new"),
        (None, None) => String::new(),
    };
    format!("{:<12}{}{opened}: {what}", cause.part, aseptic_model::escape_bytes(cause.name.as_bytes()))
}

/// The patch of a file without its head, line by line, with what could be an escape sequence made visible.
fn patch(cause: &Cause, whole: bool) -> Vec<String> {
    let Some(patch) = &cause.patch else { return Vec::new() };
    let plain = |line: &str| {
        let parts = line.split('\t').map(|part| aseptic_model::escape_bytes(part.as_bytes()));
        parts.collect::<Vec<_>>().join("\t")
    };
    if whole {
        return patch.lines().map(plain).collect();
    }
    let mut lines: Vec<_> = patch.lines().skip(2).map(|line| format!("    {}", plain(line))).collect();
    let all = lines.len();
    if all > PATCH_LINES_SHOWN {
        lines.truncate(PATCH_LINES_SHOWN);
        lines.push(format!("    and {} more lines; `--patch` shows all", all - PATCH_LINES_SHOWN));
    }
    lines
}

fn document(diff: &RunDiff, args: &Args, is_equal: bool) -> Value {
    let side = |(run, status): &(aseptic_model::RunId, _)| json!({ "run": run, "status": status });
    json!({
        "schema": "aseptic.diff/1", "before": side(&diff.before), "after": side(&diff.after), "equal": is_equal,
        "only": args.only, "tolerance": args.tolerance, "causes": diff.causes, "effects": diff.effects,
    })
}
