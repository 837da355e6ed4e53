//! The jail's first process once the jail stands: starts the program, passes signals on, reaps
//! orphans, and ends the jail when the program or the supervisor ends.
//!
//! **Invariant:** async-signal-safe, as `setup.rs`.
//! **Invariant:** the program is never process 1, so signals have their usual effect on it.

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{Pid, Signal, WaitOptions};

use crate::compile::{Compiled, Program};
use crate::message::{FREEZE, Report, START, THAW, report, report_stop};
use crate::setup::{self, CONTROL, Given};
use crate::sys::{self, Memory};

/// The whole life of the jail's first process. When it ends, the kernel ends every other process of
/// the jail before anyone can see that it ended.
pub(crate) fn live(jail: &Compiled, given: &Given<'_>) -> ! {
    let handed = match setup::set_up(jail, given) {
        Ok(handed) => handed,
        Err((step, error)) => {
            // If not even the descriptors are arranged, the control socket has its old number.
            let control = if matches!(step, 0 | setup::JOIN_STEP) { given.control } else { CONTROL };
            report(sys::borrow(control), Report::Failed { step, error: error.raw_os_error() });
            sys::exit_now(1);
        }
    };
    let control = sys::borrow(CONTROL);
    let Ok(children) = sys::signals_to_descriptor() else { sys::exit_now(1) };
    if handed.report(control).is_err() {
        sys::exit_now(1); // Without what it hands out, the supervisor would miss something.
    }
    sys::default_signals(); // Some may be ignored here, and the job would inherit that.
    if next_order(control) != Some(START) {
        sys::exit_now(1); // The supervisor changed its mind, or is gone.
    }
    let job = start(jail);
    // What is left open here keeps the terminal from hanging up when the job closes it for a while.
    let terminal = jail.terminal.as_ref().and_then(|terminal| terminal.stream());
    sys::close_streams(terminal);
    loop {
        let mut events = [
            PollFd::from_borrowed_fd(control, PollFlags::IN),
            PollFd::from_borrowed_fd(sys::borrow(children), PollFlags::IN),
        ];
        match rustix::event::poll(&mut events, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => sys::exit_now(1),
        }
        let (ordered, died) = (!events[0].revents().is_empty(), !events[1].revents().is_empty());
        if died {
            reap(children, job);
        }
        if ordered {
            match next_order(control) {
                Some(FREEZE) => drop(sys::signal_all(libc::SIGSTOP)), // Fails when nobody is there.
                Some(THAW) => drop(sys::signal_all(libc::SIGCONT)),
                Some(signal) => pass_on(signal, job),
                None => sys::exit_now(1), // The supervisor is gone, and with it goes the jail.
            }
        }
    }
}

/// The next byte from the supervisor; nothing when it is gone.
fn next_order(control: rustix::fd::BorrowedFd<'_>) -> Option<u8> {
    let mut byte = [0];
    loop {
        match rustix::net::recv(control, &mut byte, RecvFlags::empty()) {
            Ok((1.., _)) => return Some(byte[0]),
            Err(Errno::INTR) => {}
            Ok((0, _)) | Err(_) => return None,
        }
    }
}

fn start(jail: &Compiled) -> i32 {
    let memory = if jail.clock.is_some() { Memory::Copied } else { Memory::Shared };
    match sys::spawn(&jail.program.stack, memory, run, &jail.program) {
        Ok(pid) => pid,
        Err(error) => {
            report(sys::borrow(CONTROL), Report::NotExecuted { error: error.raw_os_error() });
            sys::exit_now(1);
        }
    }
}

/// Becomes the program, in a process group of its own. The session is that of the first process, as if a
/// shell had started it: a group without a parent in its session could not be stopped with Ctrl-Z.
///
/// Usually shares the memory of the first process, so it only calls the kernel.
fn run(program: &Program) -> ! {
    let _ = rustix::process::setpgid(None, None);
    let foreground = if program.foreground {
        rustix::termios::tcsetpgrp(sys::borrow(0), rustix::process::getpid())
    } else {
        Ok(())
    };
    if let Err(error) = foreground.and_then(|()| limit(program)) {
        report(sys::borrow(CONTROL), Report::NotExecuted { error: error.raw_os_error() });
        sys::exit_now(127);
    }
    sys::unblock_signals();
    // As execvp(3): the first candidate that is there decides, "permission denied" weighs more than
    // "no such file".
    let mut verdict = Errno::NOENT;
    for candidate in &program.candidates {
        match sys::execute(candidate, &program.arguments, &program.environment) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => verdict = Errno::ACCESS,
            error => {
                verdict = error;
                break;
            }
        }
    }
    report(sys::borrow(CONTROL), Report::NotExecuted { error: verdict.raw_os_error() });
    sys::exit_now(127);
}

/// What bounds this process and those that it starts, but not the first one, which has to live on.
fn limit(program: &Program) -> rustix::io::Result<()> {
    for (resource, most) in &program.resources {
        setup::lower(*resource, *most)?;
    }
    program.affinity.as_ref().map_or(Ok(()), |set| rustix::thread::sched_setaffinity(None, set))
}

/// Passes a signal to the program's process group, which is the program and whatever it started
/// without a session of its own: what a terminal does.
fn pass_on(signal: u8, job: i32) {
    if let (Some(job), Some(signal)) = (Pid::from_raw(job), Signal::from_named_raw(i32::from(signal)))
        && rustix::process::kill_process_group(job, signal).is_err()
    {
        let _ = rustix::process::kill_process(job, signal); // It has no group of its own yet.
    }
}

fn reap(children: i32, job: i32) {
    let mut information = [0; 1024]; // Several `signalfd_siginfo`; what they say is asked of wait(2).
    while rustix::io::read(sys::borrow(children), &mut information).is_ok() {}
    let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
    while let Ok(Some((pid, status))) = rustix::process::wait(options) {
        if pid.as_raw_nonzero().get() != job {
            continue;
        }
        if let Some(signal) = status.stopping_signal() {
            report_stop(sys::borrow(CONTROL), signal);
        } else {
            report(sys::borrow(CONTROL), Report::Ended { status: status.as_raw() });
            end();
        }
    }
}

/// Ends every other process of the jail, and this one. The kernel would do that, too; but what it ends so
/// is missing from the resources that this process is said to have used.
fn end() -> ! {
    let _ = sys::signal_all(libc::SIGKILL);
    while let Ok(Some(_)) | Err(Errno::INTR) = rustix::process::wait(WaitOptions::empty()) {}
    sys::exit_now(0);
}
