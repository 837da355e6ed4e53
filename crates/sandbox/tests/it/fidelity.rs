//! A job in a jail behaves as it would outside.

use std::os::unix::fs::PermissionsExt;

use aseptic_sandbox::{Access, Ended, Running};

use crate::support::{Pipes, Place, With, jail, prepared, python, run, shell};

fn started(script: &str) -> (Running, Pipes) {
    let (prepared, mut pipes) = prepared(&shell(script));
    let running = prepared.start();
    assert_eq!(pipes.read_line(), "ready");
    (running, pipes)
}

#[test]
fn exit_codes_are_the_programs() {
    for code in [0, 1, 7, 125, 255] {
        run(&shell(&format!("exit {code}"))).assert(Ended::Exited(code), "");
    }
}

#[test]
fn signals_are_the_programs() {
    for signal in [libc::SIGTERM, libc::SIGSEGV, libc::SIGKILL, libc::SIGABRT, libc::SIGPIPE] {
        run(&shell(&format!("kill -{signal} $$"))).assert(Ended::Signaled(signal), "");
    }
}

#[test]
fn a_signal_reaches_the_program_which_may_save_its_work() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGWINCH] {
        let script = format!("trap 'exit 42' {signal}; echo ready; while :; do read line; done");
        let (mut running, _pipes) = started(&script);
        running.signal(signal);
        assert_eq!(running.wait(), Ended::Exited(42), "signal {signal}");
    }
}

#[test]
fn a_signal_ends_a_program_that_does_not_care() {
    let (mut running, _pipes) = started("echo ready; read line");
    running.signal(libc::SIGTERM);
    assert_eq!(running.wait(), Ended::Signaled(libc::SIGTERM));
}

#[test]
fn a_signal_right_after_the_start_is_not_lost() {
    for _ in 0..20 {
        let (prepared, _pipes) = prepared(&shell("read line"));
        let mut running = prepared.start();
        running.signal(libc::SIGTERM);
        assert_eq!(running.wait(), Ended::Signaled(libc::SIGTERM));
    }
}

#[test]
fn a_flood_of_signals_blocks_nobody() {
    let (mut running, pipes) = started("trap '' USR1; echo ready; read line; exit 3");
    for _ in 0..10_000 {
        running.signal(libc::SIGUSR1);
    }
    drop(pipes);
    assert_eq!(running.wait(), Ended::Exited(3));
}

#[test]
fn ignored_and_blocked_signals_are_not_inherited() {
    // The test binary ignores SIGPIPE, as every Rust program does.
    let script = "import signal
print(signal.getsignal(signal.SIGPIPE), signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(*[line for line in open('/proc/self/status') if line.startswith('SigIgn')])";
    let output = run(&python(script));
    // Python itself ignores PIPE and XFSZ.
    assert!(output.printed.contains("set()"), "{output:?}");
    let shell = run(&shell("grep -E 'Sig(Blk|Ign)' /proc/self/status"));
    assert_eq!(shell.printed, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n", "{output:?}");
}

#[test]
fn a_program_that_cannot_be_executed_says_why() {
    let place = Place::new();
    let plain = place.file("plain", "text");
    let unknown = place.file("unknown", "text");
    std::fs::set_permissions(&unknown, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (program, error) in [
        ("/nowhere/program", libc::ENOENT),
        ("no-such-program", libc::ENOENT),
        ("/tmp", libc::EACCES),
        ("/opt/plain", libc::EACCES),
        ("/opt/unknown", libc::ENOEXEC),
    ] {
        let jail = jail(program, &[]).bind(&plain, "/opt/plain", Access::Execute).bind(
            &unknown,
            "/opt/unknown",
            Access::Execute,
        );
        run(&jail).assert(Ended::NotExecuted(error), "");
    }
}

#[test]
fn data_is_not_executable() {
    let place = Place::new();
    let program = place.file("program", "#!/bin/sh\necho ran\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let jail = |access| jail("/opt/program", &[]).bind(&program, "/opt/program", access);
    run(&jail(Access::Execute)).assert(Ended::Exited(0), "ran");
    run(&jail(Access::Read)).assert(Ended::NotExecuted(libc::EACCES), "");
}

#[test]
fn the_path_decides_as_in_a_shell() {
    let mut jail = jail("id", &["-u"]);
    jail.environment = vec![("PATH".into(), "/nowhere:/tmp:/usr/bin".into())];
    run(&jail).assert(Ended::Exited(0), &aseptic_sandbox::job_ids().0.to_string());
}

#[test]
fn the_program_is_never_process_1_and_leads_its_group_in_a_session_of_the_jail() {
    let script = "import os; print(os.getppid(), os.getsid(0), os.getpgrp() == os.getpid() > 1)";
    run(&python(script)).assert(Ended::Exited(0), "1 1 True");
}

#[test]
fn orphans_are_reaped() {
    // A child that is orphaned and ends is gone from the process table, not a zombie.
    let script = "import os, select
reader, writer = os.pipe()
if os.fork() == 0:
    child = os.fork()
    if child:
        os.write(writer, b'%d' % child)
        os._exit(0)
    while os.getppid() != 1: pass
    os._exit(0)
os.wait()
orphan = int(os.read(reader, 20))
while True:
    try: os.kill(orphan, 0)
    except ProcessLookupError: break
print('reaped')";
    run(&python(script)).assert(Ended::Exited(0), "reaped");
}

#[test]
fn a_daemon_does_not_outlive_the_program() {
    // It holds the write end of the pipe: the end of the file is the end of its life.
    let script = "import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(1, b'daemon')
        while True: os.read(0, 1) or __import__('signal').pause()
    os._exit(0)
os.wait()
os._exit(5)";
    let output = run(&python(script));
    assert_eq!(output.ended, Ended::Exited(5), "{output:?}");
}

#[test]
fn closing_every_stream_changes_nothing() {
    run(&shell("exec 0<&- 1>&- 2>&-; exit 9")).assert(Ended::Exited(9), "");
}
