//! Every command is an act that policies decide, by the roles of who uses it; the list of commands is that of the help.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use aseptic_runner::{Home, policy};
use serde_json::Value;

use crate::recorded::{commands, words};
use crate::world::World;

/// What a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// This act.
    Act(&'static str),
    /// A plan that is allowed, and to look at the project; a denial has this exit code.
    Start(i32),
    /// No role: it shows nothing of a project and changes nothing of it.
    Nothing,
    /// Checked in a test of its own below.
    Elsewhere,
}
use Needs::{Act, Elsewhere, Nothing, Start};

/// Each command and what it needs. Those that take something away from the others come last.
const COMMANDS: &[(&str, &str, Needs)] = &[
    ("init", "init --project other new", Nothing),
    ("plan", "plan -- true", Act("View")),
    ("run", "run --quiet -- true", Start(126)),
    ("runs", "runs", Act("View")),
    ("show", "show {run}", Act("View")),
    ("diff", "diff {run} {run}", Act("View")),
    ("replay", "replay --quiet {run}", Start(3)),
    ("annotate", "annotate {run} --tag paper", Act("Annotate")),
    ("logs", "logs {run}", Act("View")),
    ("metrics", "metrics {run}", Act("View")),
    ("export", "export {run} --to copy", Act("Export")),
    ("revoke", "revoke {run} 127.0.0.1:9", Act("Revoke")),
    ("stop", "stop {run}", Act("Stop")),
    ("quarantine add", "quarantine add bad@1 --reason leaked --yes", Act("Quarantine")),
    ("quarantine list", "quarantine list", Act("View")),
    ("quarantine show", "quarantine show bad@1", Act("View")),
    ("incident open", "incident open bad@1 --reason leaked --yes", Act("HandleIncident")),
    ("incident list", "incident list", Act("View")),
    ("incident show", "incident show {incident}", Act("View")),
    ("incident export", "incident export {incident} --out again", Act("Attest")),
    ("incident verify", "incident verify evidence", Nothing),
    ("incident close", "incident close {incident} --reason done", Act("HandleIncident")),
    ("policy check", "policy check", Nothing),
    ("policy test", "policy test", Nothing),
    ("policy explain", "policy explain {run}", Act("View")),
    ("policy show", "policy show", Act("View")),
    ("policy diff", "policy diff shipped in-force", Act("View")),
    ("policy suggest", "policy suggest", Act("View")),
    ("policy apply", "policy apply other-policy --reason reviewed", Act("EditPolicy")),
    ("lineage", "lineage digits", Act("View")),
    ("label", "label run:{run} internal", Act("Label")),
    ("declassify", "declassify digits@1 --label phi --reason blurred", Act("Declassify")),
    ("env list", "env list {run}", Act("View")),
    ("env diff", "env diff {run} now", Act("View")),
    ("env verify", "env verify --python /usr/bin/python3", Nothing),
    ("dataset add", "dataset add rows --name new", Act("AddDataset")),
    ("dataset list", "dataset list", Act("View")),
    ("dataset show", "dataset show digits", Act("View")),
    ("dataset log", "dataset log digits", Act("View")),
    ("dataset diff", "dataset diff digits digits", Act("View")),
    ("dataset verify", "dataset verify digits", Act("View")),
    ("dataset label", "dataset label digits secret", Act("Label")),
    ("dataset unlabel", "dataset unlabel digits pii --reason blurred", Act("Declassify")),
    ("dataset describe", "dataset describe digits owner=Ada", Act("Describe")),
    ("dataset share", "dataset share digits --to vision", Act("Share")),
    ("archive", "archive digits ../again", Act("Archive")),
    ("restore", "restore ../backup", Act("Restore")),
    ("retention show", "retention show", Act("View")),
    ("retention set", "retention set digits@1 30d", Act("Retain")),
    ("retention default", "retention default runs 30d", Act("Retain")),
    ("role key", "role key ../another.key", Nothing),
    ("role sign", "role sign --key ../roles.key roles", Nothing),
    ("role check", "role check roles", Act("View")),
    ("role show", "role show", Act("View")),
    ("ledger show", "ledger show", Act("View")),
    ("ledger follow", "", Elsewhere),
    ("ledger export", "ledger export --as csv", Act("View")),
    ("ledger verify", "ledger verify", Nothing),
    ("ledger checkpoint", "ledger checkpoint", Nothing),
    ("ledger prove", "ledger prove 0", Act("View")),
    ("ledger check", "ledger check check.tlog-proof", Nothing),
    ("ledger publish", "ledger publish", Nothing),
    ("ledger witness list", "ledger witness list", Nothing),
    ("ledger witness update", "ledger witness update --request to-one --witness one", Nothing),
    ("witness key", "witness key", Nothing),
    (
        "witness sign",
        "witness sign --log-file ../state/ledger/verifier --request to --cosignature from",
        Nothing,
    ),
    ("witness serve", "", Elsewhere),
    ("attest show", "attest show {run}", Act("View")),
    ("attest verify", "attest verify {run}", Act("View")),
    ("attest export", "attest export {run} --as slsa --out p", Act("Attest")),
    ("attest key", "attest key --rotate --reason yearly", Act("ManageKeys")),
    ("project report", "project report --output report.html", Act("View")),
    ("catalog rebuild", "catalog rebuild", Nothing),
    ("catalog verify", "catalog verify", Nothing),
    ("catalog dump", "catalog dump", Act("View")),
    ("doctor", "doctor", Nothing),
    ("drill", "drill --family processes", Act("Drill")),
    ("completions", "completions bash", Nothing),
    ("quarantine lift", "quarantine lift bad@1 --reason checked", Act("LiftQuarantine")),
    ("gc", "gc --now", Act("Collect")),
    ("ledger witness add", "ledger witness add {witness} --name two", Act("ManageKeys")),
    ("ledger witness remove", "ledger witness remove one", Act("ManageKeys")),
    ("ledger witness set", "ledger witness set quorum", Act("ManageKeys")),
    ("ledger rotate-key", "ledger rotate-key --reason planned", Act("ManageKeys")),
    ("ledger erase", "ledger erase digits --all --reason asked", Act("Erase")),
];

