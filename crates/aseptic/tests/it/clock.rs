//! What a job does with its output, or its reader does not do, stops no clock of its supervisor.

use crate::world::{World, wait_until};

#[test]
fn a_job_that_reads_its_own_output_does_not_stop_the_clock() {
    let world = World::new();
    let steal = "import os
fd = os.open('/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK)
while True:
    os.write(1, b'x' * 100)
    try: os.read(fd, 100)
    except BlockingIOError: pass";
    let limits = ["--limit", "wall=700ms", "--limit", "grace=100ms", "--no-code"];
    let (_, run) = world.run_json(&[&limits[..], &["--", "/usr/bin/python3", "-c", steal]].concat());
    assert!(run["reason"].as_str().unwrap().starts_with("wall-clock limit"), "{run:#}");
}

/// A socket that lies in its own queue, beside the job's standard output, is only found by the kernel's
/// collector, which runs when a socket is closed somewhere.
#[test]
fn a_job_that_leaves_its_output_in_a_message_to_itself_ends() {
    let world = World::new();
    let leave = "import signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
here, there = socket.socketpair()
socket.send_fds(here, [b'x'], [there.fileno(), 1, 2])
here.close()
time.sleep(60)";
    let limits = ["--limit", "wall=500ms", "--limit", "grace=100ms", "--no-code"];
    let (_, run) = world.run_json(&[&limits[..], &["--", "/usr/bin/python3", "-c", leave]].concat());
    assert!(run["reason"].as_str().unwrap().starts_with("wall-clock limit"), "{run:#}");
}

#[test]
fn a_reader_that_reads_nothing_does_not_stop_the_clock() {
    let world = World::new();
    let limits = ["run", "--quiet", "--limit", "wall=500ms", "--limit", "grace=100ms", "--no-code"];
    let mut command = world.command(&[&limits[..], &["--", "cat", "/dev/zero"]].concat());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("the run is over", || {
        world.json(&["runs", "--json", "--status", "timed-out"])["runs"].as_array().unwrap().len() == 1
    });
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
