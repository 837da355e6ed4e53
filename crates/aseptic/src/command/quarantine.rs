use std::process::ExitCode;

use aseptic_model::{Class, Digest, MetaValue, Object, ObjectRef, Status};
use aseptic_runner::quarantine::{Handled, Preview, Running};
use aseptic_runner::{GivenAway, Quarantine};
use serde_json::{Value, json};

use super::stop;
use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;

/// Keep something from being used any more, with all that came of it
///
/// What is in quarantine, or descends from it, is an input of no plan: the decision denies it. Nothing is deleted,
/// and lifting makes everything as it was.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Add(Add),
    List(List),
    Show(Show),
    Lift(Lift),
}

/// Put something in quarantine
///
/// First shows what it reaches: runs, datasets, runs that go on, and what was given away. Then asks, on a terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic quarantine add digits@1 --reason \"labels are wrong\"\n  \
                        aseptic quarantine add digits@1/train.csv --reason poisoned --yes\n  \
                        aseptic quarantine add package:numpy@1.26.4 --reason CVE --dry-run\n  \
                        aseptic quarantine add run:train --reason \"wrong machine\" --running flag")]
struct Add {
    /// Dataset, DATASET@VERSION/PATH, run:RUN[/PATH], snapshot:DIGEST, file:DIGEST, host:NAME,
    /// package:NAME, package:NAME@VERSION or policy:DIGEST
    object: ObjectRef,
    /// Why; it can be erased later
    #[arg(long, value_name = "TEXT")]
    reason: MetaValue,
    /// What to do about runs that go on and have something of it
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    running: OnRunning,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Show what it reaches, and change nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// What to do about runs that go on.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum OnRunning {
    /// Stop them
    Stop,
    /// Tell whoever started them
    Flag,
}

impl From<OnRunning> for Running {
    fn from(on: OnRunning) -> Self {
        match on {
            OnRunning::Stop => Self::Stop,
            OnRunning::Flag => Self::Flag,
        }
    }
}

/// List what is in quarantine
#[derive(Debug, clap::Args)]
struct List {
    /// List what was lifted, too
    #[arg(long)]
    all: bool,
}

/// Show since when, by whom and why something is in quarantine, and what it reaches now
#[derive(Debug, clap::Args)]
struct Show {
    /// As for `aseptic quarantine add`
    object: ObjectRef,
}

/// Take something out of quarantine
#[derive(Debug, clap::Args)]
struct Lift {
    /// As for `aseptic quarantine add`
    object: ObjectRef,
    /// Why; it can be erased later
    #[arg(long, value_name = "TEXT")]
    reason: MetaValue,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Add(args) => add(context, args),
        Command::List(args) => list(context, args),
        Command::Show(args) => show(context, args),
        Command::Lift(args) => lift(context, args),
    }
}

fn add(context: &Context, args: &Add) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let preview = aseptic_runner::quarantine::preview(&mut home, &project, &args.object)?;
    if args.dry_run {
        print_preview(context, &preview, "aseptic.quarantine-preview/1")?;
        return Ok(ExitCode::SUCCESS);
    }
    confirm(context, [&preview], "Put it in quarantine?", args.yes)?;
    let running = args.running.into();
    let reason = args.reason.as_str();
    let added = aseptic_runner::quarantine::add(&mut home, &project, &args.object, reason, running)?;
    if context.json() {
        let running: Vec<_> = added.running.iter().map(handled).collect();
        let mut document = preview_json(&added.preview, "aseptic.quarantine-add/1");
        if let Some(members) = document.as_object_mut() {
            members.insert("handled".to_owned(), running.into());
        }
        context.document(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    print_handled(context, &added.running);
    if added.preview.runs.is_empty() && added.preview.reached.datasets.is_empty() {
        context.say(format_args!("note: nothing had it so far; look whether its name is right"));
    }
    context.out(format_args!("{} is in quarantine, with {}", added.preview.object, counts(&added.preview)));
    Ok(ExitCode::SUCCESS)
}

/// Asks on a terminal; elsewhere `--yes` must have been given.
pub(crate) fn confirm<'p>(
    context: &Context,
    previews: impl IntoIterator<Item = &'p Preview>,
    question: &str,
    yes: bool,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    for line in previews.into_iter().flat_map(describe) {
        context.complain(line);
    }
    match context.ask(question) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new(
            Class::Interrupted,
            "quarantine/no",
            "nothing was changed".to_owned(),
            "answer `y` to put it in quarantine",
        )),
        None => Err(Failure::new(
            Class::User,
            "quarantine/unconfirmed",
            "nothing was changed, since nobody was asked".to_owned(),
            "look at what it reaches, above, and add `--yes`",
        )),
    }
}

pub(crate) fn print_handled(context: &Context, running: &[Handled]) {
    for one in running {
        match one {
            Handled::Stopped(run) => context.say(format_args!("note: {}", stop::describe(run))),
            Handled::Told(_, run) => context.say(format_args!("note: run {run} goes on, and was told")),
            Handled::Unheard(_, run) => {
                context.say(format_args!("note: run {run} goes on, and its supervisor does not answer"));
            }
        }
    }
}

pub(crate) fn handled(one: &Handled) -> Value {
    match one {
        Handled::Stopped(run) => stop::row(run),
        Handled::Told(project, run) => json!({ "project": project, "run": run, "ending": "told" }),
        Handled::Unheard(project, run) => json!({ "project": project, "run": run, "ending": "unheard" }),
    }
}

