//! Entries of the ledger: what was decided and what then happened.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    DatasetName, Decision, Digest, ExperimentName, Grant, InputName, Label, MetaKey, Metadata, ProjectName,
    Retained, RetainedKind, Retention, RunId, Status, Timestamp,
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
        /// What is said about it.
        #[serde(default, skip_serializing_if = "Metadata::is_empty")]
        metadata: Metadata,
        /// How long its bytes are kept, where that is not left to the project.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retention: Option<Retention>,
        /// Where it comes from, if not from files of the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
    /// Labels of a dataset version were changed.
    #[serde(rename = "dataset.labelled")]
    DatasetLabelled {
        /// The dataset.
        name: DatasetName,
        /// Its version.
        version: u32,
        /// Labels that it has from now on.
        added: BTreeSet<Label>,
        /// Labels that it has no more.
        removed: BTreeSet<Label>,
        /// Why; always there when a label is removed.
        reason: Option<String>,
    },
    /// What is said about a dataset version was changed.
    #[serde(rename = "dataset.described")]
    DatasetDescribed {
        /// The dataset.
        name: DatasetName,
        /// Its version.
        version: u32,
        /// Statements that are new or have another value.
        set: Metadata,
        /// Statements that are taken back.
        unset: BTreeSet<MetaKey>,
    },
    /// A dataset version was given to another project, where a `dataset.added` follows.
    #[serde(rename = "dataset.shared")]
    DatasetShared {
        /// The dataset.
        name: DatasetName,
        /// Its version.
        version: u32,
        /// The tree.
        snapshot: Digest,
        /// The other project.
        to: ProjectName,
    },
    /// Bytes were copied to another place, and read back from there.
    #[serde(rename = "archive.written")]
    ArchiveWritten {
        /// Of what.
        object: Retained,
        /// The place, without credentials.
        url: String,
        /// BLAKE3 of the list of what is there.
        manifest: Digest,
        /// Their number at that place, in bytes.
        bytes: u64,
    },
    /// Bytes that had been deleted are in the store again.
    #[serde(rename = "archive.restored")]
    ArchiveRestored {
        /// Of what.
        object: Retained,
        /// Where they came from.
        url: String,
        /// BLAKE3 of the list of what is there.
        manifest: Digest,
    },
    /// A retention class was chosen.
    #[serde(rename = "retention.set")]
    RetentionSet {
        /// For what.
        object: Retained,
        /// The class; none leaves it to the project.
        class: Option<Retention>,
        /// Why; always there when a hold is lifted.
        reason: Option<String>,
    },
    /// A project has another class where none was chosen.
    #[serde(rename = "retention.default")]
    RetentionDefault {
        /// For what.
        kind: RetainedKind,
        /// The class.
        class: Retention,
    },
    /// The time of something is over: its bytes are deleted next, where nothing else keeps them.
    #[serde(rename = "retention.expired")]
    RetentionExpired {
        /// What.
        object: Retained,
        /// Its class at that time.
        class: Retention,
        /// The trees and objects that it had.
        snapshots: BTreeSet<Digest>,
    },
    /// Objects that nothing names any more are deleted next.
    #[serde(rename = "store.collected")]
    StoreCollected {
        /// How many.
        objects: u64,
        /// Their size on disk in bytes.
        bytes: u64,
        /// The list of their digests, which is in the store: a line each.
        list: Digest,
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

/// Where a dataset version comes from, if not from files of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Origin {
    /// Another project gave it.
    Shared {
        /// That project.
        project: ProjectName,
        /// Its name there.
        name: DatasetName,
        /// Its version there.
        version: u32,
    },
    /// It was read from an archive that another ledger knows.
    Archive {
        /// Where that is.
        url: String,
        /// BLAKE3 of the list of what is there.
        manifest: Digest,
    },
}

impl Event {
    /// The stable name, as in the JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DatasetAdded { .. } => "dataset.added",
            Self::DatasetLabelled { .. } => "dataset.labelled",
            Self::DatasetDescribed { .. } => "dataset.described",
            Self::DatasetShared { .. } => "dataset.shared",
            Self::ArchiveWritten { .. } => "archive.written",
            Self::ArchiveRestored { .. } => "archive.restored",
            Self::RetentionSet { .. } => "retention.set",
            Self::RetentionDefault { .. } => "retention.default",
            Self::RetentionExpired { .. } => "retention.expired",
            Self::StoreCollected { .. } => "store.collected",
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
            Self::DatasetAdded { name, version, .. } | Self::DatasetDescribed { name, version, .. } => {
                format!("{name}@{version}")
            }
            Self::DatasetLabelled { name, version, added, removed, .. } => {
                let signs = [("+", added), ("-", removed)];
                let changes = signs
                    .iter()
                    .flat_map(|(sign, labels)| labels.iter().map(move |label| format!(" {sign}{label}")));
                format!("{name}@{version}{}", changes.collect::<String>())
            }
            Self::DatasetShared { name, version, to, .. } => format!("{name}@{version} to {to}"),
            Self::ArchiveWritten { object, url, .. } => format!("{object} to {url}"),
            Self::ArchiveRestored { object, url, .. } => format!("{object} from {url}"),
            Self::RetentionSet { object, class: Some(class), .. } => format!("{object} {class}"),
            Self::RetentionSet { object, class: None, .. } => format!("{object} as the project"),
            Self::RetentionDefault { kind, class } => format!("{} {class}", kind.as_str()),
            Self::RetentionExpired { object, class, .. } => format!("{object} {class}"),
            Self::StoreCollected { objects, .. } => format!("{objects} objects"),
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
            Self::ArchiveWritten { object, .. }
            | Self::ArchiveRestored { object, .. }
            | Self::RetentionSet { object, .. }
            | Self::RetentionExpired { object, .. } => match object {
                Retained::Run(run) => Some(run),
                Retained::Dataset { .. } => None,
            },
            Self::DatasetAdded { .. }
            | Self::DatasetLabelled { .. }
            | Self::DatasetDescribed { .. }
            | Self::DatasetShared { .. }
            | Self::RetentionDefault { .. }
            | Self::StoreCollected { .. }
            | Self::QuarantineAdded { .. }
            | Self::DrillCompleted { .. } => None,
        }
    }
}
