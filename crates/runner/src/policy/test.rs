//! Test: what the cases beside policies expect, and what comes of them.

use std::collections::BTreeSet;

use aseptic_model::{Decision, ProjectName, RunRef};
use aseptic_policy::{Asked, Case, Cases, Difference, Policies, PolicyError, Question};

use super::PolicyFiles;
use super::recorded::{PolicyUseError, recorded};
use crate::home::Home;
use crate::results::seen;

/// What came of the tests of a directory.
#[derive(Clone, Debug)]
pub struct TestReport {
    /// The cases that were tried, in the order of files and lines.
    pub cases: Vec<CaseReport>,
    /// How many more there are.
    pub left_out: usize,
    /// Own policies that spoke in no case, as `ID` and where it stands.
    pub silent: Vec<(String, String)>,
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// The file.
    pub path: String,
    /// The line where its name stands.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What is not as it expects; nothing when all is.
    pub differences: Vec<Difference>,
    /// What was decided.
    pub decision: Decision,
}

impl TestReport {
    /// How many cases are not as they expect.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.differences.is_empty()).count()
    }
}

impl PolicyFiles {
    /// Whether a case is about a run that was recorded, so that the state of this machine is needed.
    #[must_use]
    pub fn needs_runs(&self, project: &ProjectName) -> bool {
        let parsed = self.tests.iter().flat_map(|(path, text)| Cases::parse(path, text, project));
        parsed.flat_map(|cases| cases.cases).any(|case| matches!(case.asked, Asked::Recorded(_)))
    }
}

/// Tries every case whose name, or file and line, holds `filter`. Nothing is recorded.
///
/// # Errors
/// [`PolicyUseError`]: the files cannot be used, which [`PolicyFiles::problems`] lists; or a case is about a run of
/// which nobody kept what was asked.
pub fn test(
    home: Option<&Home>,
    project: &ProjectName,
    files: &PolicyFiles,
    filter: &str,
) -> Result<TestReport, PolicyUseError> {
    let policies = Policies::parse(files.document.clone())?;
    let mut report = TestReport { cases: Vec::new(), left_out: 0, silent: Vec::new() };
    let mut spoke = BTreeSet::new();
    for (path, text) in &files.tests {
        let cases = Cases::parse(path, text, project).map_err(PolicyError::from)?.cases;
        for case in cases {
            let is_wanted = format!("{path}:{} {}", case.line, case.name).contains(filter);
            if !is_wanted {
                report.left_out += 1;
                continue;
            }
            let question = question(home, project, &policies, &case)?;
            let explanation = policies.explain(&question);
            spoke.extend(explanation.elements.into_iter().flat_map(|one| one.forbids).map(|one| one.id));
            report.cases.push(CaseReport {
                path: path.clone(),
                line: case.line,
                differences: case.expected.differences(&explanation.decision),
                decision: explanation.decision,
                name: case.name,
            });
        }
    }
    let own = files.document.listed().into_iter().filter(|one| one.is_own() && !spoke.contains(&one.id));
    report.silent = own.map(|one| (one.id, format!("{}:{}", one.path, one.line))).collect();
    Ok(report)
}

fn question(
    home: Option<&Home>,
    project: &ProjectName,
    policies: &Policies,
    case: &Case,
) -> Result<Question, PolicyUseError> {
    let asked = match (&case.asked, home) {
        (Asked::Recorded(run), Some(home)) => Some(asked(home, project, run)?),
        _ => None,
    };
    let unasked = || PolicyError::File {
        path: case.name.clone(),
        line: case.line,
        column: 1,
        message: "the case is about a run, and there is no state to look it up in".to_owned(),
        help: "name the state directory with ASEPTIC_HOME".to_owned(),
    };
    case.question(policies, asked.as_ref()).ok_or_else(|| unasked().into())
}

/// What was asked about a run.
fn asked(home: &Home, project: &ProjectName, run: &RunRef) -> Result<Question, PolicyUseError> {
    let run = seen(home, project, run)?.run;
    let asked = recorded(home, project, &run)?.and_then(|recorded| recorded.asked);
    asked.map(|(_, question)| question).ok_or(PolicyUseError::NoQuestion { run })
}
