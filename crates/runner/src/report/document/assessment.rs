//! The risk assessment and the controls of a report.

use aseptic_model::{ExperimentName, RunId, Status};
use serde::Serialize;

use super::{Listed, Span};

/// What may go wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RiskAssessment {
    /// How many decided runs were looked into, the newest.
    pub looked_into: u64,
    /// How many older ones were not.
    pub not_looked_into: u64,
    /// Of those looked into, how many have a score.
    pub scored: u64,
    /// How many could not be looked into, since what was asked about them cannot be read.
    pub unreadable: u64,
    /// Those with the highest score, the highest first.
    pub highest: Listed<RiskLine>,
    /// Experiments, the highest score first.
    pub experiments: Listed<ExperimentLine>,
    /// What stands out, by code.
    pub findings: Listed<FindingLine>,
}

/// A run and its score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RiskLine {
    /// The run.
    pub run: RunId,
    /// Its experiment.
    pub experiment: Option<ExperimentName>,
    /// How it ended.
    pub status: Option<Status>,
    /// The score.
    pub score: i64,
    /// What it consists of, in words.
    pub inputs: Vec<String>,
    /// Entry of its decision.
    pub entry: u64,
}

/// The scores of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExperimentLine {
    /// The experiment; nothing for runs without one.
    pub experiment: Option<ExperimentName>,
    /// Its runs that have a score.
    pub runs: u64,
    /// The highest score.
    pub highest: i64,
    /// The lowest score.
    pub lowest: i64,
    /// The run with the highest score, the newest of several.
    pub run: RunId,
}

/// Something that stands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingLine {
    /// Stable name, such as `wildcard`.
    pub code: &'static str,
    /// The value, such as `*.example.org:443`.
    pub subject: String,
    /// What is the matter.
    pub message: &'static str,
    /// Decisions of the runs that have it.
    pub entries: Span,
}

/// How far the software enforces a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcement {
    /// All that the software can do for it.
    Enforced,
    /// A part.
    Partly,
    /// Nothing yet.
    NotYet,
}

impl Enforcement {
    /// The words used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Partly => "partly",
            Self::NotYet => "not yet",
        }
    }
}

/// One control: what it helps with, what is enforced, and evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Control {
    /// Its number, from 1.
    pub number: u32,
    /// What it is.
    pub title: &'static str,
    /// Controls of standards that it helps with. Which is our reading, and no assessment.
    pub helps_with: &'static [&'static str],
    /// How far it is enforced.
    pub enforcement: Enforcement,
    /// What is enforced.
    pub enforced: &'static str,
    /// What is missing; empty where nothing is known to be.
    pub missing: &'static str,
    /// What this project has to show for it.
    pub evidence: Vec<Evidence>,
}

/// A statement about this project, and where it can be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The statement.
    pub statement: String,
    /// The entries that it rests on.
    pub entries: Option<Span>,
    /// A command that lists them, or looks at them again.
    pub check: Option<&'static str>,
}
