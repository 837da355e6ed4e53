//! How a run ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The job ended with exit code 0.
    Succeeded,
    /// The job ended with another exit code or by a signal, or the disk was almost full.
    Failed,
    /// It was ended at its limit of memory, or the kernel's out-of-memory killer ended a process of it.
    OutOfMemory,
    /// It was ended at its limit of bytes or files outside `/out`.
    ScratchFull,
    /// It was ended at its limit of bytes in `/out`.
    OutputsFull,
    /// It was ended at its limit of wall-clock time.
    TimedOut,
    /// The plan was denied; nothing started.
    Denied,
    /// The plan needs somebody's approval; nothing started.
    NeedsApproval,
    /// The run was interrupted: by the user, or because its supervisor died.
    Aborted,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Succeeded,
        Self::Failed,
        Self::OutOfMemory,
        Self::ScratchFull,
        Self::OutputsFull,
        Self::TimedOut,
        Self::Denied,
        Self::NeedsApproval,
        Self::Aborted,
    ];

    /// Whether a job was let at anything: the plan was neither denied nor left to somebody's approval.
    #[must_use]
    pub fn has_started(self) -> bool {
        !matches!(self, Self::Denied | Self::NeedsApproval)
    }

    /// How a run ended of which nothing started, because of this decision.
    #[must_use]
    pub fn unstarted(outcome: Outcome) -> Self {
        match outcome {
            Outcome::NeedsApproval => Self::NeedsApproval,
            Outcome::Allow | Outcome::Deny => Self::Denied,
        }
    }

    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::OutOfMemory => "out-of-memory",
            Self::ScratchFull => "scratch-full",
            Self::OutputsFull => "outputs-full",
            Self::TimedOut => "timed-out",
            Self::Denied => "denied",
            Self::NeedsApproval => "needs-approval",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