/// What each role may do. `nobody` is a user without a role, `owner` whoever owns a state without roles.
fn may(role: &str, act: &str) -> bool {
    let acts: &[&str] = match role {
        "owner" => return true,
        "nobody" => &[],
        "viewer" | "approver" => &["View"],
        "experimenter" => &[
            "Start",
            "View",
            "Annotate",
            "Stop",
            "Revoke",
            "Export",
            "AddDataset",
            "Describe",
            "Label",
            "Archive",
            "Restore",
            "Quarantine",
            "HandleIncident",
            "Attest",
            "Drill",
        ],
        "data-steward" => &[
            "View",
            "AddDataset",
            "Describe",
            "Label",
            "Declassify",
            "Share",
            "Retain",
            "Collect",
            "Archive",
            "Restore",
            "Quarantine",
            "LiftQuarantine",
            "HandleIncident",
            "Attest",
            "Erase",
            "Stop",
            "Revoke",
        ],
        "policy-author" => &["View", "EditPolicy", "ManageKeys", "Drill"],
        "auditor" => &["View", "Attest", "Export", "Drill"],
        other => panic!("{other}"),
    };
    acts.contains(&act)
}

/// Who runs the tests, as roles files have it.
pub(crate) fn me(world: &World) -> String {
    let shown = world.json(&words("ledger show --json"));
    shown["entries"][0]["entry"]["actor"].as_str().unwrap().strip_prefix("user:").unwrap().to_owned()
}

/// A roles file in which `members` have their roles, signed, in the directory `roles` of the project.
pub(crate) fn write_roles(world: &World, keys: &[&str], signer: &str, members: &str) {
    let signer = fs::read_to_string(world.path(&format!("{signer}.pub"))).unwrap();
    let text = format!("format = \"aseptic.roles/1\"\nsigner = \"{}\"\n[roles]\n{members}\n", signer.trim());
    world.write("roles/roles.toml", text);
    let _ = fs::remove_file(world.path("project/roles/roles.sig"));
    for key in keys {
        world.ok(&words(&format!("role sign --key ../{key} roles")));
    }
}

