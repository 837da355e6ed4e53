//! Every shipped rule speaks: a plan that it alone denies, its words, and a twin that is allowed.

use std::collections::BTreeSet;

use aseptic_model::Outcome;
use cedar_policy::{Effect, PolicySet};

use crate::world::{Case, SHIPPED, evaluates, rendered, trains};

/// A rule, a plan that nothing else denies, and nearly the same plan, which is allowed.
fn rules() -> Vec<(&'static str, Case, Case)> {
    vec![
        ("plan/format", trains().of_format("aseptic.plan/9"), trains()),
        ("input/missing", trains().without_objects().at("data.train", "aseptic.toml:7"), trains()),
        (
            "input/quarantined",
            trains()
                .quarantined("data.train", "dataset:digits-train@3", &[])
                .at("data.train", "aseptic.toml:7"),
            trains(),
        ),
        ("gpu/unavailable", trains().gpus("7").without_gpu().at("gpus", "--gpu"), trains().gpus("7")),
        (
            "limit/not-enforced",
            trains().without_limit("memory").at("limits.memory", "aseptic.toml:9"),
            trains().without_limit("memory").accepts("memory"),
        ),
        ("wall/not-enforced", trains().without_landlock(), trains().without_landlock().accepts("landlock")),
        (
            "wall/sensitive",
            trains().labelled("phi").without_landlock().accepts("landlock"),
            trains().without_landlock().accepts("landlock"),
        ),
        (
            "accept/unknown",
            trains().accepts("memroy").at("accept.memroy", "aseptic.toml:11"),
            trains().accepts("memory"),
        ),
        (
            "network/unavailable",
            trains().network("example.org:443").without_network(),
            trains().network("example.org:443"),
        ),
        (
            "network/wildcard",
            trains().strict().network("*.example.org:443").at("network.*.example.org:443", "aseptic.toml:8"),
            trains().strict().network("data.example.org:443"),
        ),
        (
            "label/sensitive-egress",
            trains()
                .labelled("pii")
                .network("example.org:443")
                .at("network.example.org:443", "aseptic.toml:8"),
            trains().labelled("pii").network("example.org:443").setting("pii", &["example.org:443"]),
        ),
        (
            "label/release",
            trains().labelled("pii").own_label("release"),
            trains().labelled("speech").own_label("release"),
        ),
        (
            "licence/release",
            trains().labelled("non-commercial").own_label("release"),
            trains().labelled("non-commercial"),
        ),
        ("holdout/training", evaluates().keeps_everything().at("data.test", "aseptic.toml:7"), evaluates()),
        (
            "holdout/code",
            evaluates().in_code("holdout", "`test.csv` of digits-test@1"),
            trains().in_code("pii", "`test.csv` of digits-test@1"),
        ),
        ("holdout/outputs", evaluates().metrics(5 << 30), evaluates()),
        ("holdout/egress", evaluates().network("example.org:443"), evaluates().observes()),
        ("holdout/release", evaluates().own_label("release"), trains().own_label("release")),
        (
            "holdout/budget",
            evaluates().evaluations(20).at("data.test", "aseptic.toml:7"),
            evaluates().evaluations(19),
        ),
        (
            "pinned/code",
            trains().strict().unpinned("code", "2 files are not as in commit 51ef4ee"),
            trains().unpinned("code", "2 files are not as in commit 51ef4ee"),
        ),
        (
            "pinned/environment",
            trains().strict().unpinned("environment", "3 packages have no exact version"),
            trains().unpinned("environment", "3 packages have no exact version"),
        ),
    ]
}

#[test]
fn every_rule_speaks_alone_and_its_twin_is_allowed() {
    for (rule, denied, twin) in rules() {
        let decision = denied.decide();
        let [reason] = decision.reasons.as_slice() else { panic!("{rule} is not alone: {decision:#?}") };
        assert_eq!(reason.rule, rule);
        for text in [&reason.message, &reason.advice] {
            assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'), "{rule}: {text}");
            assert!(
                !text.contains("{}") && !text.contains("(, "),
                "{rule}: something is not filled in: {text}"
            );
        }
        insta::assert_snapshot!(rule.replace('/', "-"), rendered(reason));
        let twin = twin.decide();
        assert_eq!(twin.outcome, Outcome::Allow, "the twin of {rule}: {twin:#?}");
    }
}

#[test]
fn every_shipped_rule_has_a_golden() {
    let golden: BTreeSet<String> = rules().iter().map(|(rule, ..)| (*rule).to_owned()).collect();
    assert_eq!(golden, forbids());
}

/// Ids of the shipped policies that forbid.
pub(crate) fn forbids() -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for (path, text) in &SHIPPED.document().files {
        if !path.ends_with(".cedar") {
            continue;
        }
        let policies: PolicySet = text.parse().unwrap();
        for policy in policies.policies().filter(|policy| policy.effect() == Effect::Forbid) {
            let has = |key| policy.annotation(key).is_some_and(|text| !text.is_empty());
            assert!(has("id") && has("message") && has("advice"), "{policy}");
            ids.insert(policy.annotation("id").unwrap().to_owned());
        }
    }
    ids
}
