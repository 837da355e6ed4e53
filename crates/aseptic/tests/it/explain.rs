//! What a run was denied, and what the user is told to do about it.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use crate::world::World;

const PYTHON: &str = "/usr/bin/python3";

/// Runs the script with `--explain`; gives the exit code and the record.
fn explained(world: &World, script: &str) -> (i32, Value) {
    world.run_json(&["--explain", "--", PYTHON, "-c", script])
}

/// `action target: reason` of everything denied, without the settings of this machine that its C library
/// looks for.
fn denied(run: &Value) -> Vec<String> {
    let text = |denied: &Value, key: &str| denied[key].as_str().unwrap().to_owned();
    let entries = run["denied"].as_array().unwrap().iter();
    let line =
        |entry| format!("{} {}: {}", text(entry, "action"), text(entry, "target"), text(entry, "reason"));
    let settings = |line: &String| ["open /etc/", "open /usr/"].iter().any(|start| line.starts_with(start));
    entries.map(line).filter(|line| !settings(line)).collect()
}

fn wall<'r>(run: &'r Value, name: &str) -> &'r Value {
    run["walls"].as_array().unwrap().iter().find(|wall| wall["name"] == name).unwrap()
}

/// The commands in the advice on `target`.
fn commands(run: &Value, target: &str) -> Vec<String> {
    let entries = run["denied"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["target"] == target).unwrap();
    entry["help"].as_str().unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn a_file_of_the_host_is_named_and_its_suggestion_works() {
    let world = World::new();
    let data = world.path("user/points.csv");
    fs::write(&data, "1,2\n").unwrap();
    let data = data.canonicalize().unwrap().to_str().unwrap().to_owned();
    let script = format!("open('/nonsense/points.csv') if False else open('{data}')");
    let (code, run) = explained(&world, &script);
    assert_eq!(code, 1);
    assert_eq!(denied(&run), [format!("open {data}: not-in-the-run")]);
    assert!(run["observed"]["attempts"].as_u64().unwrap() > 1);
    assert_eq!(wall(&run, "denied attempts")["state"], "done");
    // What is suggested is done, word by word, and works.
    let commands = commands(&run, &data);
    let add: Vec<_> = commands[0].split(' ').skip(1).collect();
    world.ok(&add);
    let option: Vec<_> = commands[1].split(' ').collect();
    let help = run["denied"][0]["help"].as_str().unwrap();
    let inside = help.rsplit("read ").next().unwrap();
    let read = world.ok(&[&["run", "--quiet"], &option[..], &["--", "cat", inside]].concat());
    assert_eq!(read, "1,2\n");
    world.assert_no_leftovers();
}

#[test]
fn what_is_nowhere_is_not_reported() {
    let world = World::new();
    let script = "
for path in ['/nonsense/x', '/home/job/nonsense', 'nonsense', '/data/x', '/proc/1/environ', '/dev/stdin']:
    try:
        open(path).close()
    except OSError:
        pass
open('/tmp/made', 'w').close(); open('/tmp/made').close()";
    let (code, run) = explained(&world, script);
    assert_eq!((code, denied(&run).len()), (0, 0), "{run:#}");
}

#[test]
fn writes_programs_addresses_and_rules() {
    let world = World::new();
    world.write("d/x.csv", "1\n");
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    fs::remove_dir_all(world.path("project/d")).unwrap();
    world.write(".asepticignore", "large/\n");
    world.write("large/model.bin", "m");
    world.write(".gitignore", ".env\n");
    world.write(".env", "TOKEN=sesame");
    fs::create_dir(world.path("user/.aws")).unwrap();
    fs::write(world.path("user/.aws/credentials"), "sesame").unwrap();
    let script = "
import os, socket
def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        pass
attempt(open, '/data/d/x.csv', 'w')
attempt(os.mkdir, '/data/d/new')
attempt(os.execv, '/data/d/x.csv', ['x'])
attempt(open, 'large/model.bin')
attempt(open, '.env')
attempt(open, os.path.expanduser('~/.aws/credentials'))
for _ in range(3):
    attempt(socket.create_connection, ('192.0.2.1', 443))";
    let (code, run) = world.run_json(&["--explain", "--data", "d=d", "--", PYTHON, "-c", script]);
    assert_eq!(code, 0, "{run:#}");
    let expected = [
        "connect 192.0.2.1:443: not-granted",
        "open /work/large/model.bin: not-in-the-run",
        "execute /data/d/x.csv: permissions",
        "open /work/.env: not-in-the-run",
        "write /data/d/new: read-only",
        "write /data/d/x.csv: read-only",
        "open /home/job/.aws/credentials: not-in-the-run",
    ];
    assert_eq!(denied(&run), expected, "{run:#}");
    let entry = |target: &str| {
        run["denied"].as_array().unwrap().iter().find(|entry| entry["target"] == target).unwrap()
    };
    let help = |target: &str| entry(target)["help"].as_str().unwrap();
    assert!(help("/work/large/model.bin").starts_with("the rule `large/` in `.asepticignore`"));
    assert_eq!(help("/work/.env"), "the rule `.env` in `.gitignore` keeps it out of the code");
    assert!(help("/data/d/x.csv").contains("inputs are"));
    assert!(help("192.0.2.1:443").ends_with("`--network 192.0.2.1:443`"));
    assert!(!help("/home/job/.aws/credentials").contains('`'), "a credential is suggested");
    assert_eq!(entry("192.0.2.1:443")["count"], 3);
}

#[test]
fn the_table_for_people() {
    let world = World::new();
    fs::create_dir(world.path("user/set")).unwrap();
    for name in ["a.csv", "b.csv"] {
        fs::write(world.path("user/set").join(name), "x").unwrap();
    }
    let set = world.path("user/set");
    let script = format!("cat {0}/a.csv {0}/b.csv 2>/dev/null; cat {0}/a.csv", set.display());
    assert_snapshot!(world.run(&["run", "--explain", "--", "sh", "-c", &script]), @r#"
    exit: 1
    --- stdout
    --- stderr
    run [run]  plan [short]  sh -c 'cat [world]/user/set/a.csv [world]/user/set/b.csv 2>/dev/null; cat [world]/user/set/a.csv'
    cat: [world]/user/set/a.csv: No such file or directory
    failed with exit code 1 after [duration] ([duration] of aseptic's own)  run [run]
      used [usage]
      kept 0 files, 0 B; `aseptic show [run]` has everything
      denied: 3 attempts
        open  [world]/user/set/a.csv  2 times  not in the run
        open  [world]/user/set/b.csv  once     not in the run
          help: `aseptic dataset add [world]/user/set --name set` (all of that directory, look at it first), run with `--data set=set` or `data = { "set" = "set" }` in the spec, and read /data/set
    "#);
    assert_snapshot!(world.run(&["run", "--explain", "--quiet", "--no-code", "--", "true"]), @r"
    exit: 0
    --- stdout
    --- stderr
      denied: nothing that is on this machine
    ");
}

/// The program suggests `--explain` itself where a failure looks like a denial, and not otherwise.
#[test]
fn a_failure_that_looks_like_a_denial() {
    let world = World::new();
    let stderr = |arguments: &[&str]| {
        String::from_utf8(world.output(&[&["run", "--no-code"], arguments].concat()).stderr).unwrap()
    };
    let said = stderr(&["--", PYTHON, "-c", "open('/home/me/a b.csv')"]);
    let expected = format!("aseptic run --no-code --explain -- {PYTHON} -c 'open(");
    assert!(said.contains("FileNotFoundError") && said.contains(&expected), "{said}");
    let said = stderr(&["--", "sh", "-c", "echo x > /usr/x"]);
    assert!(said.contains("--explain"), "{said}");
    let said = stderr(&["--", "sh", "-c", "echo wrong shape >&2; exit 1"]);
    assert!(!said.contains("--explain"), "{said}");
    let said = stderr(&["--", "sh", "-c", "echo FileNotFoundError >&2"]);
    assert!(!said.contains("--explain"), "it succeeded: {said}");
    let said = stderr(&["--explain", "--", "sh", "-c", "cat /nonsense"]);
    assert!(!said.contains("--explain"), "{said}");
    let said = stderr(&["--", PYTHON, "-c", "import socket; socket.create_connection(('localhost', 5432))"]);
    assert!(said.contains("--network 127.0.0.1:PORT") && !said.contains("--explain"), "{said}");
}

#[test]
fn without_it_the_record_says_that_nothing_was_observed() {
    let world = World::new();
    let (code, run) = world.run_json(&["--", "cat", "/nonsense"]);
    assert_eq!((code, run.get("observed")), (1, None));
    assert_eq!(wall(&run, "denied attempts")["state"], "not-enforced");
    let shown = world.ok(&["show", "latest"]);
    assert!(shown.contains("report      denied attempts: files and programs are not observed"), "{shown}");
}

/// The same job with and without `--explain` ends and prints the same.
#[test]
fn explaining_changes_nothing() {
    let world = World::new();
    world.write("x.txt", "x");
    let script = "ls -a; cat x.txt /etc/shadow /nonsense; mkdir d; mv x.txt d; echo y > /out/y; exit 3";
    let both = [&["run", "--quiet"][..], &["run", "--quiet", "--explain"]].map(|start| {
        let output = world.output(&[start, &["--", "sh", "-c", script]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        let said: Vec<_> =
            stderr.lines().filter(|line| line.starts_with("cat: ")).map(str::to_owned).collect();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    });
    assert_eq!(both[0], both[1]);
    assert_eq!((both[0].0, both[0].2.len()), (Some(3), 2));
}

#[test]
fn a_flood_of_targets_is_bounded_in_the_record() {
    let world = World::new();
    let script = "
import os
for number in range(10000):
    try:
        os.mkdir(f'/usr/{number}')
    except OSError:
        pass";
    let (code, run) = explained(&world, script);
    assert_eq!((code, denied(&run).len()), (0, 1_000));
    assert!(run["observed"]["unlisted"].as_u64().unwrap() >= 9_000);
}
