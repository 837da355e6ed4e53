use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::read::problem::PROBLEMS_MAX;
use crate::{Policies, PolicyDocument, Principal, Role, Settings};

const OWN: &str = "@id(\"lab/no-network\")\n@message(\"this lab has no network\")\n@advice(\"import it as a dataset\")\n\
                   forbid (principal, action == Action::\"Connect\", resource);\n";

fn policies() -> Policies {
    let files = BTreeMap::from([("policy/lab.cedar".to_owned(), OWN.to_owned())]);
    Policies::parse(PolicyDocument::new(files)).unwrap()
}

fn parse(cases: &str) -> Result<Cases, Vec<Problem>> {
    let text = format!("format = \"aseptic.policy-tests/1\"\n{cases}");
    Cases::parse("policy/tests/a.toml", &text, &"digits".parse().unwrap())
}

/// What differs in the only case.
fn judged(case: &str) -> Vec<(&'static str, String)> {
    let cases = parse(case).unwrap().cases;
    let [case] = cases.as_slice() else { panic!("{cases:?}") };
    let policies = policies();
    let question = case.question(&policies, None).unwrap();
    let differences = case.expected.differences(&policies.decide(&question));
    differences.into_iter().map(|difference| (difference.what, difference.got)).collect()
}

#[test]
fn what_is_as_expected_has_no_difference() {
    let deny = "[[case]]\nname = \"no network\"\nplan.network = [\"example.org:443\"]\n\
                expect = { outcome = \"deny\", rules = [\"lab/no-network\"], elements = [\"network.example.org:443\"], \
                help = [\"as a dataset\"] }\n";
    assert_eq!(judged(deny), []);
    assert_eq!(judged("[[case]]\nname = \"plain\"\nexpect.outcome = \"allow\"\nexpect.rules = []\n"), []);
    let facts = "[[case]]\nname = \"facts\"\nplan.data.train = { from = \"digits@3\", labels = [\"pii\"] }\n\
                 plan.limits.memory = \"4GiB\"\nplan.accept = [\"landlock\"]\nplan.gpus = \"0,1\"\n\
                 facts.quarantined = [\"data.train\", \"environment.numpy\"]\nfacts.missing = [\"code\"]\n\
                 facts.not-enforced = [\"memory\", \"landlock\"]\nfacts.no-gpus = \"there is none\"\n\
                 expect.outcome = \"deny\"\nexpect.rules = [\"gpu/unavailable\", \"input/missing\", \
                 \"input/quarantined\", \"limit/not-enforced\", \"wall/sensitive\"]\nexpect.elements = [\"code\", \
                 \"data.train\", \"environment.numpy\", \"gpus\", \"limits.memory\", \"walls.landlock\"]\nexpect.help = [\"dataset:digits@3\"]\n";
    assert_eq!(judged(facts), []);
}

#[test]
fn whatever_differs_is_said() {
    let wrong = "[[case]]\nname = \"no network\"\nplan.network = [\"example.org:443\"]\n\
                 expect = { outcome = \"allow\", rules = [], elements = [\"run\"], help = [\"ask Ada\"] }\n";
    let differs = judged(wrong);
    assert_eq!(
        differs[..3],
        [
            ("outcome", "deny".to_owned()),
            ("rules", "lab/no-network".to_owned()),
            ("elements", "network.example.org:443".to_owned()),
        ]
    );
    assert_eq!(differs[3].0, "help");
    assert!(differs[3].1.contains("this lab has no network; import it as a dataset"), "{differs:?}");
}

#[test]
fn who_asks_is_who_the_case_names() {
    let viewer = "[[case]]\nname = \"a viewer\"\nuser = \"eve\"\nroles = [\"viewer\"]\nexpect.outcome = \"deny\"\n\
                  expect.rules = [\"policy/default-deny\"]\n";
    assert_eq!(judged(viewer), []);
    assert_eq!(judged("[[case]]\nname = \"anybody\"\nexpect.outcome = \"allow\"\n"), []);
}

#[test]
fn a_mistake_is_named_with_its_place() {
    for (case, line, column, message) in [
        ("[[case]]\nname = \"a\"\n", 2, 1, "missing field `expect`"),
        ("[[case]]\nname = \"a\"\nexpect.outcome = \"perhaps\"\n", 4, 18, "unknown variant"),
        ("[[case]]\nname = \"a\"\nexpects.outcome = \"deny\"\n", 4, 1, "unknown field `expects`"),
        (
            "[[case]]\nname = \"a\"\nplan.netwrok = []\nexpect.outcome = \"deny\"\n",
            4,
            6,
            "unknown field `netwrok`",
        ),
        (
            "[[case]]\nname = \"a\"\nplan.network = [\"h\"]\nexpect.outcome = \"deny\"\n",
            4,
            16,
            "no network destination",
        ),
        ("[[case]]\nname = \" \"\nexpect.outcome = \"deny\"\n", 3, 8, "one line"),
        (
            "[[case]]\nname = \"a\"\nplan.limits.memory = \"x\"\nexpect.outcome = \"deny\"\n",
            4,
            22,
            "`memory`",
        ),
        ("[[case]]\nname = \"a\"\nplan.gpus = \"x\"\nexpect.outcome = \"deny\"\n", 4, 13, "names no GPUs"),
        (
            "[[case]]\nname = \"a\"\nplan.data.d = { from = \"run:latest\" }\nexpect.outcome = \"deny\"\n",
            4,
            24,
            "no id",
        ),
        (
            "[[case]]\nname = \"a\"\nfacts.missing = [\"data.d\"]\nexpect.outcome = \"deny\"\n",
            4,
            18,
            "nothing that the plan",
        ),
        (
            "[[case]]\nname = \"a\"\nrun = \"latest\"\nplan.keep = \"metrics\"\nexpect.outcome = \"deny\"\n",
            4,
            7,
            "either",
        ),
        ("[[case]\n", 2, 8, "unclosed array table"),
    ] {
        let problems = parse(case).unwrap_err();
        let [problem] = problems.as_slice() else { panic!("{case}: {problems:?}") };
        assert!(problem.message.contains(message), "{case}: {problem:?}");
        assert_eq!((problem.line, problem.column), (line, column), "{case}: {problem:?}");
        assert!(problem.length > 0 && !problem.help.is_empty());
    }
}

