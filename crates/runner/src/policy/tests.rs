//! Policies in force, as the ledger and the store have them, whoever wrote that.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aseptic_model::{
    Decision, Diagnose as _, Digest, Event as Entry, Outcome, ProjectName, RunId, RunRef, from_canonical,
    to_canonical,
};
use aseptic_policy::{POLICY_FORMAT, Policies, PolicyDocument, Question};

use super::*;
use crate::observer::{Event, Observer};
use crate::request::Request;

const NEVER: &str = r#"@id("lab/closed") @message("closed") @advice("wait")
forbid (principal, action == Action::"Start", resource);"#;

struct Nobody;

impl Observer for Nobody {
    fn event(&mut self, _: Event<'_>) {}
}

fn project() -> ProjectName {
    "default".parse().unwrap()
}

fn home(dir: &Path) -> Home {
    Home::open(&dir.join("state")).unwrap()
}

/// A directory of policies with one file.
fn policies(dir: &Path, text: &str) -> std::path::PathBuf {
    let directory = dir.join("policy");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("a.cedar"), text).unwrap();
    directory
}

fn put(home: &mut Home, document: &PolicyDocument, signer: Option<&str>) -> Digest {
    let store = home.store(&project()).unwrap();
    let lease = store.lease().unwrap();
    let policy = store.put_bytes(&lease, &document.to_bytes().unwrap()).unwrap();
    let signer = signer.map(str::to_owned);
    home.record(&project(), vec![Entry::PolicyApplied { policy, before: None, signer, reason: None }])
        .unwrap();
    home.catch_up().unwrap();
    policy
}

#[test]
fn the_same_directory_is_put_in_force_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = home(dir.path());
    let shipped = in_force(&home, &project()).unwrap();
    assert!(shipped.applied.is_none());
    let directory = policies(dir.path(), NEVER);
    let first = apply(&mut home, &project(), &directory, Some("why".to_owned())).unwrap();
    assert!(first.changed && first.before == shipped.policies.digest());
    let now = in_force(&home, &project()).unwrap();
    assert_eq!(now.policies.digest(), first.policy);
    assert_eq!(now.applied.unwrap().reason.as_deref(), Some("why"));
    assert!(now.policies.ids().contains("lab/closed"));
    let again = apply(&mut home, &project(), &directory, None).unwrap();
    assert!(!again.changed && again.policy == first.policy);
    assert_eq!(home.catalog.policies_applied(&project(), 10).unwrap().len(), 1);
    let other = "other".parse().unwrap();
    assert_eq!(in_force(&home, &other).unwrap().policies.digest(), shipped.policies.digest());
    home.rebuild_catalog().unwrap();
    assert_eq!(in_force(&home, &project()).unwrap().policies.digest(), first.policy);
}

#[test]
fn files_that_an_earlier_version_put_in_force_decide_with_the_shipped_ones_of_now() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = home(dir.path());
    let all = "@id(\"role/everybody\") permit (principal, action, resource);";
    let files = [("base/run.cedar", all), ("base/gone.cedar", all), ("policy/a.cedar", NEVER)];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let old = put(&mut home, &PolicyDocument { format: POLICY_FORMAT.to_owned(), files: files.into() }, None);
    let now = in_force(&home, &project()).unwrap();
    assert_ne!(now.policies.digest(), old);
    assert!(now.policies.ids().contains("lab/closed") && !now.policies.ids().contains("role/everybody"));
    let here = BTreeMap::from([("policy/a.cedar".to_owned(), NEVER.to_owned())]);
    assert_eq!(now.policies.digest(), PolicyDocument::new(here).digest().unwrap());
    let applied = apply(&mut home, &project(), &policies(dir.path(), NEVER), None).unwrap();
    assert!(!applied.changed, "the files are the same");
}

