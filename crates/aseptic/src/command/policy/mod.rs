use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_runner::policy::{PolicyFiles, PolicyFilesError, Problem, Severity};
use serde_json::{Value, json};

use crate::context::{Context, directory_of};
use crate::failure::Failure;

mod apply;
mod check;
mod diff;
mod explain;
mod show;
mod suggest;
mod test;

/// Write, test, explain and compare the policies that decide runs
///
/// Every run is decided before it starts: by the policies that aseptic ships, and by those of the project in
/// `policy/` beside the spec, which can only take from what is allowed. `docs/policy.md` says how to write them.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Args),
    Test(test::Args),
    Explain(explain::Args),
    Show(show::Args),
    Diff(diff::Args),
    Suggest(suggest::Args),
    Apply(apply::Args),
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Check(args) => check::run(context, args),
        Command::Test(args) => test::run(context, args),
        Command::Explain(args) => explain::run(context, args),
        Command::Show(args) => show::run(context, args),
        Command::Diff(args) => diff::run(context, args),
        Command::Suggest(args) => suggest::run(context, args),
        Command::Apply(args) => apply::run(context, args),
    }
}

/// The directory of policies: named, or that beside the spec.
fn directory(context: &Context, named: Option<&Path>) -> PathBuf {
    match (named, context.spec()) {
        (Some(named), _) => named.to_owned(),
        (None, Some(spec)) => directory_of(&spec).join("policy"),
        (None, None) => PathBuf::from("policy"),
    }
}

fn read(context: &Context, named: Option<&Path>) -> Result<PolicyFiles, PolicyFilesError> {
    PolicyFiles::read(&directory(context, named))
}

/// Prints every problem; whether one is an error.
fn complain(context: &Context, files: &PolicyFiles, problems: &[Problem]) -> bool {
    for problem in problems {
        context.complain(files.render(problem).trim_end());
    }
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

fn problem_json(problem: &Problem) -> Value {
    let Problem { path, line, column, length, severity, message, help } = problem;
    json!({
        "path": path, "line": line, "column": column, "length": length, "severity": severity.as_str(),
        "message": message, "help": help,
    })
}

/// `1 error`, `3 errors`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
