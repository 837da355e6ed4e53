//! `aseptic ledger erase`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use aseptic_model::MetaValue;
use aseptic_runner::{Erasable, Places};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Erase reasons and statements that somebody asks to have erased
///
/// The entries stay as they were signed, with a commitment in the place of each value, and the ledger still
/// verifies. The value and the salt of the commitment are gone: nobody can say or prove any more what it was.
/// What was erased, by whom and why is itself an entry. Copies elsewhere are not reached: archives, backups,
/// exports, attestations that were given away.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic ledger erase digits@1 --place metadata.owner --reason \"ticket 4711\"\n  \
                        aseptic ledger erase 17 --all --reason \"named a person\""
)]
pub(crate) struct Args {
    /// Index of an entry, NAME@VERSION or NAME of a dataset, or a run
    #[arg(value_name = "INDEX|NAME@VERSION|RUN")]
    what: Erasable,
    /// Value to erase: `reason`, `metadata.KEY` or `set.KEY`; may be repeated
    #[arg(long, value_name = "PLACE", required_unless_present = "all", conflicts_with = "all")]
    place: Vec<String>,
    /// Erase every value that can be erased
    #[arg(long)]
    all: bool,
    /// Why; this can be erased later, too
    #[arg(long, value_name = "TEXT")]
    reason: MetaValue,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let places = match args.all {
        true => Places::All,
        false => Places::These(args.place.iter().cloned().collect()),
    };
    let done = aseptic_runner::erase(&mut home, &project, &args.what, &places, args.reason.as_str())?;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.ledger-erase/1",
            "erased": listed(&done.places), "still": listed(&done.still),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (index, places) in &done.places {
        let places: Vec<_> = places.iter().map(String::as_str).collect();
        context.out(format_args!("erased from entry {index}: {}", places.join(", ")));
    }
    for (index, places) in &done.still {
        let places: Vec<_> = places.iter().map(String::as_str).collect();
        context.say(format_args!("note: the same text still stands in entry {index}: {}", places.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(places: &BTreeMap<u64, BTreeSet<String>>) -> Vec<serde_json::Value> {
    places.iter().map(|(index, places)| json!({ "entry": index, "places": places })).collect()
}
