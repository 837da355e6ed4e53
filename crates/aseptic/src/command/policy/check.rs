use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_runner::policy::Severity;
use serde_json::{Value, json};

use super::{complain, count, problem_json, read};
use crate::context::Context;
use crate::failure::{Failure, USAGE};

/// Say everything that is the matter with policies, settings, roles and tests
///
/// Each problem is shown with its line and what would mend it. Nothing is put in force, and no state is needed. The exit
/// code is 2 when there is an error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic policy check\n  aseptic policy check ../shared/policy --json")]
pub(super) struct Args {
    /// The directory [default: `policy` beside the spec]
    directory: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let files = read(context, args.directory.as_deref())?;
    let problems = files.problems(&context.project()?);
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    if context.json() {
        let problems: Vec<Value> = problems.iter().map(problem_json).collect();
        let digest = files.document.digest().ok();
        context.document(&json!({
            "schema": "aseptic.policy-check/1", "digest": digest, "errors": errors, "problems": problems,
        }))?;
    } else {
        complain(context, &files, &problems);
        let own = files.document.listed().iter().filter(|one| one.is_own()).count();
        let (own, tests) =
            (count(own, "policy").replace("policys", "policies"), count(files.tests.len(), "file"));
        match (errors, problems.len()) {
            (0, 0) => context.out(format_args!("{own} and {tests} of tests: nothing is the matter")),
            (0, warnings) => {
                context.out(format_args!("{own} and {tests} of tests: {}", count(warnings, "warning")))
            }
            (errors, _) => {
                context.out(format_args!("{own} and {tests} of tests: {}", count(errors, "error")))
            }
        }
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(USAGE) })
}
