use std::process::ExitCode;

use aseptic_model::{Grant, RunRef};
use clap::ValueHint;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Take a network destination back from a run that goes on
///
/// Its connections are cut at once, and no other is made. The job goes on without it. The revocation is an
/// entry of the ledger and part of the run's record.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic revoke latest huggingface.co:443")]
pub(crate) struct Args {
    /// Run: an id, the start of one, `latest`, or a name
    #[arg(value_hint = ValueHint::Other)]
    run: RunRef,
    /// Destination as in its plan; `aseptic show RUN` lists them
    #[arg(value_name = "HOST:PORT", value_hint = ValueHint::Other)]
    grant: Grant,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let mut home = context.home()?;
    let (run, cut) = aseptic_runner::revoke(&mut home, &project, &args.run, &args.grant)?;
    if context.json() {
        let grant = &args.grant;
        context.document(&json!({ "schema": "aseptic.revoke/1", "run": run, "grant": grant, "cut": cut }))?;
    } else {
        let connections = if cut == 1 { "connection" } else { "connections" };
        context.out(format_args!("revoked {} of run {run}, {cut} {connections} cut", args.grant));
    }
    Ok(ExitCode::SUCCESS)
}
