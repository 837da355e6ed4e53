//! Death at any point: nothing acknowledged is lost, nothing is left running, the next command repairs.

use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use crate::world::{World, processes_with, wait_until};

#[test]
fn a_killed_supervisor_takes_its_job_along_and_the_run_is_sealed_as_aborted() {
    let world = World::new();
    world.shell("echo before > /out/before");
    let marker = format!("job-of-{}", std::process::id());
    let script =
        format!(": {marker}; echo partial > /out/partial; echo ready; (setsid sleep 1000 &) ; sleep 1000");
    let mut command = world.command(&["run", "--quiet", "--", "sh", "-c", &script]);
    let mut supervisor = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    supervisor.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert!(processes_with(&marker).len() >= 2, "the supervisor, its jail, the job");
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    wait_until("every process of the job is gone", || processes_with(&marker).is_empty());

    let output = world.output(&["runs", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("as aborted"), "{said}");
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed["runs"][0]["status"], "aborted");
    let run = world.json(&["show", "latest", "--json"]);
    assert_eq!(run["status"], "aborted");
    assert_eq!(run["outputs"][0]["path"], "out/partial");
    assert_eq!(run["lineage"]["complete"], false);
    assert_eq!(world.ok(&["logs", "latest"]), "ready\n");
    world.assert_no_leftovers();
    assert!(world.ok(&["ledger", "verify"]).starts_with("verified 9 entries"));
}

#[test]
fn a_run_that_cannot_be_sealed_stops_nobody_else() {
    let world = World::new();
    world.damaged.store(true, Ordering::Relaxed); // A plan is removed from the store.
    world.shell("echo one");
    let mut command = world.command(&["run", "--quiet", "--", "sh", "-c", "echo ready; sleep 1000"]);
    let mut supervisor = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    supervisor.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let plan = world.json(&["runs", "--json"])["runs"][0]["plan"].as_str().unwrap().to_owned();
    let objects = world.path("state/projects/default/store/objects");
    let object = [objects.join(&plan[..2]).join(&plan), objects.join(&plan[..2]).join(&plan[2..])];
    let object = object.iter().find(|path| path.exists()).unwrap();
    std::fs::remove_file(object).unwrap();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    let marker = world.path("state/runs");
    wait_until("the lock is free", || {
        let output = world.output(&["runs"]);
        output.status.success() && String::from_utf8_lossy(&output.stderr).contains("could not seal run")
    });
    assert!(marker.exists(), "what it left is kept");
    assert_eq!(world.shell("echo two"), "two\n");
}

#[test]
fn a_ledger_brought_back_from_a_copy_is_taken_as_it_is() {
    let world = World::new();
    world.shell("echo one");
    let copy = world.path("copy");
    let cp = |from: &std::path::Path, to: &std::path::Path| {
        assert!(std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
    };
    cp(&world.path("state/ledger"), &copy);
    world.shell("echo two");
    std::fs::remove_dir_all(world.path("state/ledger")).unwrap();
    assert_eq!(world.output(&["runs"]).status.code(), Some(5), "without a ledger nothing is made up");
    cp(&copy, &world.path("state/ledger"));
    assert_eq!(world.json(&["runs", "--json"])["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_run_that_goes_on_is_not_taken_for_an_orphan() {
    let world = World::new();
    let script = "echo ready; while [ ! -e /tmp/x ]; do sleep 0.05; done";
    let mut command = world.command(&["run", "--quiet", "--limit", "grace=1s", "--", "sh", "-c", script]);
    let mut supervisor = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    supervisor.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(world.json(&["runs", "--json"])["runs"][0]["status"], "running");
    wait_until("its output so far is there", || world.output(&["logs", "latest"]).stdout == b"ready\n");
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
}

#[test]
fn killed_at_any_moment_it_leaves_a_ledger_that_verifies() {
    let world = World::new();
    world.write("d/x", "1");
    world.ok(&["dataset", "add", "d", "--name", "d"]);
    let script = "cat /data/d/x > /out/copy";
    for moment in 0..30 {
        let mut command = world.command(&["run", "--quiet", "--data", "d=d", "--", "sh", "-c", script]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(moment * 2)); // Where it dies is the point.
        let _ = child.kill();
        child.wait().unwrap();
    }
    let (code, _) = world.run_json(&["--data", "d=d", "--", "sh", "-c", script]);
    assert_eq!(code, 0);
    world.ok(&["ledger", "verify"]);
    world.ok(&["dataset", "verify", "d"]);
    let runs = world.json(&["runs", "--json", "--limit", "100"]);
    for run in runs["runs"].as_array().unwrap() {
        let status = run["status"].as_str().unwrap();
        assert!(["succeeded", "aborted"].contains(&status), "{run:#}");
        world.ok(&["show", run["run"].as_str().unwrap()]);
    }
    world.assert_no_leftovers();
}
