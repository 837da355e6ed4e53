use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::Class;
use aseptic_runner::{Answered, Checkpoint, Policy, Required, WitnessKey, WitnessUpdate};
use clap::ValueHint;
use serde_json::json;

use super::proofs::{instant, read_policy, read_text, write_text};
use crate::command::network;
use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;

/// Longest answer of a witness that is read from a file.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Choose who witnesses the ledger, and ask them
///
/// A witness is another machine with another key. It remembers how far the ledger went, and signs a checkpoint only
/// if it continues what the witness saw before. So nobody can rewrite the ledger without being seen, not even
/// someone who holds its key.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add a witness
    #[command(after_help = "Examples:\n  \
        aseptic ledger witness add witness.example/one+1a2b3c4d+BAmX… --name one --url https://witness.example\n  \
        aseptic ledger witness add witness.example/two+5e6f7a8b+BKp2… --name two --require 1")]
    Add {
        /// Verifier key of the witness; `aseptic witness key` prints it
        #[arg(value_name = "VKEY", value_hint = ValueHint::Other)]
        key: WitnessKey,
        /// Name in the policy, instead of that of the key
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Prefix of its address; without it, it is asked by file
        #[arg(long, value_name = "URL", value_parser = url)]
        url: Option<String>,
        /// How many of all witnesses are enough: `all`, `any` or a number [default: as before; at first `all`]
        #[arg(long, value_name = "HOW-MANY")]
        require: Option<Required>,
    },
    /// Remove a witness
    Remove {
        /// Its name in the policy
        #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
        name: String,
        /// How many of those that are left are enough: `all`, `any` or a number [default: as before]
        #[arg(long, value_name = "HOW-MANY")]
        require: Option<Required>,
    },
    /// Take a whole policy from a file, such as one with groups of witnesses
    #[command(after_help = "Examples:\n  aseptic ledger witness set ./policy")]
    Set {
        /// A policy as C2SP tlog-policy has it; its lines `log` are replaced by the keys of this ledger
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the policy, for whoever checks proofs of this ledger
    List,
    /// Ask the witnesses to cosign the ledger as it is now
    ///
    /// Those without a URL are asked by file: write a request, carry it to the witness, run `aseptic witness sign`
    /// there, and bring its answer back.
    #[command(after_help = "Examples:\n  aseptic ledger witness update\n  \
                            aseptic ledger witness update --request ./to-witness --witness one\n  \
                            aseptic ledger witness update --cosignature ./from-witness")]
    Update {
        /// File to write with the request for one witness, instead of asking over the network
        #[arg(long, value_name = "FILE", conflicts_with = "cosignature")]
        request: Option<PathBuf>,
        /// The witness that the request is for; needed where there are several
        #[arg(long, value_name = "NAME", requires = "request")]
        witness: Option<String>,
        /// How many entries the witness saw last, where it says so
        #[arg(long, value_name = "SIZE", requires = "request")]
        old: Option<u64>,
        /// File with the answer of a witness
        #[arg(long, value_name = "FILE")]
        cosignature: Option<PathBuf>,
    },
}

