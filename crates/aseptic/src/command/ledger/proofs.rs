use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_model::{Class, RunRef, Timestamp};
use aseptic_runner::{Checkpoint, LogProof, Policy, ProveError, Verified, Witnessed};
use clap::ValueHint;
use serde_json::{Value, json};

use super::directory;
use crate::context::Context;
use crate::failure::Failure;

/// Longest policy file that is read: more than the bound of the parser, which then says what is wrong.
const POLICY_BYTES_MAX: u64 = 128 << 10;

/// What else `ledger verify` looks at.
#[derive(Debug, clap::Args)]
pub(super) struct Proven {
    /// Say also what witnesses prove, and up to where
    #[arg(long)]
    witnessed: bool,
    /// Judge by the witnesses of this policy, instead of that of the ledger
    #[arg(long, value_name = "FILE", requires = "witnessed")]
    policy: Option<PathBuf>,
    /// Verify only the entries of this run, each by a proof against the checkpoint
    #[arg(long, value_name = "RUN", value_hint = ValueHint::Other, conflicts_with_all = ["witnessed", "ledger"])]
    pub(super) run: Option<RunRef>,
}

/// What witnesses prove, and in one sentence what they do not.
pub(super) struct Found {
    witnessed: Witnessed,
    total: u64,
    pub(super) unproven: Option<String>,
}

impl Proven {
    /// What witnesses prove of a ledger that was verified, if that was asked.
    pub(super) fn witnessed(&self, dir: &Path, verified: &Verified) -> Result<Option<Found>, Failure> {
        if !self.witnessed {
            return Ok(None);
        }
        let policy = match &self.policy {
            Some(path) => read_policy(path)?,
            None => aseptic_runner::witness_policy(dir)?,
        };
        let witnessed = match &verified.checkpoint {
            Some(checkpoint) => aseptic_runner::witnessed(dir, &policy, checkpoint)?,
            None => Witnessed { entries: None, witnesses: Vec::new(), beyond: Vec::new() },
        };
        let total = verified.entries;
        let unproven = match witnessed.entries.filter(|_| policy.needs_witnesses()) {
            None if policy.witnesses().is_empty() => Some(
                "not proven: that nobody who holds the key of the ledger rewrote it whole, since no witness has \
                 cosigned it; `aseptic ledger witness add` names one"
                    .to_owned(),
            ),
            None => Some(
                "not proven: that nobody who holds the key of the ledger rewrote it whole, since too few of its \
                 witnesses have cosigned it; `aseptic ledger witness update` asks them"
                    .to_owned(),
            ),
            Some(entries) if entries < total => Some(format!(
                "not proven: that nobody who holds the key of the ledger replaced entries from {entries} on; \
                 `aseptic ledger witness update` asks the witnesses about them"
            )),
            Some(_) => None,
        };
        Ok(Some(Found { witnessed, total, unproven }))
    }
}

impl Found {
    pub(super) fn document(&self) -> Value {
        let Witnessed { entries, witnesses, beyond } = &self.witnessed;
        let entries = entries.filter(|_| !witnesses.is_empty());
        let witnesses: Vec<_> =
            witnesses.iter().map(|(name, time)| json!({ "name": name, "time": instant(*time) })).collect();
        let beyond: Vec<_> =
            beyond.iter().map(|(entries, names)| json!({ "entries": entries, "witnesses": names })).collect();
        json!({ "entries": entries, "witnesses": witnesses, "beyond": beyond })
    }

    pub(super) fn print(&self, context: &Context) {
        let Witnessed { entries, witnesses, beyond } = &self.witnessed;
        if let Some(entries) = entries.filter(|_| !witnesses.is_empty()) {
            let names: Vec<_> =
                witnesses.iter().map(|(name, time)| format!("{name} ({})", instant(*time))).collect();
            context.out(format_args!(
                "witnessed: the first {entries} of {} entries, cosigned by {}",
                self.total,
                names.join(", ")
            ));
        }
        for (entries, names) in beyond {
            context.say(format_args!(
                "note: {} cosigned {entries} entries, which is not enough of the witnesses",
                names.join(", ")
            ));
        }
        if let Some(unproven) = &self.unproven {
            context.say(unproven);
        }
    }
}

/// An instant that a witness stated, in seconds since 1970.
pub(super) fn instant(seconds: u64) -> String {
    let milliseconds = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    Timestamp::from_unix_ms(milliseconds).map_or_else(|| seconds.to_string(), |time| time.to_string())
}

/// The policy in a file of the user.
pub(super) fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let wrong = |message: String| {
        let message = format!("`{}`: {message}", path.display());
        Failure::new(Class::User, "ledger/policy", message, "correct the policy; docs/witness.md shows one")
    };
    let text = read_text(path, POLICY_BYTES_MAX).map_err(wrong)?;
    text.parse().map_err(|error: aseptic_runner::PolicyError| wrong(error.to_string()))
}

/// The text of a small file of the user.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(limit + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > limit { Err(format!("it has more than {limit} bytes")) } else { Ok(text) }
}

