//! The decision on a plan: made once, before anything starts.

use serde::{Deserialize, Serialize};

/// Allow or deny, with every reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What was decided.
    pub outcome: Outcome,
    /// Why not, element by element; empty when allowed.
    pub reasons: Vec<Reason>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The run may start.
    Allow,
    /// The run does not start.
    Deny,
}

impl Outcome {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// One reason for a denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Stable name of the rule, such as `input/quarantined`.
    pub rule: String,
    /// The element of the plan, such as `data.train`.
    pub element: String,
    /// What is the matter with it.
    pub message: String,
    /// What would satisfy the rule, or who may allow it.
    pub advice: String,
}
