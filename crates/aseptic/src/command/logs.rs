use std::io::{self, Write};
use std::process::ExitCode;

use aseptic_model::RunRef;
use aseptic_runner::Stream;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Print what a run printed
///
/// Standard output by default, byte for byte. Of a run that goes on, what it printed so far.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic logs latest\n  aseptic logs train --stderr\n  aseptic logs --stdin latest"
)]
pub(crate) struct Args {
    /// Run: an id, the start of one, `latest`, an experiment for its newest success, or a name
    run: RunRef,
    /// Standard error instead
    #[arg(long)]
    stderr: bool,
    /// What it was given on standard input instead
    #[arg(long, conflicts_with = "stderr")]
    stdin: bool,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let home = context.home()?;
    let stream = match (args.stdin, args.stderr) {
        (true, _) => Stream::Stdin,
        (false, true) => Stream::Stderr,
        (false, false) => Stream::Stdout,
    };
    let (bytes, log) = aseptic_runner::log(&home, &project, &args.run, stream)?;
    let dropped = log.as_ref().map_or(0, |log| log.dropped);
    if context.json() {
        let text = String::from_utf8_lossy(&bytes);
        context.document(&json!({ "schema": "aseptic.log/1", "text": text, "dropped_bytes": dropped }))?;
    } else {
        context.written(io::stdout().lock().write_all(&bytes));
        if dropped > 0 {
            context.say(format_args!("note: {dropped} more bytes were passed on and not kept"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
