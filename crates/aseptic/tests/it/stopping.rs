//! `aseptic stop`: a run is asked to end, and how sure that is.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use crate::world::{World, processes_with, wait_until};

/// Starts a run whose job is going on when this returns.
pub(crate) fn start(world: &World, options: &[&str], script: &str) -> Child {
    let script = format!("{script}; echo ready; while :; do sleep 0.05; done");
    let arguments = [&["run", "--quiet"], options, &["--", "sh", "-c", &script]].concat();
    let mut command = world.command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    child
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_run_is_stopped_and_says_by_whom() {
    let world = World::new();
    let mut run = start(&world, &[], "trap 'echo saved > /out/checkpoint; exit 0' TERM");
    let said = world.json(&["stop", "latest", "--reason", "wrong labels", "--json"]);
    assert_eq!(
        (&said["runs"][0]["ending"], &said["runs"][0]["status"]),
        (&"sealed".into(), &"aborted".into())
    );
    run.wait().unwrap();
    let shown = world.json(&["show", "latest", "--json"]);
    assert!(shown["reason"].as_str().unwrap().starts_with("stopped by user:"), "{shown}");
    assert!(
        !shown["reason"].as_str().unwrap().contains("wrong labels"),
        "what can be erased is in no record"
    );
    assert_eq!(shown["outputs"][0]["path"], "out/checkpoint");
    let entries = world.ok(&["ledger", "show"]);
    let (stopped, sealed) = (entries.find("run.stopped").unwrap(), entries.find("run.sealed").unwrap());
    assert!(entries.contains("wrong labels"), "{entries}");
    assert_ne!(stopped, sealed);
    let over = world.run(&["stop", "latest"]);
    assert!(over.contains("exit: 2") && over.contains("stop/over"), "{over}");
    world.assert_no_leftovers();
}

#[test]
fn a_job_that_ignores_term_is_killed_after_its_grace() {
    let world = World::new();
    let mut run = start(&world, &["--limit", "grace=200ms"], "trap '' TERM");
    assert!(world.ok(&["stop", "latest"]).contains("which is aborted"));
    assert_eq!(run.wait().unwrap().code(), Some(137));
}

#[test]
fn several_runs_are_stopped_and_one_that_is_over_stops_none() {
    let world = World::new();
    let mut runs = [start(&world, &[], "true"), start(&world, &[], "true")];
    let known = world.json(&["runs", "--json"]);
    let ids: Vec<_> = (0..2).map(|at| known["runs"][at]["run"].as_str().unwrap()).collect();
    assert!(world.run(&["stop", ids[0], "none"]).contains("exit: 2"));
    assert!(!world.ok(&["ledger", "show"]).contains("run.stopped"));
    let said = world.ok(&["stop", ids[0], ids[1], ids[0]]);
    assert_eq!(said.matches("stopped run").count(), 2, "{said}");
    for run in &mut runs {
        run.wait().unwrap();
    }
}

/// The supervisor cannot answer: that is said, and the job ends when it goes on, or at once if that is wanted.
#[test]
fn a_supervisor_that_is_stopped_is_waited_for_in_vain_or_done_without() {
    let world = World::new();
    let mut run = start(&world, &["--param", "mark=unheard-4711"], "true");
    signal(&run, "-STOP");
    let said = world.run(&["stop", "latest"]);
    assert!(said.contains("exit: 5") && said.contains("stop/silent") && said.contains("--kill"), "{said}");
    let killed = world.ok(&["stop", "--kill", "latest"]);
    assert!(killed.contains("being stored"), "{killed}");
    signal(&run, "-CONT");
    run.wait().unwrap();
    let shown = world.json(&["show", "latest", "--json"]);
    assert_eq!(shown["status"], "aborted");
    assert!(shown["reason"].as_str().unwrap().starts_with("stopped by user:"), "{shown}");
    wait_until("no process of the job is left", || processes_with("unheard-4711").is_empty());
    world.assert_no_leftovers();
}

#[test]
fn a_run_whose_supervisor_died_is_over() {
    let world = World::new();
    let mut run = start(&world, &[], "true");
    run.kill().unwrap();
    run.wait().unwrap();
    let said = world.run(&["stop", "latest"]);
    assert!(said.contains("stop/over"), "{said}");
}
