//! The record of a sealed run: what was planned, what was enforced, what happened, what came out.

mod egress;
mod kept;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Code, Decision, Digest, Environment, ExperimentName, FilePath, Input, InputName, Label, Limits,
    MachineName, Metrics, ProjectName, RunId, Timestamp,
};

pub use egress::{Egress, GrantUse, HostReached, Traffic};
pub use status::Status;

/// Version tag of [`RunRecord`], in the store and in the output of `--json`.
pub const RUN_SCHEMA: &str = "aseptic.run/1";

/// Everything known of a run. See `docs/formats/run.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// [`RUN_SCHEMA`].
    pub schema: String,
    /// The run.
    pub run: RunId,
    /// Its project.
    pub project: ProjectName,
    /// Its experiment.
    pub experiment: Option<ExperimentName>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its parameters.
    pub params: BTreeMap<String, serde_json::Value>,
    /// Digest of its plan.
    pub plan: Digest,
    /// The decision on the plan.
    pub decision: Decision,
    /// How it ended.
    pub status: Status,
    /// Why it ended, in words, when the job did not end by itself.
    pub reason: Option<String>,
    /// Exit code of the job.
    pub exit_code: Option<i32>,
    /// Number of the signal that ended the job.
    pub signal: Option<i32>,
    /// When the plan was made.
    pub planned: Timestamp,
    /// When the run was over.
    pub ended: Timestamp,
    /// From the start of the job to its end.
    pub duration_ms: f64,
    /// What aseptic itself took, by step.
    pub overhead_ms: BTreeMap<String, f64>,
    /// The code it ran.
    pub code: Option<Code>,
    /// The software it ran on.
    pub environment: Environment,
    /// What it could read.
    pub inputs: BTreeMap<InputName, Input>,
    /// What it did read.
    pub lineage: Lineage,
    /// Every file it left, by path.
    pub outputs: Vec<Output>,
    /// Every symbolic link it left, by path.
    pub links: Vec<OutputLink>,
    /// The tree of all outputs.
    pub outputs_snapshot: Option<Digest>,
    /// Files of the code that it deleted from its own copy.
    pub deleted: Vec<FilePath>,
    /// What it left that is not kept, with the reason.
    pub skipped: Vec<Skipped>,
    /// Labels of the outputs.
    pub labels: BTreeSet<Label>,
    /// What it tried and was denied, as far as that was seen: what was denied of the network where there is an
    /// `egress`, anything else where it was `observed`.
    pub denied: Vec<Denied>,
    /// What its supervisor was told while it went on, such as that something it had was put in quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// How far attempts at files, programs and the like were looked at; none was without this, so that a list
    /// without any means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// What it had of the network; nothing where no gateway was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// What it printed, and what it was given on standard input.
    pub logs: Logs,
    /// The bounds it ran under.
    pub limits: Limits,
    /// What enforced the plan, wall by wall.
    pub walls: Vec<Wall>,
    /// What the job used of the machine; nothing where no process of it ran, or where its supervisor died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The machine that it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<MachineName>,
    /// Digest of the rules that decided on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
    /// The run that it repeats, if it is a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<RunId>,
    /// What it measured; nothing where it wrote no metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// What it used of the machine over time: JSON lines as those of metrics. Nothing where it was too short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Log>,
    /// Digest of the inventory of its environment, which is in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Digest>,
}

/// What a job used of the machine, as the kernel counted it. How long it took is `duration_ms`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Processor time in its own code, of all its processes together.
    pub cpu_user_ms: u64,
    /// Processor time in the kernel.
    pub cpu_system_ms: u64,
    /// Most memory at once; what that counts is in `source`.
    pub memory_peak_bytes: Option<u64>,
    /// Bytes read from disks, without what was in memory already.
    pub read_bytes: Option<u64>,
    /// Bytes written to disks.
    pub written_bytes: Option<u64>,
    /// Which counters of the kernel these are.
    pub source: String,
}

/// What a run read of its inputs, as the kernel saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// Whether every opened file is listed.
    pub complete: bool,
    /// Why not, if not.
    pub incomplete_because: Option<String>,
    /// Opened files of each input, sorted.
    pub read: BTreeMap<InputName, BTreeSet<FilePath>>,
}

