//! The plan of a run: everything it will see and may do, resolved before anything starts.
//!
//! **Invariant:** two runs with equal plans see equal inputs. No run id, no time and no path of a
//! temporary file enters a plan, so its digest names what was approved and can be asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    CanonicalError, Clock, DatasetName, Digest, ExperimentName, FilePath, Gpus, Grant, InputName, Label,
    ProjectName, RunId, canonical_digest,
};

/// Version tag of [`Plan`] on disk.
pub const PLAN_FORMAT: &str = "aseptic.plan/1";

/// A fully resolved plan. Its canonical bytes are its one text form; see `docs/formats/plan.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: String,
    /// The project whose store and datasets the run uses.
    pub project: ProjectName,
    /// The experiment of the spec, if the run has one.
    pub experiment: Option<ExperimentName>,
    /// Program and arguments; the program is looked up in the run's own `PATH`.
    pub command: Vec<String>,
    /// Parameters, handed to the job as the JSON file that `ASEPTIC_PARAMS` names.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The code at `/work`, or nothing for an empty `/work`.
    pub code: Option<Code>,
    /// The software the job runs on.
    pub environment: Environment,
    /// The inputs at `/data/<name>`.
    pub inputs: BTreeMap<InputName, Input>,
    /// The destinations the job may reach.
    pub network: BTreeSet<Grant>,
    /// Bounds of the run.
    pub limits: Limits,
    /// Named elements that may go unenforced on this host; the record repeats them.
    pub accept: BTreeSet<String>,
    /// GPUs that the job may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
    /// TCP ports of its own loopback that the job may use; without a list, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<BTreeSet<u16>>,
    /// Clocks that count from the start of the machine.
    #[serde(default, skip_serializing_if = "Clock::is_host")]
    pub clock: Clock,
    /// Whether every name gets an address and every connection an end at once, so that what a job wants of
    /// the network can be listed. Nothing but `network` is reached.
    #[serde(default, skip_serializing_if = "is_false")]
    pub observe_network: bool,
    /// Labels that the outputs have besides those of the inputs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<Label>,
    /// What is kept of what the job leaves.
    #[serde(default, skip_serializing_if = "Keep::is_everything")]
    pub keep: Keep,
    /// Digest of the policies that it was made under; a change of theirs makes another plan. None in plans of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
}

/// What is kept of what a job leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Everything in `/out`, every change in `/work`, and what it prints.
    #[default]
    Everything,
    /// The metrics that it writes and a little of what it prints; nothing else leaves the run.
    Metrics,
}

impl Keep {
    /// The word used in specs and in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Metrics => "metrics",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_everything(&self) -> bool {
        *self == Self::Everything
    }
}

impl std::str::FromStr for Keep {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "everything" => Ok(Self::Everything),
            "metrics" => Ok(Self::Metrics),
            _ => Err("expected `everything` or `metrics`"),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Plan {
    /// The plan of a run that has nothing but its `command`: no code, no inputs, no network, and the limits of a spec that
    /// names none, on a machine of which nothing is known.
    #[must_use]
    pub fn bare(project: ProjectName, command: Vec<String>) -> Self {
        Self {
            format: PLAN_FORMAT.to_owned(),
            project,
            experiment: None,
            command,
            params: BTreeMap::new(),
            code: None,
            environment: Environment::default(),
            inputs: BTreeMap::new(),
            network: BTreeSet::new(),
            limits: Limits::default(),
            accept: BTreeSet::new(),
            gpus: None,
            ports: None,
            clock: Clock::Host,
            observe_network: false,
            labels: BTreeSet::new(),
            keep: Keep::Everything,
            policy: None,
        }
    }

    /// The digest that gets approved: BLAKE3 of the canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`] when a parameter is a number that JSON cannot hold.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        canonical_digest(self)
    }

    /// Labels of the outputs: every label of every input and of the code, and those of the run itself.
    #[must_use]
    pub fn output_labels(&self) -> BTreeSet<Label> {
        let code = self.code.iter().flat_map(|code| &code.labels);
        let inputs = self.inputs.values().flat_map(|input| &input.labels);
        inputs.chain(code).chain(&self.labels).cloned().collect()
    }
}

