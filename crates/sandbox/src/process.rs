//! A jail as a process of the supervisor's: given orders, killed, waited for.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Signal;

use crate::cgroup::Group;
use crate::message::{Report, receive};
use crate::run::Ended;
use crate::sys::{self, Used};
use crate::usage::{Meter, OutOfMemory, Usage};

/// The jail's first process, and with it all of the jail. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) control: OwnedFd,
    pub(crate) over: Option<Over>,
    group: Option<Group>,
    pub(crate) meter: Meter,
    /// Of processes that were killed with the first one: the kernel adds it to nobody's.
    killed: Cell<Option<Used>>,
}

/// What is known of a jail after its end.
#[derive(Debug)]
pub(crate) struct Over {
    ended: Ended,
    pub(crate) usage: Usage,
    pub(crate) out_of_memory: Option<OutOfMemory>,
}

impl Process {
    pub(crate) fn new(
        (pid, pidfd): (i32, OwnedFd),
        control: OwnedFd,
        group: Option<Group>,
        watched_memory: Option<u64>,
    ) -> Self {
        let memory = group.as_ref().and_then(|group| group.memory.clone());
        let meter = Meter::new(pid, memory, watched_memory);
        Self { pid, pidfd, control, over: None, group, meter, killed: Cell::default() }
    }

    /// An order to a jail that has just ended is lost, which is how the jail's end is noticed anyway;
    /// so is one to a jail that has not read hundreds of them, for this must never block.
    pub(crate) fn order(&self, order: u8) {
        let _ = rustix::net::send(&self.control, &[order], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Before a kill, what can be seen of what the processes used.
    pub(crate) fn note_usage(&self) {
        if self.killed.get().is_none() {
            self.killed.set(Some(self.meter.so_far()));
        }
    }

    pub(crate) fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL); // Fails when it is gone.
    }

    /// The kernel lets the first process of a pid namespace be waited for only after every other
    /// process of it is gone (pid_namespaces(7)), so this is proof that the jail is empty.
    pub(crate) fn wait(&mut self) -> Ended {
        if let Some(over) = &self.over {
            return over.ended;
        }
        let used = loop {
            match sys::wait_with_usage(self.pidfd.as_fd()) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.unwrap_or_else(|_| Used::default()),
            }
        };
        let report = receive(self.control.as_fd(), RecvFlags::DONTWAIT);
        let ended = match report {
            Ok(Some(Report::Ended { status })) => match libc::WTERMSIG(status) {
                0 => Ended::Exited(libc::WEXITSTATUS(status)),
                signal => Ended::Signaled(signal),
            },
            Ok(Some(Report::NotExecuted { error })) => Ended::NotExecuted(error),
            _ => Ended::Killed,
        };
        let killed = self.killed.take().unwrap_or_default();
        let times = self.group.as_ref().and_then(|group| group.processor.as_ref()?.times());
        let usage = self.meter.usage(used, killed, times);
        // What a watcher saw it has said; this is what the kernel did.
        let out_of_memory = self.group.as_ref().and_then(|_| self.meter.out_of_memory());
        self.over = Some(Over { ended, usage, out_of_memory });
        self.group = None; // Nobody is in it any more.
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.over.is_none() {
            self.kill();
            self.wait();
        }
    }
}
