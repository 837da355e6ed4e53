use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::MetaValue;
use serde_json::json;

use super::{complain, read};
use crate::context::Context;
use crate::failure::{Failure, USAGE};

/// Put the policies of a directory in force: they decide every run of the project from then on
///
/// `aseptic policy diff` shows before what that changes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic policy apply --reason \"no network at night\"\n  \
                        aseptic policy apply ../shared/policy --reason reviewed")]
pub(super) struct Args {
    /// The directory [default: `policy` beside the spec]
    directory: Option<PathBuf>,
    /// Why; it can be erased later
    #[arg(long, value_name = "TEXT")]
    reason: MetaValue,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let files = read(context, args.directory.as_deref())?;
    let (project, mut home) = (context.project()?, context.home()?);
    if complain(context, &files, &files.problems(&project)) && !context.json() {
        return Ok(ExitCode::from(USAGE));
    }
    let reason = Some(args.reason.to_string());
    let applied = aseptic_runner::policy::apply(&mut home, &project, &files.directory, reason)?;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.policy-apply/1", "policy": applied.policy, "before": applied.before,
            "changed": applied.changed, "signer": applied.signer,
        }))?;
    } else if applied.changed {
        context.out(format_args!("{} decides project `{project}` from now on", applied.policy));
    } else {
        context.out(format_args!("{} was in force already", applied.policy));
    }
    Ok(ExitCode::SUCCESS)
}