/// The code of a run: a snapshot of the working tree as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The tree.
    pub snapshot: Digest,
    /// Number of files in it.
    pub files: u64,
    /// Their total size.
    pub bytes: u64,
    /// The git commit that was checked out, in hexadecimal digits.
    pub git_commit: Option<String>,
    /// Labels of data that was recognised in it, which flow to the outputs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<Label>,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What it was resolved from.
    pub source: InputSource,
    /// The exact tree the job sees.
    pub snapshot: Digest,
    /// Number of files in it.
    pub files: u64,
    /// Their total size.
    pub bytes: u64,
    /// Labels, which flow to the outputs.
    pub labels: BTreeSet<Label>,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum InputSource {
    /// A version of a dataset.
    Dataset {
        /// Its name.
        name: DatasetName,
        /// Its version, from 1.
        version: u32,
    },
    /// Outputs of a sealed run.
    Artifact {
        /// The run.
        run: RunId,
        /// The output, or all of them.
        path: Option<FilePath>,
    },
}

impl fmt::Display for InputSource {
    /// As a reference in a spec.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset { name, version } => write!(f, "{name}@{version}"),
            Self::Artifact { run, path: None } => write!(f, "run:{run}"),
            Self::Artifact { run, path: Some(path) } => write!(f, "run:{run}/{path}"),
        }
    }
}

/// The software a job runs on, as found when the plan was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The Python environment, mounted read-only at its own path.
    pub python: Option<Python>,
    /// Variables that the spec sets.
    pub variables: BTreeMap<String, String>,
    /// The machine.
    pub host: Host,
}

/// A Python environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// Its directory (`sys.prefix`), absolute.
    pub prefix: String,
    /// The installation it builds on (`sys.base_prefix`), absolute.
    pub base_prefix: String,
    /// Version, such as `3.11.7`.
    pub version: String,
    /// Digest of the interpreter's executable file.
    pub interpreter: Digest,
    /// Installed packages, by name.
    pub packages: Vec<Package>,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name as the package gives it.
    pub name: String,
    /// Version.
    pub version: String,
    /// Digest of its `RECORD`, which lists the digest of every file that was installed.
    pub record: Option<Digest>,
}

/// What of the machine can change a result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Kernel release, such as `6.1.0-18-amd64`.
    pub kernel: String,
    /// Machine architecture, such as `x86_64`.
    pub architecture: String,
    /// CPU model.
    pub cpu: String,
}

/// Bounds of a run. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Wall-clock time after which the job is asked to end.
    pub wall_ms: Option<u64>,
    /// Time between asking (`TERM`) and ending it (`KILL`).
    pub grace_ms: u64,
    /// Tasks (processes and threads) alive at once.
    pub processes: u32,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Processors.
    pub cpus: Option<u32>,
    /// Bytes on disk outside `/out`.
    pub scratch_bytes: Option<u64>,
    /// Files, directories and links outside `/out`. Left out where it is not set, as are those below, so
    /// that plans from before they were there keep their digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch_files: Option<u64>,
    /// Bytes in `/out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_bytes: Option<u64>,
    /// Files that one process may have open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u32>,
    /// Connections to granted destinations that are open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Bytes of all connections together, in both directions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_bytes: Option<u64>,
    /// Bytes per second of all connections together, in both directions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_bytes: Option<u64>,
    /// Bytes of metrics, where nothing else is kept of what the job leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_bytes: Option<u64>,
}

impl Limits {
    /// Grace period where the spec names none: long enough to write a checkpoint.
    pub const GRACE_MS: u64 = 10_000;

    /// Tasks where the spec names none: a data loader per core on the largest machines, and still no
    /// fork bomb that reaches the host's own limit of 32,768.
    pub const PROCESSES: u32 = 16_384;

    /// Bytes in `/out` of a run of which only metrics are kept, where the spec names none: many times what is kept.
    pub const OUTPUTS_OF_METRICS: u64 = 1 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_ms: None,
            grace_ms: Self::GRACE_MS,
            processes: Self::PROCESSES,
            memory_bytes: None,
            cpus: None,
            scratch_bytes: None,
            scratch_files: None,
            outputs_bytes: None,
            files: None,
            connections: None,
            traffic_bytes: None,
            bandwidth_bytes: None,
            metrics_bytes: None,
        }
    }
}
