//! Tests of policies: `policy/tests/*.toml`, each case a plan in short and what must be decided about it.
//!
//! **Invariant:** strict and bounded. Whatever the file holds, a case is understood whole, or the file is refused with
//! the place of what is wrong.

mod given;
mod judge;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Outcome, ProjectName, RunRef};
use serde::Deserialize;
use toml::Spanned;

use crate::read::source::Source;
use crate::{Problem, Role};

pub use given::{ACCEPTABLE, Given};
pub use judge::Difference;

/// Version tag of a file of tests.
pub const CASES_FORMAT: &str = "aseptic.policy-tests/1";

/// Largest file of tests in bytes.
pub const CASES_BYTES_MAX: usize = 1 << 20;

/// Most cases of a file.
pub const CASES_MAX: usize = 10_000;

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
        let source = Source::new(path, text, "docs/policy.md");
        let mut file = File { source, newlines, project };
        let cases = file.cases();
        file.source.finish(cases.map(|cases| Self { cases }))
    }
}

/// A file of tests.
struct File<'s> {
    source: Source<'s>,
    /// Offsets of its line breaks.
    newlines: Vec<usize>,
    project: &'s ProjectName,
}

impl File<'_> {
    fn cases(&mut self) -> Option<Vec<Case>> {
        if !self.source.fits(CASES_BYTES_MAX, "make several files of it") {
            return None;
        }
        let FileText { format, cases } = self.source.whole()?;
        self.source.format(format.get_ref(), format.span(), CASES_FORMAT);
        if cases.len() > CASES_MAX {
            let message = format!("there are {} cases, and at most {CASES_MAX} are read", cases.len());
            self.source.problem(0..0, message, "make several files of it");
            return None;
        }
        let mut names = BTreeMap::new();
        let mut read = Vec::with_capacity(cases.len());
        for one in cases {
            // Each problem takes a look at the whole file.
            if self.source.is_full() {
                break;
            }
            self.check_name(&one.name, &mut names);
            read.extend(self.case(one));
        }
        Some(read)
    }

    /// The line of a byte, from 1.
    fn line(&self, offset: usize) -> usize {
        1 + self.newlines.partition_point(|newline| *newline < offset)
    }

    fn check_name(&mut self, name: &Spanned<String>, seen: &mut BTreeMap<String, usize>) {
        let text = name.get_ref();
        let is_line = !text.trim().is_empty() && !text.chars().any(char::is_control);
        if !is_line || text.len() > NAME_BYTES_MAX {
            let message = format!("a name is one line of at most {NAME_BYTES_MAX} bytes");
            self.source.problem(name.span(), message, "say in a few words what must hold");
            return;
        }
        let line = self.line(name.span().start);
        if let Some(before) = seen.insert(text.clone(), line) {
            let message = format!("the case of line {before} has this name already");
            let help = "give it another name, so that a report says which one failed";
            self.source.problem(name.span(), message, help);
        }
    }

    fn case(&mut self, case: CaseText) -> Option<Case> {
        let CaseText { name, run, user, roles, groups, strict, plan, facts, expect } = case;
        let line = self.line(name.span().start);
        let asked = match (run, plan, facts) {
            (Some(run), None, None) => Asked::Recorded(run.into_inner()),
            (Some(run), _, _) => {
                let message = "a case has either a `run` or a plan and facts of its own";
                self.source.problem(run.span(), message, "remove `run`, or `plan` and `facts`");
                return None;
            }
            (None, plan, facts) => {
                let plan = plan.map(Spanned::into_inner).unwrap_or_default();
                let facts = facts.map(Spanned::into_inner).unwrap_or_default();
                Asked::Given(Box::new(self.given(name.span(), plan, facts)))
            }
        };
        let name = name.into_inner();
        Some(Case { name, line, asked, who: Who { user, roles, groups, strict }, expected: expect })
    }
}
