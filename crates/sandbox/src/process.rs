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
    /// The signal that stopped the program, until it is asked for.
    pub(crate) stopped: Option<i32>,
    /// The last that was heard, and nothing more will be: how the program ended, if that was said.
    pub(crate) last: Option<Option<Report>>,
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
        let processor = group.as_ref().and_then(|group| group.processor.clone());
        let meter = Meter::new(pid, memory, processor, watched_memory);
        let (stopped, last, over, killed) = (None, None, None, Cell::default());
        Self { pid, pidfd, control, stopped, last, over, group, meter, killed }
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

    /// Takes every report that has come.
    pub(crate) fn hear(&mut self) {
        while self.last.is_none() {
            match receive(self.control.as_fd(), RecvFlags::DONTWAIT) {
                Ok(Some(Report::Stopped { signal })) => self.stopped = Some(signal),
                Ok(report) => self.last = Some(report),
                Err(_) => return, // Nothing more yet.
            }
        }
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
        self.hear();
        let ended = match self.last.flatten() {
            Some(Report::Ended { status }) => match libc::WTERMSIG(status) {
                0 => Ended::Exited(libc::WEXITSTATUS(status)),
                signal => Ended::Signaled(signal),
            },
            Some(Report::NotExecuted { error }) => Ended::NotExecuted(error),
            _ => Ended::Killed,
        };
        let killed = self.killed.take().unwrap_or_default();
        let times = self.meter.group_processor();
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