/// A word, as a policy can hold it.
fn url(text: &str) -> Result<String, String> {
    let web = text.starts_with("https://") || text.starts_with("http://");
    let odd = text.chars().any(|c| c.is_whitespace() || c.is_control());
    if web && !odd && !text.contains('@') {
        Ok(text.to_owned())
    } else {
        Err("expected a URL with `https://` or `http://`, without a user".to_owned())
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Add { key, name, url, require } => {
            let (project, mut home) = (context.project()?, context.home()?);
            let (name, key, url) = (name.as_deref(), key.clone(), url.clone());
            show(context, &aseptic_runner::add_witness(&mut home, &project, name, key, url, *require)?)
        }
        Action::Remove { name, require } => {
            let (project, mut home) = (context.project()?, context.home()?);
            show(context, &aseptic_runner::remove_witness(&mut home, &project, name, *require)?)
        }
        Action::Set { file } => {
            let policy = read_policy(file)?;
            let (project, mut home) = (context.project()?, context.home()?);
            aseptic_runner::set_witness_policy(&mut home, &project, &policy)?;
            show(context, &aseptic_runner::witness_policy(&home.ledger_dir())?)
        }
        Action::List => show(context, &aseptic_runner::witness_policy(&super::directory(context, None)?)?),
        Action::Update { request: Some(path), witness, old, .. } => {
            let home = context.home()?;
            let dir = home.ledger_dir();
            let request = aseptic_runner::witness_request(&dir, witness.as_deref(), *old)?;
            write_text(path, &request.to_string())?;
            let (old, size) = (request.old, request.checkpoint.size());
            if context.json() {
                context.document(&json!({
                    "schema": "aseptic.ledger-witness-request/1", "old": old, "entries": size, "file": path,
                }))?;
            } else {
                let path = path.display();
                context.out(format_args!("wrote the request for entries {old} to {size} to {path}"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Update { cosignature: Some(path), .. } => {
            let answer = read_text(path, ANSWER_BYTES_MAX).map_err(|error| {
                let message = format!("`{}`: {error}", path.display());
                Failure::new(
                    Class::User,
                    "ledger/cosignature",
                    message,
                    "pass what `aseptic witness sign` wrote",
                )
            })?;
            let home = context.home()?;
            let (name, checkpoint) = aseptic_runner::take_cosignature(&home.ledger_dir(), &answer)?;
            let quorum = is_enough(&home.ledger_dir(), &checkpoint)?;
            if context.json() {
                context.document(&json!({
                    "schema": "aseptic.ledger-witness-update/1", "entries": checkpoint.size(), "quorum": quorum,
                    "witnesses": [{ "name": name, "answer": "cosigned" }], "note": checkpoint.to_string(),
                }))?;
            } else {
                context.out(format_args!("{name} cosigned {} entries", checkpoint.size()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Update { .. } => update(context),
    }
}

fn is_enough(dir: &std::path::Path, checkpoint: &Checkpoint) -> Result<bool, Failure> {
    let policy = aseptic_runner::witness_policy(dir)?;
    Ok(policy.judge(checkpoint).is_ok_and(|judged| judged.quorum))
}

fn show(context: &Context, policy: &Policy) -> Result<ExitCode, Failure> {
    if context.json() {
        let witnesses: Vec<_> = policy
            .witnesses()
            .iter()
            .map(|w| json!({ "name": w.name, "key": w.key.to_string(), "url": w.url }))
            .collect();
        let required = policy.required().map(|required| required.to_string());
        context.document(&json!({
            "schema": "aseptic.ledger-witness/1", "witnesses": witnesses,
            "required": required, "policy": policy.to_string(),
        }))?;
    } else {
        context.out(policy.to_string().trim_end_matches('\n'));
    }
    Ok(ExitCode::SUCCESS)
}

fn update(context: &Context) -> Result<ExitCode, Failure> {
    let home = context.home()?;
    let updated = aseptic_runner::update_witnesses(&home.ledger_dir(), &network::proxy())?;
    let WitnessUpdate { checkpoint, quorum, answers } = updated;
    let answers: Vec<[String; 2]> = answers.into_iter().map(|(name, answer)| [name, words(answer)]).collect();
    if context.json() {
        let witnesses: Vec<_> =
            answers.iter().map(|[name, answer]| json!({ "name": name, "answer": answer })).collect();
        context.document(&json!({
            "schema": "aseptic.ledger-witness-update/1", "entries": checkpoint.size(), "quorum": quorum,
            "witnesses": witnesses, "note": checkpoint.to_string(),
        }))?;
    } else {
        context.out(table(["witness", "answer"], &answers));
    }
    if quorum {
        context.say(format_args!("{} entries are witnessed", checkpoint.size()));
        return Ok(ExitCode::SUCCESS);
    }
    let message = format!("too few witnesses cosigned the {} entries", checkpoint.size());
    let help = "what was cosigned is kept; ask again when the others answer, or by file with --request";
    let failure = Failure::new(Class::Host, "ledger/no-quorum", message, help);
    context.complain(failure.render().trim_end_matches('\n'));
    Ok(ExitCode::from(failure.exit_code()))
}

/// What a witness answered, in a line.
fn words(answer: Answered) -> String {
    match answer {
        Answered::Cosigned(time) => format!("cosigned at {}", instant(time)),
        Answered::ByFile => "has no URL; ask it by file with --request".to_owned(),
        Answered::Refused { status, words } => format!("refused ({status}): {words}"),
        Answered::Failed(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}
