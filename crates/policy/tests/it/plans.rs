//! Plans, what is decided, and what the person who wants them reads.

use std::collections::BTreeSet;

use aseptic_model::Outcome;
use aseptic_policy::{Action, notes};

use crate::world::{Case, trains};

mod data;
mod things;

/// A row of the table.
pub(crate) struct Row {
    /// What the plan does.
    pub(crate) name: &'static str,
    pub(crate) case: Case,
    /// What is decided.
    pub(crate) outcome: Outcome,
    /// What a person reads: of each reason the element, the rule and its help; of a plan that is allowed the notes.
    pub(crate) reads: &'static [&'static str],
}

fn allowed(name: &'static str, case: Case, reads: &'static [&'static str]) -> Row {
    Row { name, case, outcome: Outcome::Allow, reads }
}

fn denied(name: &'static str, case: Case, reads: &'static [&'static str]) -> Row {
    Row { name, case, outcome: Outcome::Deny, reads }
}

fn waits(name: &'static str, case: Case, reads: &'static [&'static str]) -> Row {
    Row { name, case, outcome: Outcome::NeedsApproval, reads }
}

/// The table.
pub(crate) fn plans() -> Vec<Row> {
    [
        data::network(),
        data::sensitive(),
        data::held_out(),
        data::released(),
        things::not_trusted(),
        things::pinned(),
        things::not_enforced(),
        things::people(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn each_plan_is_decided_as_the_table_says() {
    assert!(plans().len() >= 40, "the table has {} plans", plans().len());
    for Row { name, case, outcome, reads } in plans() {
        let decision = case.decide();
        let mut lines: Vec<String> = decision
            .reasons
            .iter()
            .map(|reason| match reason.rule.as_str() {
                "policy/default-deny" => format!("{} ({})", reason.element, reason.rule),
                rule => format!("{} ({rule}): {}", reason.element, reason.advice),
            })
            .collect();
        if outcome == Outcome::Allow {
            lines = notes(&case.question());
        }
        assert_eq!(decision.outcome, outcome, "{name}: {decision:#?}");
        assert_eq!(lines, reads, "{name}");
    }
}

#[test]
fn the_question_alone_gives_the_decision_again() {
    for Row { name, case, .. } in plans() {
        let bytes = aseptic_model::to_canonical(&case.question()).unwrap();
        let question: aseptic_policy::Question = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(crate::world::SHIPPED.decide(&question), case.decide(), "{name}");
    }
}

#[test]
fn what_a_plan_does_not_name_nobody_asks_for() {
    let asked = |case: &Case| {
        let requests = case.question().requests;
        requests.into_iter().map(|request| request.action).collect::<BTreeSet<Action>>()
    };
    let plain = BTreeSet::from([Action::Start, Action::Mount, Action::UseEnv, Action::Write]);
    assert_eq!(asked(&trains()), plain);
    let network = &plain | &BTreeSet::from([Action::Connect]);
    assert_eq!(asked(&trains().network("example.org:443")), network);
}
