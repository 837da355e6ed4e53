//! `aseptic dataset`: an action each, and how a version is shown.

mod add;
mod describe;
mod diff;
mod show;
mod unpack;
mod verify;

use std::process::ExitCode;

use aseptic_model::{Event as Entry, Object, Origin, ProjectName, Retention};
use aseptic_runner::quarantine::Marks;
use aseptic_runner::{DatasetVersion, Home};
use serde_json::{Value, json};

use super::label::listed;
use crate::context::Context;
use crate::failure::Failure;
use crate::table::{amount, labels, table};

/// Import, describe, compare, share and verify datasets
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Add(add::Args),
    /// List the datasets of the project, each in its newest version
    List,
    Show(show::Args),
    Log(show::LogArgs),
    Diff(diff::Args),
    Label(describe::LabelArgs),
    Unlabel(describe::UnlabelArgs),
    Describe(describe::DescribeArgs),
    Share(add::ShareArgs),
    Verify(verify::Args),
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Add(args) => add::run(context, args)?,
        Action::List => {
            let (project, home) = (context.project()?, context.home()?);
            let versions = aseptic_runner::dataset::list(&home, &project)?;
            list(context, &versions)?;
            say_quarantined(context, &home, &project, &versions)?;
        }
        Action::Show(args) => show::run(context, args)?,
        Action::Log(args) => show::log(context, args)?,
        Action::Diff(args) => diff::run(context, args)?,
        Action::Label(args) => describe::add_labels(context, args)?,
        Action::Unlabel(args) => describe::unlabel(context, args)?,
        Action::Describe(args) => describe::describe(context, args)?,
        Action::Share(args) => add::share(context, args)?,
        Action::Verify(args) => verify::run(context, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context, versions: &[DatasetVersion]) -> Result<(), Failure> {
    if context.json() {
        let rows: Vec<_> = versions.iter().map(row).collect();
        return context.document(&json!({ "schema": "aseptic.datasets/1", "versions": rows }));
    }
    if versions.is_empty() {
        context.say("No datasets. Add one with `aseptic dataset add PATH --name NAME`.");
        return Ok(());
    }
    context.out(versions_table(versions));
    Ok(())
}

/// Which of these versions something in quarantine reaches.
fn say_quarantined(
    context: &Context,
    home: &Home,
    project: &ProjectName,
    versions: &[DatasetVersion],
) -> Result<(), Failure> {
    let mut marks = Marks::new(home)?;
    for version in versions {
        if let Some(found) = marks.version(project, version)? {
            context.say(format_args!("note: {} is in quarantine: {}", title(version), found.describe()));
        }
    }
    Ok(())
}

fn versions_table(versions: &[DatasetVersion]) -> String {
    let rows: Vec<_> = versions
        .iter()
        .map(|version| {
            [
                title(version),
                content(version),
                version.snapshot.short(),
                version.added.to_string(),
                labels(&version.labels),
            ]
        })
        .collect();
    table(["dataset", "content", "snapshot", "added", "labels"], &rows)
}

/// How much is in it, or that it is not there any more.
fn content(version: &DatasetVersion) -> String {
    match aseptic_runner::gone(version) {
        None => amount(version.files, version.bytes),
        Some(gone) => format!("deleted on {} ({})", gone.day(), gone.class),
    }
}

/// `NAME@VERSION`.
fn title(version: &DatasetVersion) -> String {
    format!("{}@{}", version.name, version.version)
}

/// How something is named on the command line.
pub(super) fn title_of(object: &Object) -> String {
    match object {
        Object::Dataset { name, version: Some(version) } => format!("{name}@{version}"),
        other => other.to_string(),
    }
}

pub(super) fn row(version: &DatasetVersion) -> Value {
    json!({
        "name": version.name, "version": version.version, "snapshot": version.snapshot,
        "files": version.files, "bytes": version.bytes, "labels": version.labels,
        "added": version.added, "actor": version.actor, "metadata": version.metadata,
        "origin": version.origin, "retention": version.retention, "expired": version.expired,
        "expired_class": version.expired_class, "archived": version.archived,
    })
}

/// What was recorded, a line each: what was done, to what, and how.
pub(super) fn print_recorded(context: &Context, recorded: &[Entry]) {
    for event in recorded {
        let about = match event {
            Entry::DatasetLabelled { name, version, .. } | Entry::DatasetDescribed { name, version, .. } => {
                format!("{name}@{version}")
            }
            Entry::RunLabelled { run, path: None, .. } => format!("run:{run}"),
            Entry::RunLabelled { run, path: Some(path), .. } => format!("run:{run}/{path}"),
            Entry::RetentionSet { object, .. } => object.to_string(),
            _ => continue,
        };
        let (verb, how) = done(event);
        context.out(format_args!("{verb} {about} {how}"));
    }
}

/// What an event did to a version, as a verb and how.
fn done(event: &Entry) -> (&'static str, String) {
    match event {
        Entry::DatasetLabelled { added, removed, .. } | Entry::RunLabelled { added, removed, .. } => {
            let added = added.iter().map(|label| format!("+{label}"));
            let removed = removed.iter().map(|label| format!("-{label}"));
            ("labelled", listed(added.chain(removed), " "))
        }
        Entry::DatasetDescribed { set, unset, .. } => {
            let set = set.iter().map(|(key, value)| format!("{key}={value}"));
            let unset = unset.iter().map(|key| format!("without {key}"));
            ("described", set.chain(unset).collect::<Vec<_>>().join(", "))
        }
        Entry::RetentionSet { class, .. } => ("retention", retention(*class)),
        other => (other.kind(), String::new()),
    }
}

/// A retention class of its own, or that it has none.
fn retention(class: Option<Retention>) -> String {
    class.map_or_else(|| "as the project".to_owned(), |class| class.to_string())
}

/// Where a version comes from.
fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Shared { project, name, version } => format!("project {project}: {name}@{version}"),
        Origin::Archive { url, .. } => url.clone(),
    }
}
