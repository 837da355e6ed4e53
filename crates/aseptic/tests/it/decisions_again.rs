//! Every decision can be made again from what the ledger names, whatever became of spec, policies and catalog since.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::world::World;

const SPEC: &str = "[project]
name = \"lab\"

[experiment.plain]
command = [\"true\"]

[experiment.reach]
command = [\"true\"]
data = { rows = \"rows\" }
network = [\"a.example:443\"]

[experiment.wrong]
command = [\"true\"]
accept = [\"landlok\"]
";

const ASK: &str =
    "@id(\"lab/ask\") @effect(\"needs-approval\") @message(\"`{value}` is reviewed\") @advice(\"wait\")
forbid (principal, action == Action::\"Connect\", resource);";

const NEVER: &str = "@id(\"lab/closed\") @message(\"the lab is closed\") @advice(\"come back tomorrow\")
forbid (principal, action == Action::\"Start\", resource);";

const SETTINGS: &str = "format = \"aseptic.settings/1\"
[labels.survey]
hosts = [\"b.example:443\"]
";

/// A project whose runs were decided under four sets of policies, and what each `run` printed.
fn decided() -> (World, Vec<Value>) {
    let world = World::new();
    world.write("aseptic.toml", SPEC);
    world.write("rows/a", "1");
    world.ok(&["dataset", "add", "rows", "--name", "rows", "--label", "survey"]);
    let run = |experiment: &str| world.run_json(&["--no-code", experiment]).1;
    let mut runs = vec![run("plain"), run("wrong")];
    world.write("policy/lab.cedar", ASK);
    runs.extend([run("reach"), run("plain")]);
    world.write("policy/settings.toml", SETTINGS);
    world.ok(&["policy", "apply", "--reason", "reviewed"]);
    runs.extend([run("reach"), run("wrong")]);
    let first = runs[0]["run"].as_str().unwrap().to_owned();
    world.ok(&["replay", "--quiet", first.as_str()]);
    world.write("policy/never.cedar", NEVER);
    runs.extend([run("plain"), run("reach")]);
    assert_eq!(world.output(&["replay", "--quiet", first.as_str()]).status.code(), Some(3));
    (world, runs)
}

fn explain(world: &World, run: &str) -> Value {
    world.json(&["--project", "lab", "policy", "explain", run, "--json"])
}

fn entries(world: &World) -> Vec<Value> {
    let shown = world.json(&["--project", "lab", "ledger", "show", "--type", "run.decided", "--json"]);
    let entries = shown["entries"].as_array().unwrap().iter();
    entries.map(|entry| entry["entry"]["event"]["body"].clone()).collect()
}

/// Where the store has an object of the project.
fn object(world: &World, digest: &Value) -> PathBuf {
    let digest = digest.as_str().unwrap();
    world.path(&format!("state/projects/lab/store/objects/{}/{digest}", &digest[..2]))
}

#[test]
fn every_run_is_explained_after_everything_else_changed() {
    let (world, runs) = decided();
    let outcomes: Vec<_> = runs.iter().map(|run| run["decision"]["outcome"].as_str().unwrap()).collect();
    let ask = "needs-approval";
    assert_eq!(outcomes, ["allow", "deny", ask, "allow", "deny", "deny", "deny", "deny"]);
    fs::remove_dir_all(world.path("project/policy")).unwrap();
    fs::remove_file(world.path("project/aseptic.toml")).unwrap();
    fs::write(world.path("user/other.cedar"), ASK.replace("lab/ask", "lab/other")).unwrap();
    world.ok(&["--project", "lab", "policy", "apply", "../user", "--reason", "others"]);
    world.ok(&["catalog", "rebuild"]);

    let entries = entries(&world);
    assert_eq!(entries.len(), 10, "eight runs and two replays");
    for entry in &entries {
        let explained = explain(&world, entry["run"].as_str().unwrap());
        for part in ["plan", "policy", "decision"] {
            assert_eq!(explained[part], entry[part], "{part}: {explained:#}");
        }
        let elements = explained["elements"].as_array().unwrap();
        let reasons: Vec<_> = elements.iter().flat_map(|one| one["reasons"].as_array().unwrap()).collect();
        assert_eq!(reasons.len(), entry["decision"]["reasons"].as_array().map_or(0, Vec::len));
        assert!(explained["risk"]["score"].is_u64() && explained["notes"].is_array(), "{explained:#}");
    }
    for run in &runs {
        assert_eq!(explain(&world, run["run"].as_str().unwrap())["decision"], run["decision"]);
    }
    let replay = explain(&world, entries.last().unwrap()["run"].as_str().unwrap());
    assert_eq!(replay["risk"]["inputs"], json!([{ "fact": "replay", "value": "plain", "points": 0 }]));
    let shown = world.ok(&["--project", "lab", "policy", "explain", runs[4]["run"].as_str().unwrap()]);
    for line in [
        "risk      55 of 100: sensitive-labels survey (+25), destinations a.example:443 (+10), ",
        "  said at   aseptic.toml:10\n",
        "  forbidden lab/ask (policy/lab.cedar:1), label/sensitive-egress (base/labels.cedar:4)\n",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let listed = world.ok(&["--project", "lab", "show", runs[4]["run"].as_str().unwrap()]);
    assert!(listed.contains("risk      55 of 100: "), "{listed}");
}

/// What decided is named by digest: other bytes are told, whatever they say, and a run that was decided by others is
/// still explained.
#[test]
fn a_question_or_policies_of_other_bytes_are_told() {
    let (world, _) = decided();
    world.damaged.store(true, std::sync::atomic::Ordering::Relaxed);
    let entries = entries(&world);
    let [allowed, asked] = [&entries[0], &entries[2]];
    for what in ["requests", "policy"] {
        let path = object(&world, &asked[what]);
        let before = fs::read(&path).unwrap();
        let changed = String::from_utf8(before.clone()).unwrap().replace("a.example", "b.example");
        let changed = changed.replace("is reviewed", "is welcome!");
        assert_ne!(changed.as_bytes(), before);
        for (bytes, how) in [(changed.into_bytes(), "changed"), (Vec::new(), "empty")] {
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            let told = world.run(&["policy", "explain", asked["run"].as_str().unwrap()]);
            assert!(told.starts_with("exit: 4"), "{what}, {how}: {told}");
        }
        fs::remove_file(&path).unwrap();
        let told = world.run(&["policy", "explain", asked["run"].as_str().unwrap()]);
        assert!(told.starts_with("exit: 4"), "{what}, gone: {told}");
        explain(&world, allowed["run"].as_str().unwrap());
        if what == "requests" {
            let shown = world.ok(&["show", asked["run"].as_str().unwrap()]);
            assert!(
                shown.contains("risk      not known: ") && shown.contains("is needs-approval"),
                "{shown}"
            );
        }
        fs::write(&path, before).unwrap();
    }
    explain(&world, asked["run"].as_str().unwrap());
}

fn git(world: &World) {
    let commit = "git init --quiet . && git add . && git -c user.name=ada -c user.email=ada@localhost commit --quiet -m x";
    let status =
        std::process::Command::new("sh").args(["-c", commit]).current_dir(world.path("project")).status();
    assert!(status.unwrap().success());
}

/// Whoever writes a policy does not thereby have code that no commit has, and no job sees by what it is judged.
#[test]
fn policies_are_no_part_of_the_code() {
    let world = World::new();
    world.write("aseptic.toml", SPEC);
    world.write("policy/net.py", "a package of the program, which has the same name");
    git(&world);
    let plan = |arguments: &[&str]| world.json(&[&["plan", "--json"], arguments, &["plain"]].concat());
    let before = plan(&[]);
    world.write("policy/settings.toml", "format = \"aseptic.settings/1\"\nstrict = true\n");
    world.write("policy/lab.cedar", ASK);
    world.write("policy/tests/lab.toml", "format = \"aseptic.policy-tests/1\"\n");
    let after = plan(&[]);
    assert_eq!(after["plan"]["code"], before["plan"]["code"]);
    assert_eq!((&after["decision"]["outcome"], &after["notes"]), (&json!("allow"), &json!([])));
    let of_another = plan(&["--project", "other"]);
    assert_eq!(of_another["plan"]["code"], before["plan"]["code"], "whatever project it is a run of");
    let listed = world.run(&["run", "--", "find", "/work/policy"]);
    assert!(listed.contains("/work/policy\n/work/policy/net.py\n---"), "{listed}");
    assert!(listed.contains("note: left the policies in `policy` out of the code"), "{listed}");

    git(&world);
    fs::remove_file(world.path("project/policy/lab.cedar")).unwrap();
    fs::remove_dir_all(world.path("project/policy/tests")).unwrap();
    let removed = world.run(&["plan", "plain"]);
    assert!(!removed.contains("pinned/code"), "nothing that runs was removed: {removed}");
    fs::write(world.path("project/policy/net.py"), "changed").unwrap();
    assert!(world.run(&["plan", "plain"]).contains("pinned/code"), "what runs was changed");
}

#[test]
fn a_replay_is_bounded_by_the_settings_of_now() {
    let world = World::new();
    world.write("aseptic.toml", SPEC);
    world.write("../data/test", "1");
    world.ok(&["dataset", "add", "../data/test", "--name", "test", "--role", "holdout"]);
    world.ok(&["run", "--quiet", "--no-code", "--keep", "metrics", "--data", "t=test", "--", "true"]);
    world.write("policy/settings.toml", "format = \"aseptic.settings/1\"\n[holdout]\nmetrics_bytes = 100\n");
    world.ok(&["policy", "apply", "--reason", "reviewed"]);
    let denied = world.run(&["replay", "latest"]);
    assert!(denied.starts_with("exit: 3"), "{denied}");
    for part in ["holdout/outputs", "may allow it: policy-author", "help: "] {
        assert!(denied.contains(part), "{part}: {denied}");
    }
}
