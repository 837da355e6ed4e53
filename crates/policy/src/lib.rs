//! Decides whether a plan may run, and whether somebody may do what they want: requests in, decision out.
//!
//! The modules are the steps. `read` makes [`Policies`] of files; `ask` makes a [`Question`] of a plan, one [`Request`]
//! for each of its elements with everything that a rule may look at; `decide` answers it, and `explain` says why.
//! Policies are the shipped ones and those of a project, written in Cedar. What no policy permits is denied, what
//! one forbids is denied whatever others permit, and a policy that cannot be evaluated denies.
//!
//! **Invariant:** pure. Equal questions and policies have equal decisions, and both can be kept, so that every
//! decision can be made again.
//! **Absent on purpose:** looking facts up. The caller does, and passes all that it found.
#![forbid(unsafe_code)]

mod ask;
mod cases;
mod check;
mod decide;
mod explain;
mod listing;
mod read;
mod roles;
mod text;

pub use ask::act::{About, Act};
pub use ask::facts::{Egress, Facts, InQuarantine};
pub use ask::labels::{is_held_out, nearly_known};
pub use ask::notes::notes;
pub use ask::question::{Action, Kind, Principal, QUESTION_FORMAT, Question, Request, Resource, Value};
pub use ask::requests::{QUESTION_BYTES_MAX, question_bytes, snapshots};
pub use ask::risk::{RISK_FORMAT, RISK_MAX, Risk, RiskInput, risk};
pub use cases::{
    ACCEPTABLE, Asked, CASES_BYTES_MAX, CASES_FORMAT, CASES_MAX, Case, Cases, Difference, Expected, Given,
};
pub use check::check;
pub use decide::policies::{Policies, PolicyError};
pub use explain::{EXPLANATION_FORMAT, Explained, Explanation, Spoke};
pub use listing::Listed;
pub use read::document::{POLICY_FORMAT, PolicyDocument};
pub use read::problem::{Problem, Severity};
pub use read::settings::{Link, SETTINGS_FORMAT, Settings};
pub use roles::{EXCLUSIVE, Exclusive, NoRole, ROLES_BYTES_MAX, ROLES_FORMAT, Role, Roles, Through};

#[cfg(test)]
mod tests;
