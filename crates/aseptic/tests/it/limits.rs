//! A job at each of its limits: status, reason, help, exit code, record, and nothing left.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::world::{World, is_root, wait_until};

const MIB: u64 = 1 << 20;

/// Runs a script, which must end at the limit that `limits` set, with this status.
#[track_caller]
fn assert_ends(limits: &[&str], script: &str, status: &str) -> (World, Value) {
    let world = World::new();
    let (code, run) = run_with(&world, limits, script);
    assert_eq!(run["status"], status, "{run:#}");
    assert_ne!(code, 0, "{run:#}");
    world.assert_no_leftovers();
    (world, run)
}

fn run_with(world: &World, limits: &[&str], script: &str) -> (i32, Value) {
    let mut arguments = vec!["--no-code"];
    arguments.extend(limits.iter().flat_map(|limit| ["--limit", limit]));
    arguments.extend(["--", "/usr/bin/python3", "-S", "-c", script]);
    world.run_json(&arguments)
}

fn wall<'a>(run: &'a Value, name: &str) -> (&'a str, &'a str) {
    let wall = run["walls"].as_array().unwrap().iter().find(|wall| wall["name"] == name).unwrap();
    (wall["state"].as_str().unwrap(), wall["detail"].as_str().unwrap())
}

/// Writes a megabyte again and again, to a file that `open` opens, and stays.
fn fill(open: &str) -> String {
    format!(
        "import os, time
file = {open}
for number in range(30): file.write(b'x' * (1 << 20)); file.flush()
while True: time.sleep(1)"
    )
}

/// Forks until there are eight processes with 20 MiB each.
const GREEDY_FAMILY: &str = "import os, time
for number in range(8):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1 << 20)) * 20
        while True: time.sleep(1)
while True: time.sleep(1)";

#[test]
fn out_of_memory() {
    let (world, run) = assert_ends(&["memory=96MiB"], GREEDY_FAMILY, "out-of-memory");
    let reason = run["reason"].as_str().unwrap();
    assert!(reason.starts_with("memory limit of 96.0 MiB reached ("), "{reason}");
    let peak = run["usage"]["memory_peak_bytes"].as_u64().unwrap();
    assert!(peak > 60 * MIB, "{peak}");
    let (state, detail) = wall(&run, "limit: memory");
    assert_eq!(state, "done");
    assert!(
        detail.starts_with("96.0 MiB, hard: control group") || detail.contains("soft: RLIMIT_DATA"),
        "{detail}"
    );
    let listed = world.json(&["runs", "--json", "--status", "out-of-memory"]);
    assert_eq!(listed["runs"][0]["run"], run["run"]);
    assert_eq!(listed["runs"][0]["status"], "out-of-memory");
}

#[test]
fn a_memory_error_of_the_jobs_own_is_a_failure() {
    let world = World::new();
    let (code, run) = run_with(&world, &[], "raise MemoryError");
    assert_eq!((code, &run["status"], &run["reason"]), (1, &"failed".into(), &Value::Null));
}

#[test]
fn a_failure_that_looks_like_a_limit_says_which() {
    let world = World::new();
    let said = |limit: &str, script: &str| {
        world.run(&["run", "--no-code", "--limit", limit, "--", "python3", "-c", script])
    };
    let help = |key: &str| format!("help: if it failed at a limit, raise that with `--limit {key}`");
    let files = said("files=9", "kept = [open('/dev/null') for number in range(20)]");
    assert!(files.contains(&help("files=N")), "{files}");
    assert!(said("memory=1GiB", "raise MemoryError").contains(&help("memory=SIZE")));
    assert!(!said("files=99", "raise MemoryError").contains("if it failed at a limit"));
    assert!(
        said("processes=99", "raise RuntimeError(\"can't start new thread\")").contains(&help("processes=N"))
    );
}

#[test]
fn a_worker_that_is_killed_ends_the_run() {
    // The job itself would go on, and say that all is well.
    let script = "import os, time
if os.fork() == 0:
    kept = [os.urandom(1 << 20) for number in range(90)]
    time.sleep(1000)
os.wait()";
    let world = World::new();
    let (code, run) = run_with(&world, &["memory=64MiB"], script);
    let hard = wall(&run, "limit: memory").1.contains("hard");
    if hard {
        assert_eq!(run["status"], "out-of-memory", "{run:#}");
        assert!(matches!(code, 124 | 137), "its own 0, or the signal: {code}");
    } else {
        // Without a control group the worker gets an error, and what the job makes of that is its own.
        assert_eq!((code, &run["status"]), (0, &"succeeded".into()), "{run:#}");
    }
}

