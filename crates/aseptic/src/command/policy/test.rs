use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_runner::policy::{CaseReport, TestReport};
use serde_json::{Value, json};

use super::{complain, count, read};
use crate::context::Context;
use crate::failure::{CASE_FAILED, Failure, USAGE};
use crate::table;

/// Try the cases of `policy/tests/*.toml`: a plan in short each, and what must be decided about it
///
/// A case can also be about a recorded run, with its facts of then and the policies of now. Own policies that spoke in
/// no case are listed. The exit code is 1 when a case is not as it expects.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic policy test\n  aseptic policy test --filter holdout\n  \
                        aseptic policy test --filter tests/labels.toml:12 --json")]
pub(super) struct Args {
    /// The directory [default: `policy` beside the spec]
    directory: Option<PathBuf>,
    /// Only cases whose `FILE:LINE NAME` holds this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let files = read(context, args.directory.as_deref())?;
    let project = context.project()?;
    if complain(context, &files, &files.problems(&project)) && !context.json() {
        return Ok(ExitCode::from(USAGE));
    }
    let home = files.needs_runs(&project).then(|| context.home()).transpose()?;
    let report = aseptic_runner::policy::test(home.as_ref(), &project, &files, &args.filter)?;
    if context.json() {
        context.document(&document(&report))?;
    } else {
        print(context, &report, &args.filter);
    }
    Ok(if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::from(CASE_FAILED) })
}

fn print(context: &Context, report: &TestReport, filter: &str) {
    for case in &report.cases {
        let result = if case.differences.is_empty() { "ok" } else { "FAILED" };
        context.out(format_args!("{result:<6}  {}:{}  {}", case.path, case.line, table::name(&case.name)));
        for difference in &case.differences {
            let what = difference.what;
            context.out(format_args!("          {what}: expected {}", table::name(&difference.expected)));
            let indent = " ".repeat(what.len());
            context.out(format_args!("          {indent}  got      {}", table::name(&difference.got)));
        }
        if !case.differences.is_empty() && !case.decision.reasons.is_empty() {
            for line in table::reasons(&case.decision).lines() {
                context.out(format_args!("        {line}"));
            }
        }
    }
    for (id, at) in report.silent.iter().filter(|_| report.left_out == 0) {
        context.say(format_args!("note: no case makes `{}` ({}) speak", table::name(id), table::name(at)));
    }
    if report.cases.is_empty() {
        match filter {
            "" => context.say(format_args!("note: there are no tests; `docs/policy.md` shows one")),
            _ => context.say(format_args!("note: no case holds `{}`", table::name(filter))),
        }
    }
    let (failed, all) = (report.failed(), report.cases.len());
    let left_out = match report.left_out {
        0 => String::new(),
        number => format!(", {number} left out"),
    };
    context.out(format_args!("{}: {} ok, {failed} failed{left_out}", count(all, "case"), all - failed));
}

fn document(report: &TestReport) -> Value {
    let case = |case: &CaseReport| {
        let differences = case
            .differences
            .iter()
            .map(|one| json!({ "what": one.what, "expected": one.expected, "got": one.got }));
        json!({
            "path": case.path, "line": case.line, "name": case.name, "ok": case.differences.is_empty(),
            "differences": differences.collect::<Vec<_>>(), "decision": case.decision,
        })
    };
    let silent = report.silent.iter().map(|(id, at)| json!({ "id": id, "at": at }));
    json!({
        "schema": "aseptic.policy-test/1", "failed": report.failed(), "left_out": report.left_out,
        "cases": report.cases.iter().map(case).collect::<Vec<_>>(), "silent": silent.collect::<Vec<_>>(),
    })
}
