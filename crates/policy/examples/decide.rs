//! How long it takes to read, check and ask policies: `decide [ROUNDS]` prints one JSON document.
//!
//! A plan of 20 elements is asked of the shipped policies with 5, 200 and 2,000 of a project, spread over actions and
//! things as those of an organisation would be; of 200 that all speak of the same action and name nothing; and of 200 of
//! which nothing says beforehand that they need not be evaluated, which is the worst case, with inputs that are alike
//! and with inputs of which each has a label of its own. Times are in microseconds.
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

use aseptic_model::{Code, Digest, Input, InputSource, Plan};
use aseptic_policy::{Egress, Facts, Policies, PolicyDocument, Principal, Question, Role, check};
use serde_json::{Value, json};

fn main() {
    let rounds = std::env::args().nth(1).map_or(200, |text| text.parse().unwrap());
    let spread = [0, 5, 200, 1900].map(|count| (format!("{count} spread"), spread(count)));
    let labels = |n| format!("context.present && context.labels.contains(\"l{n}\")");
    let any = |n| format!("context.evaluations + 1 > {n} + 9000");
    let one = [("200 on one action", on_one_action(200, labels)), ("200 evaluated", on_one_action(200, any))];
    let one = one.map(|(name, own)| (name.to_owned(), own));
    let alike =
        spread.into_iter().chain(one).map(|(name, own)| (name, measured(&own, Inputs::Alike, rounds)));
    let own = on_one_action(200, any);
    let differing = ("200 evaluated, inputs differ".to_owned(), measured(&own, Inputs::Differing, rounds));
    let sets: BTreeMap<String, Value> = alike.chain([differing]).collect();
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

/// Policies of one action that name nothing.
fn on_one_action(count: usize, condition: impl Fn(usize) -> String) -> String {
    let rule = |n| {
        let condition = condition(n);
        format!(
            "@id(\"own/p{n}\") forbid (principal, action == Action::\"Mount\", resource) when {{ {condition} }};\n"
        )
    };
    (0..count).map(rule).collect()
}

/// How the inputs of the plan are labelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inputs {
    Alike,
    /// Each has a label of its own.
    Differing,
}

fn measured(own: &str, inputs: Inputs, rounds: usize) -> Value {
    let document = || PolicyDocument::new([("policy/own.cedar".to_owned(), own.to_owned())].into());
    let problems = check(&document());
    assert!(problems.is_empty(), "{problems:?}");
    let policies = Policies::parse(document()).unwrap();
    let question = question(&policies, inputs);
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
            black_box(policies.allows(&question.principal, act, &question.project, &aseptic_policy::About::default()))
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

fn question(policies: &Policies, inputs: Inputs) -> Question {
    let plan = plan(inputs);
    let present = aseptic_policy::snapshots(&plan).collect();
    let facts = Facts {
        present,
        egress: Egress::Gateway,
        enforced_limits: BTreeSet::from(["memory"]),
        ..Facts::default()
    };
    let ada = Principal {
        user: "ada".to_owned(),
        groups: ["lab".to_owned()].into(),
        roles: [Role::Experimenter].into(),
    };
    policies.ask((&plan, plan.digest().unwrap()), &facts, ada)
}

/// A run with code, an output, twelve inputs and six destinations.
fn plan(inputs: Inputs) -> Plan {
    let input = |n: u8| {
        let source = InputSource::Dataset { name: format!("digits-{n}").parse().unwrap(), version: 3 };
        let team = if inputs == Inputs::Alike { "team".to_owned() } else { format!("team-{n}") };
        let labels = ["internal".to_owned(), team].map(|label| label.parse().unwrap()).into();
        (
            format!("d{n}").parse().unwrap(),
            Input { source, snapshot: Digest::of(&[n]), files: 9, bytes: 9, labels },
        )
    };
    Plan {
        code: Some(Code {
            snapshot: Digest::of(b"code"),
            files: 1,
            bytes: 1,
            git_commit: None,
            labels: BTreeSet::new(),
        }),
        inputs: (0..11).map(input).collect(),
        network: (0..6).map(|n| format!("h{n}.example.com:443").parse().unwrap()).collect(),
        ..Plan::bare("vision".parse().unwrap(), vec!["true".to_owned()])
    }
}
