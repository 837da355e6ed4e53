//! How long it takes to read, check and ask policies: `decide [ROUNDS]` prints one JSON document.
//!
//! A plan of 20 elements is asked of the shipped policies with 5, 200 and 2,000 of a project, spread over actions and
//! things as those of an organisation would be; and of 200 that all speak of the same action and name nothing, which is
//! the worst case. Times are in microseconds.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement ends where something is wrong"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use aseptic_model::{
    Clock, Code, Digest, Environment, Host, Input, InputSource, Keep, Limits, PLAN_FORMAT, Plan,
};
use aseptic_policy::{
    Egress, Facts, Policies, PolicyDocument, Principal, QUESTION_FORMAT, Question, Role, check, requests,
};
use serde_json::{Value, json};

fn main() {
    let rounds = std::env::args().nth(1).map_or(200, |text| text.parse().unwrap());
    let spread = [0, 5, 200, 1900].map(|count| (format!("{count} spread"), spread(count)));
    let worst = ("200 on one action".to_owned(), on_one_action(200));
    let sets: BTreeMap<String, Value> =
        spread.into_iter().chain([worst]).map(|(name, own)| (name, measured(&own, rounds))).collect();
    let json =
        json!({ "schema": "aseptic.bench.decide/1", "unit": "us", "rounds": rounds, "own policies": sets });
    println!("{}", serde_json::to_string_pretty(&json).unwrap());
}

/// Policies as an organisation has them: most name a dataset, a host or a group.
fn spread(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let rule = match n % 5 {
            0 => format!(
                "forbid (principal, action == Action::\"Mount\", resource in Dataset::\"d{n}\") unless {{ context.labels.contains(\"open\") }};"
            ),
            1 => format!("forbid (principal in Group::\"g{n}\", action == Action::\"Connect\", resource);"),
            2 => format!(
                "forbid (principal, action == Action::\"Connect\", resource in Host::\"h{n}.example.org\");"
            ),
            3 => format!(
                "forbid (principal, action == Action::\"Write\", resource) when {{ context.labels.contains(\"l{n}\") && context.release }};"
            ),
            _ => format!(
                "forbid (principal, action in [Action::\"Mount\", Action::\"Connect\"], resource) when {{ context.labels.contains(\"l{n}\") }};"
            ),
        };
        let _ = writeln!(
            text,
            "@id(\"own/p{n}\")\n@message(\"no, because of {{labels}}\")\n@advice(\"do otherwise\")\n{rule}\n"
        );
    }
    text
}

/// Policies that all must be evaluated for most of the elements.
fn on_one_action(count: usize) -> String {
    (0..count)
        .map(|n| {
            format!("@id(\"own/p{n}\") forbid (principal, action == Action::\"Mount\", resource) when {{ context.present && context.labels.contains(\"l{n}\") }};\n")
        })
        .collect()
}

fn measured(own: &str, rounds: usize) -> Value {
    let document = || PolicyDocument::new([("policy/own.cedar".to_owned(), own.to_owned())].into());
    let problems = check(&document());
    assert!(problems.is_empty(), "{problems:?}");
    let policies = Policies::parse(document()).unwrap();
    let question = question(&policies);
    assert_eq!(question.requests.len(), 20);
    let decision = policies.decide(&question);
    assert!(decision.reasons.is_empty(), "{decision:?}");
    let mut nobodys = question.clone();
    nobodys.principal.roles.clear();
    assert_eq!(policies.decide(&nobodys).reasons.len(), 20);
    let few = (rounds / 10).max(5);
    json!({
        "parse": times(few, || black_box(Policies::parse(document()).unwrap())),
        "check": times(few, || black_box(check(&document()))),
        "parse and the first decision": times(few, || {
            let policies = Policies::parse(document()).unwrap();
            black_box(policies.decide(&question))
        }),
        "decide 20 elements": times(rounds, || black_box(policies.decide(&question))),
        "deny 20 elements": times(few, || black_box(policies.decide(&nobodys))),
        "explain 20 elements": times(rounds, || black_box(policies.explain(&question))),
        "parse and one act": times(few, || {
            let policies = Policies::parse(document()).unwrap();
            let act = aseptic_policy::Act::View;
            black_box(policies.allows(&question.principal, act, &question.project, None))
        }),
        "digest": times(few, || black_box(document().digest().unwrap())),
    })
}

/// The best, the median and the 95th percentile. On a machine that does other work, the best says most.
fn times<T>(rounds: usize, mut work: impl FnMut() -> T) -> Value {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            let result = work();
            let time = start.elapsed();
            drop(result);
            time.as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    json!({ "best": times[0].round(), "p50": times[rounds / 2].round(), "p95": times[rounds * 95 / 100].round() })
}

fn question(policies: &Policies) -> Question {
    let plan = plan();
    let present = aseptic_policy::snapshots(&plan).collect();
    let facts = Facts {
        present,
        egress: Egress::Gateway,
        enforced_limits: BTreeSet::from(["memory"]),
        ..Facts::default()
    };
    Question {
        format: QUESTION_FORMAT.to_owned(),
        policy: policies.digest(),
        plan: plan.digest().unwrap(),
        project: plan.project.clone(),
        principal: Principal {
            user: "ada".to_owned(),
            groups: ["lab".to_owned()].into(),
            roles: [Role::Experimenter].into(),
        },
        risk: None,
        requests: requests(&plan, &facts, policies.settings()),
    }
}

/// A run with code, an output, twelve inputs and six destinations.
fn plan() -> Plan {
    let input = |n: u8| {
        let source = InputSource::Dataset { name: format!("digits-{n}").parse().unwrap(), version: 3 };
        let labels = ["internal", "team-a"].map(|label| label.parse().unwrap()).into();
        (
            format!("d{n}").parse().unwrap(),
            Input { source, snapshot: Digest::of(&[n]), files: 9, bytes: 9, labels },
        )
    };
    Plan {
        format: PLAN_FORMAT.to_owned(),
        project: "vision".parse().unwrap(),
        experiment: None,
        command: vec!["true".to_owned()],
        params: BTreeMap::new(),
        code: Some(Code {
            snapshot: Digest::of(b"code"),
            files: 1,
            bytes: 1,
            git_commit: None,
            labels: BTreeSet::new(),
        }),
        environment: Environment {
            python: None,
            variables: BTreeMap::new(),
            host: Host { kernel: String::new(), architecture: String::new(), cpu: String::new() },
        },
        inputs: (0..11).map(input).collect(),
        network: (0..6).map(|n| format!("h{n}.example.com:443").parse().unwrap()).collect(),
        limits: Limits::default(),
        accept: BTreeSet::new(),
        gpus: None,
        ports: None,
        clock: Clock::Host,
        observe_network: false,
        labels: BTreeSet::new(),
        keep: Keep::Everything,
        policy: None,
    }
}
