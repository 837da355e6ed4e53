use std::collections::BTreeMap;

use aseptic_model::Digest;

use super::*;
use crate::{Action, PolicyDocument, Role};

pub(super) const FORBID: &str = r#"@id("own/vault")
@message("`{value}` is in the vault")
@advice("use other data than `{resource}`")
@grant("data-steward")
forbid (principal, action == Action::"Mount", resource in Dataset::"vault");
"#;

pub(super) fn policies(own: &str) -> Policies {
    with([("policy/own.cedar", own)])
}

pub(super) fn with<const N: usize>(files: [(&str, &str); N]) -> Policies {
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    Policies::parse(PolicyDocument::new(files.into())).unwrap()
}

fn principal(roles: &[Role]) -> Principal {
    Principal {
        user: "ada".to_owned(),
        groups: ["lab".to_owned()].into(),
        roles: roles.iter().copied().collect(),
    }
}

pub(super) fn question(policies: &Policies, roles: &[Role], requests: Vec<Request>) -> Question {
    Question {
        format: QUESTION_FORMAT.to_owned(),
        policy: policies.digest(),
        plan: Digest::of(b"plan"),
        project: "vision".parse().unwrap(),
        principal: principal(roles),
        requests,
        risk: None,
    }
}

/// A context in which no shipped policy minds a request, by the schema.
fn context(policies: &Policies, action: Action) -> BTreeMap<String, Value> {
    let value = |key: &str, type_name: &str| match (key, type_name) {
        ("present" | "available" | "pinned" | "accepted" | "acceptable", _) => Value::Bool(true),
        (_, "Bool") => Value::Bool(false),
        ("evaluationsMax", _) => Value::Long(20),
        (_, "Long") => Value::Long(0),
        ("keep", _) => Value::Text("everything".to_owned()),
        (_, "String") => Value::Text(String::new()),
        _ => Value::Set(BTreeSet::new()),
    };
    let shape = &policies.shapes.0[action.as_str()];
    shape.context.iter().map(|(key, type_name)| (key.clone(), value(key, type_name))).collect()
}

pub(super) fn mount(policies: &Policies, name: &str) -> Request {
    Request {
        element: format!("data.{name}"),
        value: format!("{name}@3"),
        at: Some("aseptic.toml:12".to_owned()),
        action: Action::Mount,
        resource: Resource { kind: Kind::Version, name: format!("{name}@3") },
        within: vec![Resource { kind: Kind::Dataset, name: name.to_owned() }],
        context: context(policies, Action::Mount),
        shown: BTreeMap::new(),
    }
}

pub(super) fn start(policies: &Policies) -> Request {
    Request {
        element: "run".to_owned(),
        value: "train".to_owned(),
        at: None,
        action: Action::Start,
        resource: Resource { kind: Kind::Project, name: "vision".to_owned() },
        within: Vec::new(),
        context: context(policies, Action::Start),
        shown: BTreeMap::new(),
    }
}

pub(super) fn asked(policies: &Policies, roles: &[Role], requests: Vec<Request>) -> Decision {
    let question = question(policies, roles, requests);
    let decision = policies.decide(&question);
    let explanation = policies.explain(&question);
    assert_eq!(explanation.decision, decision);
    let reasons = explanation.elements.into_iter().flat_map(|element| element.reasons);
    if question.policy == policies.digest() && !question.requests.is_empty() {
        assert_eq!(Decision::of(reasons), decision);
    }
    decision
}

#[test]
fn a_policy_of_the_project_forbids_what_it_names() {
    let policies = policies(FORBID);
    let requests = vec![start(&policies), mount(&policies, "digits")];
    assert_eq!(asked(&policies, &[Role::Experimenter], requests.clone()).outcome, Outcome::Allow);
    let requests = requests.into_iter().chain([mount(&policies, "vault")]).collect();
    let decision = asked(&policies, &[Role::Experimenter], requests);
    let expected = Reason {
        outcome: Outcome::Deny,
        rule: "own/vault".to_owned(),
        element: "data.vault".to_owned(),
        value: Some("vault@3".to_owned()),
        at: Some("aseptic.toml:12".to_owned()),
        message: "`vault@3` is in the vault".to_owned(),
        advice: "use other data than `vault@3`".to_owned(),
        grant: Some("data-steward".to_owned()),
    };
    assert_eq!(decision.reasons, [expected]);
}