#[test]
fn a_key_that_was_pinned_stays_and_roles_cannot_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = home(dir.path());
    put(&mut home, &PolicyDocument::new(BTreeMap::new()), Some("lab+key"));
    put(&mut home, &PolicyDocument::new(BTreeMap::new()), None);
    assert_eq!(home.catalog.pinned_signer(&project()).unwrap().as_deref(), Some("lab+key"));
    let refused = apply(&mut home, &project(), &policies(dir.path(), NEVER), None).unwrap_err();
    assert!(matches!(refused, PolicyFilesError::Roles { .. }), "{refused}");
    assert_eq!(home.catalog.policies_applied(&project(), 10).unwrap().len(), 2);
}

#[test]
fn policies_that_are_gone_or_damaged_are_never_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = home(dir.path());
    let policy = Digest::of(b"not there");
    let entry = Entry::PolicyApplied { policy, before: None, signer: None, reason: None };
    home.record(&project(), vec![entry]).unwrap();
    home.catch_up().unwrap();
    assert!(in_force(&home, &project()).is_err());
    let request = Request { command: vec!["true".to_owned()], ..Request::default() };
    assert!(crate::plan(&mut home, &request, &mut Nobody).is_err());
    let text = "@id(\"lab/more\") forbid (principal, action, resource) when { 1 + };";
    let refused = apply(&mut home, &project(), &policies(dir.path(), text), None).unwrap_err();
    assert!(matches!(refused, PolicyFilesError::Policy(_)), "{refused}");
}

#[test]
fn a_decision_can_be_made_again_from_question_and_policies() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = home(dir.path());
    apply(&mut home, &project(), &policies(dir.path(), NEVER), None).unwrap();
    let request = Request {
        command: vec!["true".to_owned()],
        network: vec!["example.org:443".parse().unwrap()],
        ..Request::default()
    };
    let planned = crate::plan(&mut home, &request, &mut Nobody).unwrap();
    let decided = crate::decide(&home, &planned).unwrap();
    assert_eq!(decided.decision.outcome, Outcome::Deny);
    let bytes = to_canonical(&decided.question).unwrap();
    let question: Question = from_canonical(&bytes).unwrap();
    let document: PolicyDocument = home.object(&project(), &question.policy).unwrap();
    assert_eq!(planned.plan.policy, Some(question.policy));
    assert_eq!(Policies::parse(document).unwrap().decide(&question), decided.decision);
}

/// Records a run of the plan that a question is of, decided as the arguments say.
fn decide_so(
    home: &mut Home,
    question: &Question,
    decision: Decision,
    asked: Option<(Digest, Digest)>,
) -> RunRef {
    let run = RunId::from_random(question.requests.len() as u64 + u64::from(asked.is_none()));
    let (policy, requests) = asked.unzip();
    let plan = question.plan;
    let planned = Entry::RunPlanned {
        run: run.clone(),
        experiment: None,
        plan,
        code: None,
        inputs: BTreeMap::new(),
        git_commit: None,
        replays: None,
    };
    let decided = Entry::RunDecided { run: run.clone(), plan, decision, policy, requests };
    home.record(&project(), vec![planned, decided]).unwrap();
    home.catch_up().unwrap();
    run.to_string().parse().unwrap()
}

/// A home in which something can be decided, the question of a plan, and its decision.
fn asked(dir: &Path) -> (Home, Question, Decision) {
    let mut home = home(dir);
    let request = Request { command: vec!["true".to_owned()], ..Request::default() };
    let planned = crate::plan(&mut home, &request, &mut Nobody).unwrap();
    let decided = crate::decide(&home, &planned).unwrap();
    (home, decided.question, decided.decision)
}

fn put_bytes(home: &Home, bytes: &[u8]) -> Digest {
    let store = home.store(&project()).unwrap();
    store.put_bytes(&store.lease().unwrap(), bytes).unwrap()
}

fn code_of(home: &Home, run: &RunRef) -> String {
    explain(home, &project(), run).unwrap_err().diagnosis().code.to_owned()
}

