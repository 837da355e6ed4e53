//! The ledger as its readers see it: filtered, exported, followed, and with values that were erased.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::world::{World, wait_until};

fn world() -> World {
    let world = World::new();
    world.write("rows/a", "1");
    world.ok(&["dataset", "add", "rows", "--name", "digits", "--label", "pii", "--owner", "Ada"]);
    world.ok(&["dataset", "unlabel", "digits", "pii", "--reason", "=Ada asked"]);
    world.ok(&["run", "--quiet", "--data", "d=digits", "--", "true"]);
    world
}

fn shown(world: &World, conditions: &[&str]) -> Vec<Value> {
    let document = world.json(&[&["ledger", "show", "--json"], conditions].concat());
    document["entries"].as_array().unwrap().clone()
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["entry"]["event"]["type"].as_str().unwrap()).collect()
}

#[test]
fn entries_are_found_by_run_actor_type_time_and_object() {
    let world = world();
    let all = shown(&world, &[]);
    let run = all[2]["entry"]["event"]["body"]["run"].as_str().unwrap().to_owned();
    let time = all[2]["entry"]["time"].as_str().unwrap().to_owned();
    let actor = all[0]["entry"]["actor"].as_str().unwrap().to_owned();
    let snapshot = all[0]["entry"]["event"]["body"]["snapshot"].as_str().unwrap().to_owned();
    assert_eq!(all.len(), 7);
    for (conditions, found) in [
        (&["--run", &run][..], 4),
        (&["--object", &format!("run:{run}")], 4),
        (&["--actor", &actor], 7),
        (&["--actor", actor.strip_prefix("user:").unwrap()], 7),
        (&["--actor", "nobody-else"], 0),
        (&["--type", "run.*"], 4),
        (&["--type", "run.sealed", "--type", "dataset.added"], 2),
        (&["--since", &time], 5),
        (&["--until", &time], 2),
        (&["--since", "1h"], 7),
        (&["--until", "2020-01-01"], 0),
        (&["--object", "digits"], 2),
        (&["--object", "digits@1"], 2),
        (&["--object", "digits@2"], 0),
        (&["--object", &snapshot], 3),
        (&["--limit", "2"], 2),
        (&["--type", "dataset.*", "--since", &time], 0),
    ] {
        assert_eq!(shown(&world, conditions).len(), found, "{conditions:?}");
    }
    assert_eq!(kinds(&shown(&world, &["--limit", "1"])), ["run.sealed"], "the last ones");
    for wrong in [&["--since", "yesterday"][..], &["--object", "a b"], &["--run", "x"]] {
        assert_eq!(world.output(&[&["ledger", "show"], wrong].concat()).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn exports_have_every_entry_in_the_form_of_others() {
    let world = world();
    let export = |form: &str| world.ok(&["ledger", "export", "--as", form]);
    let lines: Vec<Value> = export("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, shown(&world, &[]));

    let csv = export("csv");
    assert!(
        csv.starts_with("index,time,actor,project,type,run,dataset,about,reason,hidden,entry\r\n"),
        "{csv}"
    );
    assert_eq!(csv.matches("\r\n").count(), 8);
    assert!(csv.contains(",\"'=Ada asked\","), "no spreadsheet computes it: {csv}");

    for line in export("ocsf").lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        // What the class requires.
        for required in [
            "activity_id",
            "actor",
            "api",
            "category_uid",
            "class_uid",
            "metadata",
            "severity_id",
            "src_endpoint",
            "time",
            "type_uid",
        ] {
            assert!(!event[required].is_null(), "{required}: {event:#}");
        }
        let number = |name: &str| event[name].as_u64().unwrap();
        assert_eq!((number("class_uid"), number("category_uid")), (6003, 6));
        assert_eq!(number("type_uid"), 600_300 + number("activity_id"));
        let entry = &event["unmapped"]["entry"];
        assert_eq!(event["api"]["operation"], entry["event"]["type"]);
        assert_eq!(format!("user:{}", event["actor"]["user"]["name"].as_str().unwrap()), entry["actor"]);
        assert_eq!(event["metadata"]["product"]["name"], "aseptic");
    }

    world.ok(&["ledger", "export", "--as", "jsonl", "--type", "run.sealed", "--out", "sealed.jsonl"]);
    let text = fs::read_to_string(world.path("project/sealed.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 1);
    let again = world.run(&["ledger", "export", "--as", "jsonl", "--out", "sealed.jsonl"]);
    assert!(again.contains("ledger/export"), "what is there is not replaced: {again}");
    assert_eq!(fs::read_to_string(world.path("project/sealed.jsonl")).unwrap(), text);
}

#[test]
fn new_entries_are_followed_until_the_user_ends_it() {
    let world = world();
    let arguments =
        ["ledger", "follow", "--json", "--from", "5", "--type", "run.sealed", "--type", "dataset.*"];
    let mut child = world.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let sealed = next();
    assert_eq!((kinds(std::slice::from_ref(&sealed)), &sealed["index"]), (vec!["run.sealed"], &6.into()));
    for owner in ["Grace", "Hedy"] {
        world.ok(&["dataset", "describe", "digits", &format!("owner={owner}")]);
        let described = next();
        assert_eq!(described["values"]["set.owner"], owner);
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_follower_ends_when_nobody_reads_it() {
    let world = world();
    let mut child = world.command(&["ledger", "follow"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    wait_until("the follower ended", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_erased_value_is_shown_as_erased_and_the_ledger_verifies() {
    let world = world();
    let table = world.ok(&["ledger", "show"]);
    assert!(table.contains("digits@1 -pii: =Ada asked"), "{table}");
    let erase = |arguments: &[&str]| world.ok(&[&["ledger", "erase"], arguments].concat());
    assert_eq!(erase(&["1", "--place", "reason", "--reason", "ticket 1"]), "erased from entry 1: reason\n");
    assert_eq!(
        erase(&["digits@1", "--place", "metadata.owner", "--reason", "ticket 2"]),
        "erased from entry 0: metadata.owner\n"
    );
    let table = world.ok(&["ledger", "show"]);
    assert!(!table.contains("Ada"), "{table}");
    assert!(table.contains("digits@1 [metadata.owner erased]"), "{table}");
    assert!(table.contains("digits@1 -pii [reason erased]"), "{table}");
    assert!(table.contains("entry 1 reason: ticket 1"), "{table}");
    let entries = shown(&world, &["--object", "digits@1"]);
    assert_eq!(entries[0]["hidden"]["metadata.owner"], "erased");
    world.ok(&["ledger", "verify"]);
    assert!(!world.ok(&["dataset", "show", "digits"]).contains("Ada"));
    let dump = world.ok(&["catalog", "dump"]);
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), dump);

    let again = world.run(&["ledger", "erase", "1", "--all", "--reason", "again"]);
    assert!(again.contains("ledger/nothing-to-erase"), "{again}");
    let unknown = world.run(&["ledger", "erase", "latest", "--all", "--reason", "none there"]);
    assert!(unknown.contains("ledger/nothing-to-erase"), "{unknown}");

    // A copy without the values verifies as well, and says that they are not there.
    let copy = world.path("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["log", "verifier", "checkpoint"] {
        fs::copy(world.path("state/ledger").join(file), copy.join(file)).unwrap();
    }
    let copied = world.ok(&["ledger", "show", "--ledger", copy.to_str().unwrap()]);
    assert!(
        copied.contains("entry 1 reason [reason missing]") && copied.contains("[reason erased]"),
        "{copied}"
    );
    world.ok(&["ledger", "verify", "--ledger", copy.to_str().unwrap()]);
}
