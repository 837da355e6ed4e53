use std::collections::BTreeSet;
use std::process::ExitCode;

use aseptic_model::{Label, ObjectRef};
use aseptic_runner::{LabelCount, Labelled, LabelsReached};
use serde_json::{Value, json};

use super::dataset::{print_recorded, title_of};
use crate::context::Context;
use crate::failure::Failure;

/// Give labels to a dataset, to what a run left or to one output
///
/// Everything that was made from it has them at once, and so has everything that is made from it later. Other versions
/// of a dataset with the same bytes get them, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic label scans@1 pii region=eu\n  \
                        aseptic label run:train release\n  \
                        aseptic label run:latest/out/predictions.csv pii")]
pub(crate) struct Args {
    /// DATASET or DATASET@VERSION, run:RUN or run:RUN/PATH
    object: ObjectRef,
    /// Labels that it has from now on
    #[arg(required = true, value_name = "LABEL")]
    labels: Vec<Label>,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let labels: BTreeSet<_> = args.labels.iter().cloned().collect();
    let done = aseptic_runner::label(&mut home, &project, &args.object, &labels)?;
    print(context, &done, "already has these labels")?;
    Ok(ExitCode::SUCCESS)
}

/// Says what was recorded and what it reached.
pub(super) fn print(context: &Context, done: &Labelled, so: &str) -> Result<(), Failure> {
    if context.json() {
        return context.document(&json!({
            "schema": "aseptic.label/1", "object": done.object, "labels": done.labels,
            "recorded": done.recorded, "still": done.still, "reached": document(&done.reached),
        }));
    }
    if done.recorded.is_empty() {
        context.say(format_args!("Nothing was recorded: {} {so}.", title_of(&done.object)));
    }
    print_recorded(context, &done.recorded);
    print_reached(context, &done.reached);
    for other in &done.still {
        context.say(format_args!("note: {} is the same bytes and still has such a label", title_of(other)));
    }
    Ok(())
}

pub(super) fn document(reached: &LabelsReached) -> Value {
    json!({
        "gained": reached.gained, "lost": reached.lost, "have": reached.still, "truncated": reached.truncated,
    })
}

/// What came of it and has other labels now.
pub(super) fn print_reached(context: &Context, reached: &LabelsReached) {
    for (label, count) in &reached.gained {
        context.say(format_args!(
            "{} that came of it now {} `{label}`",
            amount(*count),
            verb(*count, "has", "have")
        ));
    }
    for (label, count) in &reached.lost {
        context.say(format_args!("{} that came of it lost `{label}`", amount(*count)));
        if let Some(still) = reached.still.get(label) {
            let (what, verb) = (amount(*still), verb(*still, "keeps", "keep"));
            context.say(format_args!("{what} that came of it {verb} `{label}` by another way"));
        }
    }
    if reached.truncated {
        context.say("note: more came of it than were counted");
    }
}

fn verb<'v>(count: LabelCount, one: &'v str, many: &'v str) -> &'v str {
    if count.runs + count.versions == 1 { one } else { many }
}

fn amount(LabelCount { runs, versions }: LabelCount) -> String {
    let of = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let runs = of(runs, "run", "runs");
    let versions = of(versions, "dataset version", "dataset versions");
    [runs, versions].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}