#[test]
fn a_decision_that_its_question_does_not_give_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut home, question, decision) = asked(dir.path());
    let policy = put_bytes(&home, &PolicyDocument::new(BTreeMap::new()).to_bytes().unwrap());
    assert_eq!(policy, question.policy);
    let requests = put_bytes(&home, &to_canonical(&question).unwrap());
    let other = Decision { outcome: Outcome::Deny, ..decision };
    let run = decide_so(&mut home, &question, other, Some((policy, requests)));
    assert_eq!(code_of(&home, &run), "policy/differs");
}

/// What is said of a recorded decision on a plan that [`NEVER`] denies, which `change` was made to.
fn explained(change: impl Fn(&mut Decision)) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let (mut home, question, _) = asked(dir.path());
    let files = BTreeMap::from([("policy/a.cedar".to_owned(), NEVER.to_owned())]);
    let document = PolicyDocument::new(files);
    let policy = put_bytes(&home, &document.to_bytes().unwrap());
    let policies = Policies::parse(document).unwrap();
    let question = Question { policy, ..question };
    let mut decision = policies.decide(&question);
    assert_eq!(decision.outcome, Outcome::Deny);
    change(&mut decision);
    let requests = put_bytes(&home, &to_canonical(&question).unwrap());
    let run = decide_so(&mut home, &question, decision, Some((policy, requests)));
    explain(&home, &project(), &run)
        .map(|explained| explained.notes)
        .map_err(|error| error.diagnosis().code.to_owned())
}

#[test]
fn a_decision_in_the_words_of_another_version_is_the_same() {
    assert_eq!(explained(|_| {}).unwrap(), [""; 0]);
    let reworded = explained(|decision| {
        "as it was said before".clone_into(&mut decision.reasons[0].message);
        "as it was advised before".clone_into(&mut decision.reasons[0].advice);
    });
    assert!(reworded.unwrap()[0].contains("in other words"));
    let of_another_rule = explained(|decision| "another/rule".clone_into(&mut decision.reasons[0].rule));
    assert_eq!(of_another_rule.unwrap_err(), "policy/differs");
    let of_more = explained(|decision| decision.unlisted += 1);
    assert_eq!(of_more.unwrap_err(), "policy/differs");
}

#[test]
fn a_question_that_was_asked_of_other_policies_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut home, question, decision) = asked(dir.path());
    let files = BTreeMap::from([("policy/a.cedar".to_owned(), NEVER.to_owned())]);
    let policy = put_bytes(&home, &PolicyDocument::new(files).to_bytes().unwrap());
    let requests = put_bytes(&home, &to_canonical(&question).unwrap());
    let run = decide_so(&mut home, &question, decision, Some((policy, requests)));
    assert_eq!(code_of(&home, &run), "policy/differs");
}

#[test]
fn a_run_of_which_nobody_kept_the_question_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (mut home, question, decision) = asked(dir.path());
    let run = decide_so(&mut home, &question, decision, None);
    assert_eq!(code_of(&home, &run), "policy/no-question");
    assert_eq!(noted(&home, &project(), &run_id(&home, &run)).unwrap().risk, None);
}

#[test]
fn policies_that_nobody_understands_any_more_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut home, question, decision) = asked(dir.path());
    let text = "@id(\"lab/later\") forbid (principal, action, resource) later { true };";
    let files = BTreeMap::from([("policy/a.cedar".to_owned(), text.to_owned())]);
    let policy = put_bytes(&home, &PolicyDocument::new(files).to_bytes().unwrap());
    let requests = put_bytes(&home, &to_canonical(&question).unwrap());
    let run = decide_so(&mut home, &question, decision, Some((policy, requests)));
    assert_eq!(code_of(&home, &run), "policy/unusable");
}

fn run_id(home: &Home, run: &RunRef) -> RunId {
    home.catalog.resolve_run(&project(), run).unwrap()
}

