use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::{Class, RunId};
use aseptic_runner::{Checkpoint, Recorded};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;

/// Show and verify the record of everything that was decided and done
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the entries, the oldest first
    Show {
        /// Only entries of this run
        #[arg(long, value_name = "RUN")]
        run: Option<RunId>,
        /// Ledger directory, instead of that of the state directory
        #[arg(long, value_name = "DIR")]
        ledger: Option<PathBuf>,
    },
    /// Check that no entry was altered, removed or reordered
    ///
    /// Needs no network and no private key: every entry carries a signature over the whole ledger up to
    /// it. What this cannot see is a ledger that was replaced whole, by someone who holds the key, or cut
    /// back to an older state together with its checkpoint file. A checkpoint that someone else kept
    /// shows both: copy the file `checkpoint` of the ledger directory elsewhere, and pass it here later.
    #[command(after_help = "Examples:\n  aseptic ledger verify\n  \
                            aseptic ledger verify --ledger ./copy --checkpoint ./kept-in-march")]
    Verify {
        /// Ledger directory, instead of that of the state directory
        #[arg(long, value_name = "DIR")]
        ledger: Option<PathBuf>,
        /// Checkpoint that was kept elsewhere
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Show { run, ledger } => show(context, ledger.as_ref(), run.as_ref()),
        Action::Verify { ledger, checkpoint } => verify(context, ledger.as_ref(), checkpoint.as_ref()),
    }
}

fn directory(context: &Context, named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let dir = match named {
        Some(dir) => dir.clone(),
        None => context.home_dir()?.join("ledger"),
    };
    if !dir.join("log").exists() {
        let message = format!("there is no ledger in `{}`", dir.display());
        let help =
            "the first run or import makes one; name another directory with `--ledger DIR` or `--home DIR`";
        return Err(Failure::new(Class::User, "ledger/none", message, help));
    }
    Ok(dir)
}

fn show(context: &Context, ledger: Option<&PathBuf>, run: Option<&RunId>) -> Result<ExitCode, Failure> {
    let all = aseptic_runner::entries(&directory(context, ledger)?)?;
    let of_run = |entry: &&Recorded| {
        run.is_none() || entry.entry.as_ref().is_some_and(|entry| entry.event.run() == run)
    };
    let entries: Vec<_> = all.iter().filter(of_run).collect();
    if context.json() {
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| {
                let text = String::from_utf8_lossy(&entry.bytes);
                let value = serde_json::from_slice(&entry.bytes);
                json!({ "index": entry.index, "entry": value.unwrap_or_else(|_| json!(text)) })
            })
            .collect();
        context.document(&json!({ "schema": "aseptic.ledger/1", "entries": entries }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = entries
        .iter()
        .map(|recorded| match &recorded.entry {
            Some(entry) => [
                recorded.index.to_string(),
                entry.time.to_string(),
                entry.actor.clone(),
                entry.event.kind().to_owned(),
                entry.event.subject(),
            ],
            None => [recorded.index.to_string(), "-".into(), "-".into(), "not understood".into(), "-".into()],
        })
        .collect();
    context.out(table(["entry", "time", "actor", "event", "about"], &rows));
    Ok(ExitCode::SUCCESS)
}

fn verify(
    context: &Context,
    ledger: Option<&PathBuf>,
    checkpoint: Option<&PathBuf>,
) -> Result<ExitCode, Failure> {
    let kept = checkpoint.map(read_checkpoint).transpose()?;
    let verified = aseptic_runner::verify_ledger(&directory(context, ledger)?, kept.as_ref())?;
    let unproven = match (&kept, verified.published) {
        (Some(_), _) => None,
        (None, Some(_)) => Some(
            "not proven: that nobody who holds the key rewrote it whole, or cut it back together with its \
             checkpoint; keep a copy of the file `checkpoint` elsewhere and pass it with --checkpoint",
        ),
        (None, None) => Some(
            "not proven: that no entry was cut off the end, since the checkpoint file is missing; pass a kept \
             one with --checkpoint",
        ),
    };
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.ledger-verify/1", "entries": verified.entries,
            "root": verified.root.to_string(), "key": verified.verifier.id(),
            "kept_checkpoint_entries": kept.as_ref().map(Checkpoint::size),
            "unacknowledged_bytes": verified.torn_tail, "not_proven": unproven,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    context.out(format_args!(
        "verified {} entries, root {}, key {}",
        verified.entries,
        verified.root,
        verified.verifier.id()
    ));
    if let Some(kept) = &kept {
        context.out(format_args!("it extends the kept checkpoint of {} entries", kept.size()));
    }
    if verified.torn_tail > 0 {
        context.say(format_args!(
            "note: {} bytes at the end were never acknowledged; the next entry replaces them",
            verified.torn_tail
        ));
    }
    if let Some(unproven) = unproven {
        context.say(unproven);
    }
    Ok(ExitCode::SUCCESS)
}

fn read_checkpoint(path: &PathBuf) -> Result<Checkpoint, Failure> {
    let wrong = |message: String| {
        let message = format!("`{}`: {message}", path.display());
        Failure::new(Class::User, "ledger/checkpoint", message, "pass a copy of a ledger's `checkpoint` file")
    };
    let size = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > CHECKPOINT_BYTES_MAX {
        return Err(wrong("it is too large for a checkpoint".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    text.parse().map_err(|error: aseptic_runner::NoteError| wrong(error.to_string()))
}

/// More than the ledger's own bound, which then says what is wrong with the text.
const CHECKPOINT_BYTES_MAX: u64 = 64 << 10;
