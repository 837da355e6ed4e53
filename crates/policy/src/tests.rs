use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Code, Decision, Digest, Grant, Input, InputSource, Keep, Limits, Object, Outcome, Plan};
use proptest::prelude::*;

use super::*;
use crate::ask::requests::requests;

mod acts;

fn decide(plan: &Plan, facts: &Facts) -> Decision {
    let policies = Policies::parse(PolicyDocument::new(BTreeMap::new())).unwrap();
    let ada = Principal { user: "ada".to_owned(), roles: [Role::Owner].into(), ..Principal::default() };
    policies.decide(&policies.ask((plan, plan.digest().unwrap()), facts, ada))
}

fn digest(seed: u8) -> Digest {
    Digest::of(&[seed])
}

fn input(source: InputSource, seed: u8) -> Input {
    Input { source, snapshot: digest(seed), files: 1, bytes: 1, labels: BTreeSet::new() }
}

/// Code 0, dataset `train` 1, artifact `model` 2, every limit.
fn plan() -> Plan {
    let dataset = InputSource::Dataset { name: "digits".parse().unwrap(), version: 3 };
    let artifact = InputSource::Artifact { run: "000000000001".parse().unwrap(), path: None };
    Plan {
        code: Some(Code {
            snapshot: digest(0),
            files: 1,
            bytes: 1,
            git_commit: None,
            labels: BTreeSet::new(),
        }),
        inputs: BTreeMap::from([
            ("train".parse().unwrap(), input(dataset, 1)),
            ("model".parse().unwrap(), input(artifact, 2)),
        ]),
        limits: Limits { memory_bytes: Some(1), cpus: Some(1), scratch_bytes: Some(1), ..Limits::default() },
        ..Plan::bare("vision".parse().unwrap(), vec!["true".to_owned()])
    }
}

fn facts() -> Facts {
    Facts {
        present: (0..3).map(digest).collect(),
        enforced_limits: BTreeSet::from(["cpus", "memory", "scratch"]),
        acceptable: BTreeSet::from(["cpus", "memory", "scratch"]),
        ..Facts::default()
    }
}

/// Rule and element of every reason.
fn denied(plan: &Plan, facts: &Facts) -> Vec<(String, String)> {
    let decision = decide(plan, facts);
    for reason in &decision.reasons {
        for text in [&reason.message, &reason.advice] {
            assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'), "{text}");
        }
    }
    decision.reasons.into_iter().map(|reason| (reason.rule, reason.element)).collect()
}

fn one(rule: &str, element: &str) -> Vec<(String, String)> {
    vec![(rule.to_owned(), element.to_owned())]
}

#[test]
fn a_plan_that_no_rule_minds_is_allowed() {
    assert_eq!(
        decide(&plan(), &facts()),
        Decision { outcome: Outcome::Allow, reasons: Vec::new(), unlisted: 0 }
    );
    assert_eq!(snapshots(&plan()).collect::<BTreeSet<_>>(), facts().present);
}

#[test]
fn snapshots_must_be_present_and_not_in_quarantine() {
    for (seed, element) in [(0, "code"), (1, "data.train"), (2, "data.model")] {
        let mut facts = facts();
        facts.quarantined.insert(element.to_owned(), in_quarantine(0));
        assert_eq!(denied(&plan(), &facts), one("input/quarantined", element));
        facts.quarantined.clear();
        facts.present.remove(&digest(seed));
        assert_eq!(denied(&plan(), &facts), one("input/missing", element));
    }
}

/// Something in quarantine that is so many runs away.
fn in_quarantine(steps: u64) -> InQuarantine {
    let object = "dataset:digits@1".parse().unwrap();
    let path = (0..steps).map(|step| Object::Run(aseptic_model::RunId::from_random(step)));
    InQuarantine { project: "vision".parse().unwrap(), object, path: path.collect() }
}

#[test]
fn a_denial_names_the_object_and_a_short_path() {
    assert_eq!(in_quarantine(0).describe(), "dataset:digits@1");
    assert_eq!(in_quarantine(1).describe(), "dataset:digits@1, through run:000000000000");
    let long = in_quarantine(9).describe();
    assert!(long.contains("run:100000000000, 5 more, run:700000000000"), "{long}");
    let facts = Facts { quarantined: [("host".to_owned(), in_quarantine(0))].into(), ..facts() };
    let [reason] = decide(&plan(), &facts).reasons.try_into().unwrap();
    assert_eq!(reason.message, "in quarantine: dataset:digits@1");
    assert!(reason.advice.contains("aseptic quarantine show dataset:digits@1 --project vision"));
}

