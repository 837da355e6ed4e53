use std::collections::BTreeMap;

use aseptic_model::{Outcome, ProjectName};

use crate::{About, Act, Policies, PolicyDocument, Principal, Role, Roles};

const FILE: &str = r#"
format = "aseptic.roles/1"
signer = "ada+00000000+key"
[groups]
lab = ["ada", "ben"]
[roles]
experimenter = ["group:lab"]
policy-author = ["cy"]
"#;

fn project() -> ProjectName {
    "vision".parse().unwrap()
}

fn policies(files: &[(&str, &str)]) -> Policies {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Policies::parse(PolicyDocument::new(files)).unwrap()
}

/// The roles that may do each act: what `docs/roles.md` says.
fn expected(act: Act) -> &'static [Role] {
    use Role::{Approver, Auditor, DataSteward, Experimenter, PolicyAuthor, Viewer};
    match act {
        Act::View => &[Viewer, Experimenter, DataSteward, PolicyAuthor, Approver, Auditor],
        Act::Annotate => &[Experimenter],
        Act::Stop | Act::Revoke | Act::AddDataset | Act::Describe | Act::Label => {
            &[Experimenter, DataSteward]
        }
        Act::Archive | Act::Restore | Act::Quarantine | Act::HandleIncident => &[Experimenter, DataSteward],
        Act::Export => &[Experimenter, Auditor],
        Act::Declassify | Act::Share | Act::Retain | Act::Collect | Act::LiftQuarantine | Act::Erase => {
            &[DataSteward]
        }
        Act::Attest => &[Experimenter, DataSteward, Auditor],
        Act::ManageKeys | Act::EditPolicy => &[PolicyAuthor],
        Act::Drill => &[Experimenter, PolicyAuthor, Auditor],
    }
}

#[test]
fn each_role_may_do_what_the_table_says() {
    let policies = policies(&[]);
    for act in Act::ALL {
        let may =
            Role::GIVEN.into_iter().filter(|role| policies.acts_of(*role, &project()).any(|a| a == act));
        assert_eq!(may.collect::<Vec<_>>(), expected(act), "{act}");
    }
    assert_eq!(policies.acts_of(Role::Owner, &project()).count(), Act::ALL.len());
}

#[test]
fn nobody_may_do_nothing() {
    let policies = policies(&[]);
    for act in Act::ALL {
        let decision = policies.allows(&Principal::default(), act, &project(), &About::default());
        assert_eq!(decision.outcome, Outcome::Deny, "{act}");
        assert_eq!(decision.reasons[0].rule, "policy/default-deny");
    }
}

#[test]
fn roles_come_by_name_and_through_groups() {
    let policies = policies(&[("policy/roles.toml", FILE)]);
    let roles = policies.roles().unwrap();
    let may = |user, act| {
        policies.allows(&roles.principal(user), act, &project(), &About::default()).outcome == Outcome::Allow
    };
    assert!(may("ben", Act::Export) && !may("ben", Act::EditPolicy));
    assert!(may("cy", Act::EditPolicy) && !may("cy", Act::Export));
    assert!(!may("eve", Act::View), "who has no role may not even look");
}

#[test]
fn a_policy_of_the_project_forbids_an_act_with_its_own_words() {
    let text = r#"@id("lab/no-export") @message("{object} stays here") @advice("ask `{resource}`") @grant("approver")
        @effect("needs-approval")
        forbid (principal in Group::"lab", action == Action::"Export", resource)
        when { context.object like "run:*" };"#;
    let policies = policies(&[("policy/own.cedar", text), ("policy/roles.toml", FILE)]);
    let ben = policies.roles().unwrap().principal("ben");
    let decision = policies.allows(&ben, Act::Export, &project(), &About::object("run:1"));
    assert_eq!(decision.outcome, Outcome::NeedsApproval);
    let reason = &decision.reasons[0];
    assert_eq!((reason.message.as_str(), reason.advice.as_str()), ("run:1 stays here", "ask `vision`"));
    assert_eq!(policies.allows(&ben, Act::Export, &project(), &About::default()).outcome, Outcome::Allow);
}

#[test]
fn a_roles_file_that_is_wrong_makes_the_policies_unusable() {
    let files = BTreeMap::from([("policy/roles.toml".to_owned(), "format = 1".to_owned())]);
    Policies::parse(PolicyDocument::new(files)).unwrap_err();
    assert!(Roles::parse(FILE).is_ok());
}

#[test]
fn policies_tell_things_apart_by_their_labels() {
    let text = "@id(\"own/phi\") forbid (principal, action == Action::\"View\", resource) \
                when { context.labels.contains(\"phi\") };";
    let files = [("policy/own.cedar".to_owned(), text.to_owned())].into();
    let policies = Policies::parse(PolicyDocument::new(files)).unwrap();
    let ada = Principal { user: "ada".to_owned(), roles: [Role::Viewer].into(), ..Principal::default() };
    let about = |labels: &[&str]| About {
        labels: labels.iter().map(|label| label.parse().unwrap()).collect(),
        ..About::object("dataset:digits@1")
    };
    let allows = |act, about: &About| policies.allows(&ada, act, &project(), about).outcome;
    assert_eq!(allows(Act::View, &about(&["phi", "eu"])), Outcome::Deny);
    assert_eq!(allows(Act::View, &about(&["eu"])), Outcome::Allow);
    assert_eq!(allows(Act::View, &About::default()), Outcome::Allow);
    assert!(policies.tells_apart(Act::View) && !policies.tells_apart(Act::Export));
}

/// What `tells_apart` says of a set without policies of its own.
#[test]
fn shipped_policies_decide_acts_by_roles_alone() {
    let document = PolicyDocument::new(BTreeMap::new());
    assert!(!document.files["base/roles.cedar"].contains("context."));
    let policies = Policies::parse(document).unwrap();
    for act in Act::ALL {
        assert!(!policies.tells_apart(act), "{act}");
        let labelled = About { labels: ["phi".parse().unwrap()].into(), ..About::object("run:1") };
        for role in Role::GIVEN.into_iter().chain([Role::Owner]) {
            let who = Principal { roles: [role].into(), ..Principal::default() };
            let [one, other] = [&About::default(), &labelled]
                .map(|about| policies.allows(&who, act, &project(), about).outcome);
            assert_eq!(one, other, "{role}: {act}");
        }
    }
}