/// A shipped policy of a later version may have the id of one that a project has in force.
#[test]
fn what_this_version_cannot_read_can_be_replaced_by_who_may() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = home(dir.path());
    let taken = "@id(\"run/own\") forbid (principal, action == Action::\"Start\", resource);";
    let files = [("policy/a.cedar".to_owned(), taken.to_owned())].into();
    put(&mut home, &PolicyDocument { format: POLICY_FORMAT.to_owned(), files }, None);
    let Err(HomeError::Policy(PolicyError::File { help, .. })) = in_force(&home, &project()) else {
        panic!("it decides")
    };
    assert!(help.contains("aseptic policy apply"), "{help}");
    assert!(
        home.allowed(&project(), aseptic_policy::Act::View, None).is_err(),
        "nothing else is done meanwhile"
    );
    let applied = apply(&mut home, &project(), &policies(dir.path(), NEVER), None).unwrap();
    assert!(applied.changed);
    assert!(in_force(&home, &project()).unwrap().policies.ids().contains("lab/closed"));

    // The roles that were in force with them go on to say who may.
    let roles = "format = \"aseptic.roles/1\"\nsigner = \"k\"\n[roles]\npolicy-author = [\"pat\"]\n";
    let roles = ("policy/roles.toml".to_owned(), roles.to_owned());
    let files = [("policy/a.cedar".to_owned(), taken.to_owned()), roles].into();
    put(&mut home, &PolicyDocument { format: POLICY_FORMAT.to_owned(), files }, None);
    let refused = apply(&mut home, &project(), &policies(dir.path(), NEVER), None).unwrap_err();
    assert!(matches!(refused, PolicyFilesError::Denied { .. }), "{refused}");
}

#[test]
fn policies_after_which_nobody_could_change_them_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = home(dir.path());
    for text in [
        "@id(\"lab/all\") forbid (principal, action, resource);",
        "@id(\"lab/me\") forbid (principal in Role::\"owner\", action == Action::\"EditPolicy\", resource);",
        "@id(\"lab/named\") forbid (principal, action == Action::\"EditPolicy\", resource) unless { context.object == \"\" };",
        "@id(\"lab/ask\") @effect(\"needs-approval\") forbid (principal, action, resource);",
    ] {
        let refused = apply(&mut home, &project(), &policies(dir.path(), text), None).unwrap_err();
        assert!(matches!(refused, PolicyFilesError::Last { .. }), "{text}: {refused}");
    }
    assert_eq!(home.catalog.policies_applied(&project(), 1).unwrap(), []);
}

#[test]
fn policies_that_the_schema_does_not_fit_are_not_put_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = home(dir.path());
    let text = "@id(\"lab/typo\") forbid (principal, action == Action::\"Conect\", resource);";
    let refused = apply(&mut home, &project(), &policies(dir.path(), text), None).unwrap_err();
    assert!(matches!(refused, PolicyFilesError::Policy(_)), "{refused}");
    assert_eq!(home.catalog.policies_applied(&project(), 1).unwrap(), []);
}

#[test]
fn a_plan_that_asks_too_much_is_refused_before_it_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = home(dir.path());
    let request = Request {
        command: vec!["true".to_owned()],
        network: (0..5000).map(|number| format!("h{number}.example:443").parse().unwrap()).collect(),
        labels: (0..500).map(|number| format!("label-{number}").parse().unwrap()).collect(),
        ..Request::default()
    };
    let planned = crate::plan(&mut home, &request, &mut Nobody).unwrap();
    let refused = crate::decide(&home, &planned).unwrap_err();
    assert!(matches!(refused, HomeError::TooMuch { .. }), "{refused}");
    let request = Request { network: request.network[..100].to_vec(), ..request };
    let planned = crate::plan(&mut home, &request, &mut Nobody).unwrap();
    let question = crate::decide(&home, &planned).unwrap().question;
    let bytes = to_canonical(&question).unwrap().len() as u64;
    let expected = aseptic_policy::question_bytes(&planned.plan);
    assert!(bytes <= expected && expected < 3 * bytes, "{expected} for {bytes}");
}
