use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Failure;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic completions bash > ~/.local/share/bash-completion/completions/aseptic"
)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    // What is hidden from help would be offered: clap_complete knows no hidden subcommands.
    let all = Cli::command();
    let mut shown = clap::Command::new("aseptic")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .disable_help_subcommand(true)
        .args(all.get_arguments())
        .subcommands(all.get_subcommands().filter(|command| !command.is_hide_set()));
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown, "aseptic", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Zsh {
        // A colon ends the description of a value there, and what follows is executed.
        script = script.replace(":HOST:PORT", ":HOST\\:PORT");
    }
    context.written(io::stdout().write_all(script.as_bytes()));
    Ok(ExitCode::SUCCESS)
}
