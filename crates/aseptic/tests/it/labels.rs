//! Labels flow from what something came from, whoever tries to lose them on the way.

use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::datasets::newest;
use crate::world::{World, wait_until};

/// A dataset `scans` with the label `pii`.
pub(crate) fn scans() -> World {
    let world = World::new();
    world.write("scans/rows", "2\n1\n");
    world.ok(&["dataset", "add", "scans", "--name", "scans", "--label", "pii"]);
    world
}

pub(crate) fn shell(world: &World, data: &str, script: &str) -> String {
    world.run_json(&["--no-code", "--data", data, "--", "sh", "-c", script]).1["run"]
        .as_str()
        .unwrap()
        .to_owned()
}

pub(crate) fn labels(world: &World, run: &str) -> Value {
    world.json(&["show", run, "--json"])["labels"].clone()
}

/// What is kept is what the ledger gives.
pub(crate) fn assert_derived(world: &World) {
    world.ok(&["catalog", "verify"]);
    let kept = world.ok(&["catalog", "dump"]);
    world.ok(&["catalog", "rebuild"]);
    assert_eq!(world.ok(&["catalog", "dump"]), kept);
}

#[test]
fn a_label_reaches_the_end_of_a_chain_at_once() {
    let world = scans();
    let mut last = shell(&world, "d=scans", "cp /data/d/rows /out/x");
    for _ in 0..4 {
        last = shell(&world, &format!("d=run:{last}/out/x"), "cp /data/d/x /out/x");
    }
    assert_eq!(labels(&world, &last), json!(["pii"]));
    assert_snapshot!(world.run(&["label", "scans", "region=eu"]), @"
    exit: 0
    --- stdout
    labelled scans@1 +region=eu
    --- stderr
    5 runs that came of it now have `region=eu`
    ");
    assert_eq!(labels(&world, &last), json!(["pii", "region=eu"]));
    let found = world.json(&["runs", "--where", "label:region=eu", "--json"]);
    assert_eq!(found["runs"].as_array().unwrap().len(), 5);
    let done = world.json(&["declassify", "scans", "--label", "pii", "--reason", "blurred", "--json"]);
    assert_eq!(done["reached"]["lost"], json!({ "pii": { "runs": 5, "versions": 0 } }));
    assert_eq!(labels(&world, &last), json!(["region=eu"]));
    // Every question and picture has what is now, not what the runs were sealed with.
    let found = |search: &str| {
        let found = world.json(&["runs", "--where", search, "--json"]);
        found["runs"].as_array().unwrap().iter().map(|run| run["labels"].clone()).collect::<Vec<_>>()
    };
    assert!(found("label:pii").is_empty());
    assert_eq!(found("label:region=eu"), vec![json!(["region=eu"]); 5]);
    let run = format!("run:{last}");
    let lineage = world.json(&["lineage", &run, "--json"]);
    let nodes = lineage["up"]["nodes"].as_array().unwrap().iter();
    let shown: Vec<_> = nodes.filter(|node| node["type"] == "run").map(|node| &node["labels"]).collect();
    assert_eq!(shown, [&json!(["region=eu"]); 5]);
    world.ok(&["lineage", &run, "--svg", "picture.svg", "--html", "picture.html"]);
    for text in [
        world.ok(&["lineage", &run]),
        world.ok(&["lineage", &run, "--labels"]),
        world.ok(&["lineage", &run, "--dot"]),
        std::fs::read_to_string(world.path("project").join("picture.svg")).unwrap(),
        std::fs::read_to_string(world.path("project").join("picture.html")).unwrap(),
    ] {
        assert!(text.contains("region=eu"), "{text}");
        assert!(!text.contains("[pii]") && !text.contains(">pii<"), "{text}");
    }
    assert_derived(&world);
}

#[test]
fn other_names_lose_nothing() {
    let world = scans();
    let run = shell(&world, "d=scans", "cp /data/d/rows /out/model.bin; echo more >/out/more");
    world.ok(&["export", &format!("{run}/out"), "--to", "taken"]);
    std::fs::create_dir(world.path("project/other")).unwrap();
    std::fs::rename(world.path("project/taken/more"), world.path("project/other/innocent")).unwrap();
    // The list of labels stays behind.
    world.ok(&["dataset", "add", "other", "--name", "innocent"]);
    assert_eq!(newest(&world, "innocent")["labels"], json!(["pii"]));
    let next = shell(&world, "d=innocent", "cp /data/d/innocent /out/y");
    world.ok(&["label", "scans", "secret"]);
    assert_eq!(newest(&world, "innocent")["labels"], json!(["pii", "secret"]));
    assert_eq!(labels(&world, &next), json!(["pii", "secret"]));
    // Another way keeps what the first one loses.
    world.ok(&["label", "innocent", "pii"]);
    world.ok(&["declassify", "scans", "--label", "pii", "--label", "secret", "--reason", "blurred"]);
    assert_eq!((labels(&world, &run), labels(&world, &next)), (json!([]), json!(["pii"])));
    assert_derived(&world);
}

#[test]
fn one_output_is_free_of_what_the_others_have() {
    let world = scans();
    let run = shell(&world, "d=scans", "echo 2 >/out/metrics; cp /data/d/rows /out/rows");
    let metrics = format!("run:{run}/out/metrics");
    let output = world.run(&["declassify", &metrics, "--label", "pii"]);
    assert!(output.contains("--reason"), "a reason is required: {output}");
    world.ok(&["declassify", &metrics, "--label", "pii", "--reason", "a count"]);
    let of = |path: &str| labels(&world, &shell(&world, &format!("d=run:{run}{path}"), "true"));
    assert_eq!(
        (of("/out/metrics"), of("/out/rows"), of("/out"), of("")),
        (json!([]), json!(["pii"]), json!(["pii"]), json!(["pii"]))
    );
    assert_eq!(labels(&world, &run), json!(["pii"]));
    // What is exported and brought back is what it is here.
    world.ok(&["export", &format!("{run}/out/metrics"), "--to", "m"]);
    assert!(!world.path("project/m/metrics.aseptic-labels.json").exists());
    world.ok(&["dataset", "add", "m", "--name", "m"]);
    assert_eq!(newest(&world, "m")["labels"], json!([]));
    assert_snapshot!(world.run(&["lineage", "m", "--labels"]).replace(&run, "[first]"), @r"
    exit: 0
    --- stdout
    m@1 has no labels
    taken off
      pii off run:[first]/out/metrics by [user] at [time], entry 6: a count
    --- stderr
    ");
    assert_snapshot!(world.run(&["lineage", &format!("run:{run}/out/rows"), "--labels"]).replace(&run, "[first]"), @r"
    exit: 0
    --- stdout
    run:[first]/out/rows
      pii
        scans@1: when it was added by [user] at [time], entry 0
    --- stderr
    ");
    // Given to all again, it is there again.
    world.ok(&["label", &format!("run:{run}"), "pii"]);
    assert_eq!(newest(&world, "m")["labels"], json!(["pii"]));
    let document = world.json(&["lineage", "m", "--labels", "--json"]);
    assert_eq!(document["sources"][0]["object"], format!("run:{run}"), "{document:#}");
    assert_eq!(
        (&document["sources"][0]["event"], &document["taken_off"]),
        (&json!("run.labelled"), &json!([]))
    );
    assert_derived(&world);
}

#[test]
fn labels_are_given_to_what_there_is() {
    let world = scans();
    for (object, code) in [
        ("scans/rows", "label/object"),
        ("host:gpu-1", "label/object"),
        ("nothing", "dataset/missing"),
        ("run:latest", "run/"),
    ] {
        let output = world.run(&["label", object, "x"]);
        assert!(output.contains(code) && !output.contains("exit: 0"), "{object}: {output}");
    }
    let run = shell(&world, "d=scans", "echo 1 >/out/a");
    let output = world.run(&["label", &format!("run:{run}/out/b"), "x"]);
    assert!(output.contains("code: result/no-output"), "{output}");
    let output = world.run(&["label", &format!("run:{run}"), "pii"]);
    assert!(output.contains("+pii"), "what it inherited is its own from now on: {output}");
    let output = world.run(&["label", &format!("run:{run}"), "pii"]);
    assert!(output.contains("Nothing was recorded"), "{output}");
    world.ok(&["declassify", "scans", "--label", "pii", "--reason", "blurred"]);
    assert_eq!(labels(&world, &run), json!(["pii"]));
    // While a run goes on, its outputs are not there to be labelled.
    let mut going = world
        .command(&["run", "--quiet", "--no-code", "--name", "going", "--", "sleep", "600"])
        .spawn()
        .unwrap();
    wait_until("it goes on", || world.output(&["show", "going"]).status.success());
    let output = world.run(&["label", "run:going", "x"]);
    assert!(output.contains("code: result/not-sealed"), "{output}");
    assert!(Command::new("kill").args(["-INT", &going.id().to_string()]).status().unwrap().success());
    going.wait().unwrap();
}

/// Another machine, which knows nothing of the first one's ledger.
fn other_machine(world: &World) -> World {
    let other = World::new();
    let copy = |name: &str, to: &str| {
        let from = world.path("project").join(name);
        let status = Command::new("cp").arg("-r").arg(from).arg(other.path("project").join(to)).status();
        assert!(status.unwrap().success());
    };
    copy("tree", "renamed");
    copy("single", "single");
    other
}

#[test]
fn labels_go_with_files_to_another_machine() {
    let world = scans();
    let run = shell(&world, "d=scans", "mkdir /out/sub; cp /data/d/rows /out/sub/rows; echo 1 >/out/a");
    world.ok(&["export", &format!("{run}/out"), "--to", "tree"]);
    world.ok(&["export", &format!("{run}/out/sub/rows"), "--to", "single"]);
    let other = other_machine(&world);
    let added = other.run(&["dataset", "add", "renamed", "--name", "d"]);
    assert!(added.contains("exported from run [run], with pii") && added.contains("added d@1"), "{added}");
    assert_eq!(newest(&other, "d")["labels"], json!(["pii"]));
    assert_eq!(newest(&other, "d")["files"], 2, "the list is no file of the version");
    let added = other.run(&["dataset", "add", "single/rows", "--name", "rows"]);
    assert!(added.contains("exported from run [run]"), "{added}");
    assert_eq!(newest(&other, "rows")["labels"], json!(["pii"]));
    let added = other.run(&["dataset", "add", "renamed/sub", "--name", "sub"]);
    assert!(added.contains("the files are not what was exported"), "{added}");
    assert_eq!(newest(&other, "sub")["labels"], json!(["pii"]), "a part has what the whole has");
    // What was taken off stays off, though the list is still there.
    other.ok(&["declassify", "d", "--label", "pii", "--reason", "checked"]);
    other.ok(&["dataset", "add", "renamed", "--name", "d"]);
    assert_eq!(newest(&other, "d")["labels"], json!([]));
    other.write("renamed/a", "changed");
    let added = other.run(&["dataset", "add", "renamed", "--name", "changed"]);
    assert!(added.contains("the files are not what was exported"), "{added}");
    assert_eq!(newest(&other, "changed")["labels"], json!(["pii"]));
    // A tar archive has the list with the files.
    let tar = Command::new("tar")
        .args(["-cf", "a.tar", "-C", "renamed", "."])
        .current_dir(other.path("project"))
        .status();
    assert!(tar.unwrap().success());
    other.ok(&["dataset", "add", "a.tar", "--unpack", "--name", "tar"]);
    assert_eq!(newest(&other, "tar")["labels"], json!(["pii"]));
    other.write("renamed/.aseptic-labels.json", "{}");
    let refused = other.run(&["dataset", "add", "renamed", "--name", "broken"]);
    assert!(refused.contains("code: dataset/sidecar"), "{refused}");
    assert!(!other.ok(&["dataset", "list"]).contains("broken"));
}

#[test]
fn the_signature_of_a_model_leaves_the_list_out() {
    let world = scans();
    let run =
        shell(&world, "d=scans", "mkdir /out/model; cp /data/d/rows /out/model/rows; echo 1 >/out/model/a");
    world.ok(&["attest", "export", &format!("{run}/out/model"), "--as", "oms", "--out", "model.sig"]);
    world.ok(&["export", &format!("{run}/out/model"), "--to", "model"]);
    assert!(world.path("project/model/.aseptic-labels.json").is_file());
    let verify = ["attest", "verify", "model.sig", "--outputs", "model"];
    assert!(world.ok(&verify).contains("compared 2 files"));
    world.write("model/more", "");
    assert!(world.run(&verify).contains("code: attest/differs"));
}

#[test]
fn a_job_writes_no_list_of_labels() {
    let world = scans();
    let list = r#"{"format":"aseptic.labels/1","labels":[],"exports":[]}"#;
    let run = shell(&world, "d=scans", &format!("echo '{list}' >/out/.aseptic-labels.json; echo 1 >/out/a"));
    let refused = world.run(&["export", &format!("{run}/out"), "--to", "taken"]);
    assert!(refused.contains("code: export/sidecar-name"), "{refused}");
    assert!(!world.path("project/taken").exists());
    world.ok(&["export", &format!("{run}/out/a"), "--to", "taken"]);
    let written = std::fs::read_to_string(world.path("project/taken/a.aseptic-labels.json")).unwrap();
    assert!(written.contains("\"pii\"") && written.contains(&run), "{written}");
    // Nor does a link that lies in the way lead anywhere else.
    std::os::unix::fs::symlink("../scans/rows", world.path("project/taken/.aseptic-labels.json")).unwrap();
    let refused = world.run(&["export", &format!("{run}/out/a"), "--to", "taken", "--overwrite"]);
    assert!(refused.contains("exit: 0"), "another list is not this one: {refused}");
    let whole = shell(&world, "d=scans", "echo 1 >/out/b");
    let refused = world.run(&["export", &whole, "--to", "taken"]);
    assert!(refused.contains("code: export/sidecar"), "{refused}");
    assert_eq!(std::fs::read_to_string(world.path("project/scans/rows")).unwrap(), "2\n1\n");
}

#[test]
fn archives_and_shared_versions_carry_labels() {
    let world = scans();
    let run = shell(&world, "d=scans", "cp /data/d/rows /out/x; echo 1 >/out/y");
    world.ok(&["export", &format!("{run}/out"), "--to", "made"]);
    world.ok(&["dataset", "add", "made", "--name", "made"]);
    world.ok(&["archive", "made", "../backup"]);
    world.ok(&["restore", "../backup", "--as", "again"]);
    assert_eq!(newest(&world, "again")["labels"], json!(["pii"]));
    world.ok(&["dataset", "share", "made", "--to", "other"]);
    let there = world.json(&["dataset", "show", "made", "--project", "other", "--json"]);
    assert_eq!(there["versions"][0]["labels"], json!(["pii"]));
}

/// Whatever happens at the same time: what started after a label was there was decided with it, and everything has it
/// in the end.
#[test]
fn a_label_that_comes_while_runs_start_is_not_missed() {
    let world = scans();
    let run = |number: usize| {
        let name = format!("r{number}");
        let arguments = [
            "run",
            "--quiet",
            "--no-code",
            "--data",
            "d=scans",
            "--name",
            &name,
            "--",
            "cp",
            "/data/d/rows",
            "/out/x",
        ];
        world.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut started: Vec<_> = (0..4).map(run).collect();
    world.ok(&["label", "scans", "secret"]);
    started.extend((4..8).map(run));
    for process in &mut started {
        process.wait().unwrap();
    }
    let ledger = world.json(&["ledger", "show", "--json", "--limit", "1000"]);
    let entries = ledger["entries"].as_array().unwrap();
    let of = |kind: &str| {
        let all = entries.iter().filter(|entry| entry["entry"]["event"]["type"] == kind);
        all.map(|entry| (entry["index"].as_u64().unwrap(), entry["entry"]["event"]["body"]["run"].clone()))
            .collect::<Vec<_>>()
    };
    let (labelled, _) = of("dataset.labelled")[0].clone();
    let mut both = 0;
    for (index, run) in of("run.sealed") {
        let run = run.as_str().unwrap();
        let record = world.json(&["show", run, "--json"]);
        assert_eq!(record["labels"], json!(["pii", "secret"]), "{index}: {record:#}");
        both += 1;
    }
    assert!(both >= 4, "those that began later are whole: {ledger:#}");
    for (index, run) in of("run.started").into_iter().filter(|(index, _)| *index > labelled) {
        let record = world.json(&["show", run.as_str().unwrap(), "--json"]);
        let planned = &record["inputs"]["d"]["labels"];
        assert_eq!(planned, &json!(["pii", "secret"]), "it started at {index}, after {labelled}: {record:#}");
    }
    assert_derived(&world);
}

#[test]
fn a_run_that_goes_on_ends_with_the_labels_of_its_inputs() {
    let world = scans();
    let arguments =
        ["run", "--quiet", "--no-code", "--data", "d=scans", "--name", "going", "--", "sleep", "600"];
    let mut going = world.command(&arguments).spawn().unwrap();
    wait_until("it started", || {
        let shown = world.output(&["ledger", "show", "--json", "--type", "run.started"]);
        String::from_utf8_lossy(&shown.stdout).contains("run.started")
    });
    world.ok(&["label", "scans", "secret"]);
    assert!(Command::new("kill").args(["-INT", &going.id().to_string()]).status().unwrap().success());
    going.wait().unwrap();
    let ledger = world.json(&["ledger", "show", "--json", "--type", "run.sealed"]);
    let sealed = &ledger["entries"][0]["entry"]["event"]["body"]["labels"];
    assert_eq!(sealed, &json!(["pii", "secret"]), "the entry says it, too");
}

#[test]
fn a_replay_is_decided_by_the_labels_of_today() {
    let world = scans();
    let run = shell(&world, "d=scans", "cp /data/d/rows /out/x");
    world.ok(&["label", "scans", "secret"]);
    world.ok(&["declassify", "scans", "--label", "pii", "--reason", "blurred"]);
    let replayed = world.run(&["replay", "--quiet", &run]);
    assert!(replayed.contains("exit: 0"), "{replayed}");
    let record = world.json(&["show", "latest", "--json"]);
    assert_eq!(record["inputs"]["d"]["labels"], json!(["secret"]));
    assert_eq!(record["labels"], json!(["secret"]));
}

/// A label that no rule reads protects nothing.
#[test]
fn a_label_that_is_nearly_one_that_rules_know_is_noted() {
    let world = scans();
    let note = "note: no shipped rule knows `hold-out`; did you mean `holdout`?";
    assert!(world.run(&["label", "scans", "hold-out", "region=eu"]).contains(note));
    assert!(world.run(&["dataset", "label", "scans", "hold-out"]).contains(note));
    world.write("more", "1");
    assert!(world.run(&["dataset", "add", "more", "--name", "more", "--label", "hold-out"]).contains(note));
    let nothing = world.run(&["declassify", "scans", "--label", "pi", "--reason", "x"]);
    assert!(
        nothing.contains("scans@1 has none of these labels, but `hold-out`, `pii`, `region=eu`."),
        "{nothing}"
    );
}
