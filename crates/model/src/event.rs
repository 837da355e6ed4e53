//! Entries of the ledger: what was decided and what then happened.

mod about;
mod entry;
mod origin;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use entry::{ENTRY_FORMAT, Entry, LEFT_FILES_MAX, REACHED_MAX};
pub use origin::Origin;
pub use refusals::Refusals;

use crate::{
    DatasetName, Decision, Digest, ExperimentName, FilePath, Grant, IncidentId, InputName, Label,
    MachineName, MetaKey, Metadata, Object, ProjectName, Retained, RetainedKind, Retention, RunId, RunName,
    Status, Tag, Timestamp, Verdict,
};

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
        /// Those of them that it has from runs which left its bytes: they go with the labels of these.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        inherited: BTreeSet<Label>,
        /// What is said about it.
        #[serde(default, skip_serializing_if = "Metadata::is_empty")]
        metadata: Metadata,
        /// How long its bytes are kept, where that is not left to the project.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retention: Option<Retention>,
        /// Where it comes from, if not from files of the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
        /// Files of it that runs had left before, by their bytes; at most [`LEFT_FILES_MAX`].
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        left_by_runs: BTreeSet<Digest>,
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
        /// The git commit that was checked out, in hexadecimal digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        git_commit: Option<String>,
        /// The run that it repeats, if it is a replay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replays: Option<RunId>,
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
        /// Digest of the rules that decided; none in entries of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Digest>,
        /// Digest of everything that was asked, which is in the store as the rules are; both give the decision again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        requests: Option<Digest>,
    },
    /// The jail stands; the job starts next.
    #[serde(rename = "run.started")]
    RunStarted {
        /// The run.
        run: RunId,
        /// The snapshots that are mounted, by input; none in entries of earlier versions.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        mounted: BTreeMap<InputName, Digest>,
        /// The machine that it runs on; none in entries of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<MachineName>,
    },
    /// A run was asked to end, by somebody else than whoever started it or by another command.
    #[serde(rename = "run.stopped")]
    RunStopped {
        /// The run.
        run: RunId,
        /// Why.
        reason: Option<String>,
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
        /// Digest of its signed attestations, which are in the store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attestation: Option<Digest>,
    },
    /// Attempts of a run were denied. In one commit with its `run.sealed`, whose record lists them.
    #[serde(rename = "run.denied")]
    RunDenied {
        /// The run.
        run: RunId,
        /// How many, by what was tried.
        attempts: BTreeMap<String, u64>,
    },
    /// A run reached granted destinations. In one commit with its `run.sealed`, whose record counts the bytes.
    #[serde(rename = "run.reached")]
    RunReached {
        /// The run.
        run: RunId,
        /// The grants that it used, with the number of connections; the first [`REACHED_MAX`].
        grants: BTreeMap<Grant, u64>,
        /// How many more it used.
        unlisted: u64,
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
        /// Which output; none for all of them, and in entries of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<FilePath>,
        /// What was in quarantine and reached it, where that was known and it was exported all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quarantined: Option<Object>,
    },
    /// A document about a run or a dataset was given to somebody.
    #[serde(rename = "attestation.exported")]
    AttestationExported {
        /// About what.
        object: Retained,
        /// Which documents, such as `slsa` or `openlineage`.
        formats: BTreeSet<String>,
        /// The service that it was sent to, without credentials; none for a file.
        to: Option<String>,
    },
    /// Attestations are signed with another key from now on.
    #[serde(rename = "attestation.key")]
    AttestationKey {
        /// The public key, as PEM of a SubjectPublicKeyInfo.
        public_key: String,
        /// Why another one; none for the first.
        reason: Option<String>,
    },
    /// The ledger is signed with another key from the next entry on.
    #[serde(rename = "ledger.key-rotated")]
    LedgerKeyRotated {
        /// The verifier key before, as C2SP signed-note writes it.
        before: String,
        /// The one from the next entry on.
        after: String,
        /// Why.
        reason: Option<String>,
    },
    /// The clock of the machine went back: entries before this one have later times.
    #[serde(rename = "ledger.clock-went-back")]
    LedgerClockWentBack {
        /// The latest time of the entries before, since the clock last went back.
        before: Timestamp,
        /// By how much.
        milliseconds: u64,
    },
    /// Committed values of an entry were forgotten. What they were can be neither shown nor proven any more.
    #[serde(rename = "ledger.erased")]
    LedgerErased {
        /// Zero-based index of the entry.
        entry: u64,
        /// Which values of it.
        places: BTreeSet<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Other witnesses are trusted, or others of them are enough.
    #[serde(rename = "witness.policy")]
    WitnessPolicy {
        /// The policy from now on, as C2SP tlog-policy writes it.
        policy: String,
    },
    /// What people say about a run was changed.
    #[serde(rename = "run.described")]
    RunDescribed {
        /// The run.
        run: RunId,
        /// Its name from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<RunName>,
        /// Tags that it has from now on.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        added: BTreeSet<Tag>,
        /// Tags that it has no more.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        removed: BTreeSet<Tag>,
        /// Its note from now on; an empty one takes it back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The result of a sealed run was given for an equal plan, instead of a run.
    #[serde(rename = "run.reused")]
    RunReused {
        /// The run.
        run: RunId,
        /// Digest of the plan of both.
        plan: Digest,
    },
    /// A replay was compared with the run that it repeats.
    #[serde(rename = "run.replayed")]
    RunReplayed {
        /// The replay.
        run: RunId,
        /// The run that it repeats.
        replays: RunId,
        /// What came of it.
        verdict: Verdict,
        /// Digest of the comparison, which is in the store.
        report: Digest,
    },
    /// Something must not be used any more, nor what came of it.
    #[serde(rename = "quarantine.added")]
    QuarantineAdded {
        /// What.
        object: Object,
        /// Why.
        reason: Option<String>,
        /// How many runs it has reached at that time.
        runs: u64,
        /// Digest of the list of everything that it has reached, which is in the store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reached: Option<Digest>,
    },
    /// Something may be used again.
    #[serde(rename = "quarantine.lifted")]
    QuarantineLifted {
        /// What.
        object: Object,
        /// Why.
        reason: Option<String>,
    },
    /// An incident began.
    #[serde(rename = "incident.opened")]
    IncidentOpened {
        /// The incident.
        incident: IncidentId,
        /// What it is about.
        objects: BTreeSet<Object>,
        /// What happened.
        reason: Option<String>,
    },
    /// Evidence of an incident was written out.
    #[serde(rename = "incident.exported")]
    IncidentExported {
        /// The incident.
        incident: IncidentId,
        /// BLAKE3 of the list of the files and their digests.
        manifest: Digest,
    },
    /// An incident is over.
    #[serde(rename = "incident.closed")]
    IncidentClosed {
        /// The incident.
        incident: IncidentId,
        /// How it ended.
        reason: Option<String>,
    },
    /// Labels of what a run left were changed, and of everything that came of it.
    #[serde(rename = "run.labelled")]
    RunLabelled {
        /// The run.
        run: RunId,
        /// Which output; none for all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<FilePath>,
        /// Labels that it has from now on.
        added: BTreeSet<Label>,
        /// Labels that it has no more.
        removed: BTreeSet<Label>,
        /// Why; always there when a label is removed.
        reason: Option<String>,
    },
    /// Other policies decide from now on.
    #[serde(rename = "policy.applied")]
    PolicyApplied {
        /// Digest of the policies, which are in the store.
        policy: Digest,
        /// Those before; none where only the shipped ones decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Digest>,
        /// The key that must sign the roles from now on, as C2SP signed-note writes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signer: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Somebody wanted to do what nobody with their roles may.
    #[serde(rename = "act.denied")]
    ActDenied {
        /// What, such as `Declassify`.
        act: String,
        /// On what, if not on the project.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<String>,
        /// Labels of the object, where policies look at what acts are about.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        labels: BTreeSet<Label>,
        /// How many labels more it has than an entry has room for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unlisted_labels: Option<u64>,
        /// Digest of the policies that decided.
        policy: Digest,
        /// The decision.
        decision: Decision,
    },
    /// Refusals that have no entry each.
    #[serde(rename = "act.denials")]
    ActDenials(Refusals),
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
