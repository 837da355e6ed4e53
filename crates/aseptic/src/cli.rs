//! The shape of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::ProjectName;
use clap::{Args, Parser, Subcommand};

use crate::command;
use crate::context::Context;
use crate::failure::Failure;

/// Run machine-learning experiments so that nothing leaks from one to another
///
/// An unmodified program runs sealed: it sees exactly the versioned inputs that its spec names, reaches
/// only the hosts that it is granted, and writes nowhere but into its own outputs, which are kept,
/// content-addressed and recorded in a ledger that can be verified. No root, no daemon.
#[derive(Debug, Parser)]
#[command(name = "aseptic", version, propagate_version = true, after_help = EXAMPLES)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  aseptic dataset add ./digits --name digits     import a directory as version 1 of `digits`
  aseptic run --data train=digits -- python3 train.py
  aseptic run train                              run the experiment `train` of aseptic.toml
  aseptic show latest                            inputs, outputs and walls of the newest run
  aseptic lineage run:train/out/model.joblib     what a file came from and what came from it
  aseptic ledger verify                          prove that no record was altered";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// State directory [default: $XDG_DATA_HOME/aseptic or ~/.local/share/aseptic]
    #[arg(long, global = true, env = "ASEPTIC_HOME", hide_env_values = true, value_name = "DIR")]
    pub(crate) home: Option<OsString>,
    /// Project, instead of the one that the spec names [default without a spec: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) project: Option<ProjectName>,
    /// Spec file [default: aseptic.toml here or in a directory above]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) spec: Option<PathBuf>,
    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

macro_rules! commands {
    ($($(#[$attribute:meta])* $variant:ident($($path:ident)::+)),+ $(,)?) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $($(#[$attribute])* $variant(command::$($path)::+::Args),)+
        }

        impl Command {
            fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
                match self {
                    $(Self::$variant(arguments) => command::$($path)::+::run(context, arguments),)+
                }
            }

            /// Whether the exit code belongs to a job.
            fn is_run(&self) -> bool {
                matches!(self, Self::Run(_))
            }
        }
    };
}

commands! {
    Init(init),
    Plan(plan),
    Run(run),
    Runs(runs),
    Show(show),
    Annotate(annotate),
    Diff(diff),
    Replay(replay),
    Logs(logs),
    Metrics(metrics),
    Export(export),
    Revoke(revoke),
    Stop(stop),
    Lineage(lineage),
    Label(label),
    Declassify(declassify),
    Env(env),
    Dataset(dataset),
    Archive(archive),
    Restore(restore),
    Retention(retention),
    Policy(policy),
    Quarantine(quarantine),
    Incident(incident),
    Gc(gc),
    Role(role),
    Ledger(ledger),
    Witness(witness),
    Attest(attest),
    Catalog(catalog),
    Doctor(doctor),
    Drill(drill),
    Project(project),
    /// A process of a drill
    #[command(hide = true)]
    DrillPart(drill_part),
    /// The gateway of a run
    #[command(hide = true)]
    GatewayPart(gateway_part),
    Completions(completions),
}

impl Cli {
    /// Carries out the command and says how it went.
    pub(crate) fn run(self) -> ExitCode {
        let is_run = self.command.is_run();
        let mut context = Context::new(self.global);
        match self.command.run(&mut context) {
            Ok(code) => context.finish(code, is_run),
            Err(failure) => ExitCode::from(context.fail(&failure, is_run)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The lines of examples of a command and of all below it.
    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines =
            help.lines().map(str::trim).filter(|line| line.starts_with("aseptic ") && !line.contains('…'));
        found.extend(lines.map(str::to_owned));
        command.get_subcommands().for_each(|below| examples(below, found));
    }

    /// The words of a line as a shell has them, up to a pipe, a file or what is said about the line.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        let mut characters = line.chars().peekable();
        while let Some(one) = characters.next() {
            match (quote, one) {
                (Some(open), close) if open == close => quote = None,
                (None, '\'' | '"') => quote = Some(one),
                (None, '|' | '>' | '<' | '&' | '#') => break,
                (None, ' ') if characters.peek() == Some(&' ') => break,
                (None, ' ') => words.push(String::new()),
                _ => words.last_mut().unwrap().push(one),
            }
        }
        assert_eq!(quote, None, "{line}");
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn every_example_is_a_command_line() {
        let mut found = Vec::new();
        examples(&Cli::command(), &mut found);
        assert!(found.len() > 80, "{found:?}");
        for line in found {
            if let Err(error) = Cli::try_parse_from(words(&line)) {
                panic!("{line}\n{error}");
            }
        }
    }
}
