//! The `aseptic` command: arguments in, one library call, text out.
//!
//! **Invariant:** no rules of its own. What is decided, stored or enforced lives in the crates below;
//! this one reads arguments and the environment, prints, and sets the exit code.
#![forbid(unsafe_code)]

mod cli;
mod command;
mod context;
mod failure;
mod progress;
mod shower;
mod signals;
mod table;
mod terminal;
mod visible;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;

fn main() -> ExitCode {
    // A file size limit of the caller's shell is an error of the write, not the end of this process.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let arguments: Vec<_> = std::env::args_os().collect();
    let parsed = match cli::Cli::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // The exit code of `run` belongs to the job, so its own mistakes have one apart.
            let run = arguments.iter().take_while(|word| *word != "--").any(|word| word == "run");
            let code = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ if run => failure::RUN_FAILED,
                _ => failure::USAGE,
            };
            match code {
                0 => drop(error.print()),
                // It repeats what was typed, or what a script put together from names of files.
                _ => drop(write!(io::stderr().lock(), "{}", visible::lines(&error.to_string()))),
            }
            return ExitCode::from(code);
        }
    };
    parsed.run()
}
