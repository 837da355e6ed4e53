use proptest::prelude::*;

use super::tests::{FORBID, asked, mount, policies, question, start, with};
use super::*;
use crate::{PolicyDocument, Role};

const OWN: [&str; 8] = [
    FORBID,
    r#"@id("own/a") forbid (principal, action, resource is Version);"#,
    r#"@id("own/b") forbid (principal == User::"ada", action == Action::"Mount", resource) when { context.holdout };"#,
    r#"@id("own/c") forbid (principal in Group::"lab", action in [Action::"Mount", Action::"Start"], resource in Dataset::"faces");"#,
    r#"@id("own/d") @effect("needs-approval") forbid (principal, action == Action::"Start", resource in Project::"vision");"#,
    r#"@id("own/e") forbid (principal in Role::"viewer", action == Action::"Mount", resource == Version::"digits@3");"#,
    r#"@id("own/f") forbid (principal, action == Action::"Mount", resource is Version in Dataset::"digits") when { context.labels.contains("pii") };"#,
    r#"@id("own/g") @effect("needs-approval") forbid (principal == User::"bob", action, resource);"#,
];

/// Conditions that look alike, of which some need a label.
const CONDITIONS: [&str; 10] = [
    r#"when { context.labels.contains("pii") }"#,
    r#"when { context.labels.contains("open") && context.holdout }"#,
    r#"when { context.labels.contains("pii") } unless { context.holdout }"#,
    r#"when { context.labels.contains("pii") && context.holdout || !context.holdout }"#,
    r#"when { context.labels.contains("pii") == context.holdout }"#,
    r#"when { context.labels.contains("p\u{69}i") }"#,
    r#"when { context.labels.contains("pii") && (9223372036854775807 + context.evaluationsMax > 0) }"#,
    r#"when { (9223372036854775807 + context.evaluationsMax > 0) } when { context.labels.contains("pii") }"#,
    r#"unless { context.labels.contains("open") }"#,
    r#"when { !context.labels.contains("pii") }"#,
];

prop_compose! {
    fn some_requests()(
        names in prop::collection::vec((prop::sample::select(vec!["digits", "faces", "vault", "x"]), any::<bool>(), any::<bool>()), 0..5),
        starts in any::<bool>(),
    ) -> Vec<(String, bool, bool, bool)> {
        let start = starts.then(|| (String::new(), false, false, true));
        let mounts = names.into_iter().map(|(name, holdout, pii)| (name.to_owned(), holdout, pii, false));
        start.into_iter().chain(mounts).collect()
    }
}

fn made(policies: &Policies, parts: &[(String, bool, bool, bool)]) -> Vec<Request> {
    let one = |(name, holdout, pii, is_start): &(String, bool, bool, bool)| {
        if *is_start {
            return start(policies);
        }
        let mut request = mount(policies, name);
        request.context.insert("holdout".to_owned(), Value::Bool(*holdout));
        let labels = pii.then(|| "pii".to_owned()).into_iter().collect();
        request.context.insert("labels".to_owned(), Value::Set(labels));
        request
    };
    parts.iter().map(one).collect()
}

fn some_roles() -> impl Strategy<Value = Vec<Role>> {
    prop::sample::subsequence(vec![Role::Owner, Role::Viewer, Role::Experimenter, Role::Auditor], 0..=4)
}

