//! How risky a plan is, as a number that policies can use, with what it was counted from.
//!
//! **Invariant:** a function of the requests alone: whoever has the question can count again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::text::listed;
use crate::{Action, Request, Value};

/// Version tag of [`Risk`]: another table of points is another version.
pub const RISK_FORMAT: &str = "aseptic.risk/1";

/// Highest [`Risk::score`].
pub const RISK_MAX: u8 = 100;

/// Most things that [`RiskInput::value`] names.
const VALUES_MAX: usize = 8;

/// How risky a plan is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Risk {
    /// [`RISK_FORMAT`].
    pub format: String,
    /// From 0, nothing that counts, to [`RISK_MAX`]: the sum of the points.
    pub score: u8,
    /// What it was counted from, in the order of the table; nothing that a plan has not.
    pub inputs: Vec<RiskInput>,
}

/// One thing that a score was counted from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskInput {
    /// Stable name, such as `wildcards`.
    pub fact: String,
    /// What the plan has of it, such as `*.example.org:443`.
    pub value: String,
    /// Points for it.
    pub points: u8,
}

/// Points of one fact: for the first thing, for each further one, and the most that there are.
struct Points {
    fact: &'static str,
    first: u8,
    further: u8,
    most: u8,
}

const fn points(fact: &'static str, first: u8, further: u8, most: u8) -> Points {
    Points { fact, first, further, most }
}

/// The table. Data that must not get out and ways out count most, and more where they meet; then what may be other
/// than it says; then what may disturb others on the machine.
const TABLE: [Points; 15] = [
    points("sensitive-labels", 25, 5, 35),
    points("holdout", 15, 0, 15),
    points("restricting-labels", 5, 5, 10),
    points("destinations", 10, 5, 25),
    points("sensitive-destinations", 20, 5, 30),
    points("wildcards", 10, 5, 20),
    points("any-names", 5, 5, 10),
    points("literal-addresses", 5, 5, 10),
    points("over-budget", 10, 5, 15),
    points("unpinned", 10, 5, 20),
    points("walls-missing", 20, 10, 40),
    points("limits-missing", 5, 5, 15),
    points("limits-soft", 2, 2, 6),
    points("gpus", 5, 5, 10),
    points("replay", 0, 0, 0),
];

/// Counts the risk of the plan that `requests` are of.
#[must_use]
pub fn risk(requests: &[Request]) -> Risk {
    let inputs: Vec<RiskInput> = TABLE.iter().filter_map(|row| row.count(requests)).collect();
    let sum: u32 = inputs.iter().map(|input| u32::from(input.points)).sum();
    let score = u8::try_from(sum).unwrap_or(RISK_MAX).min(RISK_MAX);
    Risk { format: RISK_FORMAT.to_owned(), score, inputs }
}

impl Points {
    fn count(&self, requests: &[Request]) -> Option<RiskInput> {
        let things = things(self.fact, requests);
        let further = u8::try_from(things.len().checked_sub(1)?).unwrap_or(u8::MAX);
        let points = self.first.saturating_add(self.further.saturating_mul(further)).min(self.most);
        let value = listed(things, VALUES_MAX, str::to_owned);
        Some(RiskInput { fact: self.fact.to_owned(), value, points })
    }
}

/// What the plan has of a fact of the table.
fn things<'r>(fact: &str, requests: &'r [Request]) -> BTreeSet<&'r str> {
    let of = |action: Action| requests.iter().filter(move |one| one.action == action);
    let texts = |action, key| of(action).flat_map(|one| one.texts(key)).collect();
    let values = |action, holds: fn(&Request) -> bool| {
        of(action).filter(|one| holds(one)).map(|one| one.value.as_str()).collect()
    };
    let is_destination = |one: &Request| !one.says("observe");
    match fact {
        "sensitive-labels" => texts(Action::Write, "sensitive"),
        "holdout" => values(Action::Mount, |one| one.says("holdout")),
        "restricting-labels" => texts(Action::Write, "restricting"),
        "destinations" => values(Action::Connect, is_destination),
        "sensitive-destinations" => match texts(Action::Write, "sensitive").is_empty() {
            true => BTreeSet::new(),
            false => values(Action::Connect, is_destination),
        },
        "wildcards" => values(Action::Connect, |one| one.says("wildcard")),
        "any-names" => values(Action::Connect, |one| one.says("anyName")),
        "literal-addresses" => values(Action::Connect, |one| one.says("literal")),
        "over-budget" => values(Action::Mount, |one| one.says("holdout") && is_over_budget(one)),
        "unpinned" => texts(Action::Start, "unpinned"),
        "walls-missing" => values(Action::Accept, |one| one.says("missing") && !one.says("limit")),
        "limits-missing" => values(Action::Accept, |one| one.says("missing") && one.says("limit")),
        "limits-soft" => texts(Action::Start, "softLimits"),
        "gpus" => values(Action::UseGpu, |_| true),
        "replay" => values(Action::Start, |one| one.says("replay")),
        _ => BTreeSet::new(),
    }
}

fn is_over_budget(request: &Request) -> bool {
    match (request.context.get("evaluations"), request.context.get("evaluationsMax")) {
        (Some(Value::Long(before)), Some(Value::Long(most))) => before >= most,
        _ => true,
    }
}
