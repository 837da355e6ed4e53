//! Policies of a project: what is accepted can be asked, never permits what the shipped ones do not, and what is refused
//! is refused with a place.
#![no_main]

use std::cell::OnceCell;
use std::collections::BTreeMap;

use aseptic_model::Outcome;
use aseptic_policy::{About, Act, Policies, PolicyDocument, Principal, Role, Severity, check};

/// Longer files find nothing that a shorter one does not, and Cedar reads them for long.
const BYTES_MAX: usize = 2000;

thread_local! {
    static SHIPPED: OnceCell<Policies> = const { OnceCell::new() };
}

fn shipped() -> Policies {
    Policies::parse(PolicyDocument::new(BTreeMap::new())).expect("the shipped policies")
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    if text.len() > BYTES_MAX {
        return;
    }
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
    SHIPPED.with(|once| allows_no_more(&policies, once.get_or_init(shipped)));
});

fn allows_no_more(policies: &Policies, shipped: &Policies) {
    let project = "vision".parse().expect("a name");
    for roles in [vec![], vec![Role::Viewer], vec![Role::Owner]] {
        let principal =
            Principal { user: "ada".to_owned(), roles: roles.into_iter().collect(), ..Principal::default() };
        let about =
            About { labels: ["phi".parse().expect("a label")].into(), ..About::object("dataset:digits@1") };
        for act in [Act::View, Act::Label] {
            let before = shipped.allows(&principal, act, &project, &about);
            let after = policies.allows(&principal, act, &project, &about);
            assert!(before.outcome <= after.outcome, "a policy of a project allowed something");
            assert_eq!(after, policies.allows(&principal, act, &project, &about));
            assert_eq!(after.outcome == Outcome::Allow, after.reasons.is_empty());
            assert!(policies.tells_apart(act) || before == after, "only roles decide it");
        }
    }
}