pub(crate) fn make_key(world: &World, name: &str) {
    let key = world.ok(&words(&format!("role key ../{name}")));
    fs::write(world.path(&format!("{name}.pub")), key).unwrap();
}

/// Puts the directory `roles` in force.
pub(crate) fn put_in_force(world: &World) -> Result<(), policy::PolicyFilesError> {
    let mut home = Home::open(&world.path("state")).unwrap();
    let roles = world.path("project/roles");
    policy::apply(&mut home, &"default".parse().unwrap(), &roles, None).map(drop)
}

/// A project in which the user has `role` and somebody else writes policies.
fn give(world: &World, role: &str) {
    let me = me(world);
    let members = match role {
        "owner" => return,
        "nobody" => "policy-author = [\"pat\"]".to_owned(),
        "policy-author" => format!("policy-author = [\"{me}\"]"),
        role => format!("policy-author = [\"pat\"]\n{role} = [\"{me}\"]"),
    };
    write_roles(world, &["roles.key"], "roles.key", &members);
    put_in_force(world).unwrap();
}

/// A state with something for every command.
pub(crate) fn furnished() -> (World, BTreeMap<&'static str, String>) {
    let world = World::new();
    world.write("rows/a", "1");
    world.write("other/a", "2");
    world.write("quorum", "quorum none\n");
    let none = "@id(\"lab/none\") forbid (principal, action == Action::\"UseGpu\", resource == Gpu::\"9\");";
    world.write("other-policy/none.cedar", none);
    make_key(&world, "roles.key");
    for line in [
        "dataset add rows --name digits --label pii --licence MIT",
        "dataset add other --name bad",
        "run --quiet --data d=digits -- sh -c date>/out/a",
        "incident open bad@1 --reason leaked --yes --out evidence",
        "archive digits ../backup",
        "witness key w.example/one",
        "ledger prove 0 --out check.tlog-proof",
    ] {
        world.ok(&words(line));
    }
    let witness = world.json(&words("witness key --json"))["key"].as_str().unwrap().to_owned();
    world.ok(&words(&format!("ledger witness add {witness} --name one")));
    world.ok(&words("ledger witness update --request to --witness one"));
    let run = world.json(&words("show latest --json"))["run"].as_str().unwrap().to_owned();
    let incident = world.json(&words("incident show latest --json"))["incident"]["incident"]
        .as_str()
        .unwrap()
        .to_owned();
    (world, BTreeMap::from([("{run}", run), ("{incident}", incident), ("{witness}", witness)]))
}

#[test]
fn the_table_has_every_command() {
    let listed = commands(&World::new(), &[]);
    let rows: BTreeSet<_> = COMMANDS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(rows.len(), COMMANDS.len(), "each once");
    assert_eq!(rows, listed, "say in this table what a new command needs");
}

fn each_command_as(role: &str) {
    let (world, names) = furnished();
    give(&world, role);
    for (name, line, needs) in COMMANDS {
        let line = names.iter().fold((*line).to_owned(), |line, (name, value)| line.replace(name, value));
        let output = world.output(&words(&line));
        let (code, said) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
        let denied = said.contains("code: policy/act-denied") || said.contains("code: policy/denied");
        match needs {
            Elsewhere => {}
            Nothing => assert!(!denied, "{role}: {name}: {said}"),
            Start(when_denied) => {
                let is_denied = code == Some(*when_denied);
                assert_eq!(!is_denied, may(role, "Start"), "{role}: {name}: {code:?} {said}");
            }
            Act(act) => {
                assert_eq!(!denied, may(role, act), "{role}: {name}: {said}");
                assert!(!denied || code == Some(3), "{role}: {name}: {code:?}");
                // Some commands look before they do something.
                let named =
                    said.contains(&format!("may not `{act}`")) || said.contains("may not change that");
                assert!(!denied || named || !may(role, "View"), "{role}: {name}: {said}");
            }
        }
    }
}

#[test]
fn the_owner_may_use_every_command() {
    each_command_as("owner");
}

#[test]
fn nobody_may_use_no_command_of_the_project() {
    each_command_as("nobody");
}

