//! Plans that somebody made to be a burden: messages stay short, and nothing of a spec is taken for more than text.

use std::collections::BTreeMap;

use aseptic_model::{Outcome, REASONS_BYTES_MAX, to_canonical};
use aseptic_policy::{Action, Policies, PolicyDocument, Question, Request};

use crate::world::{SHIPPED, evaluates, trains};

#[test]
fn many_inputs_and_destinations_make_no_long_message() {
    let mut case = trains();
    for number in 0..300 {
        let label = format!("restricted:{number}");
        case = case.input(&format!("d{number}"), &format!("data{number}@1"), &["phi", &label]);
        case = case.network(&format!("h{number}.example:443"));
    }
    let decision = case.decide();
    assert_eq!((decision.outcome, decision.reasons.len(), decision.unlisted), (Outcome::Deny, 32, 268));
    for reason in &decision.reasons {
        assert_eq!(reason.rule, "label/sensitive-egress");
        assert!(reason.message.contains("`phi` (`data.d0`, ") && reason.message.contains(" and 297 more"));
        assert!(reason.message.len() < 500 && reason.advice.len() < 500, "{reason:?}");
    }
}

#[test]
fn what_a_spec_says_is_text() {
    let mut case = trains().accepts("\u{1b}[2J{remedy}\n");
    let python = case.plan.environment.python.as_mut().unwrap();
    python.prefix = "/home/ada/\u{1b}]0;x\u{7}\"; permit(principal, action, resource);//".to_owned();
    let decision = case.decide();
    let [reason] = decision.reasons.as_slice() else { panic!("{decision:#?}") };
    assert_eq!(reason.rule, "accept/unknown");
    let question = case.question();
    let environment = question.requests.iter().find(|one| one.action == Action::UseEnv).unwrap();
    for text in [&reason.element, &reason.message, &reason.advice, &environment.value] {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

#[test]
fn what_nobody_knows_of_an_element_is_asked_about() {
    // A newer runner may find something in quarantine that this crate has no word for.
    let decision = trains().quarantined("firmware", "dataset:raw@1", &[]).decide();
    let [reason] = decision.reasons.as_slice() else { panic!("{decision:#?}") };
    assert_eq!((reason.rule.as_str(), reason.element.as_str()), ("input/quarantined", "firmware"));
}

/// Canonical JSON has no number above 2^53 - 1 that is read back as it was.
#[test]
fn numbers_without_end_are_kept_and_decided_again() {
    let case = evaluates().evaluations(u64::MAX).evaluations_max(u32::MAX);
    let bytes = to_canonical(&case.question()).unwrap();
    let question: Question = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(question, case.question());
    assert_eq!(SHIPPED.decide(&question).outcome, Outcome::NeedsApproval);
}

/// However long the words of policies and plans are, a decision fits into an entry of the ledger, and memory does not
/// grow with the number of reasons.
#[test]
fn a_decision_fits_into_an_entry() {
    let long = "🦀".repeat(1300);
    let policy = |number: usize| {
        format!(
            "@id(\"own/r{number}\") @message(\"{long}\\\"\") @advice(\"{long}\") @grant(\"policy-author\") \
             forbid (principal, action == Action::\"Connect\", resource);\n"
        )
    };
    let text = (0..20).map(policy).collect::<String>();
    let files = BTreeMap::from([("policy/long.cedar".to_owned(), text)]);
    let policies = Policies::parse(PolicyDocument::new(files)).unwrap();
    let mut question = trains().network("h.example:443").question();
    question.policy = policies.digest();
    let connect = question.requests.iter().find(|one| one.action == Action::Connect).unwrap().clone();
    for number in 0..20 {
        let at = Some(format!("{number}:{long}"));
        question.requests.push(Request { element: long.clone(), value: long.clone(), at, ..connect.clone() });
    }
    let decision = policies.decide(&question);
    let bytes = to_canonical(&decision).unwrap().len();
    assert!(bytes > REASONS_BYTES_MAX / 2 && bytes < REASONS_BYTES_MAX + 200, "{bytes}");
    assert_eq!(decision.reasons.len() as u64 + decision.unlisted, 20 * 21);
    assert_eq!(policies.explain(&question).decision, decision);
}
