//! Policies of a project: what is accepted can be asked, never permits what the shipped ones do not, and what is refused
//! is refused with a place.
#![no_main]

use std::collections::BTreeMap;

use aseptic_model::Outcome;
use aseptic_policy::{Act, Policies, PolicyDocument, Principal, Role, Severity, check};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let own = BTreeMap::from([("policy/own.cedar".to_owned(), text.to_owned())]);
    let document = PolicyDocument::new(own);
    let problems = check(&document);
    for problem in &problems {
        let rendered = problem.render(&document);
        assert!(rendered.chars().all(|c| c == '\n' || !c.is_control()), "{rendered:?}");
        assert!(!problem.message.is_empty() && !problem.help.is_empty());
    }
    let Ok(policies) = Policies::parse(document) else {
        assert!(
            problems.iter().any(|problem| problem.severity == Severity::Error),
            "refused without a reason"
        );
        return;
    };
    let shipped = Policies::parse(PolicyDocument::new(BTreeMap::new())).expect("the shipped policies");
    let project = "vision".parse().expect("a name");
    for roles in [vec![], vec![Role::Viewer], vec![Role::Owner]] {
        let principal =
            Principal { user: "ada".to_owned(), roles: roles.into_iter().collect(), ..Principal::default() };
        for act in [Act::View, Act::Label] {
            let before = shipped.allows(&principal, act, &project, Some("digits@1"));
            let after = policies.allows(&principal, act, &project, Some("digits@1"));
            assert!(before.outcome <= after.outcome, "a policy of a project allowed something");
            assert_eq!(after, policies.allows(&principal, act, &project, Some("digits@1")));
            assert_eq!(after.outcome == Outcome::Allow, after.reasons.is_empty());
        }
    }
});
