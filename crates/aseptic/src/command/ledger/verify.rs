//! `aseptic ledger verify`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::Class;
use aseptic_runner::Checkpoint;
use serde_json::json;

use super::{directory, proofs};
use crate::context::Context;
use crate::failure::Failure;

/// Check that no entry was altered, removed or reordered
///
/// Needs no network and no private key: the last signature is over the whole ledger. What this cannot see
/// is a ledger that was replaced whole, by someone who holds the key, or cut back to an older state
/// together with its checkpoint file. A checkpoint that someone else kept shows both: copy the file `checkpoint` of the ledger directory elsewhere, and pass it here later.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic ledger verify\n  \
                        aseptic ledger verify --ledger ./copy --checkpoint ./kept-in-march\n  \
                        aseptic ledger verify --since ./kept-yesterday\n  \
                        aseptic ledger verify --witnessed\n  \
                        aseptic ledger verify --run latest")]
pub(crate) struct Args {
    /// Ledger directory, instead of that of the state directory
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// Checkpoint that was kept elsewhere
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Checkpoint that was kept elsewhere; read only what came after it
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoint")]
    since: Option<PathBuf>,
    #[command(flatten)]
    more: proofs::Proven,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let kept = args.checkpoint.as_ref().or(args.since.as_ref()).map(read_checkpoint).transpose()?;
    if let Some(run) = &args.more.run {
        return proofs::verify_run(context, run, kept.as_ref());
    }
    let dir = directory(context, args.ledger.as_ref())?;
    let verified = match &kept {
        Some(since) if args.since.is_some() => aseptic_runner::verify_ledger_since(&dir, since)?,
        kept => aseptic_runner::verify_ledger(&dir, kept.as_ref())?,
    };
    let witnessed = args.more.witnessed(&dir, &verified)?;
    let unproven = match (&kept, verified.published) {
        (Some(_), _) if args.since.is_some() => Some(
            "not proven: that the entries before the checkpoint can still be read; without --since they are read",
        ),
        _ if witnessed.is_some() => None,
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
            "keys": verified.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "kept_checkpoint_entries": kept.as_ref().map(Checkpoint::size),
            "unacknowledged_bytes": verified.torn_tail,
            "not_proven": witnessed.as_ref().map_or(unproven.map(str::to_owned), |w| w.unproven.clone()),
            "witnessed": witnessed.as_ref().map(proofs::Found::document),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    context.out(format_args!(
        "verified {} entries, root {}, key {}",
        verified.entries,
        verified.root,
        verified.verifier.id()
    ));
    if let [first, _, ..] = verified.keys.as_slice() {
        let handovers = verified.keys.len() - 1;
        let times = if handovers == 1 { "handover" } else { "handovers" };
        context.out(format_args!("its first key {} led to it by {handovers} {times}", first.id()));
    }
    if let Some(kept) = &kept {
        context.out(format_args!("it extends the kept checkpoint of {} entries", kept.size()));
    }
    if verified.torn_tail > 0 {
        context.say(format_args!(
            "note: {} bytes at the end were never acknowledged; the next entry replaces them",
            verified.torn_tail
        ));
    }
    if let Some(witnessed) = &witnessed {
        witnessed.print(context);
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