/// One output file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its path: `out/…` for what was written to `/out`, `work/…` for changes in `/work`.
    pub path: FilePath,
    /// Size in bytes.
    pub size: u64,
    /// BLAKE3, the name of its bytes in the store.
    pub blake3: Digest,
    /// SHA-256 in hexadecimal digits, for tools outside.
    pub sha256: String,
}

/// One symbolic link among the outputs; nothing follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputLink {
    /// Its path.
    pub path: FilePath,
    /// Where it points, in the text form of file names.
    pub target: String,
}

/// Something a run left that is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// Where it was.
    pub path: FilePath,
    /// Why it is not kept.
    pub reason: String,
}

/// One kind of attempt that was denied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// What was tried: `open`, `write`, `execute`, `resolve`, `connect`, `send`, `bind`, or the rule that
    /// denied the plan.
    pub action: String,
    /// On what: `/home/me/x.csv`, `93.184.216.34:443`, `data.train`.
    pub target: String,
    /// How often.
    pub count: u64,
    /// What stood against it; nothing if that was the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DeniedReason>,
    /// What would allow it, or what to do instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// What stood against an attempt of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeniedReason {
    /// It is on this machine, and the run does not see it.
    NotInTheRun,
    /// The run sees it read-only.
    ReadOnly,
    /// Its permissions, or those of where it is.
    Permissions,
    /// No interface of the run leads there.
    NoNetwork,
    /// The plan does not grant it.
    NotGranted,
    /// The name has an address that only a literal grant permits: private, loopback, metadata, …
    PrivateAddress,
    /// The client asked the granted host for another name, in TLS or HTTP, or for none.
    OtherName,
    /// Names are asked for addresses alone.
    RecordType,
    /// A limit of the plan.
    Limit,
    /// The grant was revoked.
    Revoked,
}

impl DeniedReason {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotInTheRun => "not in the run",
            Self::ReadOnly => "read-only",
            Self::Permissions => "permissions",
            Self::NoNetwork => "no network",
            Self::NotGranted => "not granted",
            Self::PrivateAddress => "private address",
            Self::OtherName => "other name",
            Self::RecordType => "no address",
            Self::Limit => "limit",
            Self::Revoked => "revoked",
        }
    }
}

/// How far the attempts of a job were seen. A report, not a wall: a job can hide an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// How many attempts were looked at.
    pub attempts: u64,
    /// How many of them may have been denied and are not listed, because the list was full.
    pub unlisted: u64,
}

/// What a run printed, and what it was given on standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Standard output.
    pub stdout: Option<Log>,
    /// Standard error.
    pub stderr: Option<Log>,
    /// What it was given on standard input, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Given>,
}

impl Logs {
    /// What it was given on standard input, as far as that is kept.
    #[must_use]
    pub fn given(&self) -> Option<&Log> {
        match &self.stdin {
            Some(Given::Piped(log)) => Some(log),
            Some(Given::Terminal) | None => None,
        }
    }

    /// Every stream that is kept.
    pub fn kept(&self) -> impl Iterator<Item = &Log> {
        [self.stdout.as_ref(), self.stderr.as_ref(), self.given()].into_iter().flatten()
    }
}

/// What a run was given on standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Given {
    /// What a person typed on its terminal, which is not kept: it may be a password.
    Terminal,
    /// These bytes of a file or another program. The run may not have read all of them.
    Piped(Log),
}

/// One stream of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The kept bytes.
    pub blake3: Digest,
    /// How many are kept.
    pub size: u64,
    /// How many more were shown but not kept.
    pub dropped: u64,
}

/// One wall of the sandbox and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wall {
    /// Its name, such as `network namespace`.
    pub name: String,
    /// Whether it stood.
    pub state: WallState,
    /// Detail, or what is missing.
    pub detail: Option<String>,
}

impl Wall {
    /// The detail of a limit that the plan does not set.
    pub const UNASKED: &str = "none asked for";

    /// The name under which it stands whether denied attempts were looked at: a report, which stops nothing.
    pub const ATTEMPTS: &str = "denied attempts";

    /// Whether it is a limit that the plan does not set.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        self.state == WallState::NotEnforced && self.detail.as_deref() == Some(Self::UNASKED)
    }
}

/// Whether a wall stood during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WallState {
    /// It stood from before the job's first instruction to its end.
    Done,
    /// It did not stand; the plan accepted that, or this version does not have it.
    NotEnforced,
}
