use std::process::ExitCode;

use crate::context::Context;
use crate::failure::Failure;

mod export;
mod key;
mod show;
mod verify;

/// Prove to others what a run did, in the formats that they read
///
/// When a run is sealed, two statements about its outputs are signed: how they came to be (SLSA provenance), and what
/// the run read, which hosts it reached and what it was denied (runtime trace). The ledger names them, and the key.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Show(show::Args),
    Verify(verify::Args),
    Export(export::Args),
    Key(key::Args),
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Show(args) => show::run(context, args),
        Action::Verify(args) => verify::run(context, args),
        Action::Export(args) => export::run(context, args),
        Action::Key(args) => key::run(context, args),
    }
}