#[test]
fn scratch_full() {
    for place in ["/tmp/x", "/var/tmp/x", "/home/job/x", "/work/x"] {
        let script = fill(&format!("open('{place}', 'wb')"));
        let (_, run) = assert_ends(&["scratch=4MiB"], &script, "scratch-full");
        let reason = run["reason"].as_str().unwrap();
        assert!(reason.starts_with("scratch limit of 4.0 MiB reached ("), "{place}: {reason}");
        assert_eq!(wall(&run, "limit: scratch").0, "done");
    }
}

/// The twin: as much in `/out` and in holes is no scratch.
#[test]
fn outputs_and_holes_are_no_scratch() {
    let script = "import os
open('/out/x', 'wb').write(b'x' * (8 << 20))
open('/tmp/x', 'wb').truncate(1 << 40)
open('/dev/shm/x', 'wb').write(b'x' * (8 << 20))";
    let world = World::new();
    let (code, run) = run_with(&world, &["scratch=4MiB"], script);
    assert_eq!((code, &run["status"]), (0, &"succeeded".into()), "{run:#}");
}

#[test]
fn files_without_a_name_are_scratch() {
    for place in ["/tmp", "/work"] {
        let open =
            format!("open(os.open('{place}/x', os.O_RDWR | os.O_CREAT), 'wb'); os.unlink('{place}/x')");
        assert_ends(&["scratch=4MiB"], &fill(&open), "scratch-full");
    }
}

#[test]
fn a_closed_directory_hides_nothing() {
    let script = "import os, time
os.mkdir('/tmp/closed')
file = open('/tmp/closed/x', 'wb')
os.chmod('/tmp/closed', 0)
file.write(b'x' * (8 << 20)); file.flush()
while True: time.sleep(1)";
    let (_, run) = assert_ends(&["scratch=4MiB"], script, "scratch-full");
    let reason = run["reason"].as_str().unwrap();
    // Root looks in all the same.
    assert!(
        reason.contains(if is_root() { "limit of 4.0 MiB" } else { "`/tmp/closed` cannot be looked" }),
        "{reason}"
    );
}

#[test]
fn a_closed_tmp_hides_nothing() {
    let script = "import os, time
os.chmod('/tmp', 0o300)
open('/tmp/x', 'wb').write(b'x' * (8 << 20))
while True: time.sleep(1)";
    let (_, run) = assert_ends(&["scratch=4MiB"], script, "scratch-full");
    let reason = run["reason"].as_str().unwrap();
    assert!(
        reason.contains(if is_root() { "limit of 4.0 MiB" } else { "`/tmp` cannot be looked" }),
        "{reason}"
    );
}

#[test]
fn too_many_files() {
    let script = "import time
for number in range(3000): open(f'/tmp/{number}', 'w').close()
while True: time.sleep(1)";
    let (_, run) = assert_ends(&["scratch-files=1000"], script, "scratch-full");
    assert!(run["reason"].as_str().unwrap().starts_with("limit of 1000 scratch files reached"), "{run:#}");
}

#[test]
fn a_single_file_is_stopped_by_the_kernel() {
    let script = "import signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
file = open('/tmp/x', 'wb', buffering=0)
while True: file.write(b'x' * (1 << 20))";
    let (_, run) = assert_ends(&["scratch=4MiB", "outputs=2MiB"], script, "scratch-full");
    assert_eq!(wall(&run, "limit: size of a file"), ("done", "4.0 MiB, hard: RLIMIT_FSIZE, for each file"));
}

#[test]
fn outputs_full() {
    let script = "for number in range(9): open(f'/out/{number}', 'wb').write(b'x' * (1 << 20))";
    // However fast it is over, and although it says that all is well.
    let (_, run) = assert_ends(&["outputs=4MiB"], script, "outputs-full");
    assert!(run["reason"].as_str().unwrap().starts_with("outputs limit of 4.0 MiB reached ("), "{run:#}");
    let kept: u64 =
        run["outputs"].as_array().unwrap().iter().map(|output| output["size"].as_u64().unwrap()).sum();
    assert!((1..=4 * MIB).contains(&kept), "{run:#}");
    if run["exit_code"] == 0 {
        assert_eq!(run["skipped"][0]["reason"], "over the limit of output bytes");
    }
}

