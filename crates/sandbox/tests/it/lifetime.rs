//! Nothing of a jail outlives it, and it does not outlive its supervisor.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use aseptic_sandbox::{Ended, prepare};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FlockOperation, flock};

use crate::support::{Pipes, Place, pipes, prepared, run, shell};

/// A job with a daemon in a session of its own; both print and then wait for ever.
const CROWD: &str = "trap '' TERM HUP INT
    setsid sh -c 'trap \"\" TERM HUP INT; echo ready; while :; do read line || sleep 1000; done' &
    while :; do read line || sleep 1000; done";

/// Waits until nobody holds the write ends of these pipes: every process of the jail is gone.
fn wait_until_gone(pipes: &mut Pipes) {
    pipes.read_all();
}

#[test]
fn killing_ends_every_process() {
    let (prepared, mut pipes) = prepared(&shell(CROWD));
    let mut running = prepared.start();
    assert_eq!(pipes.read_line(), "ready");
    running.kill();
    assert_eq!(running.wait(), Ended::Killed);
    wait_until_gone(&mut pipes);
    assert_eq!(running.wait(), Ended::Killed, "a second time");
}

#[test]
fn dropping_ends_every_process() {
    let (prepared, mut pipes) = prepared(&shell(CROWD));
    let running = prepared.start();
    assert_eq!(pipes.read_line(), "ready");
    drop(running);
    wait_until_gone(&mut pipes);
}

#[test]
fn dropping_before_the_start_runs_nothing() {
    let (prepared, mut pipes) = prepared(&shell("echo ran"));
    drop(prepared);
    assert_eq!(pipes.read_all().0, "");
}

#[test]
fn a_killed_first_process_ends_the_jail() {
    let (prepared, mut pipes) = prepared(&shell(CROWD));
    let first = rustix::process::Pid::from_raw(prepared.pid()).unwrap();
    let mut running = prepared.start();
    assert_eq!(pipes.read_line(), "ready");
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    assert_eq!(running.wait(), Ended::Killed);
    wait_until_gone(&mut pipes);
}

#[test]
fn thirty_jails_at_once() {
    let mut all: Vec<_> = (0..30)
        .map(|number| {
            let (prepared, pipes) = prepared(&shell(&format!("read line; exit {number}")));
            (number, prepared.start(), pipes)
        })
        .collect();
    for (number, running, pipes) in &mut all {
        pipes.read_all();
        assert_eq!(running.wait(), Ended::Exited(*number));
    }
}

#[test]
fn jails_are_made_by_many_threads() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    run(&shell("echo here")).assert(Ended::Exited(0), "here");
                }
            });
        }
    });
}

/// Whether somebody holds the lock on the file.
fn is_locked(file: &File) -> bool {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            flock(file, FlockOperation::Unlock).unwrap();
            false
        }
        Err(error) => {
            assert_eq!(error, rustix::io::Errno::WOULDBLOCK);
            true
        }
    }
}

#[test]
fn a_kept_lock_is_held_until_the_jail_is_gone() {
    let place = Place::new();
    let path = place.file("lock", "");
    let kept = File::open(&path).unwrap();
    let other = File::open(&path).unwrap();
    flock(&kept, FlockOperation::LockExclusive).unwrap();
    let (streams, mut pipes) = pipes();
    let mut running =
        prepare(&shell("echo ready; read line; exit 0"), streams, &[kept.as_fd()]).unwrap().start();
    drop(kept);
    assert_eq!(pipes.read_line(), "ready");
    assert!(is_locked(&other));
    pipes.read_all();
    assert_eq!(running.wait(), Ended::Exited(0));
    assert!(!is_locked(&other));
}

/// The supervisor of the tests below: this test binary again, to be killed.
///
/// Its job writes to the standard output that it inherits, a pipe of the test.
#[test]
#[ignore = "the child's part of other tests"]
fn supervisor() {
    let role = std::env::var("ASEPTIC_TEST_ROLE").unwrap();
    let (streams, mut pipes) = pipes();
    let output = rustix::io::dup(std::io::stdout()).unwrap();
    let streams = aseptic_sandbox::Streams { stdout: output, ..streams };
    let prepared = prepare(&shell(CROWD), streams, &[]).unwrap();
    let first = prepared.pid();
    rustix::io::write(std::io::stdout(), format!("first {first}\n").as_bytes()).unwrap();
    // Whichever it is goes on until this process is killed: dropped, the jail would end by that.
    let (_prepared, _running) = match role.as_str() {
        "started" => (None, Some(prepared.start())),
        _ => (Some(prepared), None),
    };
    pipes.stderr.read_to_end(&mut Vec::new()).unwrap(); // For ever.
}

struct Supervisor {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    first: rustix::process::Pid,
    first_ended: OwnedFd,
}

fn supervisor_in(role: &str) -> Supervisor {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifetime::supervisor", "--ignored", "--nocapture", "--test-threads=1"])
        .env("ASEPTIC_TEST_ROLE", role)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut first = None;
    // The harness prints a few lines of its own, one of them without an end.
    while first.is_none() || (role == "started" && !line.contains("ready")) {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the supervisor ended");
        let number = line.split("first ").nth(1).map(|number| number.trim().parse().unwrap());
        first = first.or(number);
    }
    let first = rustix::process::Pid::from_raw(first.unwrap()).unwrap();
    let first_ended = rustix::process::pidfd_open(first, rustix::process::PidfdFlags::empty()).unwrap();
    Supervisor { child, output, first, first_ended }
}

impl Supervisor {
    /// Kills it, and waits for the end of everything that could write to its output.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.output.read_to_end(&mut Vec::new()).unwrap();
        let mut ended = [PollFd::new(&self.first_ended, PollFlags::IN)];
        rustix::event::poll(&mut ended, None).unwrap();
    }
}

#[test]
fn a_killed_supervisor_takes_every_process_with_it() {
    supervisor_in("started").kill();
}

#[test]
fn a_supervisor_killed_before_the_start_leaves_nothing() {
    supervisor_in("prepared").kill();
}

#[test]
fn a_jail_that_cannot_look_is_killed_by_the_kernel() {
    // Stopped, the first process does not see that the supervisor is gone; its parent-death signal does.
    let supervisor = supervisor_in("started");
    rustix::process::kill_process(supervisor.first, rustix::process::Signal::STOP).unwrap();
    supervisor.kill();
}