#[test]
fn an_explanation_names_every_policy_that_spoke_and_its_place() {
    let policies = policies(FORBID);
    let requests = vec![mount(&policies, "digits"), mount(&policies, "vault")];
    let question = question(&policies, &[Role::Experimenter, Role::Owner], requests);
    let explanation = policies.explain(&question);
    let [digits, vault] = explanation.elements.try_into().unwrap();
    let ids = |spoke: &[crate::Spoke]| spoke.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&digits.permits), ["role/owner", "run/start"]);
    assert_eq!((digits.outcome, digits.forbids.len()), (Outcome::Allow, 0));
    assert_eq!(ids(&vault.permits), ids(&digits.permits));
    assert_eq!(vault.forbids[0].at, "policy/own.cedar:1");
    assert!(vault.permits[1].at.starts_with("base/run.cedar:"));
    assert_eq!(policies.place("own/vault").as_deref(), Some("policy/own.cedar:1"));
    assert_eq!(policies.place("policy/error"), None);
}

#[test]
fn what_no_policy_permits_says_who_may() {
    let policies = policies(FORBID);
    let message = |roles: &[Role]| {
        let [reason] = asked(&policies, roles, vec![start(&policies)]).reasons.try_into().unwrap();
        assert_eq!(
            (reason.rule.as_str(), reason.grant.as_deref()),
            ("policy/default-deny", Some("policy-author"))
        );
        reason.message
    };
    assert_eq!(message(&[]), "you have no role that may start runs; `experimenter` may");
    assert_eq!(
        message(&[Role::Viewer]),
        "your role `viewer` does not let you start runs; `experimenter` may"
    );
    assert_eq!(
        message(&[Role::Viewer, Role::Auditor]),
        "none of your roles {viewer, auditor} lets you start runs; `experimenter` may"
    );
}

#[test]
fn a_default_denial_names_who_to_ask() {
    let mut policies = policies(FORBID);
    let decision = policies.allows(
        &principal(&[Role::Viewer]),
        Act::Share,
        &"vision".parse().unwrap(),
        &About::default(),
    );
    assert_eq!(decision.outcome, Outcome::Deny);
    assert!(decision.reasons[0].advice.starts_with("ask who owns the state directory"));
    let members = [
        (Role::DataSteward, ["bob".to_owned(), "group:lab".to_owned()].into()),
        (Role::PolicyAuthor, ["eve".to_owned()].into()),
    ];
    policies.set_roles(crate::Roles { members: members.into(), ..crate::Roles::default() });
    let decision = policies.allows(
        &principal(&[Role::Viewer]),
        Act::Share,
        &"vision".parse().unwrap(),
        &About::default(),
    );
    let [reason] = decision.reasons.try_into().unwrap();
    assert_eq!(
        reason.message,
        "your role `viewer` does not let you give datasets to other projects; `data-steward` may"
    );
    assert_eq!(
        reason.advice,
        "ask `bob`, `group:lab`, who may; a policy author gives roles in `policy/roles.toml`: `eve`"
    );
}

