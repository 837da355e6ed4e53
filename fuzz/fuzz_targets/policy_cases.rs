//! Tests of policies: whatever a file holds, it is refused with a place, or each of its cases can be judged.
#![no_main]

use std::cell::OnceCell;
use std::collections::BTreeMap;

use aseptic_policy::{Cases, Policies, PolicyDocument};

thread_local! {
    static SHIPPED: OnceCell<Policies> = const { OnceCell::new() };
}

fn shipped() -> Policies {
    Policies::parse(PolicyDocument::new(BTreeMap::new())).expect("the shipped policies")
}

/// Longer files find nothing that a shorter one does not.
const BYTES_MAX: usize = 4000;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if text.len() > BYTES_MAX {
        return;
    }
    let project = "fuzz".parse().expect("a name");
    let cases = match Cases::parse("policy/tests/fuzz.toml", text, &project) {
        Ok(cases) => cases.cases,
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.line > 0 && problem.column > 0 && problem.length > 0);
                assert!(!problem.message.chars().any(char::is_control), "a terminal is not told what to do");
            }
            return;
        }
    };
    SHIPPED.with(|shipped_once| {
        let policies = shipped_once.get_or_init(shipped);
        for case in cases.iter().take(3) {
            let Some(question) = case.question(policies, None) else { continue };
            let decision = policies.decide(&question);
            let differences = case.expected.differences(&decision);
            let is_as_expected = case.expected.outcome == decision.outcome;
            assert_eq!(is_as_expected, differences.iter().all(|one| one.what != "outcome"));
            assert_eq!(policies.explain(&question).decision, decision, "explaining decides nothing else");
        }
    });
});
