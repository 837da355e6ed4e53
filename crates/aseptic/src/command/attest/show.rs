use std::process::ExitCode;

use aseptic_model::RunRef;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;

/// Show the signed statements about a run
///
/// No signature is verified by this: see `aseptic attest verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic attest show latest\n  aseptic attest show --json train")]
pub(crate) struct Args {
    /// Run: an id, the start of one, `latest`, an experiment for its newest success, or a name
    run: RunRef,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, home) = (context.project()?, context.home()?);
    let attested = aseptic_runner::attest_show(&home, &project, &args.run)?;
    let keys: Vec<_> = attested.envelopes.iter().flat_map(|envelope| envelope.keyids()).collect();
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.attest/1", "run": attested.run, "attestation": attested.digest, "keys": keys,
            "statements": attested.statements,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    context.out(format_args!("run          {}", attested.run));
    context.out(format_args!("attestation  {}", attested.digest));
    for (statement, key) in attested.statements.iter().zip(&keys) {
        context.out(format_args!("statement    {}", statement.predicate_type));
        context.out(format_args!("  about      {}", super::verify::subjects(statement)));
        context.out(format_args!("  key        {key}"));
        for (name, at) in
            [("complete", "/coverage/files/complete"), ("network", "/coverage/network/complete")]
        {
            if let Some(Value::Bool(complete)) = statement.predicate.pointer(at) {
                let what = if name == "complete" { "files read" } else { "hosts reached" };
                let how = if *complete { "complete" } else { "not complete" };
                context.out(format_args!("  {what:<14}{how}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
