//! The score of a plan, and what it was counted from.

use std::collections::BTreeMap;

use aseptic_model::Outcome;
use aseptic_policy::{Action, Policies, PolicyDocument, Question, RISK_FORMAT, RISK_MAX, Value, risk};

use crate::world::{Case, evaluates, trains};

/// Score and inputs as one line.
fn counted(case: &Case) -> String {
    let risk = case.question().risk.unwrap();
    assert_eq!(risk.format, RISK_FORMAT);
    let inputs = risk.inputs.iter().map(|input| format!("{} {} [{}]", input.points, input.fact, input.value));
    format!("{} = {}", risk.score, inputs.collect::<Vec<_>>().join(" + "))
}

#[test]
fn a_score_says_what_it_was_counted_from() {
    assert_eq!(counted(&trains()), "0 = ");
    let sends = trains().labelled("pii").network("example.org:443").setting("pii", &["example.org:443"]);
    assert_eq!(
        counted(&sends),
        "55 = 25 sensitive-labels [pii] + 10 destinations [example.org:443] + 20 sensitive-destinations \
         [example.org:443]"
    );
    let open = trains().network("*.example.org:443").network("192.0.2.7:443,tls=any").gpus("0,1");
    assert_eq!(
        counted(&open),
        "45 = 15 destinations [*.example.org:443, 192.0.2.7:443,tls=any] + 10 wildcards [*.example.org:443] + 5 \
         any-names [192.0.2.7:443,tls=any] + 5 literal-addresses [192.0.2.7:443,tls=any] + 10 gpus [0, 1]"
    );
    let loose = trains()
        .unpinned("code", "dirty")
        .unpinned("environment", "no lock file")
        .without_landlock()
        .accepts("landlock")
        .without_limit("cpus")
        .accepts("cpus")
        .soft("memory")
        .replays();
    assert_eq!(
        counted(&loose),
        "42 = 15 unpinned [code, environment] + 20 walls-missing [landlock] + 5 limits-missing [cpus] + 2 \
         limits-soft [memory] + 0 replay [train]"
    );
    assert_eq!(
        counted(&evaluates().evaluations(20).labelled("no-derivatives")),
        "30 = 15 holdout [digits-test@1] + 5 restricting-labels [no-derivatives] + 10 over-budget [digits-test@1]"
    );
}

#[test]
fn a_score_has_an_end_and_lists_are_short() {
    let mut worst = evaluates().labelled("pii").labelled("phi").labelled("secret").without_landlock();
    for number in 0..100 {
        worst = worst.network(&format!("*.h{number}.example:443"));
    }
    let risk = worst.question().risk.unwrap();
    assert_eq!(risk.score, RISK_MAX);
    let destinations = risk.inputs.iter().find(|input| input.fact == "destinations").unwrap();
    assert!(destinations.value.ends_with(" and 92 more"), "{}", destinations.value);
    assert!(destinations.value.len() < 300);
}

#[test]
fn policies_see_the_score() {
    let question = trains().labelled("pii").without_landlock().accepts("landlock").question();
    let score = risk(&question.requests).score;
    let start = question.requests.iter().find(|request| request.action == Action::Start).unwrap();
    assert_eq!(start.context["risk"], Value::Long(i64::from(score)));
}

/// The example of the page, with a plan below and one above its number.
#[test]
fn the_example_of_the_page_denies_above_its_number() {
    let page = include_str!("../../../../docs/policy.md");
    let mut blocks = page.split("```cedar\n").filter_map(|rest| rest.split("```").next());
    let example = blocks.find(|block| block.starts_with("@id(\"lab/risk\")")).unwrap();
    let files = BTreeMap::from([("policy/risk.cedar".to_owned(), example.to_owned())]);
    let policies = Policies::parse(PolicyDocument::new(files)).unwrap();
    let sends = || trains().labelled("pii").network("a.example:443").setting("pii", &["a.example:443"]);
    let decide = |case: Case| policies.decide(&Question { policy: policies.digest(), ..case.question() });
    assert_eq!(decide(sends()).outcome, Outcome::Allow);
    let [reason] = decide(sends().unpinned("code", "dirty")).reasons.try_into().unwrap();
    assert_eq!((reason.rule.as_str(), reason.element.as_str()), ("lab/risk", "run"));
    assert_eq!(reason.outcome, Outcome::NeedsApproval);
}
