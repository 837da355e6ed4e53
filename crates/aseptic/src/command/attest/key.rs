use std::process::ExitCode;

use aseptic_runner::{attestation_key, rotate_attestation_key};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Print the public key of attestations, or make another
///
/// It is an ECDSA key on P-256, made on first use, and its public half is in the ledger before it signs. After a
/// rotation, what the old key signed stays valid: the ledger says which key was in force when.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic attest key > key.pem\n  \
                        aseptic attest key --rotate --reason 'yearly'")]
pub(crate) struct Args {
    /// Make another key and sign with it from now on
    #[arg(long, requires = "reason")]
    rotate: bool,
    /// Why; recorded
    #[arg(long, value_name = "TEXT", requires = "rotate")]
    reason: Option<String>,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let key = match (&args.reason, args.rotate) {
        (Some(reason), true) => rotate_attestation_key(&mut home, &project, reason.clone())?,
        _ => attestation_key(&mut home, &project)?,
    };
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.attest-key/1", "key": key.id(), "public_key": key.pem(), "rotated": args.rotate,
        }))?;
    } else {
        context.out(key.pem().trim_end());
        context.say(format_args!("key {}", key.id()));
    }
    Ok(ExitCode::SUCCESS)
}
