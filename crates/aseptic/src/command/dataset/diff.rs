use std::num::NonZeroUsize;

use aseptic_model::{ByteSize, escape_bytes};
use aseptic_runner::dataset::{Compared, SnapshotRef};
use aseptic_runner::{Amount, Change, ChangeKind, EntryKind, Totals};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::table::{amount, columns};

/// Show what differs between two versions or datasets
///
/// Takes time in proportion to the difference, and reads no file. A file that is gone at one path and new at
/// another was renamed, if its bytes are equal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic dataset diff digits@1 digits@2\n  \
                        aseptic dataset diff digits digits-clean --limit 1000 --json")]
pub(crate) struct Args {
    /// DATASET, DATASET@VERSION, or the digest of a snapshot of this project
    before: SnapshotRef,
    /// The same
    after: SnapshotRef,
    /// List at most this many changes; all are counted
    #[arg(long, default_value = "100", value_name = "N")]
    limit: NonZeroUsize,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let (project, home) = (context.project()?, context.home()?);
    let limit = args.limit.get();
    let compared = aseptic_runner::dataset::compare(&home, &project, &args.before, &args.after, limit)?;
    if context.json() {
        return context.document(&document(&compared));
    }
    let Compared { before, after, comparison } = compared;
    if before.1 == after.1 {
        context.out(format_args!("{} and {} are the same bytes", before.0, after.0));
        return Ok(());
    }
    let rows: Vec<_> = comparison.changes.iter().map(line).collect();
    for line in columns(&rows) {
        context.out(line);
    }
    context.out(summary(&comparison.totals));
    if comparison.more {
        context.say(format_args!(
            "There are more changes than `--limit {limit}` lists; the last line counts all."
        ));
    }
    if !comparison.renames {
        context.say("There are too many changes to look for renamed files.");
    }
    Ok(())
}

fn line(Change { path, kind }: &Change) -> [String; 3] {
    let path = path.to_string();
    match kind {
        ChangeKind::Added(entry) => ["added".to_owned(), slashed(path, entry), describe(entry)],
        ChangeKind::Removed(entry) => ["removed".to_owned(), slashed(path, entry), describe(entry)],
        ChangeKind::Renamed { from, entry } => {
            let path = format!("{} -> {}", slashed(from.to_string(), entry), slashed(path, entry));
            ["renamed".to_owned(), path, describe(entry)]
        }
        ChangeKind::Changed {
            before: EntryKind::File { size: before, digest: old, executable: was },
            after: EntryKind::File { size: after, digest: new, executable: is },
        } => {
            let size = if old == new { describe_size(*after) } else { describe_growth(*before, *after) };
            let mode = match (was, is) {
                (false, true) => ", now executable",
                (true, false) => ", not executable any more",
                _ => "",
            };
            let what = if old == new { "mode" } else { "changed" };
            [what.to_owned(), path, format!("{size}{mode}")]
        }
        ChangeKind::Changed { before, after } => {
            let what = if type_of(before) == type_of(after) { "changed" } else { "type" };
            [what.to_owned(), path, format!("{} -> {}", describe(before), describe(after))]
        }
    }
}

/// Directories end in a slash.
fn slashed(path: String, entry: &EntryKind) -> String {
    if let EntryKind::Directory { .. } = entry { format!("{path}/") } else { path }
}

fn type_of(entry: &EntryKind) -> &'static str {
    match entry {
        EntryKind::File { .. } => "file",
        EntryKind::Directory { .. } => "directory",
        EntryKind::Symlink { .. } => "link",
    }
}

fn describe(entry: &EntryKind) -> String {
    match entry {
        EntryKind::File { size, executable, .. } => {
            format!("{}{}", describe_size(*size), if *executable { ", executable" } else { "" })
        }
        EntryKind::Directory { files, bytes, .. } => format!("directory of {}", amount(*files, *bytes)),
        EntryKind::Symlink { target } => format!("link to {}", escape_bytes(target)),
    }
}

fn describe_size(size: u64) -> String {
    ByteSize(size).to_string()
}

/// `4 B -> 8 B (+4 B)`.
fn describe_growth(before: u64, after: u64) -> String {
    let sign = if after < before { '-' } else { '+' };
    let by = ByteSize(after.abs_diff(before));
    format!("{} -> {} ({sign}{by})", ByteSize(before), ByteSize(after))
}

fn summary(totals: &Totals) -> String {
    let Totals { added, removed, renamed, changed_before, changed_after, others } = totals;
    let mut parts = Vec::new();
    for (what, Amount { files, bytes }) in [("added", added), ("removed", removed), ("renamed", renamed)] {
        if *files > 0 {
            parts.push(format!("{what} {}", amount(*files, *bytes)));
        }
    }
    if changed_after.files > 0 {
        let Amount { files, bytes } = changed_after;
        let noun = if *files == 1 { "file" } else { "files" };
        let size = match changed_before.bytes == *bytes {
            true => describe_size(*bytes),
            false => describe_growth(changed_before.bytes, *bytes),
        };
        parts.push(format!("changed {files} {noun}, {size}"));
    }
    if *others > 0 {
        parts.push(format!("{others} other {}", if *others == 1 { "change" } else { "changes" }));
    }
    parts.join("; ")
}

fn document(compared: &Compared) -> Value {
    let Compared { before, after, comparison } = compared;
    let totals = &comparison.totals;
    let side = |(reference, digest): &(SnapshotRef, _)| json!({ "reference": reference.to_string(), "snapshot": digest });
    let count = |amount: &Amount| json!({ "files": amount.files, "bytes": amount.bytes });
    let changes: Vec<_> = comparison.changes.iter().map(change).collect();
    json!({
        "schema": "aseptic.dataset-diff/1", "before": side(before), "after": side(after),
        "equal": before.1 == after.1, "changes": changes, "more": comparison.more,
        "renames": comparison.renames,
        "totals": {
            "added": count(&totals.added), "removed": count(&totals.removed), "renamed": count(&totals.renamed),
            "changed": {
                "files": totals.changed_after.files, "bytes_before": totals.changed_before.bytes,
                "bytes_after": totals.changed_after.bytes,
            },
            "others": totals.others,
        },
    })
}

fn change(Change { path, kind }: &Change) -> Value {
    let (what, from, before, after) = match kind {
        ChangeKind::Added(entry) => ("added", None, None, Some(entry)),
        ChangeKind::Removed(entry) => ("removed", None, Some(entry), None),
        ChangeKind::Renamed { from, entry } => ("renamed", Some(from), None, Some(entry)),
        ChangeKind::Changed { before, after } => ("changed", None, Some(before), Some(after)),
    };
    let (before, after) = (before.map(entry), after.map(entry));
    json!({ "change": what, "path": path, "from": from, "before": before, "after": after })
}

fn entry(kind: &EntryKind) -> Value {
    match kind {
        EntryKind::File { size, digest, executable } => {
            json!({ "type": "file", "size": size, "digest": digest, "executable": executable })
        }
        EntryKind::Directory { files, bytes, digest } => {
            json!({ "type": "directory", "files": files, "bytes": bytes, "digest": digest })
        }
        EntryKind::Symlink { target } => json!({ "type": "link", "target": escape_bytes(target) }),
    }
}
