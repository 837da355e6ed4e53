use std::fmt::Write as _;
use std::num::NonZeroUsize;

use aseptic_model::{ByteSize, DatasetName, Event as Entry, InputRef};
use aseptic_runner::dataset::Details;
use aseptic_runner::{Evaluations, Storage, Stored};
use serde_json::{Value, json};

use super::{origin, row, say_quarantined, title, versions_table};
use crate::context::Context;
use crate::failure::Failure;
use crate::table::{amount, labels, table};

/// Show a version of a dataset, and which others there are
///
/// What is in it, what is said about it, where it comes from, how long it is kept and how it is stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic dataset show digits\n  aseptic dataset show digits@1 --json")]
pub(crate) struct Args {
    /// DATASET for the newest version and a list of all, or DATASET@VERSION
    dataset: InputRef,
}

/// Show everything that was done to a dataset, the last first
///
/// Who added, labelled, described, shared or archived which version and when, and what was given up. It is read
/// from the ledger, where nobody can change it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic dataset log digits\n  aseptic dataset log digits --limit 5 --json"
)]
pub(crate) struct LogArgs {
    /// Name of the dataset
    name: DatasetName,
    /// At most this many
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let (project, home) = (context.project()?, context.home()?);
    let details = aseptic_runner::dataset::details(&home, &project, &args.dataset)?;
    let versions = match &args.dataset {
        InputRef::Dataset { name, version: None } => {
            aseptic_runner::dataset::versions(&home, &project, name)?
        }
        _ => vec![details.version.clone()],
    };
    if context.json() {
        let rows: Vec<_> = versions.iter().map(row).collect();
        let storage = details.storage.as_ref().map(document);
        return context.document(&json!({
            "schema": "aseptic.datasets/1", "versions": rows, "storage": storage,
            "evaluations": details.evaluations.map(|evaluations| json!({
                "used": evaluations.used, "permitted": evaluations.permitted,
            })),
        }));
    }
    context.out(describe(&details).trim_end());
    if versions.len() > 1 {
        context.out(format_args!("\n{}", versions_table(&versions)));
    }
    say_quarantined(context, &home, &project, &versions)
}

fn describe(details: &Details) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    let version = &details.version;
    line("dataset", &title(version));
    line("snapshot", &version.snapshot);
    line("content", &amount(version.files, version.bytes));
    line("added", &format_args!("{} by {}", version.added, version.actor));
    if let Some(from) = &version.origin {
        line("from", &origin(from));
    }
    line("labels", &labels(&version.labels));
    if let Some(Evaluations { used, permitted }) = details.evaluations {
        line("evaluated", &format_args!("{used} of {permitted} times"));
    }
    for (key, value) in &version.metadata {
        line("says", &format_args!("{key} = {value}"));
    }
    if let Some(storage) = &details.storage {
        line("stored", &stored(storage));
    }
    match version.retention {
        Some(class) => line("retention", &class),
        None => line("retention", &format_args!("{}, as the project", details.retention_default)),
    }
    if let Some(gone) = aseptic_runner::gone(version) {
        line("deleted", &format_args!("by retention class {} on {}", gone.class, gone.day()));
    }
    if let Some(archived) = &version.archived {
        line("archived", archived);
    }
    text
}

/// The forms that files can be stored in, those that are not there last.
fn forms(storage: &Storage) -> [(&'static str, Stored); 5] {
    [
        ("loose", storage.loose),
        ("packed", storage.packed),
        ("compressed", storage.compressed),
        ("chunked", storage.chunked),
        ("missing", storage.missing),
    ]
}

/// `3 files, 18 B loose; 4.2 KiB on disk`.
fn stored(storage: &Storage) -> String {
    let some = forms(storage).into_iter().filter(|(_, stored)| stored.files > 0);
    let forms = some.map(|(form, stored)| format!("{} {form}", amount(stored.files, stored.bytes)));
    let disk = format!("{} on disk", ByteSize(storage.disk_bytes()));
    forms.chain([disk]).collect::<Vec<_>>().join("; ")
}

fn document(storage: &Storage) -> Value {
    let mut document = json!({
        "disk_bytes": storage.disk_bytes(),
        "directories": { "objects": storage.directories, "disk_bytes": storage.directory_bytes },
    });
    for (form, Stored { files, bytes, disk_bytes }) in forms(storage) {
        document[form] = json!({ "files": files, "bytes": bytes, "disk_bytes": disk_bytes });
    }
    document
}

pub(super) fn log(context: &Context, args: &LogArgs) -> Result<(), Failure> {
    let (project, home) = (context.project()?, context.home()?);
    let mut changes = aseptic_runner::dataset::history(&home, &project, &args.name)?;
    changes.truncate(args.limit.map_or(usize::MAX, NonZeroUsize::get));
    if context.json() {
        let changes: Vec<_> = changes
            .iter()
            .map(|change| {
                json!({
                    "version": change.version, "time": change.time, "actor": change.actor,
                    "event": change.event,
                })
            })
            .collect();
        return context.document(&json!({
            "schema": "aseptic.dataset-log/1", "name": args.name, "changes": changes,
        }));
    }
    let rows: Vec<_> = changes
        .iter()
        .map(|change| {
            [
                change.time.to_string(),
                format!("{}@{}", args.name, change.version),
                change.actor.clone(),
                what(&change.event),
            ]
        })
        .collect();
    context.out(table(["time", "version", "who", "what"], &rows));
    Ok(())
}

/// What was done to a version, in words.
fn what(event: &Entry) -> String {
    match event {
        Entry::DatasetAdded { files, bytes, labels, origin, .. } => {
            let from = origin.as_ref().map_or(String::new(), |from| format!(" from {}", self::origin(from)));
            let labels: String = labels.iter().map(|label| format!(" +{label}")).collect();
            format!("added {}{from}{labels}", amount(*files, *bytes))
        }
        Entry::DatasetShared { to, .. } => format!("shared with project {to}"),
        Entry::ArchiveWritten { url, .. } => format!("archived to {url}"),
        Entry::ArchiveRestored { url, .. } => format!("restored from {url}"),
        Entry::RetentionExpired { class, .. } => format!("expired after {class}, its bytes were given up"),
        other => {
            let (verb, how) = super::done(other);
            let reason = match other {
                Entry::DatasetLabelled { reason, .. } | Entry::RetentionSet { reason, .. } => {
                    reason.as_deref()
                }
                _ => None,
            };
            format!("{verb} {how}{}", reason.map_or(String::new(), |why| format!(": {why}")))
        }
    }
}
