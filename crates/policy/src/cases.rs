//! Tests of policies: `policy/tests/*.toml`, each case a plan in short and what must be decided about it.
//!
//! **Invariant:** strict and bounded. Whatever the file holds, a case is understood whole, or the file is refused with
//! the place of what is wrong.

mod given;
mod judge;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aseptic_model::{Outcome, ProjectName, RunRef, escape_bytes};
use serde::Deserialize;
use toml::Spanned;

use crate::{Problem, Role};

pub use given::{ACCEPTABLE, Given};
pub use judge::Difference;

/// Version tag of a file of tests.
pub const CASES_FORMAT: &str = "aseptic.policy-tests/1";

/// Largest file of tests in bytes.
pub const CASES_BYTES_MAX: usize = 1 << 20;

/// Most cases of a file.
pub const CASES_MAX: usize = 10_000;

/// Problems after which a file is looked at no further: each takes a look at the whole file.
const PROBLEMS_MAX: usize = 100;

/// Longest name of a case in bytes: it is a line of a report.
const NAME_BYTES_MAX: usize = 200;

/// The cases of one file.
#[derive(Clone, Debug)]
pub struct Cases {
    /// In their order.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, unique in its file.
    pub name: String,
    /// The line where its name stands, from 1.
    pub line: usize,
    /// What is asked.
    pub asked: Asked,
    /// Who asks, and what is set, where the case says so.
    pub who: Who,
    /// What must come of it.
    pub expected: Expected,
}

/// What a case asks.
#[derive(Clone, Debug)]
pub enum Asked {
    /// What was asked about this run, with the settings and roles of now.
    Recorded(RunRef),
    /// This plan.
    Given(Box<Given>),
}

/// Who asks, and with which settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Name of the user.
    pub user: Option<String>,
    /// Roles; without them those that the roles file gives the user, or `experimenter`.
    pub roles: Option<BTreeSet<Role>>,
    /// Groups; without them those that the roles file has the user in.
    pub groups: Option<BTreeSet<String>>,
    /// Whether what is not pinned is denied, instead of what the settings say.
    pub strict: Option<bool>,
}

/// What must come of a case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// What is decided.
    pub outcome: Outcome,
    /// Exactly these rules speak against it.
    pub rules: Option<BTreeSet<String>>,
    /// They are about exactly these elements.
    pub elements: Option<BTreeSet<String>>,
    /// Each of these is in the message or the advice of a reason.
    #[serde(default)]
    pub help: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    format: Spanned<String>,
    #[serde(default, rename = "case")]
    cases: Vec<CaseText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText {
    name: Spanned<String>,
    run: Option<Spanned<RunRef>>,
    user: Option<String>,
    roles: Option<BTreeSet<Role>>,
    groups: Option<BTreeSet<String>>,
    strict: Option<bool>,
    plan: Option<Spanned<given::PlanText>>,
    #[serde(default)]
    facts: Option<Spanned<given::FactsText>>,
    expect: Expected,
}

impl Cases {
    /// The cases of the file `path` of `project`, whose text is `text`.
    ///
    /// # Errors
    /// What is wrong with it: the first thing where it is not what such a file looks like, everything otherwise.
    pub fn parse(path: &str, text: &str, project: &ProjectName) -> Result<Self, Vec<Problem>> {
        let newlines =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let file = Source { path, text, newlines, project };
        if text.len() > CASES_BYTES_MAX {
            let message =
                format!("the file has {} bytes, and at most {CASES_BYTES_MAX} are read", text.len());
            return Err(vec![file.problem(0..0, message, "make several files of it")]);
        }
        let parsed: FileText = toml::from_str(text).map_err(|error| {
            let help = "correct it; `docs/policy.md` has every key of a case";
            vec![file.problem(error.span().unwrap_or(0..0), error.message().to_owned(), help)]
        })?;
        let mut problems = Vec::new();
        if parsed.format.get_ref() != CASES_FORMAT {
            let message = "this version does not know the format of the tests".to_owned();
            let help = format!("write `format = \"{CASES_FORMAT}\"`");
            problems.push(file.problem(parsed.format.span(), message, &help));
        }
        if parsed.cases.len() > CASES_MAX {
            let message = format!("there are {} cases, and at most {CASES_MAX} are read", parsed.cases.len());
            problems.push(file.problem(0..0, message, "make several files of it"));
            return Err(problems);
        }
        let mut names = BTreeMap::new();
        let mut cases = Vec::with_capacity(parsed.cases.len());
        for one in parsed.cases {
            if problems.len() >= PROBLEMS_MAX {
                break;
            }
            problems.extend(file.name_problem(&one.name, &mut names));
            match file.case(one) {
                Ok(case) => cases.push(case),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(Self { cases }) } else { Err(problems) }
    }
}

/// A file, for saying where in it something stands.
struct Source<'s> {
    path: &'s str,
    text: &'s str,
    /// Offsets of its line breaks.
    newlines: Vec<usize>,
    project: &'s ProjectName,
}

impl Source<'_> {
    fn problem(&self, span: Range<usize>, message: String, help: &str) -> Problem {
        let message = escape_bytes(message.replace('\n', "; ").as_bytes());
        Problem::new(self.path, self.text, span, &message, help)
    }

    /// The line of a byte, from 1.
    fn line(&self, offset: usize) -> usize {
        1 + self.newlines.partition_point(|newline| *newline < offset)
    }

    fn name_problem(&self, name: &Spanned<String>, seen: &mut BTreeMap<String, usize>) -> Option<Problem> {
        let text = name.get_ref();
        let is_line = !text.trim().is_empty() && !text.chars().any(char::is_control);
        if !is_line || text.len() > NAME_BYTES_MAX {
            let message = format!("a name is one line of at most {NAME_BYTES_MAX} bytes");
            return Some(self.problem(name.span(), message, "say in a few words what must hold"));
        }
        let line = self.line(name.span().start);
        let before = seen.insert(text.clone(), line)?;
        let message = format!("the case of line {before} has this name already");
        Some(self.problem(
            name.span(),
            message,
            "give it another name, so that a report says which one failed",
        ))
    }

    fn case(&self, case: CaseText) -> Result<Case, Vec<Problem>> {
        let CaseText { name, run, user, roles, groups, strict, plan, facts, expect } = case;
        let line = self.line(name.span().start);
        let asked = match (run, plan, facts) {
            (Some(run), None, None) => Asked::Recorded(run.into_inner()),
            (Some(run), _, _) => {
                let message = "a case has either a `run` or a plan and facts of its own".to_owned();
                return Err(vec![self.problem(run.span(), message, "remove `run`, or `plan` and `facts`")]);
            }
            (None, plan, facts) => {
                let plan = plan.map(Spanned::into_inner).unwrap_or_default();
                let facts = facts.map(Spanned::into_inner).unwrap_or_default();
                Asked::Given(Box::new(self.given(plan, facts)?))
            }
        };
        let name = name.into_inner();
        Ok(Case { name, line, asked, who: Who { user, roles, groups, strict }, expected: expect })
    }
}
