//! What two runs came to, side by side: how they ended, what they left, what they measured.

use serde::{Deserialize, Serialize};

use crate::{Digest, FileComparison, FilePath, ProjectName, RunId, Status, Tolerance, Verdict};

/// Version tag of [`ReplayReport`] in the store.
pub const REPLAY_REPORT_SCHEMA: &str = "aseptic.replay-report/1";

/// A replay beside the run that it repeats. What `run.replayed` names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayReport {
    /// [`REPLAY_REPORT_SCHEMA`].
    pub schema: String,
    /// The project of both.
    pub project: ProjectName,
    /// The replay.
    pub run: RunId,
    /// The run that it repeats.
    pub replays: RunId,
    /// What came of it.
    pub verdict: Verdict,
    /// Within what numbers count as equal.
    pub tolerance: Tolerance,
    /// What was not as it had been, and was allowed to differ: packages, the machine, the rules.
    pub changed: Vec<String>,
    /// What is not the newest any more, and what cannot be repeated.
    pub remarks: Vec<String>,
    /// What both came to.
    pub effects: Effects,
}

/// What two runs came to. The first is the one that is repeated or compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effects {
    /// The worst of how they ended, their outputs and their metrics. What they printed does not count.
    pub verdict: Verdict,
    /// How the first ended.
    pub before: Ending,
    /// How the second ended.
    pub after: Ending,
    /// Files that both left with equal bytes.
    pub identical: u64,
    /// Files and links that they did not leave with equal bytes, by path.
    pub outputs: Vec<OutputDifference>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: u64,
    /// Metrics that are not equal, by name.
    pub metrics: Vec<MetricDifference>,
    /// Whether they printed the same bytes on standard output.
    pub same_stdout: bool,
    /// Whether they printed the same bytes on standard error.
    pub same_stderr: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// Its status; nothing while it goes on.
    pub status: Option<Status>,
    /// Exit code of the job.
    pub exit_code: Option<i32>,
    /// Number of the signal that ended the job.
    pub signal: Option<i32>,
}

/// A file or link that two runs did not leave with equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputDifference {
    /// Its path.
    pub path: FilePath,
    /// What differs.
    pub change: OutputChange,
    /// Its bytes in the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Its bytes in the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Digest>,
    /// What comparing its values came to, where both have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<FileComparison>,
}

/// What is the matter with an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputChange {
    /// Its values are equal within the tolerance.
    Equivalent,
    /// A value differs, or its values cannot be compared.
    Different,
    /// Only the first run left it.
    Missing,
    /// Only the second run left it.
    New,
}

impl OutputChange {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equivalent => "equivalent",
            Self::Different => "different",
            Self::Missing => "missing",
            Self::New => "new",
        }
    }

    /// What it makes of the whole.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Equivalent => Verdict::Equivalent,
            Self::Different | Self::Missing | Self::New => Verdict::Different,
        }
    }
}

/// A metric that is not equal in two runs: its last value, or another part of its summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricDifference {
    /// Its name.
    pub name: String,
    /// Whether it is equal within the tolerance.
    pub verdict: Verdict,
    /// Its last value in the first run.
    pub before: Option<f64>,
    /// Its last value in the second.
    pub after: Option<f64>,
}
