//! `aseptic ledger follow`: new entries as they come.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aseptic_model::Class;
use aseptic_runner::{EntryViewer, Position, Recorded};

use super::filter::Filter;
use super::show;
use crate::command::follow;
use crate::context::Context;
use crate::failure::Failure;
use crate::visible;

/// How long an entry may wait to be shown. Asking for the size of one file this often costs nothing that counts,
/// and works on every file system.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Print new entries as they come, until Ctrl-C
///
/// An entry is shown when it is on the disk. With `--json` each is one document on a line.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic ledger follow --type run.denied\n  aseptic ledger follow --from 0 --json"
)]
pub(crate) struct Args {
    /// Begin with the entry of this index, instead of the next one to come
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    #[command(flatten)]
    filter: Filter,
    /// Ledger directory, instead of that of the state directory
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (dir, mut viewer) = super::shown(context, args.ledger.as_ref())?;
    let filter = args.filter.conditions();
    let interrupt = context.interrupt()?;
    let from = args.from.unwrap_or(u64::MAX);
    let mut at = pass(context, (&dir, &mut viewer), Position::START, |recorded| {
        recorded.index >= from && filter.fits(recorded)
    })?;
    if args.from.is_none() {
        context.say("waiting for entries; Ctrl-C ends this");
    }
    let mut seen = None;
    while let Some(next) = at {
        if interrupt.is_seen() || !wait()? {
            break;
        }
        let length = length(&dir)?;
        at = Some(next);
        if seen != Some(length) {
            // Before the entries are read: what is added meanwhile is another length.
            seen = Some(length);
            at = pass(context, (&dir, &mut viewer), next, |recorded| filter.fits(recorded))?;
        }
    }
    super::say_left_out(context, &viewer);
    Ok(ExitCode::SUCCESS)
}

/// Prints the entries from `from` on; returns where the next one begins, or nothing when nobody reads any more.
fn pass(
    context: &Context,
    (dir, viewer): (&Path, &mut EntryViewer),
    from: Position,
    wanted: impl Fn(&Recorded) -> bool,
) -> Result<Option<Position>, Failure> {
    let mut at = from;
    for recorded in aseptic_runner::entries(dir, from)? {
        let recorded = recorded?;
        at = recorded.next;
        if viewer.has(&recorded)? && wanted(&recorded) && !print(context, &recorded) {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

/// False when the line could not be written.
fn print(context: &Context, recorded: &Recorded) -> bool {
    let line = match context.json() {
        true => visible::json(&show::document(recorded).to_string()).into_owned(),
        false => visible::lines(&show::row(recorded).join("  ")).into_owned(),
    };
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    let fine = written.is_ok();
    context.written(written);
    fine
}

/// False when nobody reads standard output any more.
fn wait() -> Result<bool, Failure> {
    follow::wait(LOOK_EVERY).map_err(|error| {
        let message = format!("could not wait: {error}");
        Failure::new(Class::Host, "ledger/follow", message, "try again, or use `aseptic ledger show`")
    })
}

fn length(dir: &Path) -> Result<u64, Failure> {
    fs::metadata(dir.join("log")).map(|metadata| metadata.len()).map_err(|error| {
        let message = format!("the ledger in `{}` is gone: {error}", dir.display());
        Failure::new(Class::Host, "ledger/follow", message, "see who removed it, and restore it from a copy")
    })
}
