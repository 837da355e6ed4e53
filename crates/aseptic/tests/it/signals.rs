//! Exit codes and signals: the job's, faithfully.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use crate::world::World;

#[test]
fn exit_codes_are_the_jobs() {
    let world = World::new();
    for (script, code) in
        [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -SEGV $$", 139), ("kill -KILL $$", 137)]
    {
        let output = world.output(&["run", "--quiet", "--", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(code), "{script}");
    }
    let (_, run) = world.run_json(&["--", "sh", "-c", "kill -USR1 $$"]);
    assert_eq!(
        (&run["status"], &run["signal"], &run["exit_code"]),
        (&"failed".into(), &10.into(), &().into())
    );
}

/// Starts a job that has set its traps when this returns.
fn trapping(world: &World, arguments: &[&str], script: &str) -> Child {
    let script = format!("{script}; echo ready; while :; do sleep 0.05; done");
    let arguments = [&["run", "--quiet"], arguments, &["--", "sh", "-c", &script]].concat();
    let mut child = world.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    child
}

fn send(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[test]
fn a_job_may_write_its_checkpoint_on_term() {
    let world = World::new();
    let mut child = trapping(&world, &[], "trap 'echo saved > /out/checkpoint; exit 42' TERM");
    send(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(42));
    let run = world.json(&["show", "latest", "--json"]);
    assert_eq!(run["status"], "aborted");
    assert_eq!(run["outputs"][0]["path"], "out/checkpoint");
}

#[test]
fn a_job_that_ignores_term_is_killed_after_its_grace() {
    let world = World::new();
    let mut child = trapping(&world, &["--limit", "grace=300ms"], "trap '' TERM");
    send(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(137));
    world.assert_no_leftovers();
}

#[test]
fn a_job_hears_usr1_and_goes_on() {
    let world = World::new();
    let mut child = trapping(&world, &[], "trap 'echo heard; exit 0' USR1");
    send(&child, "-USR1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(world.json(&["show", "latest", "--json"])["status"], "succeeded");
}

#[test]
fn an_interrupt_ends_the_job() {
    let world = World::new();
    let mut child = trapping(&world, &[], ":");
    send(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(world.json(&["show", "latest", "--json"])["status"], "aborted");
}

#[test]
fn the_wall_clock_ends_the_job() {
    let world = World::new();
    let script = "trap 'echo late > /out/late; exit 0' TERM; while :; do sleep 0.05; done";
    let (code, run) = world.run_json(&["--limit", "wall=500ms", "--", "sh", "-c", script]);
    assert_eq!((code, &run["status"]), (124, &"timed-out".into()), "{run:#}");
    assert_eq!(
        (&run["exit_code"], &run["reason"]),
        (&0.into(), &"wall-clock limit of 500 ms reached".into())
    );
    assert_eq!(run["outputs"][0]["path"], "out/late");
}
