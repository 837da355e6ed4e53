use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Write a first aseptic.toml
///
/// Refuses to replace one that is there. Nothing else is written: the state directory is made by the
/// first command that needs it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic init\n  aseptic init ./digits --project digits")]
pub(crate) struct Args {
    /// Directory of the project
    #[arg(default_value = ".")]
    directory: PathBuf,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let written = aseptic_runner::init(&args.directory, context.project_option())?;
    if context.json() {
        context.document(&json!({ "schema": "aseptic.init/1", "spec": written }))?;
    }
    context.say(format_args!("Wrote {}.", written.display()));
    context.say("Next: `aseptic dataset add PATH --name NAME`, then `aseptic run train`.");
    Ok(ExitCode::SUCCESS)
}
