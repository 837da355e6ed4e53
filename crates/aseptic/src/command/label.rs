use std::collections::BTreeSet;
use std::process::ExitCode;

use aseptic_model::{Label, ObjectRef};
use aseptic_runner::{LabelCount, Labelled, LabelsReached};
use serde_json::{Value, json};

use super::dataset::{print_recorded, title_of};
use crate::context::Context;
use crate::failure::Failure;

/// Labels that are named one by one.
const LABELS_SHOWN: usize = 10;

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
    warn_of_typos(context, &labels);
    Ok(ExitCode::SUCCESS)
}

/// The first of many labels, and how many there are more.
pub(super) fn listed(labels: impl Iterator<Item = String>, between: &str) -> String {
    let mut labels = labels;
    let shown: Vec<_> = labels.by_ref().take(LABELS_SHOWN).collect();
    let more = labels.count();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(between))
}

/// Says which labels rules do not know, and would if they were spelt otherwise.
pub(crate) fn warn_of_typos<'l>(context: &Context, labels: impl IntoIterator<Item = &'l Label>) {
    let near = labels.into_iter().filter_map(|label| Some((label, aseptic_runner::nearly_known(label)?)));
    for (number, (label, known)) in near.enumerate() {
        if number == LABELS_SHOWN {
            return context.say("note: and more labels that no shipped rule knows");
        }
        context.say(format_args!("note: no shipped rule knows `{label}`; did you mean `{known}`?"));
    }
}

/// Why nothing could be taken off.
pub(super) fn has_others(labels: &BTreeSet<Label>) -> String {
    match labels.len() {
        0 => "has no labels".to_owned(),
        _ => {
            let labels = labels.iter().map(|label| format!("`{label}`"));
            format!("has none of these labels, but {}", listed(labels, ", "))
        }
    }
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
    for (label, count) in reached.gained.iter().take(LABELS_SHOWN) {
        context.say(format_args!(
            "{} that came of it now {} `{label}`",
            amount(*count),
            verb(*count, "has", "have")
        ));
    }
    for (label, count) in reached.lost.iter().take(LABELS_SHOWN) {
        context.say(format_args!("{} that came of it lost `{label}`", amount(*count)));
        if let Some(still) = reached.still.get(label) {
            let (what, verb) = (amount(*still), verb(*still, "keeps", "keep"));
            context.say(format_args!("{what} that came of it {verb} `{label}` by another way"));
        }
    }
    let shown = |labels: usize| labels.saturating_sub(LABELS_SHOWN);
    say_of_others(context, shown(reached.gained.len()) + shown(reached.lost.len()));
    if reached.truncated {
        context.say("note: more came of it than were counted");
    }
}

/// How many labels have no line of their own, if there are any.
fn say_of_others(context: &Context, labels: usize) {
    match labels {
        0 => {}
        1 => context.say("and so on for 1 more label: `--json` lists it"),
        labels => context.say(format_args!("and so on for {labels} more labels: `--json` lists them")),
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
