//! Retention: what expires goes, says so, and nothing else goes.

use std::io::Read;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::world::{World, contents, wait_until};

fn world() -> World {
    let world = World::new();
    world.write("digits/a", "one");
    world.write("digits/b", "two");
    world.ok(&["dataset", "add", "digits", "--name", "digits"]);
    world
}

fn run_id(world: &World) -> String {
    world.json(&["runs", "--json"])["runs"][0]["run"].as_str().unwrap().to_owned()
}

/// Types of all entries, and the body of the last of one type.
fn entries(world: &World) -> Vec<Value> {
    let entries = world.json(&["ledger", "show", "--json"]);
    entries["entries"].as_array().unwrap().iter().map(|entry| entry["entry"]["event"].clone()).collect()
}

/// Every file of the store, by path and content.
fn stored(world: &World) -> Vec<(std::path::PathBuf, Vec<u8>, u32)> {
    contents(&world.path("state/projects/default/store/objects"))
}

/// A run that goes on until it is told to end.
fn going_on(world: &World, data: &str) -> Child {
    let script = "cat /data/d/a > /out/copy; echo ready; while [ ! -e /tmp/x ]; do sleep 0.05; done";
    let mut command = world.command(&["run", "--quiet", "--data", data, "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    child
}

#[test]
fn what_expires_goes_and_says_so() {
    let world = world();
    world.ok(&["run", "--quiet", "--data", "d=digits", "--", "sh", "-c", "cat /data/d/a; echo x > /out/x"]);
    let run = run_id(&world);
    insta::assert_snapshot!(world.run(&["gc"]), @r"
    exit: 0
    --- stdout
    default: 2 objects, 174 B would be deleted
    --- stderr
    Nothing was deleted. `aseptic gc --now` does it.
    ");
    for object in ["digits", "run:latest"] {
        world.ok(&["retention", "set", object, "0d"]);
    }
    let before = stored(&world);
    insta::assert_snapshot!(world.run(&["gc"]), @r"
    exit: 0
    --- stdout
    default: digits@1 would be deleted (0d since [time])
    default: run:[run] would be deleted (0d since [time])
    default: 11 objects, 534 B, and 2 views would be deleted
    --- stderr
    Nothing was deleted. `aseptic gc --now` does it.
    ");
    assert_eq!(stored(&world), before, "a dry run deletes nothing");
    let known = entries(&world).len();
    assert_eq!(world.json(&["gc", "--dry-run", "--json"])["deleted"], false);
    assert_eq!(entries(&world).len(), known, "and records nothing");

    insta::assert_snapshot!(world.run(&["gc", "--now"]), @r"
    exit: 0
    --- stdout
    default: digits@1 deleted (0d since [time])
    default: run:[run] deleted (0d since [time])
    default: 11 objects, 534 B, and 2 views deleted
    --- stderr
    ");
    let recorded = entries(&world).split_off(known);
    let types: Vec<_> = recorded.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["retention.expired", "retention.expired", "store.collected"]);
    assert_eq!(recorded[0]["body"]["object"], "digits@1");
    assert_eq!(recorded[1]["body"]["object"], format!("run:{run}"));
    let left = stored(&world);
    assert!(left.len() < before.len());
    assert!(left.iter().all(|(_, bytes, _)| bytes != b"one" && bytes != b"x\n"), "the bytes are gone");
    let list = recorded[2]["body"]["list"].as_str().unwrap();
    let list = left.iter().find(|(path, _, _)| path.ends_with(list)).unwrap();
    let lines = String::from_utf8(list.1.clone()).unwrap();
    assert_eq!(lines.lines().count() as u64, recorded[2]["body"]["objects"].as_u64().unwrap());
    for line in lines.lines() {
        assert!(left.iter().all(|(path, _, _)| !path.ends_with(line)), "{line} is still there");
    }

    insta::assert_snapshot!(world.run(&["run", "--data", "d=digits", "--", "true"]), @r"
    exit: 125
    --- stdout
    --- stderr
    error: input `d`: `digits@1` was deleted by retention class 0d on [day]
      help: import it again with `aseptic dataset add PATH --name digits`
      code: plan/input
    ");
    insta::assert_snapshot!(world.run(&["run", "--data", "d=run:latest", "--", "true"]), @r"
    exit: 125
    --- stdout
    --- stderr
    error: input `d`: `run:[run]` was deleted by retention class 0d on [day]
      help: its record is kept: `aseptic show [run]`; run it again to have its outputs
      code: plan/input
    ");
    insta::assert_snapshot!(world.run(&["dataset", "verify", "digits"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `digits@1` was deleted by retention class 0d on [day]
      help: import it again with `aseptic dataset add PATH --name digits`
      code: retention/expired
    ");
    insta::assert_snapshot!(world.run(&["export", "latest/out", "--to", "there"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `run:[run]` was deleted by retention class 0d on [day]
      help: its record is kept: `aseptic show [run]`; run it again to have its outputs
      code: retention/expired
    ");
    insta::assert_snapshot!(world.run(&["logs", "latest"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `run:[run]` was deleted by retention class 0d on [day]
      help: its record is kept: `aseptic show [run]`; run it again to have its outputs
      code: retention/expired
    ");
    insta::assert_snapshot!(world.run(&["retention", "set", "digits", "hold"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `digits@1` was deleted by retention class 0d on [day]
      help: import it again with `aseptic dataset add PATH --name digits`
      code: retention/expired
    ");
    let shown = world.run(&["show", "latest"]);
    assert!(shown.contains("out/x"), "its record is kept: {shown}");
    assert!(shown.contains("were deleted by retention class 0d on "), "{shown}");
    let listed = world.run(&["dataset", "list"]);
    assert!(listed.contains("deleted") && listed.contains("0d"), "{listed}");
    world.ok(&["lineage", "digits"]);

    let added = world.json(&["dataset", "add", "digits", "--name", "digits", "--json"]);
    assert_eq!((&added["new"], &added["versions"][0]["version"]), (&Value::from(true), &Value::from(2)));
    world.ok(&["dataset", "verify", "digits"]);
    let refused = world.run(&["dataset", "diff", "digits@1", "digits@2"]);
    assert!(refused.contains("code: retention/expired"), "{refused}");
    world.ok(&["run", "--quiet", "--data", "d=digits", "--", "cat", "/data/d/a"]);
    world.ok(&["ledger", "verify"]);
    let dump = world.ok(&["catalog", "dump"]);
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), dump);
}

#[test]
fn a_hold_cannot_be_deleted_by_anything() {
    let world = world();
    world.ok(&["run", "--quiet", "--data", "d=digits", "--", "sh", "-c", "echo x > /out/x"]);
    world.ok(&["retention", "set", "run:latest", "hold", "--reason", "in the report"]);
    for kind in ["datasets", "runs"] {
        world.ok(&["retention", "default", kind, "0d"]);
    }
    world.ok(&["retention", "set", "digits", "0d"]);
    let collected = world.json(&["gc", "--now", "--json"]);
    assert_eq!(collected["projects"][0]["expired"].as_array().unwrap().len(), 0, "{collected:#}");
    world.ok(&["dataset", "verify", "digits"]);
    world.ok(&["export", "latest/out", "--to", "there"]);

    for class in ["0d", "keep", "default"] {
        let refused = world.run(&["retention", "set", "run:latest", class]);
        assert!(refused.contains("code: retention/held"), "{refused}");
    }
    insta::assert_snapshot!(world.run(&["retention", "set", "run:latest", "7d"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `run:[run]` is on hold
      help: say why the hold may end with `--reason TEXT`, which is recorded
      code: retention/held
    ");
    insta::assert_snapshot!(world.run(&["retention", "set", "run:latest", "7d", "--reason", ""]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: a value is required for '--reason <TEXT>' but none was supplied

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(world.run(&["retention", "default", "runs", "hold"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `hold` cannot be the class of all runs
      help: choose `keep` for all, and `hold` for a version or run with `aseptic retention set OBJECT hold`
      code: retention/hold-all
    ");
    world.ok(&["retention", "set", "run:latest", "default", "--reason", "the report is out"]);
    let last = world.json(&["ledger", "show", "--json", "--limit", "1"]);
    assert_eq!(last["entries"][0]["values"]["reason"], "the report is out");
    let collected = world.json(&["gc", "--now", "--json"]);
    let expired: Vec<_> = collected["projects"][0]["expired"]
        .as_array()
        .unwrap()
        .iter()
        .map(|standing| standing["object"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(expired, ["digits@1".to_owned(), format!("run:{}", run_id(&world))]);
}

#[test]
fn classes_are_chosen_and_shown() {
    let world = world();
    world.ok(&["run", "--quiet", "--", "true"]);
    insta::assert_snapshot!(world.run(&["retention", "show"]), @r"
    exit: 0
    --- stdout
    default for datasets: keep
    default for runs: keep
    --- stderr
    ");
    insta::assert_snapshot!(world.run(&["retention", "default", "runs", "90d"]), @r"
    exit: 0
    --- stdout
    runs of project default have class 90d
    --- stderr
    ");
    insta::assert_snapshot!(world.run(&["retention", "set", "digits@1", "7d"]), @r"
    exit: 0
    --- stdout
    digits@1 has class 7d, until [time]
    --- stderr
    ");
    insta::assert_snapshot!(world.run(&["retention", "show"]), @r"
    exit: 0
    --- stdout
    default for datasets: keep
    default for runs: 90d
    object            class          bytes                             archived
    digits@1          7d             expires [time]  -
    run:[run]  90d (default)  expires [time]  -
    --- stderr
    ");
    insta::assert_snapshot!(world.run(&["retention", "show", "digits"]), @r"
    exit: 0
    --- stdout
    object    class  bytes                             archived
    digits@1  7d     expires [time]  -
    --- stderr
    ");
    insta::assert_snapshot!(world.run(&["retention", "set", "digits", "7"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value '7' for '<CLASS>': `7` is not a retention class: days such as `7d` (at most 36525d), `keep` or `hold`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(world.run(&["retention", "set", "letters", "7d"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: project `default` has no dataset `letters`
      help: `aseptic dataset list` shows those there are; add one with `aseptic dataset add PATH --name NAME`, or name its project with `--project`
      code: dataset/missing
    ");
    insta::assert_snapshot!(world.run(&["retention", "set", "digits@2", "7d"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: project `default` has no dataset `digits@2`
      help: did you mean `digits@1`?
      code: dataset/missing
    ");
    insta::assert_snapshot!(world.run(&["retention", "set", "run:latest/out", "7d"]), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `run:latest/out` is a part of a run, which is kept or deleted as a whole
      help: name a dataset as NAME or NAME@VERSION, or a run as run:RUN
      code: retention/object
    ");
    let shown = world.json(&["retention", "show", "--json"]);
    assert_eq!(shown["defaults"]["runs"], "90d");
    assert_eq!(shown["objects"][0]["object"], "digits@1");
    assert_eq!((&shown["objects"][0]["own"], &shown["objects"][1]["own"]), (&true.into(), &false.into()));
}

#[test]
fn a_run_that_goes_on_keeps_what_it_needs() {
    let world = world();
    world.write("main.py", "print('code')");
    let mut child = going_on(&world, "d=digits");
    for kind in ["datasets", "runs"] {
        world.ok(&["retention", "default", kind, "0d"]);
    }
    let collected = world.json(&["gc", "--now", "--json"]);
    assert_eq!(collected["projects"][0]["expired"][0]["object"], "digits@1");
    let run = world.json(&["runs", "--json"])["runs"][0].clone();
    assert_eq!(run["status"], "running");
    let process = std::path::PathBuf::from(format!("/proc/{}", child.id()));
    assert!(process.exists());
    // Its supervisor dies; what it left is sealed, which needs its plan.
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the run is sealed", || world.json(&["runs", "--json"])["runs"][0]["status"] == "aborted");
    world.ok(&["export", "latest/out", "--to", "there"]);
    assert_eq!(std::fs::read(world.path("project/there/copy")).unwrap(), b"one");
    world.ok(&["gc", "--now"]);
    let refused = world.run(&["export", "latest/out", "--to", "elsewhere"]);
    assert!(refused.contains("code: retention/expired"), "{refused}");
    assert!(stored(&world).iter().all(|(_, bytes, _)| bytes != b"one"), "nobody needs it any more");
}

#[test]
fn every_project_is_collected_unless_one_is_named() {
    let world = world();
    for project in ["one", "two"] {
        world.ok(&["dataset", "add", "digits", "--name", "digits", "--project", project]);
        world.ok(&["retention", "default", "datasets", "0d", "--project", project]);
    }
    let projects = |collected: Value| -> Vec<(String, usize)> {
        let projects = collected["projects"].as_array().unwrap().iter();
        projects
            .map(|project| {
                let expired = project["expired"].as_array().unwrap().len();
                (project["project"].as_str().unwrap().to_owned(), expired)
            })
            .collect()
    };
    let named = projects(world.json(&["gc", "--now", "--project", "one", "--json"]));
    assert_eq!(named, [("one".to_owned(), 1)]);
    let all = projects(world.json(&["gc", "--now", "--json"]));
    assert_eq!(all, [("default".to_owned(), 0), ("one".to_owned(), 0), ("two".to_owned(), 1)]);
    world.ok(&["dataset", "verify", "digits"]);
    assert_eq!(projects(world.json(&["gc", "--now", "--project", "three", "--json"])), []);
}

#[test]
fn what_cannot_be_read_stops_a_collection_and_says_whose_it_is() {
    let world = world();
    world.write("letters/x", "letter");
    world.ok(&["dataset", "add", "letters", "--name", "letters"]);
    world.ok(&["retention", "set", "letters", "0d"]);
    let digest = world.json(&["dataset", "show", "digits", "--json"])["versions"][0]["snapshot"].clone();
    let digest = digest.as_str().unwrap();
    let object = world.path("state/projects/default/store/objects").join(&digest[..2]).join(digest);
    let bytes = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    insta::assert_snapshot!(world.run(&["gc", "--now"]), @r"
    exit: 4
    --- stdout
    --- stderr
    error: nothing was deleted in project `default`, because what `digits@1` needs cannot be read
      cause: object [digest] cannot be read, so what it needs is not known
      cause: object [digest] is not in the store
      help: import its source again or `aseptic restore` it, or give it up with `aseptic retention set digits@1 0d`
      code: retention/unreadable
    ");
    assert!(!entries(&world).iter().any(|event| event["type"] == "retention.expired"));
    world.ok(&["dataset", "verify", "letters"]);
    std::fs::write(&object, bytes).unwrap();
    world.ok(&["gc", "--now"]);
    world.ok(&["dataset", "verify", "digits"]);
}
