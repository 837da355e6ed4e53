use std::ffi::OsString;
use std::process::ExitCode;

use aseptic_model::Class;

use crate::context::Context;
use crate::failure::Failure;

/// Play the part of a process of `aseptic drill`
///
/// Started by the drill itself, in runs and outside; of no use to anybody else.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The part, and what it is about
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(_context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let played = aseptic_runner::drill_part(&args.words);
    played.map(|()| ExitCode::SUCCESS).map_err(|error| {
        let help = "this command is for `aseptic drill`, which starts it";
        Failure::new(Class::Internal, "drill/part", error.to_string(), help)
    })
}
