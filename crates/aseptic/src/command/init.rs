use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::RunRef;
use clap::ValueHint;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Write a first aseptic.toml
///
/// Refuses to replace one that is there. Nothing else is written: the state directory is made by the
/// first command that needs it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic init\n  aseptic init ./digits --project digits\n  \
                        aseptic init --from-run latest")]
pub(crate) struct Args {
    /// Directory of the project
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Write down what this run was: command, inputs, limits, and the network that it had and wanted
    #[arg(long, value_name = "RUN", value_hint = ValueHint::Other)]
    from_run: Option<RunRef>,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let written = match &args.from_run {
        None => aseptic_runner::init(&args.directory, context.project_option())?,
        Some(run) => {
            let (project, home) = (context.project()?, context.home()?);
            aseptic_runner::init_from_run(&home, &project, run, &args.directory)?
        }
    };
    if context.json() {
        context.document(&json!({ "schema": "aseptic.init/1", "spec": written }))?;
    }
    context.say(format_args!("Wrote {}.", written.display()));
    if args.from_run.is_some() {
        context.say("Read it, above all what it grants of the network; then `aseptic run train`.");
        return Ok(ExitCode::SUCCESS);
    }
    context.say("Next: `aseptic dataset add PATH --name NAME`, then `aseptic run train`.");
    Ok(ExitCode::SUCCESS)
}
