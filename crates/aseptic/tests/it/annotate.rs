//! Names, tags and notes of runs.

use serde_json::Value;

use crate::world::World;

fn events(world: &World, kind: &str) -> Vec<Value> {
    let shown = world.json(&["ledger", "show", "--json", "--type", kind]);
    shown["entries"].as_array().unwrap().iter().map(|entry| entry["entry"]["event"]["body"].clone()).collect()
}

#[test]
fn a_run_is_described_when_it_is_planned() {
    let world = World::new();
    let said = ["--name", "baseline", "--tag", "paper", "--tag", "v=1", "--note", "before the new loss"];
    world.ok(&[&["run", "--quiet"][..], &said, &["--", "true"]].concat());
    let shown = world.json(&["ledger", "show", "--json"]);
    let kinds: Vec<_> = shown["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["entry"]["event"]["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[..3], ["run.planned", "run.decided", "run.described"]);
    let shown = world.ok(&["show", "baseline"]);
    assert!(
        shown.starts_with("name        baseline\ntags        paper v=1\nnote        before the new loss\n"),
        "{shown}"
    );
    let listed = world.json(&["runs", "--json"]);
    let run = &listed["runs"][0];
    assert_eq!((&run["name"], &run["note"]), (&"baseline".into(), &"before the new loss".into()));
    assert_eq!(run["tags"], serde_json::json!(["paper", "v=1"]));
    let table = world.ok(&["runs"]);
    assert!(table.contains("baseline") && table.contains("paper v=1"), "{table}");
}

#[test]
fn what_is_said_changes_and_only_changes_are_recorded() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--", "true"]);
    world.ok(&["annotate", "latest", "--name", "first", "--tag", "a", "--tag", "b", "--note", "one"]);
    world.ok(&["annotate", "first", "--untag", "a", "--untag", "never", "--tag", "b", "--note", "one"]);
    let again = world.output(&["annotate", "first", "--tag", "b", "--note", "one", "--name", "first"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("Nothing was recorded"), "{again:?}");
    let recorded = events(&world, "run.described");
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[1]["removed"], serde_json::json!(["a"]));
    assert!(recorded[1].get("added").is_none() && recorded[1].get("note").is_none(), "{recorded:?}");
    let run = world.json(&["annotate", "first", "--note", "", "--json"])["run"].clone();
    assert_eq!((&run["note"], &run["tags"]), (&Value::Null, &serde_json::json!(["b"])));
}

#[test]
fn a_name_stands_for_its_run_wherever_a_run_is_named() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--name", "base", "--", "sh", "-c", "echo 1 > /out/a; echo hello"]);
    world.ok(&["run", "--quiet", "--", "true"]);
    assert_eq!(world.ok(&["logs", "base"]), "hello\n");
    world.ok(&["export", "base", "--to", "copy"]);
    world.ok(&["lineage", "run:base/out/a"]);
    let copied = world.ok(&["run", "--quiet", "--data", "d=run:base/out", "--", "cat", "/data/d/a"]);
    assert_eq!(copied, "1\n");
    world.ok(&["ledger", "prove", "base", "--out", "proof"]);
    world.ok(&["attest", "show", "base"]);
}

#[test]
fn a_name_that_means_something_else_is_refused() {
    let world = World::new();
    world
        .write("aseptic.toml", "[project]\nname = \"default\"\n\n[experiment.train]\ncommand = [\"true\"]\n");
    world.ok(&["run", "--quiet", "train"]);
    let id = world.json(&["runs", "--json"])["runs"][0]["run"].as_str().unwrap().to_owned();
    for name in ["latest", "train", &id] {
        for command in [vec!["annotate", "latest", "--name", name], vec!["run", "--name", name, "--", "true"]]
        {
            let output = world.output(&command);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && stderr.contains("code: run/name"), "{stderr}");
        }
    }
    assert_eq!(events(&world, "run.planned").len(), 1, "nothing was recorded of what was refused");
    for bad in [["--name", "a b"], ["--tag", "a b"], ["--note", "two\nlines"], ["--note", "\u{1b}[2J"]] {
        let output = world.output(&[&["annotate", "latest"][..], &bad].concat());
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
    }
    let both = world.run(&["annotate", "latest", "--tag", "a", "--untag", "a"]);
    assert!(both.contains("code: run/tag"), "{both}");
    let unknown = world.run(&["annotate", "nothing-like-it", "--tag", "a"]);
    assert!(unknown.contains("code: run/not-found") && unknown.contains("name of a run"), "{unknown}");
}

#[test]
fn a_name_of_several_runs_names_none_of_them() {
    let world = World::new();
    for _ in 0..2 {
        world.ok(&["run", "--quiet", "--name", "same", "--", "true"]);
    }
    let shown = world.run(&["show", "same"]);
    assert!(shown.contains("several runs have the name `same`: `[run]`, `[run]`"), "{shown}");
    assert!(shown.contains("code: run/shared-name"), "{shown}");
    world.ok(&["annotate", "latest", "--name", "other"]);
    world.ok(&["show", "same"]);
    world.ok(&["show", "other"]);
}

#[test]
fn a_note_can_be_erased() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--note", "asked Grace", "--", "true"]);
    assert!(world.ok(&["runs", "--where", "note ~ Grace", "--count"]).starts_with('1'));
    world.ok(&["ledger", "erase", "run:latest", "--all", "--reason", "asked"]);
    assert_eq!(world.ok(&["runs", "--where", "note ~ Grace", "--count"]), "0\n");
    let shown = world.ok(&["ledger", "show", "--json"]);
    assert!(!shown.contains("Grace"), "{shown}");
}