/// For each request of a question what follows, without the rest of it.
fn outcomes(policies: &Policies, roles: &[Role], requests: &[Request]) -> Vec<Outcome> {
    let explanation = policies.explain(&question(policies, roles, requests.to_vec()));
    explanation.elements.into_iter().map(|element| element.outcome).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn another_prohibition_never_allows_more(
        own in prop::sample::subsequence(&OWN[..], 0..=8), more in 0..8_usize,
        parts in some_requests(), roles in some_roles(),
    ) {
        let fewer = policies(&own.concat());
        let is_more = !own.contains(&OWN[more]);
        let all = if is_more { policies(&format!("{}{}", OWN[more], own.concat())) } else { policies(&own.concat()) };
        let before = outcomes(&fewer, &roles, &made(&fewer, &parts));
        let after = outcomes(&all, &roles, &made(&all, &parts));
        prop_assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "{before:?} {after:?}");
        let whole = |policies: &Policies| asked(policies, &roles, made(policies, &parts)).outcome;
        prop_assert!(whole(&fewer) <= whole(&all));
    }

    #[test]
    fn what_is_not_asked_would_have_said_nothing(
        picked in prop::collection::vec((0..10_usize, any::<bool>()), 1..8),
        labels in prop::collection::btree_set(prop::sample::select(vec!["pii", "open", "x"]), 0..=3), holdout in any::<bool>(),
    ) {
        let scope = |named: bool| if named { r#"resource in Dataset::"digits""# } else { "resource" };
        let own: String = picked.iter().enumerate().map(|(n, (condition, named))| format!(
            "@id(\"own/p{n}\") forbid (principal, action == Action::\"Mount\", {}) {};", scope(*named), CONDITIONS[*condition]
        )).collect();
        let policies = policies(&own);
        let mut request = mount(&policies, "digits");
        request.context.insert("holdout".to_owned(), Value::Bool(holdout));
        request.context.insert("labels".to_owned(), Value::Set(labels.into_iter().map(str::to_owned).collect()));
        let question = question(&policies, &[Role::Owner], vec![request.clone()]);

        let ask = Asker::of(&question.principal).unwrap()
            .ask("Mount", &request.resource, &request.within, &request.context).unwrap();
        let response = Authorizer::new().is_authorized(&ask.asked, &own.parse().unwrap(), &ask.entities);
        let all = response.diagnostics();
        let forbids: BTreeSet<String> = all.reason().map(ToString::to_string).collect();
        let told = policies.explain(&question).elements.remove(0);
        let said: BTreeSet<String> = told.forbids.iter().filter_map(|spoke| spoke.id.strip_prefix("own/"))
            .map(|name| name.replace('p', "policy")).collect();
        prop_assert_eq!(said, forbids);
        let failed = told.reasons.iter().filter(|reason| reason.rule == "policy/error").count();
        prop_assert_eq!(failed, all.errors().count());
    }

    #[test]
    fn asking_less_denies_nothing_that_was_allowed(
        own in prop::sample::subsequence(&OWN[..], 0..=8), parts in some_requests(), roles in some_roles(), gone in 0..5_usize,
    ) {
        let policies = policies(&own.concat());
        let requests = made(&policies, &parts);
        let mut fewer = requests.clone();
        if gone < fewer.len() {
            fewer.remove(gone);
        }
        let mut left = outcomes(&policies, &roles, &requests);
        if gone < left.len() {
            left.remove(gone);
        }
        prop_assert_eq!(outcomes(&policies, &roles, &fewer), left);
        let (before, after) = (asked(&policies, &roles, requests), asked(&policies, &roles, fewer.clone()));
        prop_assert!(fewer.is_empty() || after.outcome <= before.outcome);
    }

    #[test]
    fn the_order_of_requests_and_policies_decides_nothing(
        own in prop::sample::subsequence(&OWN[..], 0..=8), parts in some_requests(), roles in some_roles(),
    ) {
        let policies = policies(&own.concat());
        let backwards = with([("policy/other.cedar", &own.iter().rev().copied().collect::<String>())]);
        let requests = made(&policies, &parts);
        let mut expected = outcomes(&policies, &roles, &requests);
        expected.reverse();
        let reversed: Vec<Request> = requests.into_iter().rev().collect();
        prop_assert_eq!(outcomes(&backwards, &roles, &reversed), expected);
    }

    #[test]
    fn a_decision_follows_from_what_is_kept(
        own in prop::sample::subsequence(&OWN[..], 0..=8), parts in some_requests(), roles in some_roles(),
    ) {
        let policies = policies(&own.concat());
        let question = question(&policies, &roles, made(&policies, &parts));
        let decision = policies.decide(&question);
        let kept: Question = serde_json::from_slice(&serde_json::to_vec(&question).unwrap()).unwrap();
        let document: PolicyDocument = serde_json::from_slice(&policies.document().to_bytes().unwrap()).unwrap();
        let again = Policies::parse(document).unwrap();
        prop_assert_eq!(again.digest(), policies.digest());
        prop_assert_eq!(again.explain(&kept), policies.explain(&question));
        prop_assert_eq!(again.decide(&kept), decision);
    }
}
