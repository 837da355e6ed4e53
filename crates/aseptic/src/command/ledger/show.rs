//! `aseptic ledger show`, and how an entry is printed.

use std::process::ExitCode;

use aseptic_runner::Recorded;
use serde_json::{Value, json};

use super::filter::{Filter, Source};
use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;

/// Print the entries, the oldest first
///
/// With `--json` an entry is as it was signed; values that people may ask to erase are beside it, in `values`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic ledger show --type 'run.*' --since 7d\n  \
                        aseptic ledger show --object digits@1\n  \
                        aseptic ledger show --actor ada --limit 10")]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    source: Source,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (dir, mut viewer) = args.source.open(context)?;
    let filter = args.filter.conditions();
    if context.json() {
        let mut entries = Vec::new();
        args.source.pass((&dir, &mut viewer), &filter, |recorded| {
            entries.push(document(recorded));
            Ok(())
        })?;
        let mut document = json!({ "schema": "aseptic.ledger/1", "entries": entries });
        if viewer.left_out() > 0 {
            document["left_out"] = json!(viewer.left_out());
        }
        context.document(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = Vec::new();
    args.source.pass((&dir, &mut viewer), &filter, |recorded| {
        rows.push(row(recorded));
        Ok(())
    })?;
    context.out(table(["entry", "time", "actor", "event", "about"], &rows));
    super::say_left_out(context, &viewer);
    Ok(ExitCode::SUCCESS)
}

/// One entry for a program: as it was signed, with what its commitments hide beside it.
pub(super) fn document(recorded: &Recorded) -> Value {
    let text = String::from_utf8_lossy(&recorded.bytes);
    let entry = serde_json::from_slice(&recorded.bytes).unwrap_or_else(|_| json!(text));
    let mut document = json!({ "index": recorded.index, "entry": entry });
    let values = recorded.values();
    if !values.is_empty() {
        document["values"] = json!(values);
    }
    if !recorded.hidden.is_empty() {
        let hidden = recorded.hidden.iter().map(|(place, why)| (place.clone(), json!(why.as_str())));
        document["hidden"] = Value::Object(hidden.collect());
    }
    document
}

/// One entry for a person.
pub(super) fn row(recorded: &Recorded) -> [String; 5] {
    let index = recorded.index.to_string();
    match &recorded.entry {
        Some(entry) => [
            index,
            entry.time.to_string(),
            entry.actor.clone(),
            entry.event.kind().to_owned(),
            about(recorded).unwrap_or_default(),
        ],
        None => [index, "-".into(), "-".into(), "not understood".into(), "-".into()],
    }
}

/// What an entry is about, why it was done, and what of it is not known.
pub(super) fn about(recorded: &Recorded) -> Option<String> {
    let entry = recorded.entry.as_ref()?;
    let mut about = entry.event.subject();
    if let Some(reason) = entry.event.reason() {
        about += ": ";
        about.extend(reason.chars().take(REASON_CHARACTERS_MAX).flat_map(char::escape_debug));
    }
    for (place, why) in &recorded.hidden {
        about += &format!(" [{place} {}]", why.as_str());
    }
    Some(about)
}

/// How much of a reason stands in a table.
const REASON_CHARACTERS_MAX: usize = 80;