#[test]
fn viewers_look() {
    each_command_as("viewer");
}

#[test]
fn experimenters_run() {
    each_command_as("experimenter");
}

#[test]
fn data_stewards_decide_on_data() {
    each_command_as("data-steward");
}

#[test]
fn policy_authors_decide_on_policies() {
    each_command_as("policy-author");
}

#[test]
fn approvers_look() {
    each_command_as("approver");
}

#[test]
fn auditors_look_and_give_evidence() {
    each_command_as("auditor");
}

/// What a user sees who may not, and what the ledger has then: one entry for each command.
#[test]
fn a_denied_act_says_who_may_and_is_recorded() {
    let (world, _) = furnished();
    let me = me(&world);
    let lab = "experimenter = [\"group:lab\"]\ndata-steward = [\"dora\"]\npolicy-author = [\"pat\"]";
    write_roles(&world, &["roles.key"], "roles.key", &format!("{lab}\n[groups]\nlab = [\"{me}\"]"));
    put_in_force(&world).unwrap();
    insta::assert_snapshot!(world.run(&words("dataset unlabel digits pii --reason x")).replace(&me, "ada"), @r"
    exit: 3
    --- stdout
    --- stderr
    error: `ada` may not `Declassify` in the project `default`: this user is experimenter there
      help: whoever is data-steward may: dora
      code: policy/act-denied
    ");
    let denied = world.json(&words("ledger show --json --type act.denied"));
    let entries = denied["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{denied}");
    assert_eq!(entries[0]["entry"]["event"]["body"]["act"], "Declassify");
    insta::assert_snapshot!(world.run(&words("role show ada")), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `ada` has no role in the project `default`
      help: `aseptic role show` lists everybody who has one
      code: policy/roles-nobody
    ");
    insta::assert_snapshot!(world.ok(&words("role show dora")), @r"
    user  role          how
    dora  data-steward  by name

    role          may
    data-steward  View Stop Revoke AddDataset Describe Label Declassify Share Retain Collect Archive Restore Quarantine LiftQuarantine HandleIncident Attest Erase
    ");
}

/// Nothing of a run is planned or started for somebody who may not look, and following a ledger is looking.
#[test]
fn who_has_no_role_cannot_follow_the_ledger() {
    let (world, _) = furnished();
    give(&world, "nobody");
    let followed = world.output(&words("ledger follow"));
    assert_eq!(followed.status.code(), Some(3));
    assert_eq!(world.output(&words("ledger show --ledger ../state/ledger")).status.code(), Some(3));
    // Whoever owns the files reads them all the same: roles bind those who go through aseptic.
    fs::create_dir(world.path("copy")).unwrap();
    for file in ["log", "head", "verifier"] {
        let _ = fs::copy(world.path("state/ledger").join(file), world.path("copy").join(file));
    }
    assert!(world.output(&words("ledger show --ledger ../copy")).status.success());
}

#[test]
fn roles_of_one_project_say_nothing_about_another() {
    let (world, _) = furnished();
    give(&world, "viewer");
    world.ok(&words("run --quiet --project free -- true"));
    let shared = world.output(&words("dataset share digits --to free"));
    assert_eq!(shared.status.code(), Some(3));
    world.ok(&words("dataset add rows --name rows --project free"));
    let shared = world.run(&words("dataset share rows --to default --project free"));
    assert!(shared.contains("may not `AddDataset` in the project `default`"), "{shared}");
}

#[test]
fn documents_name_their_schema() {
    let (world, _) = furnished();
    give(&world, "viewer");
    let of = |line: &str| -> Value { world.json(&words(line)) };
    assert_eq!(of("role key ../x.key --name ada --json")["schema"], "aseptic.role-key/1");
    assert_eq!(of("role sign --key ../roles.key roles --json")["schema"], "aseptic.role-sign/1");
    assert_eq!(of("role check roles --json")["schema"], "aseptic.role-check/1");
    let shown = of("role show --json");
    assert_eq!(shown["schema"], "aseptic.role-show/1");
    assert_eq!(shown["may"]["viewer"], serde_json::json!(["View"]));
    assert_eq!(shown["may"]["experimenter"][0], "Start");
}
