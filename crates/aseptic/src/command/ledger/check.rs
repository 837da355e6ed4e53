use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_model::{Class, Entry, from_canonical};
use aseptic_runner::{LogProof, VerifierKey};
use serde_json::json;

use super::directory;
use super::proofs::{instant, read_policy, read_text};
use crate::context::Context;
use crate::failure::Failure;

/// Check a proof that somebody gave
///
/// Needs no ledger and no state directory: only the proof (C2SP tlog-proof), the verifier keys of the ledger that it
/// is from, which must be known from elsewhere, and a policy if witnesses count. The entry is taken from the proof,
/// and printed once it is proven.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic ledger check run.tlog-proof --verifier ledger.verifier\n  \
                        aseptic ledger check run.tlog-proof --verifier ledger.verifier --policy witnesses")]
pub(super) struct Args {
    /// The proof, as `aseptic ledger prove` writes it
    #[arg(value_name = "FILE")]
    proof: PathBuf,
    /// Verifier keys of its ledger, one a line, such as a copy of its file `verifier` [default: this machine's]
    #[arg(long, value_name = "FILE")]
    verifier: Option<PathBuf>,
    /// Witnesses that must have cosigned it, as C2SP tlog-policy has them
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// More than the bounds of the parsers, which then say what is wrong.
const FILE_BYTES_MAX: u64 = 256 << 10;

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let text = read_text(&args.proof, FILE_BYTES_MAX).map_err(|message| unreadable(&args.proof, &message))?;
    let proof: LogProof = text.parse()?;
    let Some(entry) = &proof.extra else {
        let message = format!("`{}` does not have the entry that it is about", args.proof.display());
        let help = "ask for a proof with the entry, as `aseptic ledger prove` writes it";
        return Err(Failure::new(Class::User, "ledger/proof", message, help));
    };
    proof.verify(entry)?;
    let checkpoint = &proof.checkpoint;
    let key = keys(context, args)?.into_iter().find(|key| checkpoint.is_signed_by(key)).ok_or_else(|| {
        let message =
            format!("the checkpoint of `{}` is signed by no key that was given", checkpoint.origin());
        let help = "compare the keys with those that the owner of the ledger published";
        Failure::new(Class::Damaged, "ledger/key", message, help)
    })?;
    let witnesses = match &args.policy {
        None => None,
        Some(path) => {
            let judged = read_policy(path)?.judge(checkpoint).map_err(|error| {
                let help = "compare the policy with the witnesses that the owner of the ledger names";
                Failure::new(Class::Damaged, "ledger/cosignature", error.to_string(), help)
            })?;
            if !judged.quorum {
                let message =
                    "too few witnesses of the policy cosigned the checkpoint of the proof".to_owned();
                let help = "ask for a proof that enough of them cosigned";
                return Err(Failure::new(Class::Damaged, "ledger/no-quorum", message, help));
            }
            Some(judged.witnesses)
        }
    };
    if context.json() {
        let entry = serde_json::from_slice(entry).unwrap_or_else(|_| json!(String::from_utf8_lossy(entry)));
        let witnesses = witnesses.map(|all| {
            let one = |(name, time): &(String, u64)| json!({ "name": name, "time": instant(*time) });
            all.iter().map(one).collect::<Vec<_>>()
        });
        context.document(&json!({
            "schema": "aseptic.ledger-check/1", "origin": checkpoint.origin(), "key": key.id(),
            "index": proof.index, "entries": checkpoint.size(), "root": checkpoint.root().to_string(),
            "entry": entry, "witnesses": witnesses,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    match from_canonical::<Entry>(entry) {
        Ok(entry) => context.out(format_args!(
            "{}  {}  {}  {}",
            entry.time,
            entry.actor,
            entry.event.kind(),
            entry.event.subject()
        )),
        Err(_) => context.say("note: this version does not understand the entry"),
    }
    context.out(format_args!(
        "proven: entry {} of {} of {}, root {}, key {}",
        proof.index,
        checkpoint.size(),
        checkpoint.origin(),
        checkpoint.root(),
        key.id()
    ));
    for (name, time) in witnesses.iter().flatten() {
        context.out(format_args!("cosigned by {name} ({})", instant(*time)));
    }
    if witnesses.is_none() {
        context.say("not proven: that the ledger shows everybody the same; pass its witnesses with --policy");
    }
    Ok(ExitCode::SUCCESS)
}

fn keys(context: &Context, args: &Args) -> Result<Vec<VerifierKey>, Failure> {
    let path = match &args.verifier {
        Some(path) => path.clone(),
        None => directory(context, None)?.join("verifier"),
    };
    let text = read_text(&path, FILE_BYTES_MAX).map_err(|message| unreadable(&path, &message))?;
    let keys: Result<Vec<VerifierKey>, _> = text.lines().map(str::parse).collect();
    keys.map_err(|error: aseptic_runner::NoteError| unreadable(&path, &error.to_string()))
}

fn unreadable(path: &Path, message: &str) -> Failure {
    let message = format!("`{}`: {message}", path.display());
    Failure::new(
        Class::User,
        "ledger/check",
        message,
        "pass a proof, and a copy of the ledger's file `verifier`",
    )
}
