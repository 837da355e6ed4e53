//! What a report says, as data. Its JSON is `aseptic.project-report/1`; see `docs/report.md`.
//!
//! Nothing that people may ask to erase is in it, nor commands, parameters and variables of runs, where people put
//! secrets.

mod assessment;

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{DatasetName, Digest, IncidentId, Label, Object, ProjectName, Timestamp};
use serde::Serialize;

pub use assessment::{Control, Enforcement, Evidence, ExperimentLine, FindingLine, RiskAssessment, RiskLine};

/// Version tag of [`ProjectReport`].
pub const PROJECT_REPORT_SCHEMA: &str = "aseptic.project-report/1";

/// The report on a project at one position of the ledger, which alone decides what it says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProjectReport {
    /// [`PROJECT_REPORT_SCHEMA`].
    pub schema: &'static str,
    /// Version of aseptic.
    pub version: &'static str,
    /// The project.
    pub project: ProjectName,
    /// Where in the ledger.
    pub position: LedgerPosition,
    /// Runs and entries before this time are not counted.
    pub since: Option<Timestamp>,
    /// What was verified.
    pub verified: Vec<String>,
    /// What was not.
    pub not_verified: Vec<String>,
    /// What is there and what happened.
    pub summary: Summary,
    /// What may go wrong.
    pub risk: RiskAssessment,
    /// What the software enforces, and evidence of it.
    pub controls: Vec<Control>,
}

/// A position in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerPosition {
    /// Name of the ledger.
    pub ledger: String,
    /// Number of entries before it, of all projects.
    pub entries: u64,
    /// Root of their tree.
    pub root: String,
    /// Key that signs it.
    pub key: String,
    /// Time of the last of them.
    pub last_entry: Option<Timestamp>,
}

/// Entries of the ledger, by which a statement can be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// How many.
    pub count: u64,
    /// Index of the first.
    pub first: u64,
    /// Index of the last.
    pub last: u64,
}

impl Span {
    /// Counts entry `index`, which comes after those that were counted.
    pub(super) fn add(&mut self, index: u64) {
        self.add_many(index, 1);
    }

    /// Counts as many as entry `index` tells of.
    pub(super) fn add_many(&mut self, index: u64, count: u64) {
        if self.count == 0 {
            self.first = index;
        }
        self.count = self.count.saturating_add(count);
        self.last = index;
    }
}

/// What is there and what happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Runs, by how they ended; `running` for those that go on.
    pub runs: BTreeMap<String, u64>,
    /// Decisions, by outcome.
    pub decisions: BTreeMap<&'static str, Span>,
    /// Datasets, by name and version.
    pub datasets: Listed<DatasetLine>,
    /// Hold-outs, by name.
    pub holdouts: Listed<HoldoutLine>,
    /// Destinations that were reached, those with the most connections first.
    pub reached: Listed<ReachedLine>,
    /// What decisions denied or left to an approval, the most frequent first.
    pub denied: Listed<DeniedLine>,
    /// What jobs tried and walls refused, by kind.
    pub attempts: BTreeMap<String, u64>,
    /// What people wanted to do and may not, by act and person.
    pub acts_denied: Listed<ActLine>,
    /// What is in quarantine, the first added first.
    pub quarantine: Listed<QuarantineLine>,
    /// How many objects were in quarantine and are no more.
    pub quarantine_lifted: u64,
    /// Incidents, the open ones first.
    pub incidents: Listed<IncidentLine>,
    /// Drills.
    pub drills: Drills,
    /// Witnesses of the ledger.
    pub witnesses: Witnesses,
    /// The policies that decide.
    pub policies: PoliciesLine,
    /// Who has which role; nothing without a roles file.
    pub roles: Option<BTreeMap<String, BTreeSet<String>>>,
    /// Who did anything, by the number of entries.
    pub actors: Listed<ActorLine>,
}

/// The first of several things, and how many more there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed<T> {
    /// Those that are listed.
    pub listed: Vec<T>,
    /// How many are not.
    pub unlisted: u64,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { listed: Vec::new(), unlisted: 0 }
    }
}

impl<T> Listed<T> {
    /// The first `limit` of `all`.
    pub(super) fn first(mut all: Vec<T>, limit: usize) -> Self {
        let unlisted = all.len().saturating_sub(limit) as u64;
        all.truncate(limit);
        Self { listed: all, unlisted }
    }
}

/// A version of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetLine {
    /// The dataset.
    pub name: DatasetName,
    /// The version.
    pub version: u32,
    /// Its labels.
    pub labels: BTreeSet<Label>,
    /// Runs that started with it, since the beginning.
    pub runs: u64,
}

/// A dataset that is hold-out data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoldoutLine {
    /// The dataset.
    pub name: DatasetName,
    /// Runs that started with any version of it, since the beginning.
    pub evaluations: u64,
    /// How many there may be before each needs approval.
    pub budget: u64,
}

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReachedLine {
    /// The grant that was used.
    pub grant: String,
    /// Connections.
    pub connections: u64,
    /// Entries that say so, one for each run.
    pub entries: Span,
}

/// What a rule did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeniedLine {
    /// The rule.
    pub rule: String,
    /// The element of the plan.
    pub element: String,
    /// What followed from it.
    pub outcome: &'static str,
    /// Decisions that say so.
    pub entries: Span,
}

/// What somebody wanted to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActLine {
    /// What.
    pub act: String,
    /// Who.
    pub actor: String,
    /// Entries that say so.
    pub entries: Span,
}

/// Something in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineLine {
    /// What.
    pub object: Object,
    /// Since when.
    pub added: Timestamp,
    /// Who put it there.
    pub actor: String,
    /// Runs that it had reached then.
    pub runs: u64,
    /// Entry that says so.
    pub entry: u64,
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IncidentLine {
    /// Its id.
    pub incident: IncidentId,
    /// What it is about.
    pub objects: BTreeSet<Object>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it was closed; nothing while it is open.
    pub closed: Option<Timestamp>,
    /// Entry that opened it.
    pub entry: u64,
}

/// Drills, since the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drills {
    /// Entries about them.
    pub entries: Span,
    /// The last one.
    pub last: Option<DrillLine>,
    /// Whether there is none within [`DRILL_DAYS`](super::DRILL_DAYS) days before the last entry.
    pub overdue: bool,
}

/// What came of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrillLine {
    /// When.
    pub time: Timestamp,
    /// Attempts that a wall refused.
    pub held: u32,
    /// Attempts that got through.
    pub breached: u32,
    /// Attempts that prove nothing.
    pub broken: u32,
    /// Digest of its report.
    pub report: Digest,
}

/// Witnesses of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Witnesses {
    /// Their names.
    pub named: Vec<String>,
    /// Number of entries that enough of them cosigned.
    pub witnessed: Option<u64>,
}

/// The policies that decide at this position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoliciesLine {
    /// Their digest.
    pub digest: Option<Digest>,
    /// Files of the project among them; none where only the shipped ones decide.
    pub files: BTreeSet<String>,
    /// Whether what is not pinned is denied.
    pub strict: bool,
    /// Entries that put policies in force, since the beginning.
    pub applied: Span,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActorLine {
    /// Who.
    pub actor: String,
    /// Entries.
    pub entries: Span,
}
