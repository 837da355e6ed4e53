use std::collections::BTreeSet;

use aseptic_model::{Class, InputRef, Label, MetaKey, MetaValue, Metadata};
use aseptic_runner::dataset::Relabelled;
use serde_json::json;

use super::add::statement;
use super::{print_recorded, row, title};
use crate::command::label::{self, has_others, warn_of_typos};
use crate::context::Context;
use crate::failure::Failure;

/// Give labels to a version of a dataset
///
/// Every other version of the same bytes gets them, too, whatever it is called. Everything that was made from it has
/// them at once. `aseptic label` does the same, also for what runs left.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic dataset label scans pii\n  \
                        aseptic dataset label scans@1 pii region=eu")]
pub(crate) struct LabelArgs {
    /// DATASET or DATASET@VERSION; without a version, the newest
    dataset: InputRef,
    /// Labels that flow to every output made from it
    #[arg(required = true, value_name = "LABEL")]
    labels: Vec<Label>,
}

/// Take labels off a version of a dataset, with a reason
///
/// The ledger keeps who did it, when and why. Other versions of the same bytes keep theirs; what was made from it loses
/// them where no other way brings them. `aseptic declassify` does the same, also for what runs left.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic dataset unlabel scans@2 pii --reason \"faces are blurred, see ticket 4711\""
)]
pub(crate) struct UnlabelArgs {
    /// DATASET or DATASET@VERSION; without a version, the newest
    dataset: InputRef,
    /// Labels that it has no more
    #[arg(required = true, value_name = "LABEL")]
    labels: Vec<Label>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: MetaValue,
}

/// Say something about a version of a dataset
///
/// Statements are a key and a value; `licence`, `owner`, `source` and `role` have options of `dataset add`. They
/// are for people and searches. `role=holdout` and some licences give the labels that rules read; of others none does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic dataset describe digits licence=CC-BY-4.0 owner=data-team\n  \
                        aseptic dataset describe digits@1 --unset owner")]
pub(crate) struct DescribeArgs {
    /// DATASET or DATASET@VERSION; without a version, the newest
    dataset: InputRef,
    /// What is said from now on
    #[arg(required_unless_present = "unset", value_name = "KEY=VALUE", value_parser = statement)]
    set: Vec<(MetaKey, MetaValue)>,
    /// What is said no more
    #[arg(long, value_name = "KEY")]
    unset: Vec<MetaKey>,
}

pub(super) fn add_labels(context: &Context, args: &LabelArgs) -> Result<(), Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let labels: BTreeSet<_> = args.labels.iter().cloned().collect();
    let done = aseptic_runner::dataset::label(&mut home, &project, &args.dataset, &labels)?;
    print(context, &done, "already has these labels")?;
    warn_of_typos(context, &labels);
    Ok(())
}

pub(super) fn unlabel(context: &Context, args: &UnlabelArgs) -> Result<(), Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let labels: BTreeSet<_> = args.labels.iter().cloned().collect();
    let done = aseptic_runner::dataset::unlabel(&mut home, &project, &args.dataset, &labels, &args.reason)?;
    print(context, &done, &has_others(&done.version.labels))?;
    for other in &done.still {
        let kept: Vec<_> = other.labels.intersection(&labels).map(Label::as_str).collect();
        let (other, kept) = (title(other), kept.join(" "));
        context.say(format_args!("note: {other} is the same bytes and still has {kept}"));
    }
    Ok(())
}

pub(super) fn describe(context: &Context, args: &DescribeArgs) -> Result<(), Failure> {
    let mut set = Metadata::new();
    for (key, value) in &args.set {
        say(&mut set, key.clone(), value.clone())?;
    }
    if let Some(key) = args.unset.iter().find(|key| set.contains_key(key)) {
        return Err(twice(key));
    }
    let (project, mut home) = (context.project()?, context.home()?);
    let unset = args.unset.iter().cloned().collect();
    let done = aseptic_runner::dataset::describe(&mut home, &project, &args.dataset, &set, &unset)?;
    print(context, &done, "is already described so")
}

fn print(context: &Context, done: &Relabelled, so: &str) -> Result<(), Failure> {
    if context.json() {
        return context.document(&json!({
            "schema": "aseptic.dataset/1", "new": false, "versions": [row(&done.version)],
            "recorded": done.recorded, "reached": label::document(&done.reached),
        }));
    }
    if done.recorded.is_empty() {
        context.say(format_args!("Nothing was recorded: {} {so}.", title(&done.version)));
    }
    print_recorded(context, &done.recorded);
    label::print_reached(context, &done.reached);
    Ok(())
}

/// Adds a statement to others; two values for one key are a mistake.
pub(super) fn say(said: &mut Metadata, key: MetaKey, value: MetaValue) -> Result<(), Failure> {
    match said.insert(key.clone(), value.clone()) {
        Some(other) if other != value => Err(twice(&key)),
        _ => Ok(()),
    }
}

fn twice(key: &MetaKey) -> Failure {
    let message = format!("`{key}` is said twice");
    Failure::new(Class::User, "dataset/said-twice", message, "say it once")
}
