use std::ffi::OsString;
use std::process::ExitCode;

use crate::context::Context;
use crate::failure::Failure;

/// Be the gateway of a run
///
/// Started by `aseptic run` itself; of no use to anybody else.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What it is told at its start
    words: Vec<OsString>,
}

pub(crate) fn run(_context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    aseptic_runner::gateway_part(&args.words)?;
    Ok(ExitCode::SUCCESS)
}
