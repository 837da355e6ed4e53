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

/// Scopes that speak of requests to mount `digits` or `faces`, or do not.
const SCOPES: [&str; 11] = [
    "principal, action, resource",
    r#"principal is User in Group::"lab", action == Action::"Mount", resource is Version in Dataset::"faces""#,
    r#"principal is Role, action, resource"#,
    r#"principal, action, resource in Version::"digits@3""#,
    r#"principal, action == Action::"Mount", resource"#,
    "principal, action, resource is Version",
    r#"principal, action in [Action::"Mount", Action::"Write"], resource is Code"#,
    r#"principal, action == Action::"Mount", resource in Dataset::"digits""#,
    r#"principal in Group::"lab", action == Action::"Mount", resource"#,
    r#"principal in Group::"other", action == Action::"Mount", resource"#,
    r#"principal == User::"ada", action == Action::"Mount", resource == Version::"faces@3""#,
];

/// Conditions that look alike, of which some need a value of the context, some the resource, and some fail.
const CONDITIONS: [&str; 34] = [
    "",
    r#"when { context.labels.contains("pii") }"#,
    r#"when { context.labels.contains("open") && context.holdout }"#,
    r#"when { context.labels.contains("pii") } unless { context.holdout }"#,
    r#"when { context.labels.contains("pii") && context.holdout || !context.holdout }"#,
    r#"when { context.labels.contains("pii") == context.holdout }"#,
    r#"when { context.labels.contains("p\u{69}i") }"#,
    r#"when { context.labels.contains("pii") && (9223372036854775807 + context.evaluationsMax > 0) }"#,
    r#"when { (9223372036854775807 + context.evaluationsMax > 0) } when { context.labels.contains("pii") }"#,
    r#"when { 9223372036854775807 + context.evaluations >= 0 && context.labels.contains("pii") }"#,
    r#"unless { context.labels.contains("open") }"#,
    r#"when { !context.labels.contains("pii") }"#,
    r#"unless { !context.labels.contains("pii") }"#,
    "when { context.holdout && context.evaluations >= context.evaluationsMax }",
    "when { context.evaluations < 2 && !context.holdout }",
    "when { context.holdout && 9223372036854775807 + context.evaluationsMax > 0 }",
    "unless { context.holdout }",
    "unless { context.holdout && 9223372036854775807 + context.evaluationsMax > 0 }",
    "unless { context.holdout || context.dirty }",
    r#"when { context.labels.containsAny(["pii", "open"]) }"#,
    r#"when { context.labels.containsAll(["pii", "open"]) } unless { context.missing }"#,
    r#"unless { context.labels.containsAny(["pii", "metrics"]) }"#,
    "when { context.labels.isEmpty() }",
    "unless { context.labels.isEmpty() }",
    r#"when { context.keep == "metrics" }"#,
    r#"when { context.keep != "metrics" && context.labels.contains("open") }"#,
    r#"unless { context.keep != "metrics" }"#,
    r#"when { !context.keep == "metrics" && context.holdout }"#,
    r#"when { context.missing && context.labels.contains("pii") }"#,
    r#"when { context.labels.contains("pii") && context.missing }"#,
    r#"when { resource in Dataset::"digits" && context.labels.contains("pii") }"#,
    r#"when { context.holdout } unless { resource == Version::"faces@3" }"#,
    "when { context.labels.contains(context.keep) }",
    r#"when { context.holdout && (resource.name == "x" || true) }"#,
];

/// Parts of conditions, of which some fail, some are of another type than they should be, and some look at a resource.
const PARTS: [&str; 43] = [
    "context.holdout",
    "context.quarantined",
    "context . dirty",
    "context[\"holdout\"]",
    "context has holdout",
    "context has missing",
    "context.missing",
    "context has missing && context.missing",
    "context.labels",
    "context.labels.isEmpty()",
    "context.labels.contains(\"pii\")",
    "context.labels.contains(\"open\")",
    "context.labels.contains(\"p\\u{69}i\")",
    "context.labels.contains(\"\\x70ii\")",
    "context.labels.contains(\"\")",
    "context.labels.contains(\"a && b || } // \")",
    "context.labels.contains(context.keep)",
    "context.labels.contains(1)",
    "context.labels.containsAny([\"pii\", \"open\"])",
    "context.labels.containsAny([])",
    "context.labels.containsAll([])",
    "context.labels.containsAll([\"pii\", \"pii\"])",
    "context.labels.containsAll([\"pii\", context.keep])",
    "context.labels.containsAny([\"pii\"]) == context.labels.containsAll([\"open\"])",
    "context.labels == [\"pii\"]",
    "[\"pii\", \"open\"].containsAll(context.labels)",
    "context.keep == \"metrics\"",
    "context.keep != \"metrics\"",
    "\"metrics\" == context.keep",
    "context.keep like \"met*\"",
    "context.keep == \"m\\u{65}trics\"",
    "context.evaluations < 1",
    "context.evaluations >= context.evaluationsMax",
    "context.evaluations == -1",
    "context.evaluations < context.keep",
    "-context.evaluations < 9223372036854775807",
    "9223372036854775807 + context.evaluationsMax > 0",
    "resource in Dataset::\"digits\"",
    "resource is Version in Dataset::\"faces\"",
    "resource == Version::\"digits@3\"",
    "Version::\"digits@3\" in Dataset::\"digits\"",
    "principal in [Group::\"lab\", Role::\"viewer\"]",
    "true",
];

