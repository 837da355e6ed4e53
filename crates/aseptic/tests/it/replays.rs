//! Replay: the same plan once more, and what comes of it beside what came of it then.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::Value;

use crate::world::{World, wait_until};

/// A replay with its exit code and its document.
fn replayed(world: &World, arguments: &[&str]) -> (i32, Value) {
    let output = world.output(&[&["replay", "--json", "--quiet"], arguments].concat());
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap_or(-1), document)
}

fn run_of(world: &World, index: usize) -> String {
    world.json(&["runs", "--json"])["runs"][index]["run"].as_str().unwrap().to_owned()
}

#[track_caller]
fn refused(world: &World, arguments: &[&str], code: &str, exit: i32) -> String {
    let known = world.json(&["runs", "--json"])["runs"].as_array().unwrap().len();
    let (status, document) = replayed(world, arguments);
    assert_eq!((status, document["code"].as_str()), (exit, Some(code)), "{document:#}");
    assert_eq!(world.json(&["runs", "--json"])["runs"].as_array().unwrap().len(), known, "a run was made");
    document.to_string()
}

/// The digits of the main job, with the standard library alone: a classifier that is trained and evaluated.
const TRAIN: &str = "
import csv, json, os, random
params = json.load(open(os.environ['ASEPTIC_PARAMS']))
random.seed(params['seed'])
rows = [[float(cell) for cell in row] for row in csv.reader(open('/data/train/digits.csv'))]
weights = [random.gauss(0, 0.01) for _ in rows[0][:-1]]
for epoch in range(params['epochs']):
    random.shuffle(rows)
    for *x, y in rows:
        wrong = y - (1 if sum(w * v for w, v in zip(weights, x)) > 0 else 0)
        weights = [w + params['lr'] * wrong * v for w, v in zip(weights, x)]
right = sum((sum(w * v for w, v in zip(weights, x)) > 0) == (y == 1) for *x, y in rows)
json.dump({'accuracy': right / len(rows)}, open('/out/metrics.json', 'w'))
csv.writer(open('/out/weights.csv', 'w')).writerows(enumerate(weights))
";

fn digits(world: &World) {
    let row = |n: u32| {
        let pixels: Vec<_> = (0..8).map(|pixel| ((n * 7 + pixel * n) % 17).to_string()).collect();
        format!("{},{}\n", pixels.join(","), u32::from((n * 7) % 17 > 8))
    };
    world.write("rows/digits.csv", (0..60).map(row).collect::<String>());
    world.write("src/train.py", TRAIN);
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    let parameters = ["--param", "seed=1", "--param", "epochs=3", "--param", "lr=0.1"];
    let start = ["run", "--quiet", "--code", "src", "--data", "train=digits"];
    world.ok(&[&start[..], &parameters, &["--", "/usr/bin/python3", "train.py"]].concat());
}

