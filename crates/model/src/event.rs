//! Entries of the ledger: what was decided and what then happened.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    DatasetName, Decision, Digest, ExperimentName, Grant, InputName, Label, ProjectName, RunId, Status,
    Timestamp,
};

/// Version tag of [`Entry`].
pub const ENTRY_FORMAT: &str = "aseptic.entry/1";

/// One ledger entry; its canonical bytes are the leaf of the tree. See `docs/formats/entry.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`ENTRY_FORMAT`].
    pub format: String,
    /// When it was written, by the clock of the machine.
    pub time: Timestamp,
    /// Who did it: `user:<name>` of the operating system.
    pub actor: String,
    /// In which project.
    pub project: ProjectName,
    /// What happened.
    pub event: Event,
}

impl Entry {
    /// An entry of the current format.
    #[must_use]
    pub fn new(time: Timestamp, actor: String, project: ProjectName, event: Event) -> Self {
        Self { format: ENTRY_FORMAT.to_owned(), time, actor, project, event }
    }
}

/// What happened. The `type` in the JSON is stable: `run.planned`, `dataset.added`, …
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "type", content = "body")]
pub enum Event {
    /// A version of a dataset was imported.
    #[serde(rename = "dataset.added")]
    DatasetAdded {
        /// Its name.
        name: DatasetName,
        /// Its version, from 1 without gaps.
        version: u32,
        /// The tree.
        snapshot: Digest,
        /// Number of files.
        files: u64,
        /// Their total size.
        bytes: u64,
        /// Its labels.
        labels: BTreeSet<Label>,
    },
    /// A plan was made for a run.
    #[serde(rename = "run.planned")]
    RunPlanned {
        /// The run.
        run: RunId,
        /// Its experiment.
        experiment: Option<ExperimentName>,
        /// Digest of the plan, which is in the store.
        plan: Digest,
        /// The code snapshot.
        code: Option<Digest>,
        /// The input snapshots.
        inputs: BTreeMap<InputName, Digest>,
    },
    /// The plan was decided.
    #[serde(rename = "run.decided")]
    RunDecided {
        /// The run.
        run: RunId,
        /// Digest of the plan that was decided.
        plan: Digest,
        /// The decision.
        decision: Decision,
    },
    /// The jail stands; the job starts next.
    #[serde(rename = "run.started")]
    RunStarted {
        /// The run.
        run: RunId,
    },
    /// A grant of a running run was taken back; its connections are cut next.
    #[serde(rename = "grant.revoked")]
    GrantRevoked {
        /// The run.
        run: RunId,
        /// The grant.
        grant: Grant,
    },
    /// The run is over: nothing of it is alive, and everything it left is in the store.
    #[serde(rename = "run.sealed")]
    RunSealed {
        /// The run.
        run: RunId,
        /// How it ended.
        status: Status,
        /// Digest of the run record, which is in the store.
        record: Digest,
        /// The tree of its outputs.
        outputs: Digest,
        /// Labels of the outputs.
        labels: BTreeSet<Label>,
    },
    /// Outputs of a run were copied out.
    #[serde(rename = "run.exported")]
    RunExported {
        /// The run.
        run: RunId,
        /// The exported tree.
        snapshot: Digest,
        /// Number of files.
        files: u64,
    },
    /// A snapshot must not be used any more.
    #[serde(rename = "quarantine.added")]
    QuarantineAdded {
        /// The snapshot.
        snapshot: Digest,
        /// Why.
        reason: String,
    },
    /// The walls of this machine were attacked on purpose.
    #[serde(rename = "drill.completed")]
    DrillCompleted {
        /// Attempts that a wall refused and that succeeded without it.
        held: u32,
        /// Attempts that got through.
        breached: u32,
        /// Attempts that prove nothing.
        broken: u32,
        /// Digest of the report, which is in the store.
        report: Digest,
    },
}

impl Event {
    /// The stable name, as in the JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DatasetAdded { .. } => "dataset.added",
            Self::RunPlanned { .. } => "run.planned",
            Self::RunDecided { .. } => "run.decided",
            Self::RunStarted { .. } => "run.started",
            Self::GrantRevoked { .. } => "grant.revoked",
            Self::RunSealed { .. } => "run.sealed",
            Self::RunExported { .. } => "run.exported",
            Self::QuarantineAdded { .. } => "quarantine.added",
            Self::DrillCompleted { .. } => "drill.completed",
        }
    }

    /// What it is about, for a person: a run, a dataset version or a snapshot, with the outcome.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::DatasetAdded { name, version, .. } => format!("{name}@{version}"),
            Self::RunPlanned { run, plan, .. } => format!("{run} plan {}", plan.short()),
            Self::RunDecided { run, decision, .. } => format!("{run} {}", decision.outcome.as_str()),
            Self::RunStarted { run } => run.to_string(),
            Self::GrantRevoked { run, grant } => format!("{run} {grant}"),
            Self::RunSealed { run, status, .. } => format!("{run} {status}"),
            Self::RunExported { run, files, .. } => format!("{run} {files} files"),
            Self::QuarantineAdded { snapshot, .. } => snapshot.short(),
            Self::DrillCompleted { held, breached, broken, .. } => {
                format!("{held} held, {breached} breached, {broken} broken")
            }
        }
    }

    /// The run it belongs to.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::RunPlanned { run, .. }
            | Self::RunDecided { run, .. }
            | Self::RunStarted { run }
            | Self::GrantRevoked { run, .. }
            | Self::RunSealed { run, .. }
            | Self::RunExported { run, .. } => Some(run),
            Self::DatasetAdded { .. } | Self::QuarantineAdded { .. } | Self::DrillCompleted { .. } => None,
        }
    }
}
