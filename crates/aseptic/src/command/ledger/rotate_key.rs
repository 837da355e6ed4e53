//! `aseptic ledger rotate-key`.

use std::process::ExitCode;

use aseptic_model::MetaValue;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Hand the ledger over to a new key
///
/// The last thing that the key signs is an entry that names the new one, so that whoever trusts the first
/// key of the ledger can follow to the present one. The private key before is removed: whoever copied it can
/// sign nothing that comes after. Checkpoints that were kept before stay good.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic ledger rotate-key --reason \"yearly\"\n  \
                        aseptic ledger rotate-key --reason \"the laptop was stolen\"")]
pub(crate) struct Args {
    /// Why; this can be erased later
    #[arg(long, value_name = "TEXT")]
    reason: Option<MetaValue>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let reason = args.reason.as_ref().map(MetaValue::as_str);
    let rotated = aseptic_runner::rotate_key(&mut home, &project, reason)?;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.ledger-rotate-key/1", "entry": rotated.entry,
            "before": rotated.before, "after": rotated.after,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    context.out(format_args!(
        "entry {} hands the ledger over\nfrom {}\nto {}",
        rotated.entry, rotated.before, rotated.after
    ));
    context
        .say("witnesses learn of the new key only from you: give them the last line of the file `verifier`");
    Ok(ExitCode::SUCCESS)
}
