//! The decision on a plan: made once, before anything starts.

use serde::{Deserialize, Serialize};

use crate::to_canonical;

/// Allow, deny or ask, with every reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What was decided: the worst of the reasons, or allow without one.
    pub outcome: Outcome,
    /// Why not, element by element; empty when allowed. At most [`REASONS_MAX`] and
    /// [`REASONS_BYTES_MAX`].
    pub reasons: Vec<Reason>,
    /// How many reasons more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: u64,
}

/// Most reasons of a decision, so that it can be read.
pub const REASONS_MAX: usize = 32;

/// Most bytes of the reasons of a decision as JSON: an entry of the ledger has at most 65,535, and says more than these.
pub const REASONS_BYTES_MAX: usize = 32 << 10;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Decision {
    /// The decision that follows from `reasons`: those that deny come first, and each keeps its place otherwise. However
    /// many there are, only those that are listed are kept.
    #[must_use]
    pub fn of(reasons: impl IntoIterator<Item = Reason>) -> Self {
        let (mut denying, mut asking, mut total) = (Vec::new(), Vec::new(), 0_u64);
        for reason in reasons {
            total += 1;
            let kept = if reason.outcome == Outcome::Deny { &mut denying } else { &mut asking };
            if kept.len() < REASONS_MAX {
                kept.push(reason);
            }
        }
        let mut reasons = denying;
        reasons.append(&mut asking);
        reasons.truncate(REASONS_MAX);
        let mut bytes = 0;
        let fitting = reasons.iter().take_while(|reason| {
            bytes += to_canonical(reason).map_or(REASONS_BYTES_MAX, |json| json.len());
            bytes <= REASONS_BYTES_MAX
        });
        reasons.truncate(fitting.count().max(1));
        let outcome = reasons.first().map_or(Outcome::Allow, |reason| reason.outcome);
        Self { outcome, unlisted: total - reasons.len() as u64, reasons }
    }

    /// Whether `other` is the same decision, for the same reasons: what they are about, and the rules. Their words, and so
    /// how many of them fit, may be those of another version.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let all = |decision: &Self| decision.reasons.len() as u64 + decision.unlisted;
        let mut both = self.reasons.iter().zip(&other.reasons);
        self.outcome == other.outcome && all(self) == all(other) && both.all(|(a, b)| a.is_for(b))
    }
}

/// What was decided, from the best to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The run may start.
    Allow,
    /// The run does not start until somebody else approves exactly this plan.
    NeedsApproval,
    /// The run does not start.
    #[default]
    Deny,
}

impl Outcome {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::NeedsApproval => "needs-approval",
            Self::Deny => "deny",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_deny(&self) -> bool {
        *self == Self::Deny
    }
}

/// One reason why a plan is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// What follows from it; never allow.
    #[serde(default, skip_serializing_if = "Outcome::is_deny")]
    pub outcome: Outcome,
    /// Stable name of the rule, such as `input/quarantined`: the `@id` of a policy.
    pub rule: String,
    /// The element of the plan, such as `data.train`.
    pub element: String,
    /// The value that it has, such as `digits@3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where that was said: `aseptic.toml:12`, or the option.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What is the matter with it.
    pub message: String,
    /// What would satisfy the rule.
    pub advice: String,
    /// Which role may allow it, if any may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

impl Reason {
    /// Whether `other` has the same outcome by the same rule for the same element, in whichever words.
    fn is_for(&self, other: &Self) -> bool {
        let of = |reason: &Self| Self { message: String::new(), advice: String::new(), ..reason.clone() };
        of(self) == of(other)
    }
}