#[test]
fn an_approval_is_asked_for_only_where_nothing_denies() {
    let approval = r#"@id("own/ask") @effect("needs-approval") @message("ask") @advice("ask first") @grant("approver")
        forbid (principal, action == Action::"Mount", resource);"#;
    let both = policies(&format!("{approval}{FORBID}"));
    let outcome = |roles: &[Role], name: &str| asked(&both, roles, vec![mount(&both, name)]).outcome;
    assert_eq!(outcome(&[Role::Experimenter], "digits"), Outcome::NeedsApproval);
    assert_eq!(outcome(&[Role::Experimenter], "vault"), Outcome::Deny);
    assert_eq!(outcome(&[], "digits"), Outcome::Deny, "an approval gives nobody a role");
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies() {
    let policies = policies(
        r#"@id("own/broken") forbid (principal, action == Action::"Start", resource) when { context.nothing > 9223372036854775807 + 1 };"#,
    );
    let decision = asked(&policies, &[Role::Owner], vec![start(&policies)]);
    let [reason] = decision.reasons.try_into().unwrap();
    assert_eq!(reason.rule, "policy/error");
    assert!(reason.message.starts_with("the policy `own/broken` cannot be evaluated: "), "{reason:?}");
    let place =
        "correct `context.nothing` at policy/own.cedar:1:82, or ask who wrote it; until then it denies";
    assert_eq!(reason.advice, place);
    assert_eq!(asked(&policies, &[Role::Owner], vec![mount(&policies, "digits")]).outcome, Outcome::Allow);
}

#[test]
fn a_shipped_policy_that_cannot_be_parsed_denies() {
    let mut document = PolicyDocument::new(BTreeMap::new());
    let broken = "@id(\"z/broken\") forbid (principal, action == Action::\"Start\", resource) when { ( };";
    document.files.insert("base/z.cedar".to_owned(), broken.to_owned());
    let policies = Policies::parse(document).unwrap();
    let [reason] = asked(&policies, &[Role::Owner], vec![start(&policies)]).reasons.try_into().unwrap();
    assert_eq!(reason.rule, "policy/error");
}

#[test]
fn what_the_schema_does_not_know_is_denied() {
    let policies = policies(FORBID);
    let good = mount(&policies, "digits");
    let mut bad = vec![good; 5];
    bad[0].resource.kind = Kind::Gpu;
    bad[1].context.remove("present");
    bad[2].context.insert("present".to_owned(), Value::Text("yes".to_owned()));
    bad[3].context.insert("more".to_owned(), Value::Long(1));
    bad[4].action = Action::Connect;
    for request in bad {
        let [reason] = asked(&policies, &[Role::Owner], vec![request]).reasons.try_into().unwrap();
        assert_eq!((reason.outcome, reason.rule.as_str()), (Outcome::Deny, "policy/question"));
    }
}

#[test]
fn a_question_for_other_policies_is_denied_whole() {
    let policies = policies(FORBID);
    let good = question(&policies, &[Role::Owner], vec![start(&policies)]);
    assert_eq!(policies.decide(&good).outcome, Outcome::Allow);
    let mut other = [good.clone(), good.clone(), good];
    other[0].format = "aseptic.requests/2".to_owned();
    other[1].policy = Digest::of(b"others");
    other[2].requests.clear();
    for question in other {
        let decision = policies.decide(&question);
        assert_eq!((decision.outcome, decision.reasons[0].rule.as_str()), (Outcome::Deny, "policy/question"));
        assert_eq!(policies.explain(&question).elements, []);
    }
}

#[test]
fn acts_are_decided_by_roles() {
    let policies = policies(
        "@id(\"own/freeze\") @message(\"`{object}` is frozen\") forbid (principal, action == Action::\"Label\", resource) when { context.object like \"frozen*\" };",
    );
    let project = "vision".parse().unwrap();
    let about = |object: Option<&str>| About::object(object.unwrap_or_default());
    let allows =
        |role, act, object| policies.allows(&principal(&[role]), act, &project, &about(object)).outcome;
    assert_eq!(allows(Role::Viewer, Act::View, None), Outcome::Allow);
    assert_eq!(allows(Role::Viewer, Act::Erase, Some("run:1")), Outcome::Deny);
    assert_eq!(allows(Role::DataSteward, Act::Label, Some("digits@1")), Outcome::Allow);
    assert_eq!(allows(Role::DataSteward, Act::Label, Some("frozen@1")), Outcome::Deny);
    for act in Act::ALL {
        assert_eq!(allows(Role::Owner, act, None), Outcome::Allow, "{act}");
    }
    let decision =
        policies.allows(&principal(&[Role::Owner]), Act::Label, &project, &About::object("frozen\u{1b}[2J"));
    assert_eq!(decision.reasons[0].message, "`frozen\\u{1b}[2J` is frozen");
}

#[test]
fn a_link_forbids_what_it_names() {
    let settings = r#"
        format = "aseptic.settings/1"
        [[link]]
        id = "own/digits"
        template = "dataset/closed-to"
        principal = 'Group::"lab"'
        resource = 'Dataset::"digits"'
        [[link]]
        id = "own/faces"
        template = "dataset/needs-approval"
        resource = 'Dataset::"faces"'
        [[link]]
        id = "own/readers"
        template = "project/read-only-for"
        principal = 'User::"bob"'
    "#;
    let policies = with([("policy/settings.toml", settings)]);
    let outcome = |name: &str| asked(&policies, &[Role::Owner], vec![mount(&policies, name)]);
    assert_eq!(outcome("digits").reasons[0].rule, "own/digits");
    assert_eq!(outcome("faces").outcome, Outcome::NeedsApproval);
    assert_eq!(outcome("other").outcome, Outcome::Allow);
    assert_eq!(policies.place("own/faces").as_deref(), Some("policy/settings.toml:8"));
    let bob = Principal { user: "bob".to_owned(), ..principal(&[Role::Owner]) };
    let project = "vision".parse().unwrap();
    assert_eq!(policies.allows(&bob, Act::View, &project, &About::default()).outcome, Outcome::Allow);
    assert_eq!(policies.allows(&bob, Act::Label, &project, &About::default()).reasons[0].rule, "own/readers");
}

/// Every policy that is shipped speaks of the actions that were found before it was parsed.
#[test]
fn actions_are_found_before_a_policy_is_parsed() {
    let policies = policies("");
    assert!(policies.rules.len() > 10);
    let names = Action::ALL.into_iter().map(Action::as_str).chain(Act::ALL.into_iter().map(Act::as_str));
    for name in names {
        for rule in &policies.rules {
            let found = rule.actions.as_ref().is_none_or(|actions| actions.iter().any(|one| one == name));
            assert_eq!(found, speaks_of(rule.policy().unwrap(), name), "{} and {name}", rule.id);
        }
    }
}