/// Writes a result of the user to a new file, for this user alone: nothing that is there is replaced.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    let new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    new.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        let message = format!("could not write `{}`: {error}", path.display());
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::new(Class::User, "ledger/export", message, "name a file that is not there yet")
            }
            _ => Failure::new(
                Class::Host,
                "ledger/witness-file",
                message,
                "check the path and its permissions",
            ),
        }
    })
}

pub(super) fn verify_run(
    context: &Context,
    run: &RunRef,
    kept: Option<&Checkpoint>,
) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let home = context.home()?;
    let (run, proven, tree) = aseptic_runner::verify_run(&home, &project, run, kept)?;
    if context.json() {
        let entries: Vec<_> =
            proven.iter().map(|entry| json!({ "index": entry.index, "event": entry.kind })).collect();
        context.document(&json!({
            "schema": "aseptic.ledger-verify-run/1", "run": run, "proven": entries,
            "entries": tree.size(), "root": tree.root().to_string(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for entry in &proven {
        context.out(format_args!("entry {}  {}", entry.index, entry.kind));
    }
    let count = proven.len();
    context.out(format_args!(
        "verified {count} entries of run {run}, each in the tree of {} entries, root {}",
        tree.size(),
        tree.root()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Bring the published tiles up to date
///
/// The directory `tiles` of the ledger holds all entries and hashes as static files, in the form that the Go
/// checksum database and certificate logs use (C2SP tlog-tiles). Any web server can give it to others, who then
/// check the ledger without trusting this machine. Entries name people, paths and parameters.
#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    /// Ledger directory, instead of that of the state directory
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
}

pub(super) fn publish(context: &Context, args: &Publish) -> Result<ExitCode, Failure> {
    let dir = opened(context, args.ledger.as_ref())?;
    let entries = aseptic_runner::publish(&dir)?;
    let tiles = dir.join("tiles");
    if context.json() {
        let document =
            json!({ "schema": "aseptic.ledger-publish/1", "entries": entries, "directory": tiles });
        context.document(&document)?;
    } else {
        context.out(format_args!("published {entries} entries in {}", tiles.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The directory of the ledger; that of the state directory is opened first, so that what a crash left is mended.
fn opened(context: &Context, named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let dir = directory(context, named)?;
    if named.is_none() {
        context.home()?;
    }
    Ok(dir)
}

/// Print the signed statement of what the ledger holds
///
/// It has the number of entries, the root of their tree, the signature of the ledger, and the cosignatures of
/// witnesses that were collected for it. Kept elsewhere, it shows later whether the ledger was rewritten or lost
/// entries: `aseptic ledger verify --checkpoint FILE`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic ledger checkpoint > kept-in-march")]
pub(super) struct Show {
    /// Ledger directory, instead of that of the state directory
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
}

pub(super) fn checkpoint(context: &Context, args: &Show) -> Result<ExitCode, Failure> {
    let checkpoint = aseptic_runner::checkpoint(&opened(context, args.ledger.as_ref())?)?;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.ledger-checkpoint/1", "origin": checkpoint.origin(),
            "entries": checkpoint.size(), "root": checkpoint.root().to_string(), "note": checkpoint.to_string(),
        }))?;
    } else {
        context.out(checkpoint.to_string().trim_end_matches('\n'));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prove to somebody else that an entry is in the ledger
///
/// The proof is one small text (C2SP tlog-proof). It holds the entry, its place in the tree, and a checkpoint: the
/// newest one that enough witnesses cosigned, where there is one with the entry. Whoever has the verifier key of
/// the ledger can check it without the ledger and without this machine. Of a run, the entry that sealed it is
/// proven, which names its record by digest.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic ledger prove latest --out run.tlog-proof\n  aseptic ledger prove 42"
)]
pub(super) struct Prove {
    /// Run, or the index of an entry
    #[arg(value_name = "RUN|INDEX", value_hint = ValueHint::Other)]
    what: String,
    /// File to write, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn prove(context: &Context, args: &Prove) -> Result<ExitCode, Failure> {
    let proof = proven(context, &args.what)?;
    let text = proof.to_string();
    if let Some(path) = &args.out {
        write_text(path, &text)?;
    }
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.ledger-prove/1", "index": proof.index, "entries": proof.checkpoint.size(),
            "root": proof.checkpoint.root().to_string(), "proof": text,
        }))?;
    } else if let Some(path) = &args.out {
        let (index, entries, path) = (proof.index, proof.checkpoint.size(), path.display());
        context.out(format_args!("wrote the proof that entry {index} is one of {entries} to {path}"));
    } else {
        context.out(text.trim_end_matches('\n'));
    }
    Ok(ExitCode::SUCCESS)
}

fn proven(context: &Context, what: &str) -> Result<LogProof, Failure> {
    let run: RunRef = what.parse().map_err(|error| {
        let message = format!("`{what}` is no run and no index: {error}");
        Failure::new(Class::User, "ledger/not-in", message, "name a run, or an entry by its number")
    })?;
    let home = context.home()?;
    let index = what.parse::<u64>().ok().filter(|_| run.as_id().is_none());
    let proof: Result<_, ProveError> = match index {
        Some(index) => aseptic_runner::prove_viewed(&home, &context.project()?, index),
        None => aseptic_runner::prove_run(&home, &context.project()?, &run),
    };
    Ok(proof?)
}
