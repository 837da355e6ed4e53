//! `aseptic quarantine`: what is in it, and what came of that, is an input of no plan.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::stopping::start;
use crate::world::World;

/// A dataset with two files, a run that read one of them, a run that had what that left, and its output imported.
pub(crate) fn lineage() -> World {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    world.write("rows/b.csv", "2\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    world.ok(&[
        "run",
        "--quiet",
        "--no-code",
        "--data",
        "d=digits",
        "--",
        "sh",
        "-c",
        "sed s/^/model-/ /data/d/a.csv > /out/model",
    ]);
    world.ok(&[
        "run",
        "--quiet",
        "--no-code",
        "--data",
        "m=run:latest/out/model",
        "--",
        "sh",
        "-c",
        "cat /data/m/* > /out/new",
    ]);
    world.ok(&["export", "latest/out", "--to", "back"]);
    world.ok(&["dataset", "add", "back", "--name", "back"]);
    world
}

fn runs(world: &World) -> Vec<String> {
    let known = world.json(&["runs", "--json"]);
    let runs = known["runs"].as_array().unwrap().iter();
    runs.map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

/// The reasons that deny a plan with this input.
fn denied(world: &World, input: &str) -> Vec<String> {
    let planned =
        world.output(&["plan", "--json", "--no-code", "--data", &format!("x={input}"), "--", "true"]);
    let plan: Value = serde_json::from_slice(&planned.stdout).unwrap();
    let reasons = plan["decision"]["reasons"].as_array().unwrap().iter();
    reasons.map(|reason| reason["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_descends_from_it_is_denied_and_lifting_restores() {
    let world = lineage();
    let [second, first] = runs(&world).try_into().unwrap();
    let inputs = ["digits", "back", &format!("run:{first}/out/model"), &format!("run:{second}")];
    let asked = world.run(&["quarantine", "add", "digits@1", "--reason", "leaked"]);
    assert!(asked.contains("exit: 2") && asked.contains("quarantine/unconfirmed"), "{asked}");
    assert!(asked.contains("2 runs and 2 dataset versions") && asked.contains("run.exported"), "{asked}");
    assert!(inputs.iter().all(|input| denied(&world, input).is_empty()), "nothing was changed");

    world.ok(&["quarantine", "add", "digits@1", "--reason", "leaked", "--yes"]);
    for input in inputs {
        assert_eq!(denied(&world, input).len(), 1, "{input}");
    }
    let through = denied(&world, "back").remove(0);
    assert_eq!(
        through,
        format!("in quarantine: dataset:digits@1, through run:{first}, run:{second}, dataset:back@1")
    );
    let run = world.run(&["run", "--data", "x=back", "--", "true"]);
    assert!(run.contains("exit: 126") && run.contains("input/quarantined"), "{run}");
    for shown in [
        world.run(&["show", &second]),
        world.run(&["runs"]),
        world.run(&["dataset", "list"]),
        world.run(&["dataset", "show", "back"]),
    ] {
        assert!(shown.contains("in quarantine: dataset:digits@1"), "{shown}");
    }
    let listed = world.json(&["quarantine", "list", "--json"]);
    assert_eq!(listed["quarantine"][0]["reason"], "leaked");
    assert!(
        world
            .run(&["quarantine", "add", "digits@1", "--reason", "x", "--yes"])
            .contains("quarantine/already")
    );
    let without = world.run(&["quarantine", "lift", "digits@1"]);
    assert!(without.contains("--reason"), "{without}");
    world.ok(&["quarantine", "lift", "digits@1", "--reason", "it was another one"]);
    assert!(world.run(&["quarantine", "lift", "digits@1", "--reason", "x"]).contains("quarantine/not"));
    for input in inputs {
        assert_eq!(denied(&world, input).len(), 0, "{input}");
    }
    assert!(world.ok(&["quarantine", "show", "digits@1"]).contains("it was another one"));
    let dump = world.ok(&["catalog", "dump"]);
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), dump);
}

#[test]
fn a_file_reaches_those_who_opened_it_and_no_new_plan_has_it() {
    let world = lineage();
    let unread = world.json(&["quarantine", "add", "digits@1/b.csv", "--reason", "x", "--dry-run", "--json"]);
    assert_eq!(
        (unread["runs"].as_array().unwrap().len(), unread["places"][0]["path"].as_str()),
        (0, Some("b.csv"))
    );
    let read = world.json(&["quarantine", "add", "digits@1/a.csv", "--reason", "x", "--dry-run", "--json"]);
    assert_eq!(read["runs"].as_array().unwrap().len(), 2);
    assert!(!world.ok(&["ledger", "show"]).contains("quarantine.added"));
    world.ok(&["quarantine", "add", "digits@1/b.csv", "--reason", "x", "--yes"]);
    assert!(denied(&world, "back").is_empty(), "its runs did not open the file");
    assert_eq!(denied(&world, "digits").len(), 1);
    // The same bytes in another tree, which was not there before.
    world.write("other/deep/er/c.csv", "2\n");
    world.ok(&["dataset", "add", "other", "--name", "other"]);
    assert_eq!(denied(&world, "other").len(), 1);
}

#[test]
fn hosts_rules_and_runs_are_objects_too() {
    let world = lineage();
    let record = world.json(&["show", "latest", "--json"]);
    for object in [
        format!("host:{}", record["host"].as_str().unwrap()),
        format!("policy:{}", record["policy"].as_str().unwrap()),
    ] {
        world.ok(&["quarantine", "add", &object, "--reason", "x", "--yes"]);
        let why = denied(&world, "digits");
        assert_eq!(why, [format!("in quarantine: {object}")]);
        world.ok(&["quarantine", "lift", &object, "--reason", "x"]);
    }
    let [second, first] = runs(&world).try_into().unwrap();
    world.ok(&["quarantine", "add", &format!("run:{second}"), "--reason", "x", "--yes"]);
    assert!(denied(&world, &format!("run:{first}")).is_empty());
    assert_eq!(denied(&world, "back").len(), 1);
}

#[test]
fn outputs_and_versions_leave_only_when_somebody_insists() {
    let world = lineage();
    world.ok(&["quarantine", "add", "digits@1", "--reason", "x", "--yes"]);
    let refused = world.run(&["export", "latest", "--to", "copy"]);
    assert!(refused.contains("exit: 3") && refused.contains("export/quarantined"), "{refused}");
    assert!(!world.path("project/copy").exists());
    world.ok(&["export", "latest", "--to", "copy", "--quarantined"]);
    let entries = world.json(&["ledger", "show", "--json", "--type", "run.exported"]);
    let last = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["entry"]["event"]["body"]["quarantined"] == "dataset:digits@1");
    assert!(last.is_some(), "{entries:#}");
    let shared = world.run(&["dataset", "share", "back", "--to", "elsewhere"]);
    assert!(shared.contains("dataset/quarantined"), "{shared}");
}

