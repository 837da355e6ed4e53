//! Knowing more about data never lets a plan do more; asking for less never loses what was allowed.

use aseptic_model::{Label, Outcome};
use aseptic_policy::risk;
use proptest::prelude::*;

use crate::world::{Case, evaluates, trains};

const LABELS: [&str; 12] = [
    "pii",
    "phi",
    "PII",
    "sensitivity=restricted",
    "holdout",
    "role=holdout",
    "non-commercial",
    "release",
    "consortium",
    "lab",
    "lab:pii",
    "speech",
];

const GRANTS: [&str; 5] =
    ["example.org:443", "eu.example.org:443", "*.example.org:443", "example.org:80", "192.0.2.7:443"];

fn some_of(from: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(from, 0..=from.len())
}

prop_compose! {
    fn some_case()(
        evaluation in any::<bool>(), labels in some_of(&LABELS), own in some_of(&LABELS), grants in some_of(&GRANTS),
        observes in any::<bool>(), strict in any::<bool>(), old in any::<bool>(), before in 0_u64..40,
        allows in some_of(&GRANTS), lab in some_of(&GRANTS), bounded in any::<bool>(),
    ) -> Case {
        let mut case = if evaluation { evaluates() } else { trains() }.evaluations(before);
        case = case.setting("pii", &allows).setting("lab", &lab);
        case = labels.into_iter().fold(case, Case::labelled);
        case = own.into_iter().fold(case, Case::own_label);
        case = grants.into_iter().fold(case, Case::network);
        if observes { case = case.observes(); }
        if strict { case = case.strict(); }
        if old { case = case.without_landlock().accepts("landlock"); }
        if !bounded { case = case.unbounded_outputs(); }
        case
    }
}

/// What is decided, and what is not allowed of a case, by element and rule.
fn decided(case: &Case) -> (Outcome, Vec<(String, String)>) {
    let decision = case.decide();
    (decision.outcome, decision.reasons.into_iter().map(|reason| (reason.element, reason.rule)).collect())
}

fn score(case: &Case) -> u8 {
    risk(&case.question().requests).score
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_label_more_never_allows_more(case in some_case(), label in prop::sample::select(&LABELS[..])) {
        let (outcome, before) = decided(&case);
        for after in [case.clone().labelled(label), case.clone().own_label(label)] {
            let (outcome_after, now) = decided(&after);
            prop_assert!(outcome_after >= outcome);
            prop_assert!(before.iter().all(|one| now.contains(one)), "{label} took {before:?} to {now:?}");
            prop_assert!(score(&after) >= score(&case));
        }
    }

    #[test]
    fn a_destination_less_never_denies_what_was_allowed(case in some_case()) {
        let (outcome, before) = decided(&case);
        for grant in &case.plan.network {
            let mut after = case.clone();
            after.plan.network.remove(grant);
            let (outcome_after, now) = decided(&after);
            prop_assert!(now.iter().all(|one| before.contains(one)), "without {grant}: {before:?} to {now:?}");
            prop_assert!(outcome_after <= outcome);
            prop_assert!(score(&after) <= score(&case));
        }
    }

    #[test]
    fn strict_mode_never_allows_more(case in some_case(), unpinned in any::<bool>()) {
        let mut case = case;
        case.settings.strict = false;
        if unpinned {
            case = case.unpinned("code", "dirty").unpinned("environment", "no lock file");
        }
        let (outcome, before) = decided(&case);
        let (outcome_strict, now) = decided(&case.strict());
        prop_assert!(outcome_strict >= outcome);
        prop_assert!(before.iter().all(|one| now.contains(one)));
        prop_assert!(!unpinned || outcome_strict == Outcome::Deny);
    }

    #[test]
    fn a_sensitive_label_and_a_destination_meet_only_where_the_settings_say(case in some_case()) {
        let is_allowed = case.outcome() != Outcome::Deny;
        let labels = case.plan.output_labels();
        let has = |words: &[&str]| labels.iter().any(|label| words.contains(&label.as_str()));
        // The settings have `pii` and `lab`, and nothing of these.
        if has(&["phi", "sensitivity=restricted", "holdout", "role=holdout"]) && is_allowed {
            prop_assert!(case.plan.network.is_empty());
        }
        let none = |label: &str| case.settings.labels.get(&label.parse::<Label>().unwrap()).unwrap().is_empty();
        let silent = |labels: &[&str], setting| has(labels) && none(setting);
        if (silent(&["pii", "PII", "lab:pii"], "pii") || silent(&["lab", "lab:pii"], "lab"))
            && is_allowed
        {
            prop_assert!(case.plan.network.is_empty());
        }
    }
}