#[test]
fn no_destination_without_a_gateway() {
    let mut plan = plan();
    let grant: Grant = "example.org:443".parse().unwrap();
    plan.network.insert(grant);
    assert_eq!(denied(&plan, &facts()), one("network/unavailable", "network.example.org:443"));
    plan.accept.insert("network".to_owned());
    assert_eq!(denied(&plan, &facts()).len(), 2, "and it cannot be accepted away");
    plan.accept.clear();
    assert_eq!(denied(&plan, &Facts { egress: Egress::Gateway, ..facts() }), []);
}

#[test]
fn limits_are_enforced_or_accepted() {
    for name in ["cpus", "memory", "scratch"] {
        let (mut plan, mut facts) = (plan(), facts());
        facts.enforced_limits.remove(name);
        assert_eq!(denied(&plan, &facts), one("limit/not-enforced", &format!("limits.{name}")));
        plan.accept.insert(name.to_owned());
        assert_eq!(denied(&plan, &facts), []);
        facts.acceptable.remove(name);
        assert_eq!(denied(&plan, &facts), one("accept/unknown", &format!("accept.{name}")));
        plan = Plan { limits: Limits::default(), accept: BTreeSet::new(), ..plan };
        assert_eq!(denied(&plan, &facts), []);
    }
}

#[test]
fn a_missing_wall_is_accepted_by_name_or_denied() {
    let (mut plan, mut facts) = (plan(), facts());
    facts.missing_walls.insert("landlock", "this kernel has no Landlock");
    facts.acceptable.insert("landlock");
    assert_eq!(denied(&plan, &facts), one("wall/not-enforced", "walls.landlock"));
    plan.accept.insert("landlock".to_owned());
    assert_eq!(denied(&plan, &facts), []);
}

#[test]
fn a_gpu_that_cannot_be_given_is_denied_with_the_reason() {
    let facts = Facts { gpus: Some("this machine has no GPU 7; it has 0".to_owned()), ..facts() };
    let plan = Plan { gpus: Some(aseptic_model::Gpus::Cards([7].into())), ..plan() };
    let [reason] = decide(&plan, &facts).reasons.try_into().unwrap();
    assert_eq!((reason.rule.as_str(), reason.element.as_str()), ("gpu/unavailable", "gpus"));
    assert!(reason.message.contains("no GPU 7"));
}

#[test]
fn accepting_the_unknown_is_denied_with_the_known() {
    let mut plan = plan();
    plan.accept.insert("memroy".to_owned());
    let [reason] = decide(&plan, &facts()).reasons.try_into().unwrap();
    assert_eq!(reason.element, "accept.memroy");
    assert_eq!(reason.advice, "remove it, or name one of `cpus`, `memory`, `scratch`");
}

#[test]
fn another_version_is_denied_whole() {
    let plan = Plan { format: "aseptic.plan/2".to_owned(), ..plan() };
    assert_eq!(denied(&plan, &Facts::default()), one("plan/format", "run"));
}

const NAMES: [&str; 4] = ["cpus", "memory", "scratch", "landlock"];

fn some_names() -> impl Strategy<Value = BTreeSet<&'static str>> {
    prop::sample::subsequence(&NAMES[..], 0..=4).prop_map(|names| names.into_iter().collect())
}

const ELEMENTS: [&str; 4] = ["code", "data.train", "host", "environment.numpy"];

fn some_elements() -> impl Strategy<Value = BTreeSet<&'static str>> {
    prop::sample::subsequence(&ELEMENTS[..], 0..=4).prop_map(|names| names.into_iter().collect())
}

fn some_digests() -> impl Strategy<Value = BTreeSet<Digest>> {
    prop::collection::btree_set((0_u8..4).prop_map(digest), 0..4)
}

prop_compose! {
    fn some_plan()(
        accept in some_names(), destination in any::<bool>(), bounded in any::<bool>(), current in any::<bool>(),
    ) -> Plan {
        let plan = plan();
        Plan {
            format: if current { plan.format } else { "other".to_owned() },
            network: destination.then(|| "example.org:443".parse().unwrap()).into_iter().collect(),
            accept: accept.into_iter().map(str::to_owned).collect(),
            limits: if bounded { plan.limits } else { Limits::default() },
            ..plan
        }
    }
}