#[test]
fn the_end_at_a_limit_says_what_to_raise() {
    let world = World::new();
    let script = "import time; open('/out/x', 'wb').write(b'x' * (2 << 20)); time.sleep(1000)";
    let python = ["--", "/usr/bin/python3", "-S", "-c", script];
    let output = world.output(&[&["run", "--no-code", "--limit", "outputs=1MiB"], &python[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("outputs-full: outputs limit of 1.0 MiB reached (2.0 MiB used) after"), "{said}");
    assert!(said.contains("help: raise it with `--limit outputs=SIZE`"), "{said}");
    assert!(said.contains("of processor time and at most"), "{said}");
    let output =
        world.output(&[&["run", "--quiet", "--no-code", "--limit", "outputs=1MiB"], &python[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("outputs-full: ") && said.contains("help: "), "quiet, too: {said}");
}

#[test]
fn limits_within_which_a_job_stays_do_nothing() {
    let limits = [
        "memory=512MiB",
        "cpus=1",
        "processes=64",
        "files=64",
        "scratch=64MiB",
        "scratch-files=100",
        "outputs=64MiB",
        "wall=10m",
    ];
    let script = "import os, resource
open('/out/x', 'w').write('1'); open('/tmp/x', 'w').write('1')
print(resource.getrlimit(resource.RLIMIT_NOFILE))
print(os.statvfs('/dev/shm').f_blocks * os.statvfs('/dev/shm').f_bsize)";
    let world = World::new();
    let (code, run) = run_with(&world, &limits, script);
    assert_eq!((code, &run["status"]), (0, &"succeeded".into()), "{run:#}");
    assert_eq!(world.ok(&["logs", "latest"]), format!("(64, 64)\n{}\n", 512 * MIB));
    for key in ["wall", "processes", "memory", "cpus", "files", "scratch", "scratch-files", "outputs"] {
        let (state, detail) = wall(&run, &format!("limit: {key}"));
        assert!(state == "done" && (detail.contains("hard") || detail.contains("soft")), "{key}: {detail}");
    }
    let shown = world.ok(&["show", "latest"]);
    assert!(shown.contains("of processor time and at most") && shown.contains("counted by"), "{shown}");
    let planned =
        world.ok(&["plan", "--no-code", "--limit", "memory=512MiB", "--limit", "files=9", "--", "true"]);
    assert!(planned.contains("limit memory") && planned.contains("512.0 MiB"), "{planned}");
}

#[test]
fn usage_is_in_the_record() {
    let script = "import os, time
start = time.process_time()
while time.process_time() - start < 0.3: pass
kept = b'x' * (50 << 20)
file = open('/tmp/x', 'wb'); file.write(kept); file.flush(); os.fsync(file)";
    let world = World::new();
    for limits in [&[][..], &["memory=512MiB"]] {
        let (_, run) = run_with(&world, limits, script);
        let usage = &run["usage"];
        let number = |key: &str| usage[key].as_u64().unwrap();
        assert!(number("cpu_user_ms") + number("cpu_system_ms") >= 300, "{usage}");
        assert!(number("memory_peak_bytes") >= 50 * MIB, "{usage}");
        assert!(number("written_bytes") >= 50 * MIB, "{usage}");
        assert!(!usage["source"].as_str().unwrap().is_empty(), "{usage}");
    }
}

#[test]
fn values_that_are_no_limit() {
    let world = World::new();
    for limit in ["files=3", "memory=much", "scratch-files=-1", "cpus=0", "output=1MiB"] {
        let output = world.output(&["run", "--limit", limit, "--", "true"]);
        assert_eq!(output.status.code(), Some(125), "{limit}: {output:?}");
    }
}

/// Control groups of the host whose name holds `run`.
fn groups(run: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if entry.file_name().to_string_lossy().contains(run) {
                found.push(entry.path());
            }
            open.push(entry.path());
        }
    }
    found
}

#[test]
fn no_control_group_is_left_by_a_killed_supervisor() {
    let world = World::new();
    let script = "echo $ASEPTIC_RUN_ID; sleep 1000";
    let arguments = [
        "run",
        "--quiet",
        "--no-code",
        "--limit",
        "memory=64MiB",
        "--limit",
        "cpus=1",
        "--limit",
        "processes=50",
    ];
    let arguments = [&arguments[..], &["--", "sh", "-c", script]].concat();
    let mut child = world.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut run = [0; 12];
    child.stdout.as_mut().unwrap().read_exact(&mut run).unwrap();
    let run = String::from_utf8(run.to_vec()).unwrap();
    let hard = world.ok(&["doctor"]).contains("hard, by control group");
    assert_eq!(!groups(&run).is_empty(), hard);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the run is sealed", || {
        world.ok(&["runs"]);
        world.json(&["show", &run, "--json"])["status"] == "aborted"
    });
    assert_eq!(groups(&run), Vec::<PathBuf>::new());
    world.assert_no_leftovers();
}