#[test]
fn training_on_digits_is_deterministic() {
    let world = World::new();
    digits(&world);
    let run = run_of(&world, 0);
    world.write("src/train.py", "raise SystemExit('not the code of the run')");
    let (code, document) = replayed(&world, &[&run, "--times", "5"]);
    assert_eq!((code, &document["deterministic"]), (0, &Value::Bool(true)), "{document:#}");
    assert_eq!(document["replays"].as_array().unwrap().len(), 5);
    for replay in document["replays"].as_array().unwrap() {
        assert_eq!(
            (&replay["report"]["verdict"], &replay["report"]["effects"]["identical"]),
            (&"identical".into(), &2.into())
        );
    }
    let shown = world.ok(&["show", &run]);
    assert!(shown.contains("replayed    5 times: identical"), "{shown}");
    let record = world.json(&["show", "--json", "latest"]);
    let first = world.json(&["show", "--json", &run]);
    assert_eq!((&record["replays"], &record["plan"]), (&first["run"], &first["plan"]));
    let planned = world.json(&["ledger", "show", "--json", "--type", "run.planned"]);
    assert_eq!(planned["entries"][1]["entry"]["event"]["body"]["replays"], first["run"]);
    // The reports stay, and the catalog is what the ledger says.
    let dump = world.ok(&["catalog", "dump"]);
    world.ok(&["gc", "--now", "--quiet"]);
    world.ok(&["catalog", "rebuild"]);
    let rebuilt = world.ok(&["catalog", "dump"]);
    let replays = |dump: &str| {
        dump.lines().filter(|line| line.starts_with("replay\t")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(replays(&dump), replays(&rebuilt));
    assert_eq!(replays(&dump).len(), 5);
    world.ok(&["ledger", "verify"]);
    world.assert_no_leftovers();
}

#[test]
fn what_varies_is_named() {
    let world = World::new();
    let script = "echo same > /out/same; head -c 8 /dev/urandom | od -An -tx1 > /out/random";
    world.shell(script);
    let run = run_of(&world, 0);
    let (code, document) = replayed(&world, &[&run, "--times", "3"]);
    assert_eq!((code, document["replays"].as_array().unwrap().len()), (1, 1), "it stops at the first");
    let (code, document) = replayed(&world, &[&run, "--times", "3", "--keep-going"]);
    assert_eq!((code, document["replays"].as_array().unwrap().len()), (1, 3));
    assert_eq!(document["varying"], serde_json::json!(["out/random"]));
    assert_eq!(document["deterministic"], false);
    let text = String::from_utf8(world.output(&["replay", &run, "--times", "2"]).stdout).unwrap();
    assert!(text.contains("different") && text.contains("out/random varies"), "{text}");
}

/// Numbers that are nearly equal, a missing and a new file, another exit code.
#[test]
fn a_replay_does_not_stand_for_its_experiment() {
    let world = World::new();
    world.write(
        "aseptic.toml",
        "[project]\nname = \"p\"\n[experiment.train]\ncommand = [\"sh\", \"-c\", \"echo 1 > /out/m\"]\n",
    );
    world.ok(&["run", "--quiet", "train"]);
    let old = run_of(&world, 0);
    world.ok(&["run", "--quiet", "train", "--param", "a=1"]);
    let newest = run_of(&world, 0);
    world.ok(&["replay", "--quiet", &old]);
    assert_eq!(world.json(&["show", "train", "--json"])["run"], newest.as_str());
}

#[test]
fn each_verdict() {
    let world = World::new();
    let script =
        |body: &str| format!("import random, sys, time\nnoise = time.time_ns() % 1000 / 1e13\n{body}");
    let run = |body: &str| {
        world.output(&["run", "--quiet", "--", "/usr/bin/python3", "-c", &script(body)]);
        run_of(&world, 0)
    };
    let nearly = run("open('/out/m.json', 'w').write('{\"loss\": %r}' % (0.5 + noise))");
    let (code, document) = replayed(&world, &[&nearly]);
    let output = &document["replays"][0]["report"]["effects"]["outputs"][0];
    assert_eq!(
        (code, &document["verdict"], &output["values"]["format"]),
        (0, &"equivalent".into(), &"json".into()),
        "{document:#}"
    );
    let (code, _) = replayed(&world, &[&nearly, "--tolerance", "0"]);
    assert_eq!(code, 1);
    let named = run("open('/out/%d' % time.time_ns(), 'w')");
    let (code, document) = replayed(&world, &[&named]);
    let outputs = document["replays"][0]["report"]["effects"]["outputs"].as_array().unwrap().clone();
    let mut changes: Vec<_> = outputs.iter().map(|output| output["change"].as_str().unwrap()).collect();
    changes.sort_unstable();
    assert_eq!((code, changes), (1, vec!["missing", "new"]));
    let ends = run("sys.exit(1 + time.time_ns() // 1000 % 200)");
    let (code, document) = replayed(&world, &[&ends, "--times", "3", "--keep-going"]);
    assert_eq!((code, &document["verdict"]), (1, &"different".into()), "{document:#}");
}

#[test]
fn what_was_piped_in_is_given_again() {
    let world = World::new();
    let mut command = world.command(&["run", "--quiet", "--", "sh", "-c", "cat > /out/given"]);
    let mut running = command.stdin(Stdio::piped()).spawn().unwrap();
    let given = "0123456789\n".repeat(200_000);
    running.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    assert!(running.wait().unwrap().success());
    let (code, document) = replayed(&world, &["latest"]);
    assert_eq!((code, &document["verdict"]), (0, &"identical".into()), "{document:#}");
    let outputs = world.json(&["show", "--json", "latest"])["outputs"].clone();
    assert_eq!(outputs[0]["size"], given.len());
}

#[test]
fn what_is_gone_or_damaged_is_named() {
    let world = World::new();
    world.write("rows/a", "1");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    world.ok(&["run", "--quiet", "--data", "d=digits", "--no-code", "--", "true"]);
    let run = run_of(&world, 0);
    world.write("rows/a", "2");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    let said = world.output(&["replay", &run]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("input `d` is digits@1; the newest version is 2"), "{said}");
    world.ok(&["retention", "set", "digits@1", "0d"]);
    world.ok(&["gc", "--now", "--quiet"]);
    let said = refused(&world, &[&run], "replay/missing", 2);
    assert!(said.contains("input `d` (digits@1) is gone") && said.contains("retention class 0d"), "{said}");

    world.write("rows/b", "bytes that are damaged next");
    world.ok(&["dataset", "add", "rows", "--name", "other"]);
    world.ok(&["run", "--quiet", "--data", "d=other", "--no-code", "--", "true"]);
    let run = run_of(&world, 0);
    for (path, bytes, _) in crate::world::contents(&world.path("state/projects/default/store")) {
        if bytes.windows(12).any(|window| window == b"damaged next") {
            let mut bytes = bytes;
            let at = bytes.windows(12).position(|window| window == b"damaged next").unwrap();
            bytes[at] ^= 1;
            let permissions = std::fs::metadata(&path).unwrap().permissions();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::write(&path, bytes).unwrap(); // In place: the directory of a view takes no change.
            std::fs::set_permissions(&path, permissions).unwrap();
        }
    }
    let said = refused(&world, &[&run], "replay/damaged", 4);
    assert!(said.contains("input `d` (other@1)"), "{said}");
}

#[test]
fn another_environment_is_refused_and_named() {
    let world = World::new();
    let package = crate::diffs::venv_with(&world, "demo", "1.5");
    world.ok(&["run", "--quiet", "--python", ".venv", "--no-code", "--", "true"]);
    let run = run_of(&world, 0);
    assert_eq!(replayed(&world, &[&run]).0, 0);
    package.set("1.6");
    let said = refused(&world, &[&run], "replay/changed", 2);
    assert!(said.contains("package demo: 1.5 -> 1.6"), "{said}");
    let (code, document) = replayed(&world, &[&run, "--allow-changed"]);
    let report = &document["replays"][0]["report"];
    assert_eq!((code, &report["changed"][0]), (0, &"package demo: 1.5 -> 1.6".into()), "{report:#}");
    package.set("1.5");
    assert_eq!(replayed(&world, &[&run]).0, 0, "it is as it was");
    std::fs::remove_dir_all(world.path("project/.venv")).unwrap();
    refused(&world, &[&run], "replay/environment", 2);
}

#[test]
fn what_has_no_result_is_not_repeated() {
    let world = World::new();
    refused(&world, &["latest"], "run/none", 2);
}

/// A run that succeeded, and a replay of it whose job goes on: it waits for a file that is in no plan.
fn waiting_replay(world: &World) -> (String, std::process::Child) {
    crate::diffs::venv_with(world, "demo", "1.5");
    let wait = world.write(".venv/wait", "0");
    let script = format!("echo ready; exec sleep $(cat {})", wait.display());
    world.ok(&["run", "--quiet", "--python", ".venv", "--no-code", "--", "sh", "-c", &script]);
    let run = run_of(world, 0);
    world.write(".venv/wait", "300");
    let replay = world.command(&["replay", "--quiet", &run]).stderr(Stdio::null()).spawn().unwrap();
    wait_until("it runs", || {
        run_of(world, 0) != run && world.output(&["logs", "latest"]).stdout == b"ready\n"
    });
    (run, replay)
}

/// A replay whose supervisor is killed is sealed by the next command, as one that repeats a run.
#[test]
fn a_killed_replay_is_sealed() {
    let world = World::new();
    let (run, mut replay) = waiting_replay(&world);
    signal(&replay, "-KILL");
    replay.wait().unwrap();
    wait_until("it is sealed", || world.json(&["runs", "--json"])["runs"][0]["status"] == "aborted");
    assert_eq!(world.json(&["show", "--json", "latest"])["replays"], run.as_str());
    world.assert_no_leftovers();
    world.write(".venv/wait", "0");
    assert_eq!(replayed(&world, &[&run]).0, 0, "it can be repeated again");
}

fn signal(process: &std::process::Child, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A run that succeeded; its replay waits for a file that is in no plan, and is stopped meanwhile.
#[test]
fn an_interrupted_replay_has_no_verdict() {
    let world = World::new();
    let (run, mut replay) = waiting_replay(&world);
    signal(&replay, "-INT");
    assert_eq!(replay.wait().unwrap().code(), Some(130));
    let shown = world.ok(&["show", "latest"]);
    assert!(shown.contains("aborted") && shown.contains(&format!("{run}: not compared")), "{shown}");
    // So it is where the repeated run was interrupted, too: who interrupts both has not shown that they are equal.
    let first = run_of(&world, 0);
    let mut replay =
        world.command(&["replay", "--quiet", "--times", "3", &first]).stderr(Stdio::null()).spawn().unwrap();
    wait_until("it runs", || {
        run_of(&world, 0) != first && world.output(&["logs", "latest"]).stdout == b"ready\n"
    });
    signal(&replay, "-INT");
    assert_eq!(replay.wait().unwrap().code(), Some(130));
    let kinds = world.json(&["ledger", "show", "--json", "--type", "run.replayed"]);
    assert_eq!(kinds["entries"], serde_json::json!([]));
    world.assert_no_leftovers();
}

/// What a job left is hostile: what is said of it has no escape sequence in it, and takes no memory.
#[test]
fn hostile_outputs_are_compared_plainly() {
    let world = World::new();
    let script = "import os, time
evil = '\\x1b[2J\\x1b]0;owned\\x07'
open('/out/' + evil + '.json', 'w').write('{\"' + evil.replace(chr(27), 'e') + '\": %d.5}' % time.time_ns())
open('/out/deep.json', 'w').write('[' * 1000000 + str(time.time_ns()))
open('/out/a.npy', 'wb').write(b'\\x93NUMPY\\x02\\x00\\xff\\xff\\xff\\xff' + str(time.time_ns()).encode())
open('/out/a.npz', 'wb').write(b'PK\\x03\\x04' + os.urandom(1000))
open('/out/a.parquet', 'wb').write(b'PAR1' + os.urandom(1000) + b'\\xff\\xff\\xff\\x7fPAR1')
open('/out/a.pkl', 'wb').write(b'\\x80\\x04' + os.urandom(10))
open('/out/a.csv', 'w').write('a,\"' + evil * 1000 + str(time.time_ns()))
";
    world.ok(&["run", "--quiet", "--", "/usr/bin/python3", "-c", script]);
    let output = world.output(&["replay", "latest"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(!stdout.contains('\u{1b}') && !stdout.contains('\u{7}'), "{stdout:?}");
    assert!(stdout.contains("deeper than 128") && stdout.contains("not loaded"), "{stdout}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

/// The file of metrics is compared line by line but for its times, not by what a summary has of it.
#[test]
fn values_in_the_middle_of_metrics_count() {
    let world = World::new();
    let replay = |middle: &str| {
        let line = format!("print('{{\"time\": %r, \"loss\": %s, \"of\": \"x\"}}' % (now(), {middle}))");
        let lines = ["print('{\"loss\": 0}')", &line, "print('{\"loss\": 1}')", "print('{\"loss\": 0.5}')"];
        let script = format!(
            "import os, sys, time\nnow = time.time\nsys.stdout = open(os.environ['ASEPTIC_METRICS'], 'w')\n{}",
            lines.join("\n")
        );
        world.ok(&["run", "--quiet", "--", "/usr/bin/python3", "-c", &script]);
        let (code, document) = replayed(&world, &["latest"]);
        let effects = &document["replays"][0]["report"]["effects"];
        (code, document["verdict"].clone(), effects["outputs"].clone())
    };
    assert_eq!(replay("0.25"), (0, "identical".into(), serde_json::json!([])));
    let (code, verdict, outputs) = replay("0.25 + now() % 1e-3 * 1e-9");
    assert_eq!((code, verdict, &outputs[0]["change"]), (0, "equivalent".into(), &"equivalent".into()));
    let (code, verdict, outputs) = replay("now() % 1");
    assert_eq!((code, verdict), (1, "different".into()));
    assert_eq!(outputs[0]["values"]["first"][0]["at"], "line 2 /loss");
    let (code, verdict, _) = replay("'0.25, \"text\": \"%r\"' % now()");
    assert_eq!((code, verdict), (1, "different".into()));
}