fn list(context: &Context, args: &List) -> Result<ExitCode, Failure> {
    let (project, home) = (context.project()?, context.home()?);
    let mut known = aseptic_runner::quarantine::list(&home, &project)?;
    known.retain(|one| args.all || one.lifted.is_none());
    if context.json() {
        context.document(&json!({ "schema": "aseptic.quarantine-list/1", "quarantine": known }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if known.is_empty() {
        context.say(format_args!("Nothing of project `{project}` is in quarantine."));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = known
        .iter()
        .map(|one| {
            [
                one.object.to_string(),
                one.added.to_string(),
                one.actor.clone(),
                one.lifted.map_or_else(|| "-".to_owned(), |time| time.to_string()),
                text(one.reason.as_deref()),
            ]
        })
        .collect();
    context.out(table(["object", "since", "by", "lifted", "reason"], &rows));
    complain_of_unreadable(context, &known);
    Ok(ExitCode::SUCCESS)
}

fn complain_of_unreadable(context: &Context, known: &[Quarantine]) {
    for one in known {
        if let Some(why) = &one.unreadable {
            let why = aseptic_model::escape_bytes(why.as_bytes());
            context.complain(format_args!(
                "warning: the list of what {} had reached cannot be read ({why}): runs from before may not be known",
                one.object
            ));
        }
    }
}

/// What a person wrote, as it may be shown.
pub(crate) fn text(text: Option<&str>) -> String {
    let plain = |text: &str| {
        aseptic_model::escape_bytes(text.as_bytes()).chars().map(aseptic_runner::graph::shown).collect()
    };
    text.map_or_else(|| "[erased]".to_owned(), plain)
}

fn show(context: &Context, args: &Show) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let (known, preview) = aseptic_runner::quarantine::show(&mut home, &project, &args.object)?;
    if context.json() {
        let mut document = preview_json(&preview, "aseptic.quarantine/1");
        if let Some(members) = document.as_object_mut() {
            members.insert("quarantine".to_owned(), json!(known));
        }
        context.document(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    for one in &known {
        let (reason, by) = (text(one.reason.as_deref()), &one.actor);
        context.out(format_args!("{}  put in quarantine by {by}: {reason}", one.added));
        if let Some(lifted) = one.lifted {
            let by = one.lifted_by.as_deref().unwrap_or("-");
            context.out(format_args!("{lifted}  lifted by {by}: {}", text(one.lifted_because.as_deref())));
        }
    }
    complain_of_unreadable(context, &known);
    for line in describe(&preview) {
        context.out(line);
    }
    Ok(ExitCode::SUCCESS)
}

fn lift(context: &Context, args: &Lift) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let object = aseptic_runner::quarantine::lift(&mut home, &project, &args.object, args.reason.as_str())?;
    if context.json() {
        context.document(&json!({ "schema": "aseptic.quarantine-lift/1", "object": object }))?;
    } else {
        context.out(format_args!("{object} is not in quarantine any more"));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_preview(context: &Context, preview: &Preview, schema: &str) -> Result<(), Failure> {
    if context.json() {
        return context.document(&preview_json(preview, schema));
    }
    for line in describe(preview) {
        context.out(line);
    }
    Ok(())
}

fn preview_json(preview: &Preview, schema: &str) -> Value {
    let running: Vec<_> = preview.running().map(|run| &run.run).collect();
    json!({
        "schema": schema, "object": preview.object, "runs": preview.runs, "running": running,
        "artifacts": preview.artifacts(), "datasets": preview.reached.datasets,
        "places": preview.reached.places, "unseen": preview.reached.unseen, "given_away": preview.given_away,
    })
}

fn counts(preview: &Preview) -> String {
    let number = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!(
        "{} and {} that came of it or had it",
        number(preview.runs.len(), "run"),
        number(preview.reached.datasets.len(), "dataset version"),
    )
}

/// Most lines of one kind that a person is shown.
const LINES_MAX: usize = 50;

/// What something reaches, line by line.
pub(crate) fn describe(preview: &Preview) -> Vec<String> {
    let mut lines = vec![format!("{} reaches {}", preview.object, counts(preview))];
    if preview.object == Object::File(Digest::of(b"")) {
        lines.push(
            "  warning    every empty file has this digest, wherever it lies and whoever made it".to_owned(),
        );
    }
    let mut some = |title: &str, all: Vec<String>| {
        let more = all.len().saturating_sub(LINES_MAX);
        lines.extend(all.into_iter().take(LINES_MAX).map(|line| format!("  {title:<11}{line}")));
        if more > 0 {
            lines.push(format!("  {title:<11}and {more} more; `--json` lists all"));
        }
    };
    let datasets = preview.reached.datasets.iter();
    some("dataset", datasets.map(|one| format!("{}@{} in {}", one.name, one.version, one.project)).collect());
    let runs = preview.runs.iter().map(|run| {
        let name = run.experiment.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
        let state = run.status.map_or("running", Status::as_str);
        format!(
            "{}{name} in {}, {state}, {} files left, by {}",
            run.run, run.project, run.artifacts, run.actor
        )
    });
    some("run", runs.collect());
    let running: Vec<_> = preview.running().map(|run| format!("{} goes on", run.run)).collect();
    some("running", running);
    some("given away", preview.given_away.iter().map(given).collect());
    if !preview.reached.unseen.is_empty() {
        let unseen = preview.reached.unseen.len();
        lines.push(format!(
            "  not known  {unseen} trees could not be looked into, since their bytes were deleted"
        ));
    }
    lines
}

fn given(given: &GivenAway) -> String {
    format!(
        "{} {} by {} on {} (entry {})",
        given.event.kind(),
        aseptic_model::escape_bytes(given.event.subject().as_bytes()),
        given.actor,
        given.time,
        given.entry
    )
}