/// An expression of such parts, in any form that Cedar has for them.
fn some_expression() -> impl Strategy<Value = String> {
    prop::sample::select(PARTS.to_vec()).prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        let joint = prop::sample::select(vec![" && ", "&&", " || ", " == ", " != ", " // && || }\n && "]);
        prop_oneof![
            4 => (inner.clone(), joint, inner.clone()).prop_map(|(one, joint, other)| one + joint + &other),
            2 => inner.clone().prop_map(|one| format!("!{one}")),
            1 => inner.clone().prop_map(|one| format!("!!({one})")),
            2 => inner.clone().prop_map(|one| format!("( {one} )")),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(one, then, other)| format!("(if {one} then {then} else {other})")),
            1 => (inner.clone(), inner).prop_map(|(one, then)| format!("if {one} then {then} else false")),
        ]
    })
}

/// Conditions that Cedar reads, in all scopes.
fn some_policy() -> impl Strategy<Value = String> {
    let keyword = prop::sample::select(vec!["when", "unless"]);
    let conditions = prop::collection::vec((keyword, some_expression()), 0..3);
    let annotation = prop::sample::select(vec!["", "@message(\"permit (x) when { resource }\") "]);
    let policy = (annotation, prop::sample::select(SCOPES.to_vec()), conditions).prop_map(
        |(said, scope, conditions)| {
            let conditions = conditions.iter().map(|(keyword, one)| format!(" {keyword} {{{one}}}"));
            format!("{said}forbid ({scope}){};", conditions.collect::<String>())
        },
    );
    policy.prop_filter("Cedar reads it", |policy| policy.parse::<cedar_policy::PolicySet>().is_ok())
}

fn some_context() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let labels = prop::collection::btree_set(prop::sample::select(vec!["pii", "open", "metrics"]), 0..=3);
    let keep = prop::sample::select(vec!["metrics", "everything"]);
    let evaluations = prop::sample::select(vec![0_i64, 1, 20]);
    (labels, keep, evaluations, any::<bool>()).prop_map(|(labels, keep, evaluations, holdout)| {
        let labels = labels.into_iter().map(str::to_owned).collect();
        let values = [
            ("labels", Value::Set(labels)),
            ("keep", Value::Text(keep.to_owned())),
            ("evaluations", Value::Long(evaluations)),
            ("holdout", Value::Bool(holdout)),
        ];
        values.map(|(name, value)| (name.to_owned(), value)).into()
    })
}

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

/// Asks policies about two things in each context, which must say the same as Cedar says about all policies at once.
fn says_what_cedar_says(own: &[String], contexts: &[BTreeMap<String, Value>]) -> Result<(), TestCaseError> {
    let own: String =
        own.iter().enumerate().map(|(n, policy)| format!("@id(\"own/p{n}\") {policy}\n")).collect();
    let policies = policies(&own);
    // Both with the same context, so that what was said about one of them is not said about the other.
    let requests: Vec<Request> = contexts
        .iter()
        .flat_map(|context| {
            ["digits", "faces"].map(|name| {
                let mut request = mount(&policies, name);
                request.context.extend(context.clone());
                request
            })
        })
        .collect();
    let question = question(&policies, &[Role::Owner], requests);
    let asker = Asker::of(&question.principal).unwrap();
    let told = policies.explain(&question).elements;
    prop_assert_eq!(told.len(), question.requests.len());
    let cedar: cedar_policy::PolicySet = own.parse().unwrap();
    for (request, told) in question.requests.iter().zip(told) {
        let ask = asker.ask("Mount", &request.resource, &request.within, &request.context).unwrap();
        let response = Authorizer::new().is_authorized(&ask.asked, &cedar, &ask.entities);
        let all = response.diagnostics();
        let forbids: BTreeSet<String> = all.reason().map(ToString::to_string).collect();
        let said: BTreeSet<String> = told
            .forbids
            .iter()
            .filter_map(|spoke| spoke.id.strip_prefix("own/"))
            .map(|name| name.replace('p', "policy"))
            .collect();
        prop_assert_eq!(said, forbids, "{}", own);
        let mut failed: Vec<String> = told
            .reasons
            .iter()
            .filter(|reason| reason.rule == "policy/error")
            .map(|reason| reason.message.replace("own/p", "policy"))
            .collect();
        failed.sort();
        let mut errors: Vec<String> = all
            .errors()
            .map(evaluation_error)
            .map(|(id, failed)| format!("the policy `{id}` cannot be evaluated: {}", failed.why))
            .map(|message| shown(&message, 2 * VALUE_CHARS_MAX))
            .collect();
        errors.sort();
        prop_assert_eq!(failed, errors, "{}", own);
    }
    Ok(())
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
        picked in prop::collection::vec(
            (prop::sample::select(SCOPES.to_vec()), prop::sample::select(CONDITIONS.to_vec())), 1..12,
        ),
        contexts in prop::collection::vec(some_context(), 1..4),
    ) {
        let own = picked.iter().map(|(scope, conditions)| format!("forbid ({scope}) {conditions};"));
        says_what_cedar_says(&own.collect::<Vec<_>>(), &contexts)?;
    }

    #[test]
    fn no_form_of_a_condition_is_misread(
        own in prop::collection::vec(some_policy(), 1..12), contexts in prop::collection::vec(some_context(), 1..4),
    ) {
        says_what_cedar_says(&own, &contexts)?;
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