#[test]
fn a_name_is_there_once_and_every_mistake_is_said() {
    let twice = "[[case]]\nname = \"a\"\nexpect.outcome = \"deny\"\n[[case]]\nname = \"a\"\nexpect.outcome = \"deny\"\n\
                 [[case]]\nname = \"b\"\nplan.limits = { memory = \"x\", wall = \"y\" }\nexpect.outcome = \"deny\"\n";
    let problems = parse(twice).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].message.contains("line 3"), "{problems:?}");
}

#[test]
fn a_file_is_bounded() {
    let project = "digits".parse().unwrap();
    let large = "#".repeat(CASES_BYTES_MAX + 1);
    assert!(Cases::parse("a", &large, &project).unwrap_err()[0].message.contains("1048577 bytes"));
    let deep = format!("a = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(parse(&deep).is_err());
    let many = "[[case]]\nname = \"\"\nexpect.outcome = \"deny\"\n".repeat(CASES_MAX + 1);
    assert!(parse(&many).unwrap_err()[0].message.contains("10001 cases"));
    let wrong = "[[case]]\nname = \"\"\nexpect.outcome = \"deny\"\n".repeat(CASES_MAX);
    assert_eq!(parse(&wrong).unwrap_err().len(), PROBLEMS_MAX);
    let many: Vec<_> = (0..50_000).map(|one| format!("\"{one}\"")).collect();
    let many =
        format!("[[case]]\nname = \"a\"\nfacts.missing = [{}]\nexpect.outcome = \"deny\"\n", many.join(","));
    assert_eq!(parse(&many).unwrap_err().len(), PROBLEMS_MAX);
    let last = (0..CASES_MAX).map(|one| format!("[[case]]\nname = \"{one}\"\nexpect.outcome = \"deny\"\n"));
    let cases = parse(&last.collect::<String>()).unwrap().cases;
    assert_eq!(cases.last().unwrap().line, 3 * CASES_MAX);
    let list = |of: &str| (0..5_000).map(|one| format!("\"{of}{one}\"")).collect::<Vec<_>>().join(",");
    let asked = format!("plan.labels = [{}]\nplan.network = [{}]\n", list("l"), list("192.0.2.1:1"));
    let problems = parse(&format!("[[case]]\nname = \"a\"\n{asked}expect.outcome = \"deny\"\n")).unwrap_err();
    assert!(problems[0].message.contains("16.0 MiB are asked at once"), "{problems:?}");
    assert_eq!(problems[0].line, 3);
    let other = Cases::parse("a", "format = \"aseptic.policy-tests/2\"\n", &project).unwrap_err();
    assert!(other[0].help.contains("aseptic.policy-tests/1"));
}

/// To ask again with other settings is to ask anew: whatever settings say in a question is set again.
#[test]
fn a_question_restated_is_the_one_that_would_be_asked() {
    let case = "[[case]]\nname = \"a\"\nplan.network = [\"a.example:443\", \"*.b.example:443\", \"192.0.2.1:1\"]\n\
                plan.data.d = { from = \"digits@1\", labels = [\"pii\", \"trial\", \"holdout\"], evaluations = 3 }\n\
                plan.observe = true\nplan.python = true\nplan.labels = [\"release\"]\n\
                facts.unpinned = [\"code\", \"environment\"]\nexpect.outcome = \"deny\"\n";
    let cases = parse(case).unwrap().cases;
    let [Case { asked: Asked::Given(given), .. }] = cases.as_slice() else { panic!("{cases:?}") };
    let policies = policies();
    let ada =
        Principal { user: "ada".to_owned(), roles: [Role::Experimenter].into(), ..Principal::default() };
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| host.parse().unwrap()).collect();
    let label = |label: &str| label.parse().unwrap();
    let all = [
        Settings::default(),
        Settings { strict: true, evaluations: 1, metrics_bytes: 10, ..Settings::default() },
        Settings {
            labels: [(label("trial"), hosts(&["a.example:443"])), (label("pii"), hosts(&["192.0.2.1:1"]))]
                .into(),
            ..Settings::default()
        },
    ];
    for (before, after) in all.iter().flat_map(|before| all.iter().map(move |after| (before, after))) {
        let asked = given.question(&policies, Principal::default(), before);
        let mut anew = given.question(&policies, ada.clone(), after);
        let mut restated = policies.restate_as(&asked, ada.clone(), after);
        // Which labels, and not where each came from.
        for request in anew.requests.iter_mut().chain(&mut restated.requests) {
            if let Some(labelled) = request.shown.get_mut("labelled") {
                *labelled = labelled.replace(" (`data.d`)", "");
            }
        }
        assert_eq!(restated, anew, "{before:?} {after:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,200}", start in 0_usize..40) {
        let case = "[[case]]\nname = \"é\"\nexpect.outcome = \"deny\"\n";
        let text = format!("{}{text}", case.get(..start).unwrap_or(case));
        if let Err(problems) = parse(&text) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|one| one.line > 0 && one.column > 0 && !one.message.contains('\n')));
        }
    }
}
