//! Labelled data where nobody said that it is: recognised by its bytes.

use serde_json::json;

use crate::datasets::newest;
use crate::labels::{assert_derived, labels, scans, shell};
use crate::world::World;

#[test]
fn one_file_of_a_dataset_has_its_labels() {
    let world = scans();
    world.write("scans/more", "3\n");
    world.ok(&["dataset", "add", "scans", "--name", "scans"]);
    std::fs::create_dir(world.path("project/other")).unwrap();
    std::fs::rename(world.path("project/scans/rows"), world.path("project/other/innocent")).unwrap();
    world.ok(&["dataset", "add", "other/innocent", "--name", "file"]);
    assert_eq!(newest(&world, "file")["labels"], json!(["pii"]));
    world.write("other/mine", "mine\n");
    world.ok(&["dataset", "add", "other", "--name", "mixed"]);
    assert_eq!(newest(&world, "mixed")["labels"], json!(["pii"]));
    world.write("empty", "");
    world.ok(&["dataset", "add", "empty", "--name", "empty"]);
    assert_eq!(newest(&world, "empty")["labels"], json!([]));
    // What somebody took off stays off.
    world.ok(&["dataset", "unlabel", "mixed", "pii", "--reason", "was a mistake"]);
    world.write("other/mine", "mine, and more\n");
    world.ok(&["dataset", "add", "other", "--name", "mixed"]);
    assert_eq!(newest(&world, "mixed")["labels"], json!([]));
    assert_derived(&world);
}

#[test]
fn what_a_run_printed_has_its_labels() {
    let world = scans();
    for (name, script) in [("out", "sort -r /data/d/rows"), ("err", "cat /data/d/rows /data/d/rows >&2")] {
        let output =
            world.output(&["run", "--quiet", "--no-code", "--data", "d=scans", "--", "sh", "-c", script]);
        world.write(name, [output.stdout, output.stderr].concat());
        world.ok(&["dataset", "add", name, "--name", name]);
        assert_eq!(newest(&world, name)["labels"], json!(["pii"]), "{name}");
    }
    world.ok(&["label", "scans", "region=eu"]);
    assert_eq!(newest(&world, "err")["labels"], json!(["pii", "region=eu"]), "it came from the run");
    assert_derived(&world);
}

#[test]
fn what_is_piped_in_has_its_labels() {
    let world = scans();
    let run = |bytes: &str| {
        let file = world.write("piped", bytes);
        let mut command = world.command(&["run", "--quiet", "--no-code", "--", "sh", "-c", "cat > /out/x"]);
        assert!(command.stdin(std::fs::File::open(file).unwrap()).status().unwrap().success());
        labels(&world, "latest")
    };
    assert_eq!(run("2\n1\n"), json!(["pii"]), "a file of a dataset");
    assert_eq!(run("2\n1\n3\n"), json!([]));
    shell(&world, "d=scans", "sort /data/d/rows > /out/sorted");
    assert_eq!(run("1\n2\n"), json!(["pii"]), "what a run left");
    assert_derived(&world);
}

#[test]
fn labelled_data_in_the_code_labels_the_run() {
    let world = scans();
    let ran = world.output(&["run", "--", "cp", "scans/rows", "/out/x"]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("the code has `scans/rows` of scans@1, so the run is labelled `pii`"), "{said}");
    let record = world.json(&["show", "latest", "--json"]);
    assert_eq!(record["code"]["labels"], json!(["pii"]));
    assert!(record["labels"].as_array().unwrap().contains(&json!("pii")), "{record}");
    let denied = world.run(&["plan", "--network", "example.org:443", "--", "true"]);
    assert!(denied.contains("label/sensitive-egress") && denied.contains("`pii` (`code`)"), "{denied}");
    // The same run again is decided by the labels of then.
    let run = record["run"].as_str().unwrap();
    world.ok(&["label", "scans", "secret"]);
    world.ok(&["replay", "--quiet", run]);
    let again = world.json(&["show", "latest", "--json"]);
    assert_eq!(again["code"]["labels"], json!(["pii", "secret"]));
    world.write(".asepticignore", "/scans\n");
    world.ok(&["run", "--quiet", "--", "true"]);
    assert_eq!(world.json(&["show", "latest", "--json"])["code"]["labels"], json!(null));
    assert_derived(&world);
}

#[test]
fn a_run_with_more_labels_than_an_entry_holds_is_sealed() {
    let world = World::new();
    let mut all = Vec::new();
    for name in ["a", "b"] {
        let labels: Vec<_> = (0..4_000).map(|number| format!("{name}-{number:06}")).collect();
        let list = json!({ "format": "aseptic.labels/1", "labels": &labels, "exports": [] });
        world.write(&format!("{name}/rows"), name);
        world.write(&format!("{name}/.aseptic-labels.json"), list.to_string());
        world.ok(&["dataset", "add", name, "--name", name]);
        all.extend(labels);
    }
    let copy = [
        "run",
        "--quiet",
        "--no-code",
        "--data",
        "a=a",
        "--data",
        "b=b",
        "--",
        "cp",
        "/data/a/rows",
        "/out/",
    ];
    world.ok(&copy);
    world.assert_no_leftovers();
    assert_eq!(labels(&world, "latest"), json!(all));
    // What comes of it has all of them, too.
    let run = ["--no-code", "--data", "d=run:latest/out", "--json", "--", "true"];
    let plan = world.json(&[&["plan"], run.as_slice()].concat());
    assert_eq!(plan["plan"]["inputs"]["d"]["labels"], json!(all));
    let mut piped = world.command(&["run", "--quiet", "--no-code", "--data", "b=b", "--", "cat"]);
    piped.stdin(std::fs::File::open(world.path("project/a/rows")).unwrap());
    assert!(piped.output().unwrap().status.success());
    assert_eq!(labels(&world, "latest"), json!(all));
}
