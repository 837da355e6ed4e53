use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::{Class, InputRef};
use aseptic_runner::{Existing, IfQuarantined};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Copy outputs of a run to a directory
///
/// Every byte is compared with its digest on the way. Files that are there already are not replaced
/// unless `--overwrite` is given. The export is an entry of the ledger.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic export run:train/out --to ./results\n  \
                        aseptic export latest/out/model.joblib --to .")]
pub(crate) struct Args {
    /// Outputs: RUN or RUN/PATH, with or without `run:` before it
    #[arg(value_name = "RUN[/PATH]")]
    outputs: String,
    /// Directory to copy to; made if it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
    /// Export outputs that something in quarantine reaches, too; the ledger says so
    #[arg(long)]
    quarantined: bool,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let text = args.outputs.strip_prefix("run:").unwrap_or(&args.outputs);
    let wrong = |message: String| {
        let help = "name outputs as RUN or RUN/PATH; `aseptic show RUN` lists them";
        Failure::new(Class::User, "export/outputs", message, help)
    };
    let reference = format!("run:{text}").parse();
    let InputRef::Artifact { run, path } =
        reference.map_err(|error: aseptic_model::InputRefError| wrong(error.to_string()))?
    else {
        return Err(wrong(format!("`{text}` names no run")));
    };
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Refuse };
    let project = context.project()?;
    let mut home = context.home()?;
    let quarantined = if args.quarantined { IfQuarantined::Export } else { IfQuarantined::Refuse };
    let (run, exported) =
        aseptic_runner::export(&mut home, &project, &run, path.as_ref(), &args.to, existing, quarantined)?;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.export/1", "run": run, "files": exported.files, "bytes": exported.bytes,
            "links": exported.links, "to": args.to,
        }))?;
    } else {
        let what = crate::table::amount(exported.files, exported.bytes);
        context.out(format_args!("exported {what} of run {run} to {}", args.to.display()));
    }
    Ok(ExitCode::SUCCESS)
}
