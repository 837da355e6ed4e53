//! What a user sees of a decision, and which policies decide.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use insta::assert_snapshot;
use serde_json::json;

use crate::world::World;

const SPEC: &str = "[project]\nname = \"lab\"\n\n[experiment.train]\ncommand = [\"true\"]\n";

/// Leaves every destination to an approver.
const ASK: &str = r#"
@id("lab/network")
@message("a run of this lab wants a network")
@advice("ask an approver, and say what it is for")
@grant("approver")
@effect("needs-approval")
forbid (principal, action == Action::"Connect", resource);
"#;

/// Denies every run.
const NEVER: &str = r#"
@id("lab/closed")
@message("the lab is closed")
@advice("come back tomorrow")
forbid (principal, action == Action::"Start", resource);
"#;

fn lab(policies: &[(&str, &str)]) -> World {
    let world = World::new();
    world.write("aseptic.toml", format!("{SPEC}network = [\n  \"a.example:443\",\n]\n"));
    for (name, text) in policies {
        world.write(&format!("policy/{name}"), text);
    }
    world
}

/// The types of the entries of the ledger.
fn entries(world: &World) -> Vec<String> {
    let text = world.ok(&["ledger", "show", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries = document["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["entry"]["event"]["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plan_that_needs_approval_says_so_everywhere() {
    let world = lab(&[("network.cedar", ASK)]);
    let plan = ["plan", "train", "--network", "b.example:443", "--no-code"];
    let planned = world.run(&plan);
    assert_snapshot!(planned.split_once("decision").unwrap().1);
    assert!(planned.starts_with("exit: 3"), "{planned}");
    let document: serde_json::Value =
        serde_json::from_slice(&world.output(&[&plan[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!(
        document["decision"]["reasons"][0],
        json!({
            "outcome": "needs-approval", "rule": "lab/network", "element": "network.a.example:443",
            "value": "a.example:443", "at": "aseptic.toml:7", "message": "a run of this lab wants a network",
            "advice": "ask an approver, and say what it is for", "grant": "approver",
        })
    );
    assert_eq!(document["unapplied"], "policy");

    let (code, run) = world.run_json(&["train", "--network", "b.example:443", "--no-code"]);
    assert_eq!((code, &run["status"]), (126, &json!("needs-approval")));
    assert_eq!(run["plan"], document["digest"], "what is to be approved is what was planned");
    assert_eq!(run["decision"], document["decision"]);
    assert_snapshot!(world.run(&["run", "train", "--no-code"]));
    let found = world.json(&["runs", "--where", "status = needs-approval", "--json"]);
    assert_eq!(found["runs"].as_array().unwrap().len(), 2, "{found:#}");
    assert!(world.ok(&["runs"]).contains("needs-approval"));
    let shown = world.ok(&["show", "latest"]);
    assert!(shown.contains("is needs-approval") && shown.contains("may allow it: approver"), "{shown}");
    let kinds = entries(&world);
    assert_eq!(kinds.iter().filter(|kind| *kind == "policy.applied").count(), 1, "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind == "run.started"), "{kinds:?}");
    world.assert_no_leftovers();
}

#[test]
fn what_was_put_in_force_decides_wherever_one_starts() {
    let world = lab(&[]);
    let run = ["run", "--project", "lab", "--no-code", "--", "true"];
    world.ok(&run);
    world.write("policy/closed.cedar", NEVER);
    let planned = world.run(&["plan", "--no-code", "--", "true"]);
    assert!(planned.contains("lab/closed (deny)") && planned.contains("not in force yet"), "{planned}");
    assert!(!entries(&world).contains(&"policy.applied".to_owned()), "a plan changes nothing");
    let mut elsewhere = world.command(&["--project", "lab", "run", "--no-code", "--", "true"]);
    elsewhere.current_dir(world.path("user"));
    assert!(elsewhere.output().unwrap().status.success(), "not in force yet");

    let refused = world.run(&["run", "--no-code", "--", "true"]);
    assert!(refused.starts_with("exit: 126") && refused.contains("is in force from now on"), "{refused}");
    let refused = elsewhere.output().unwrap();
    assert_eq!(refused.status.code(), Some(126), "nobody escapes by starting elsewhere");
    fs::remove_dir_all(world.path("project/policy")).unwrap();
    assert!(world.run(&run).starts_with("exit: 126"), "nor by removing the directory");
    fs::create_dir(world.path("project/policy")).unwrap();
    assert!(world.run(&run).starts_with("exit: 126"), "nor by emptying it");
    let other = world.run(&["--project", "other", "run", "--no-code", "--", "true"]);
    assert!(other.starts_with("exit: 0"), "policies are of one project: {other}");
    assert_eq!(world.run(&["catalog", "verify"]).lines().next(), Some("exit: 0"));
}

/// Whoever writes a spec can write policies beside it: a run in the directory of somebody else gives nothing away.
#[test]
fn a_run_puts_nothing_in_force_that_allows_more() {
    let world = lab(&[("closed.cedar", NEVER), ("network.cedar", ASK)]);
    let run = ["run", "--no-code", "--", "true"];
    assert!(world.run(&run).starts_with("exit: 126"));
    let applied = || entries(&world).iter().filter(|kind| *kind == "policy.applied").count();
    assert_eq!(applied(), 1);
    let hosts = "format = \"aseptic.settings/1\"\n[labels.pii]\nhosts = [\"evil.example:443\"]\n";
    for (name, text) in [
        ("network.cedar", "// Nothing.\n"),
        ("network.cedar", &ASK.replace("Connect", "UseGpu")),
        ("settings.toml", hosts),
        ("settings.toml", "format = \"aseptic.settings/1\"\n[holdout]\nevaluations = 1000\n"),
    ] {
        world.write(&format!("policy/{name}"), text);
        let refused = world.run(&run);
        assert!(refused.starts_with("exit: 126") && refused.contains("may allow more"), "{refused}");
        assert!(refused.contains("code: policy/denied"), "{refused}");
        world.write("policy/network.cedar", ASK);
        let _ = fs::remove_file(world.path("project/policy/settings.toml"));
    }
    assert_eq!(applied(), 1);
    world.write("policy/gpu.cedar", ASK.replace("Connect", "UseGpu").replace("lab/network", "lab/gpu"));
    assert!(world.run(&run).contains("is in force from now on"), "what takes is put in force");
    fs::remove_file(world.path("project/policy/closed.cedar")).unwrap();
    world.ok(&["policy", "apply", "--reason", "open again"]);
    world.ok(&run);
    assert_eq!(applied(), 3);
}

#[test]
fn the_policies_of_another_project_are_not_taken_from_beside_the_spec() {
    let world = lab(&[("closed.cedar", NEVER)]);
    world.ok(&["--project", "other", "run", "--no-code", "--", "true"]);
    assert!(!entries(&world).contains(&"policy.applied".to_owned()));
}

#[test]
fn a_replay_is_decided_by_the_policies_of_now() {
    let world = lab(&[]);
    let first = world.run_json(&["--no-code", "--", "true"]).1;
    world.write("policy/network.cedar", ASK);
    world.ok(&["run", "--no-code", "--", "true"]);
    let replayed = world.run(&["replay", first["run"].as_str().unwrap()]);
    assert!(replayed.starts_with("exit: 0"), "{replayed}");
    assert!(replayed.contains("the rules that decide are others than then"), "{replayed}");
    let replay = world.json(&["show", "latest", "--json"]);
    assert_ne!(replay["plan"], first["plan"], "the plan names what decides");
    assert_ne!(replay["policy"], first["policy"]);
    world.write("policy/closed.cedar", NEVER);
    assert!(world.run(&["run", "--no-code", "--", "true"]).starts_with("exit: 126"));
    let replayed = world.run(&["replay", first["run"].as_str().unwrap()]);
    assert!(replayed.starts_with("exit: 3") && replayed.contains("the lab is closed"), "{replayed}");
}

#[test]
fn a_run_is_not_reused_once_other_policies_deny_it() {
    let world = lab(&[]);
    world.ok(&["run", "--no-code", "--", "true"]);
    world.write("policy/closed.cedar", NEVER);
    let refused = world.run(&["run", "--reuse", "--no-code", "--", "true"]);
    assert!(refused.starts_with("exit: 126"), "{refused}");
}

#[test]
fn a_file_that_cannot_be_a_policy_stops_the_plan() {
    let world =
        lab(&[("tests/network.toml", "nobody reads this"), (".#closed.cedar", "\u{0}"), ("README.md", "x")]);
    let plan = ["plan", "--no-code", "--", "true"];
    assert!(world.run(&plan).starts_with("exit: 0"), "other files are left alone");
    let path = world.path("project/policy/a.cedar");
    symlink("/dev/null", &path).unwrap();
    assert!(world.run(&plan).contains("it is a link"), "{}", world.run(&plan));
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(world.run(&plan).contains("it is no regular file"), "{}", world.run(&plan));
    fs::remove_file(&path).unwrap();
    for (bytes, why) in
        [(vec![0xff], "it is not UTF-8 text"), (vec![b'/'; 1 << 21], "it has over 1048576 bytes")]
    {
        fs::write(&path, bytes).unwrap();
        let refused = world.run(&plan);
        assert!(refused.contains(why) && refused.contains("code: policy/unfit"), "{refused}");
    }
    fs::remove_file(&path).unwrap();
    fs::write(world.path("project/policy/a\u{1b}b.cedar"), NEVER).unwrap();
    let refused = world.run(&plan);
    assert!(refused.starts_with("exit: 2") && refused.contains("a\\x1bb.cedar"), "{refused}");
    let kinds = entries(&world);
    assert!(kinds.is_empty(), "{kinds:?}");
}

#[test]
fn a_mistake_in_a_policy_is_shown_where_it_is_and_nothing_changes() {
    let world = lab(&[("closed.cedar", NEVER)]);
    assert!(world.run(&["run", "train", "--no-code"]).starts_with("exit: 126"));
    world.write(
        "policy/more.cedar",
        "@id(\"lab/more\")\nforbid (principal, action, resource) when { 1 + };\n",
    );
    let refused = world.run(&["run", "train", "--no-code"]);
    assert!(refused.starts_with("exit: 125") && refused.contains("code: policy/file"), "{refused}");
    assert!(refused.contains("policy/more.cedar:"), "{refused}");
    let still = world.run(&["--project", "lab", "plan", "--no-code", "--spec", "/dev/null", "--", "true"]);
    assert!(!still.starts_with("exit: 0"), "{still}");
    assert_eq!(entries(&world).iter().filter(|kind| *kind == "policy.applied").count(), 1);
}

#[test]
fn labels_and_what_is_kept_are_said_in_the_spec_or_as_options() {
    let world = World::new();
    world.write("aseptic.toml", format!("{SPEC}labels = [\"release\"]\n"));
    let plan = ["plan", "train", "--no-code", "--label", "model", "--keep", "metrics"];
    let planned = world.ok(&plan);
    assert!(planned.contains("labels           model release"), "{planned}");
    assert!(planned.contains("keep             nothing but metrics"), "{planned}");
    let document = world.json(&[&plan[..], &["--json"]].concat());
    assert_eq!(document["plan"]["labels"], json!(["model", "release"]));
    assert_eq!(document["plan"]["keep"], "metrics");
    let run = world.run_json(&["train", "--no-code", "--label", "model"]).1;
    assert_eq!(run["labels"], json!(["model", "release"]));
    fs::create_dir(world.path("project/again")).unwrap();
    world.ok(&["init", "--from-run", "latest", "again"]);
    let spec = fs::read_to_string(world.path("project/again/aseptic.toml")).unwrap();
    assert!(spec.contains("labels  = [\"model\", \"release\"]"), "{spec}");
}

/// Policies on what people do can look at what that is about.
#[test]
fn acts_are_decided_by_what_they_are_about() {
    let world = World::new();
    world.write("aseptic.toml", SPEC);
    for name in ["rows", "other"] {
        world.write(&format!("../data/{name}"), name);
        world.ok(&["dataset", "add", &format!("../data/{name}"), "--name", name]);
    }
    let run = || world.run_json(&["--no-code", "train"]).1["run"].as_str().unwrap().to_owned();
    let (first, second) = (run(), run());
    let policy = r#"
@id("lab/review") @message("`{object}` is under review") @advice("look at another one")
forbid (principal, action in [Action::"View", Action::"Export", Action::"Annotate"], resource)
when { context.object == "run:RUN" };
@id("lab/rows") @message("the rows stay as they are") @advice("add another dataset")
forbid (principal, action in [Action::"Label", Action::"Archive"], resource)
when { context.object like "dataset:rows@*" };
"#;
    world.write("policy/objects.cedar", policy.replace("RUN", &first));
    world.ok(&["policy", "apply", "--reason", "reviewed"]);
    let part = format!("{first}/out");
    let archive = |name: &'static str| vec!["archive", name, "../copy"];
    for (denied, allowed) in [
        (vec!["show", &first], vec!["show", &second]),
        (vec!["logs", &first], vec!["logs", &second]),
        (vec!["policy", "explain", &first], vec!["policy", "explain", &second]),
        (vec!["export", &first, "--to", "x"], vec!["export", &second, "--to", "y"]),
        (vec!["annotate", &first, "--tag", "x"], vec!["annotate", &second, "--tag", "x"]),
        (vec!["dataset", "label", "rows", "x"], vec!["dataset", "label", "other", "x"]),
        (vec!["export", &part, "--to", "x"], vec!["dataset", "show", "other"]),
        (archive("rows"), archive("other")),
    ] {
        let refused = world.run(&denied);
        assert!(refused.starts_with("exit: 3") && refused.contains("code: policy/act-denied"), "{refused}");
        assert!(!world.path("copy").exists() && !world.path("project/x").exists(), "{denied:?}");
        world.ok(&allowed);
    }
    let told = world.json(&["ledger", "show", "--type", "act.denied", "--json"]);
    let bodies = told["entries"].as_array().unwrap().iter().map(|entry| &entry["entry"]["event"]["body"]);
    let objects: Vec<_> = bodies.map(|body| body["object"].as_str().unwrap_or("").to_owned()).collect();
    let run = format!("run:{first}");
    let [rows, run] = ["dataset:rows@1", &run];
    // One for each act: the same refusal again is counted.
    assert_eq!(objects, [run, run, run, rows, rows]);
}