prop_compose! {
    fn some_facts()(
        present in some_digests(), quarantined in some_elements(), gateway in any::<bool>(),
        enforced_limits in some_names(), acceptable in some_names(), landlock in any::<bool>(),
        gpus in proptest::option::of(Just("none".to_owned())),
    ) -> Facts {
        Facts {
            present: &present | &facts().present,
            quarantined: quarantined.into_iter().map(|element| (element.to_owned(), in_quarantine(0))).collect(),
            egress: if gateway { Egress::Gateway } else { Egress::default() },
            enforced_limits,
            missing_walls: (!landlock).then_some(("landlock", "old")).into_iter().collect(),
            gpus,
            acceptable,
            ..Facts::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn allowed_exactly_without_reasons(plan in some_plan(), facts in some_facts()) {
        let decision = decide(&plan, &facts);
        prop_assert_eq!(decision.outcome == Outcome::Allow, decision.reasons.is_empty());
        prop_assert_eq!(decide(&plan.clone(), &facts.clone()), decision);
    }

    #[test]
    fn knowing_worse_never_allows_more(plan in some_plan(), facts in some_facts(), seed in 0_u8..4) {
        let before = decide(&plan, &facts);
        let mut worse = [(); 5].map(|()| facts.clone());
        worse[0].quarantined.insert(ELEMENTS[usize::from(seed)].to_owned(), in_quarantine(1));
        worse[1].present.remove(&digest(seed));
        worse[2].enforced_limits.remove(NAMES[usize::from(seed)]);
        worse[3].missing_walls.insert("landlock", "old");
        worse[4].gpus = Some("gone".to_owned());
        for facts in worse {
            let after = decide(&plan, &facts);
            prop_assert!(before.outcome == Outcome::Allow || after.outcome == Outcome::Deny);
            prop_assert!(before.reasons.len() <= after.reasons.len());
        }
    }
}

/// Settings of now decide whether a plan of then lets too many metrics leave it.
#[test]
fn a_restated_question_has_the_bound_of_the_new_settings() {
    let held_out = ["holdout".parse().unwrap()].into();
    let mut plan = plan();
    plan.inputs.get_mut(&"train".parse().unwrap()).unwrap().labels = held_out;
    plan.keep = Keep::Metrics;
    plan.limits.outputs_bytes = Some(1 << 20);
    let facts = Facts {
        enforced_limits: facts().enforced_limits.into_iter().chain(["outputs"]).collect(),
        evaluations: [("train".parse().unwrap(), 1)].into(),
        ..facts()
    };
    for (planned, then, now) in [(20, 30, 10), (20, 10, 30), (20, 20, 20), (20, 10, 15)] {
        plan.limits.metrics_bytes = Some(planned);
        let of = |metrics_bytes| Settings { metrics_bytes, ..Settings::default() };
        let policies = Policies::parse(PolicyDocument::new(BTreeMap::new())).unwrap();
        let question = |settings: &Settings| Question {
            format: QUESTION_FORMAT.to_owned(),
            policy: policies.digest(),
            plan: plan.digest().unwrap(),
            project: plan.project.clone(),
            principal: policies.principal("ada", true),
            requests: requests(&plan, &facts, settings),
            risk: None,
        };
        let anew = question(&of(now));
        let restated = policies.restate_as(&question(&of(then)), anew.principal.clone(), &of(now));
        assert_eq!(restated, anew, "{planned} {then} {now}");
        let rules: Vec<_> = policies.decide(&restated).reasons.into_iter().map(|one| one.rule).collect();
        assert_eq!(rules.contains(&"holdout/outputs".to_owned()), planned > now, "{rules:?}");
        // Of a plan without a limit, no setting changes anything.
        let mut unlimited = question(&of(then));
        unlimited.requests.iter_mut().for_each(|request| drop(request.shown.remove("metricsPlanned")));
        let kept = policies.restate_as(&unlimited, anew.principal.clone(), &of(now));
        let bounded = |question: &Question| {
            question.requests.iter().find_map(|request| request.context.get("bounded").cloned())
        };
        assert_eq!(bounded(&kept), bounded(&unlimited));
    }
}
