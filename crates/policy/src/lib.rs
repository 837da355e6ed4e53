//! Decides whether a plan may run, and whether somebody may do what they want: requests in, decision out.
//!
//! A plan becomes one [`Request`] for each of its elements ([`requests()`]), with everything that a rule may look at;
//! [`Policies`] are the shipped ones and those of a project, written in Cedar. What no policy permits is denied, what
//! one forbids is denied whatever others permit, and a policy that cannot be evaluated denies.
//!
//! **Invariant:** pure. Equal questions and policies have equal decisions, and both can be kept, so that every
//! decision can be made again.
//! **Absent on purpose:** looking facts up. The caller does, and passes all that it found.
#![forbid(unsafe_code)]

mod act;
mod cases;
mod check;
mod decide;
mod document;
mod entity;
mod explain;
mod facts;
mod labels;
mod lex;
mod link;
mod listing;
mod notes;
mod problem;
mod question;
mod reading;
mod requests;
mod restate;
mod risk;
mod roles;
mod rule;
mod set;
mod settings;
mod shapes;
mod slice;
mod words;

pub use act::Act;
pub use cases::{
    ACCEPTABLE, Asked, CASES_BYTES_MAX, CASES_FORMAT, CASES_MAX, Case, Cases, Difference, Expected, Given,
};
pub use check::check;
pub use document::{POLICY_FORMAT, PolicyDocument};
pub use explain::{EXPLANATION_FORMAT, Explained, Explanation, Spoke};
pub use facts::{Egress, Facts, InQuarantine};
pub use labels::is_held_out;
pub use listing::Listed;
pub use notes::notes;
pub use problem::{Problem, Severity};
pub use question::{Action, Kind, Principal, QUESTION_FORMAT, Question, Request, Resource, Value};
pub use requests::{QUESTION_BYTES_MAX, question_bytes, requests, snapshots};
pub use risk::{RISK_FORMAT, RISK_MAX, Risk, RiskInput, risk};
pub use roles::{EXCLUSIVE, Exclusive, NoRole, ROLES_BYTES_MAX, ROLES_FORMAT, Role, Roles, Through};
pub use set::{Policies, PolicyError};
pub use settings::{Link, SETTINGS_FORMAT, Settings};

#[cfg(test)]
mod tests;
