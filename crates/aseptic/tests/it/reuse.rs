//! `run --reuse`: the result of an equal plan, or a run and why.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::diffs::venv_with;
use crate::world::World;

/// A world with a run that left one file.
fn world() -> World {
    let world = World::new();
    world.write("digits/a", "1");
    world.write("train.sh", "cat /data/d/* > /out/model; echo $RANDOM >> /out/model");
    world.ok(&["dataset", "add", "digits", "--name", "digits"]);
    world.ok(&["run", "--quiet", "--data", "d=digits", "--param", "lr=1", "--", "bash", "train.sh"]);
    world
}

const JOB: [&str; 8] = ["--reuse", "--data", "d=digits", "--param", "lr=1", "--", "bash", "train.sh"];

/// The record, and what was said.
fn again(world: &World, arguments: &[&str]) -> (Value, String) {
    let output = world.output(&[&["run", "--json"], arguments].concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    (serde_json::from_slice(&output.stdout).unwrap(), stderr)
}

/// It ran, and said why.
fn ran(world: &World, arguments: &[&str], why: &str) {
    let before = runs(world);
    let (record, stderr) = again(world, arguments);
    assert_eq!(record.get("reused"), None);
    assert!(stderr.contains(&format!("note: nothing to reuse: {why}")), "{stderr}");
    assert_eq!(runs(world), before + 1);
}

fn runs(world: &World) -> usize {
    world.ok(&["runs", "--count"]).trim().parse().unwrap()
}

fn latest(world: &World) -> String {
    world.json(&["runs", "--json"])["runs"][0]["run"].as_str().unwrap().to_owned()
}

#[test]
fn an_equal_plan_gives_the_result_without_a_run() {
    let world = world();
    let run = latest(&world);
    let (record, stderr) = again(&world, &JOB);
    assert_eq!((&record["reused"], &record["run"]), (&true.into(), &run.as_str().into()));
    assert!(
        stderr.contains(&format!("reused run {run}")) && stderr.contains("nothing was started"),
        "{stderr}"
    );
    assert_eq!(runs(&world), 1);
    let shown = world.json(&["ledger", "show", "--json", "--type", "run.reused"]);
    let body = &shown["entries"][0]["entry"]["event"]["body"];
    assert_eq!((&body["run"], &body["plan"]), (&record["run"], &record["plan"]));
    world.assert_no_leftovers();
    // Without the option the same is run again.
    world.ok(&[&["run", "--quiet"][..], &JOB[1..]].concat());
    assert_eq!(runs(&world), 2);
}

/// What is the same to the run has the same digest, whatever is different around it.
#[test]
fn a_plan_has_the_same_digest_each_time() {
    let world = world();
    let plan = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = world.command(&[&["plan", "--json"][..], &JOB[1..]].concat());
        change(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["digest"].clone()
    };
    let first = plan(&|_| ());
    assert!(first.is_string(), "{first}");
    let file = fs::File::options().append(true).open(world.path("project/train.sh")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(plan(&|_| ()), first, "another time of a file");
    fs::create_dir(world.path("tmp")).unwrap();
    let around = |command: &mut std::process::Command| {
        command.env("TMPDIR", world.path("tmp")).env("LANG", "C").env("COLUMNS", "7").stdin(Stdio::piped());
    };
    assert_eq!(plan(&around), first, "another environment of the user");
    assert_eq!(plan(&|_| ()), first, "after other plans");
}

#[test]
fn anything_that_changed_is_run() {
    let world = world();
    let none = "no run with an equal plan has succeeded";
    let with = |at: usize, word: &'static str| {
        let mut words = JOB;
        words[at] = word;
        words
    };
    ran(&world, &with(4, "lr=2"), none);
    ran(&world, &with(6, "/bin/bash"), none);
    let environment = [&["--env", "A=1"][..], &JOB].concat();
    ran(&world, &environment, none);
    ran(&world, &[&["--limit", "wall=1h"][..], &JOB].concat(), none);
    let (record, _) = again(&world, &environment);
    assert_eq!(record["reused"], true);
    world.write("digits/a", "2");
    world.ok(&["dataset", "add", "digits", "--name", "digits"]);
    ran(&world, &JOB, none);
    world.write("train.sh", "cat /data/d/* > /out/model");
    ran(&world, &JOB, none);
    let (record, _) = again(&world, &JOB);
    assert_eq!(record["reused"], true);
    world.write("train.sh", "exit 3");
    for _ in 0..2 {
        let output = world.output(&[&["run"][..], &JOB].concat());
        assert_eq!(output.status.code(), Some(3), "a failed run is no result");
    }
}

/// Every file of the store, those of packs too.
fn stored(world: &World) -> Vec<PathBuf> {
    let mut open = vec![world.path("state/projects/default/store")];
    let mut files = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            match entry.metadata().unwrap() {
                kind if kind.is_dir() => open.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

#[test]
fn damaged_outputs_are_not_given_again() {
    let world = World::new();
    let marker = "the only bytes of their kind, again and again: ".repeat(10_000);
    world.write("data", &marker);
    let job = ["--", "sh", "-c", "cat data > /out/model; echo more >> /out/model"];
    world.ok(&[&["run", "--quiet"][..], &job].concat());
    let again_job = [&["--reuse"][..], &job].concat();
    assert_eq!(again(&world, &again_job).0["reused"], true);
    let outputs =
        world.json(&["show", "latest", "--json"])["outputs"][0]["blake3"].as_str().unwrap().to_owned();
    let object = stored(&world).into_iter().find(|path| {
        let name = path.to_string_lossy().replace('/', "");
        name.contains(&outputs[2..]) || name.contains(&outputs)
    });
    // A loose object, or in a pack that is damaged all over after its first bytes.
    let files = object.map_or_else(|| stored(&world), |path| vec![path]);
    for path in files.iter().filter(|path| !path.to_string_lossy().contains("views")) {
        let mut bytes = fs::read(path).unwrap();
        if bytes.len() < 2_000 && files.len() > 1 {
            continue;
        }
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let mut permissions = fs::metadata(path).unwrap().permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "in a directory of this test")]
        permissions.set_readonly(false);
        fs::set_permissions(path, permissions).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let output = world.output(&[&["run"][..], &again_job].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("nothing to reuse: "), "{stderr}");
    assert!(!stderr.contains("reused run"), "{stderr}");
}

#[test]
fn expired_outputs_are_not_given_again() {
    let world = world();
    world.ok(&["retention", "set", "run:latest", "0d"]);
    world.ok(&["gc", "--now", "--quiet"]);
    let before = runs(&world);
    let (record, stderr) = again(&world, &JOB);
    assert!(record.get("reused").is_none() && stderr.contains("nothing to reuse: "), "{stderr}");
    assert!(stderr.contains("deleted") || stderr.contains("expired"), "{stderr}");
    assert_eq!(runs(&world), before + 1);
    assert_eq!(again(&world, &JOB).0["reused"], true, "the new one is there");
}

/// Standard input is in no plan.
#[test]
fn what_is_piped_in_is_not_guessed() {
    let world = World::new();
    let piped = |arguments: &[&str], text: &str| {
        let mut child = world
            .command(&[&["run", "--json"], arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes()); // It may not be read.
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let job = ["--", "sh", "-c", "cat > /out/a"];
    assert_eq!(piped(&job, "one").0, Some(0));
    let (code, stderr) = piped(&[&["--reuse"][..], &job].concat(), "two");
    assert!(code == Some(125) && stderr.contains("code: run/reuse-input"), "{stderr}");
    let (code, stderr) = piped(&[&["--reuse", "--no-stdin"][..], &job].concat(), "two");
    assert!(code == Some(0) && stderr.contains("was given something on standard input"), "{stderr}");
    let (code, stderr) = piped(&[&["--reuse", "--no-stdin"][..], &job].concat(), "two");
    assert!(code == Some(0) && stderr.contains("reused run"), "{stderr}");
}

#[test]
fn a_reused_run_is_not_described_anew_and_says_what_may_differ() {
    let world = World::new();
    let job = ["--network", "127.0.0.1:9", "--", "true"];
    world.ok(&[&["run", "--quiet", "--name", "first"][..], &job].concat());
    let (record, stderr) =
        again(&world, &[&["--reuse", "--name", "second", "--tag", "x"][..], &job].concat());
    assert_eq!(record["reused"], true);
    assert!(stderr.contains("it had a network"), "{stderr}");
    assert!(stderr.contains("aseptic annotate"), "{stderr}");
    let run = &world.json(&["runs", "--json"])["runs"][0];
    assert_eq!((&run["name"], &run["tags"]), (&"first".into(), &serde_json::json!([])));
}

/// A plan has the versions of packages and their lists of files, and not what somebody edited since.
#[test]
fn a_package_edited_in_place_is_run() {
    let world = World::new();
    let package = venv_with(&world, "demo", "1");
    let python = ["--no-code", "--python", ".venv", "--"];
    let job = ["/usr/bin/python3", "-c", "open('/out/a', 'w').write('1')"];
    let job = [&["--reuse"], &python[..], &job].concat();
    ran(&world, &job, "no run with an equal plan has succeeded");
    assert_eq!(again(&world, &job).0["reused"], true);
    // What Python compiles for itself says nothing.
    fs::create_dir(package.site.join("__pycache__")).unwrap();
    fs::write(package.site.join("__pycache__/demo.pyc"), "").unwrap();
    assert_eq!(again(&world, &job).0["reused"], true);
    fs::write(package.site.join("demo.py"), "version = '2'\n").unwrap();
    ran(&world, &job, "since run");
    assert_eq!(again(&world, &job).0["reused"], true);
    let stderr = world.run(&["replay", "latest"]);
    assert!(!stderr.contains("files of the environment"), "{stderr}");
    fs::write(package.site.join("demo.py"), "version = '3'\n").unwrap();
    let stderr = world.run(&["replay", "latest"]);
    assert!(stderr.contains("files of the environment were changed since then, such as `"), "{stderr}");
}

#[test]
fn a_result_has_the_labels_of_today() {
    let world = world();
    world.ok(&["label", "run:latest", "restricted"]);
    let (record, _) = again(&world, &JOB);
    assert_eq!(record["reused"], true);
    assert!(record["labels"].to_string().contains("\"restricted\""), "{record}");
}