#[test]
fn runs_that_go_on_are_stopped_or_told() {
    let world = lineage();
    let mut told = start(&world, &["--data", "d=digits"], "true");
    let mut other = start(&world, &[], "true");
    let said = world.run(&["quarantine", "add", "digits@1", "--reason", "x", "--yes", "--running", "flag"]);
    assert!(said.contains("goes on, and was told"), "{said}");
    // As after one that was killed before it stopped anything.
    let said = world.json(&["quarantine", "add", "digits@1", "--reason", "x", "--yes", "--json"]);
    let handled = said["handled"].as_array().unwrap();
    assert_eq!(handled.len(), 1, "{said:#}");
    assert_eq!(handled[0]["status"], "aborted");
    told.wait().unwrap();
    let record: Value = world.json(&["show", handled[0]["run"].as_str().unwrap(), "--json"]);
    assert!(
        record["told"][0].as_str().unwrap().contains("dataset:digits@1 was put in quarantine"),
        "{record}"
    );
    assert!(other.try_wait().unwrap().is_none(), "it has nothing of it");
    world.ok(&["stop", "latest"]);
    other.wait().unwrap();
}

/// However a run and a quarantine meet, the run is denied, never starts, or is stopped.
#[test]
fn no_run_slips_through_while_something_is_put_in_quarantine() {
    let world = lineage();
    for round in 0..12 {
        let mut run = world
            .command(&[
                "run",
                "--quiet",
                "--no-code",
                "--data",
                "d=digits",
                "--",
                "sh",
                "-c",
                "echo started; sleep 600",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let before = std::time::Duration::from_millis(round * 12);
        std::thread::sleep(before); // Any moment of the run will do; these are some.
        world.ok(&["quarantine", "add", "digits@1/a.csv", "--reason", "x", "--yes"]);
        let status = run.wait().unwrap();
        let mut said = String::new();
        run.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(!status.success(), "round {round}: {said}");
        let shown = world.json(&["show", "latest", "--json"]);
        let how = shown["status"].as_str().unwrap_or_else(|| shown["run"]["status"].as_str().unwrap());
        assert!(["denied", "aborted"].contains(&how), "round {round}: {shown:#}");
        world.ok(&["quarantine", "lift", "digits@1/a.csv", "--reason", "x"]);
        world.assert_no_leftovers();
    }
}

/// One file that is taken out of the outputs and brought back beside others, under another name, descends from its run.
#[test]
fn one_file_that_comes_back_is_still_what_it_was() {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits", "--label", "pii"]);
    let made = "cp /data/d/a.csv /out/same; sed s/^/model-/ /data/d/a.csv > /out/model; : > /out/empty";
    world.ok(&["run", "--quiet", "--no-code", "--data", "d=digits", "--", "sh", "-c", made]);
    let first = runs(&world).remove(0);
    world.ok(&["export", "latest/out/model", "--to", "model"]);
    world.write("mixed/deep/renamed", std::fs::read(world.path("project/model/model")).unwrap());
    world.write("mixed/own", "3\n");
    world.write("mixed/nothing", "");
    world.ok(&["dataset", "add", "mixed", "--name", "mixed"]);
    world.ok(&["--project", "other", "dataset", "add", "mixed", "--name", "there"]);
    world.write("empty/nothing", "");
    world.ok(&["dataset", "add", "empty", "--name", "empty"]);
    // What was there before a run copied it is not of the run.
    world.write("rows/b.csv", "2\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);

    let shown = world.ok(&["dataset", "show", "mixed", "--json"]);
    assert!(shown.contains("\"pii\""), "{shown}");
    let down = world.ok(&["lineage", &format!("run:{first}"), "--down"]);
    assert!(down.contains("mixed@1") && !down.contains("there@") && !down.contains("empty@"), "{down}");
    let up = world.ok(&["lineage", "mixed", "--up"]);
    assert!(up.contains("digits@1") && up.contains("model"), "{up}");
    world.ok(&["quarantine", "add", &format!("run:{first}/out/model"), "--reason", "x", "--yes"]);
    assert_eq!(denied(&world, "mixed").len(), 1);
    world.ok(&["quarantine", "lift", &format!("run:{first}/out/model"), "--reason", "x"]);
    let added =
        world.json(&["quarantine", "add", &format!("run:{first}"), "--reason", "x", "--yes", "--json"]);
    let reached: Vec<_> =
        added["datasets"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(reached, ["mixed", "there"], "{added:#}");
    assert_eq!(denied(&world, "mixed").len(), 1);
    assert!(denied(&world, "digits").is_empty() && denied(&world, "empty").is_empty());
    let there = world.run(&["--project", "other", "run", "--no-code", "--data", "x=there", "--", "true"]);
    assert!(there.contains("input/quarantined"), "{there}");
    world.write("mixed/own", "4\n");
    world.ok(&["dataset", "add", "mixed", "--name", "mixed"]);
    assert_eq!(denied(&world, "mixed").len(), 1, "a later version is of it too");
    let dump = world.ok(&["catalog", "dump"]);
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), dump);
}

#[test]
fn the_empty_file_is_said_to_be_everywhere() {
    let world = World::new();
    world.write("rows/nothing", "");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    let said = world.run(&["quarantine", "add", "digits@1/nothing", "--reason", "x"]);
    assert!(said.contains("every empty file has this digest") && said.contains("unconfirmed"), "{said}");
}

/// What was archived and is restored as something else, in another project, is what it was.
#[test]
fn an_archive_is_no_way_around() {
    let world = World::new();
    world.write("rows/a.csv", "1\n");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    let place = world.path("archive");
    let place = place.to_str().unwrap();
    world.ok(&["archive", "digits@1", place]);
    world.ok(&["--project", "other", "restore", place, "--as", "copy"]);
    world.ok(&["quarantine", "add", "digits@1", "--reason", "x", "--yes"]);
    world.ok(&["--project", "third", "restore", place, "--as", "late"]);
    for (project, name) in [("other", "x=copy"), ("third", "x=late")] {
        let run = world.run(&["--project", project, "run", "--no-code", "--data", name, "--", "true"]);
        assert!(run.contains("exit: 126") && run.contains("dataset:digits@1"), "{run}");
    }
    let reached = world.json(&["quarantine", "show", "digits@1", "--json"]);
    assert_eq!(reached["datasets"].as_array().unwrap().len(), 3, "{reached:#}");
}

/// As in a lineage, a version of a package stands for those that go on after it.
#[test]
fn a_version_of_a_package_means_those_after_it() {
    let world = World::new();
    let _package = crate::diffs::venv_with(&world, "numpy", "1.26.4");
    let run = ["run", "--quiet", "--no-code", "--python", ".venv", "--", "true"];
    world.ok(&run);
    for (version, code) in [("1.26", 126), ("1.2", 0), ("1.26.4", 126)] {
        let object = format!("package:NumPy@{version}");
        let added = world.json(&["quarantine", "add", &object, "--reason", "x", "--yes", "--json"]);
        assert_eq!(added["runs"].as_array().unwrap().is_empty(), code == 0, "{version}: {added:#}");
        assert_eq!(world.output(&run).status.code(), Some(code), "{version}");
        world.ok(&["quarantine", "lift", &object, "--reason", "x"]);
    }
}

/// More files than an entry can list: every run is still named.
#[test]
fn many_files_that_come_back_name_every_run() {
    let world = World::new();
    let made = "i=0; while [ $i -lt 1200 ]; do echo a$i > /out/a$i; i=$((i+1)); done";
    world.ok(&["run", "--quiet", "--no-code", "--", "sh", "-c", made]);
    world.ok(&["run", "--quiet", "--no-code", "--", "sh", "-c", "echo other > /out/other"]);
    let [other, many] = runs(&world).try_into().unwrap();
    world.ok(&["export", &format!("{many}/out"), "--to", "mixed"]);
    world.write("mixed/other", "other\n");
    world.ok(&["dataset", "add", "mixed", "--name", "mixed"]);
    for run in [&other, &many] {
        world.ok(&["quarantine", "add", &format!("run:{run}"), "--reason", "x", "--yes"]);
        assert_eq!(denied(&world, "mixed").len(), 1, "{run}");
        world.ok(&["quarantine", "lift", &format!("run:{run}"), "--reason", "x"]);
    }
}
