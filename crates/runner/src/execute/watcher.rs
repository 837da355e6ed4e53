//! A second pair of eyes on a run: memory and disk against their limits, in a thread of their own, so that
//! however long a look takes, no output waits for it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aseptic_model::{ByteSize, Limits, Status};
use aseptic_sandbox::{Meter, OutOfMemory};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::disk::{Count, Held};
use super::timespec;

/// Time between two looks, at least.
const EVERY: Duration = Duration::from_millis(100);

/// A look may take at most this part of the time.
const SHARE: u32 = 20;

/// What of a run's directory is not `/out`: the names of its parts there and in the job's eyes.
const SCRATCH: [(&str, &str); 4] =
    [("tmp", "/tmp"), ("var-tmp", "/var/tmp"), ("home", "/home/job"), ("changes", "/work")];

/// A limit that a job came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Its own, of this many bytes.
    Memory {
        limit: u64,
        used: u64,
    },
    /// There was none left on the machine.
    MachineMemory,
    Scratch {
        limit: u64,
        used: u64,
    },
    ScratchFiles {
        limit: u64,
        used: u64,
    },
    Outputs {
        limit: u64,
        used: u64,
    },
    /// What is in there cannot be counted.
    Hidden {
        place: String,
        status: Status,
    },
}

impl Reached {
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Memory { .. } | Self::MachineMemory => Status::OutOfMemory,
            Self::Scratch { .. } | Self::ScratchFiles { .. } => Status::ScratchFull,
            Self::Outputs { .. } => Status::OutputsFull,
            Self::Hidden { status, .. } => *status,
        }
    }

    pub(crate) fn describe(&self) -> String {
        let size = |bytes: &u64| ByteSize(*bytes);
        match self {
            Self::Memory { limit, used } => {
                format!("memory limit of {} reached ({} used)", size(limit), size(used))
            }
            Self::MachineMemory => {
                "the machine ran out of memory, and the kernel ended a process of the job".to_owned()
            }
            Self::Scratch { limit, used } => {
                format!("scratch limit of {} reached ({} used)", size(limit), size(used))
            }
            Self::ScratchFiles { limit, used } => {
                format!("limit of {limit} scratch files reached ({used} there)")
            }
            Self::Outputs { limit, used } => {
                format!("outputs limit of {} reached ({} used)", size(limit), size(used))
            }
            Self::Hidden { place, .. } => {
                format!("`{place}` cannot be looked into, so it counts as over the limit of what it is in")
            }
        }
    }

    /// As [`Reached::describe`], without the name of anything that the job made.
    pub(crate) fn describe_plainly(&self) -> String {
        match self {
            Self::Hidden { .. } => {
                "something cannot be looked into, so it counts as over the limit of what it is in".to_owned()
            }
            other => other.describe(),
        }
    }

    pub(crate) fn of_memory(found: OutOfMemory, limit: Option<u64>) -> Self {
        match (found, limit) {
            (OutOfMemory::Limit { used }, Some(limit)) => Self::Memory { limit, used },
            _ => Self::MachineMemory,
        }
    }
}

/// What to look at, and the limits of it.
#[derive(Clone, Debug)]
pub(crate) struct Eyes {
    meter: Meter,
    limits: Limits,
    dir: PathBuf,
    /// Processes that could not be looked at the last time.
    closed: BTreeSet<i32>,
}

/// How far a job may go before it has reached a limit of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Up to the limit: one that goes on or succeeded.
    Beyond,
    /// Not even up to it: one that failed, since that may be why.
    At,
}

impl Eyes {
    /// Nothing, where no limit needs looking at.
    pub(crate) fn new(meter: Meter, limits: &Limits, dir: PathBuf) -> Option<Self> {
        let this = Self { meter, limits: limits.clone(), dir, closed: BTreeSet::new() };
        (limits.memory_bytes.is_some() || this.looks_at_disk()).then_some(this)
    }

    fn looks_at_disk(&self) -> bool {
        let Limits { scratch_bytes, scratch_files, outputs_bytes, .. } = self.limits;
        scratch_bytes.or(scratch_files).or(outputs_bytes).is_some()
    }

    fn look(&mut self, stop: &AtomicBool) -> Option<Reached> {
        let memory = self.meter.out_of_memory();
        let memory = memory.map(|found| Reached::of_memory(found, self.limits.memory_bytes));
        memory.or_else(|| self.disk(Bound::Beyond, stop))
    }

    /// The limit of the disk that was reached, when nothing writes any more.
    pub(crate) fn at_the_end(&mut self, bound: Bound) -> Option<Reached> {
        self.disk(bound, &AtomicBool::new(false))
    }

    fn disk(&mut self, bound: Bound, stop: &AtomicBool) -> Option<Reached> {
        let Limits { scratch_bytes, scratch_files, outputs_bytes, .. } = self.limits;
        let over = |limit: Option<u64>, used: u64| match bound {
            Bound::Beyond => limit.filter(|limit| used > *limit),
            Bound::At => limit.filter(|limit| used > 0 && used >= *limit),
        };
        if outputs_bytes.is_some() {
            let mut count = Count::new(stop);
            count.tree(&self.dir.join("out"), "/out");
            let Held { bytes: used, hidden, .. } = count.held;
            if let Some(place) = hidden {
                return Some(Reached::Hidden { place, status: Status::OutputsFull });
            }
            if let Some(limit) = over(outputs_bytes, used) {
                return Some(Reached::Outputs { limit, used });
            }
        }
        if scratch_bytes.is_none() && scratch_files.is_none() {
            return None;
        }
        let mut count = Count::new(stop);
        for (name, shown) in SCRATCH {
            count.tree(&self.dir.join(name), shown);
        }
        self.closed = count.nameless(&self.meter, &self.dir, "/work", &self.closed);
        let Held { bytes, files, hidden } = count.held;
        if let Some(place) = hidden {
            return Some(Reached::Hidden { place, status: Status::ScratchFull });
        }
        let full = over(scratch_bytes, bytes).map(|limit| Reached::Scratch { limit, used: bytes });
        full.or_else(|| over(scratch_files, files).map(|limit| Reached::ScratchFiles { limit, used: files }))
    }
}

/// The thread. Dropped, it has ended.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    found: Mutex<Option<Reached>>,
    /// Readable when something was found.
    news: OwnedFd,
    /// Readable when the thread is to end.
    over: OwnedFd,
    stop: AtomicBool,
}

impl Watcher {
    pub(crate) fn start(mut eyes: Eyes) -> io::Result<Self> {
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let shared =
            Shared { found: Mutex::new(None), news: event()?, over: event()?, stop: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let theirs = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("limits".to_owned()).spawn(move || theirs.watch(&mut eyes))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Readable when [`Watcher::found`] has something.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.shared.news.as_fd()
    }

    pub(crate) fn found(&self) -> Option<Reached> {
        let _ = rustix::io::read(&self.shared.news, &mut [0; 8]); // Else it would be readable for ever.
        self.shared.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        signal(&self.shared.over);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // It has nothing to say that it has not said.
        }
    }
}

impl Shared {
    fn watch(&self, eyes: &mut Eyes) {
        loop {
            let started = Instant::now();
            if let Some(reached) = eyes.look(&self.stop) {
                if !self.stop.load(Ordering::Relaxed) {
                    *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(reached);
                    signal(&self.news);
                }
                return;
            }
            let pause = (started.elapsed() * SHARE).max(EVERY);
            let mut over = [PollFd::new(&self.over, PollFlags::IN)];
            match poll(&mut over, Some(&timespec(pause))) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                _ => return,
            }
        }
    }
}

fn signal(event: &OwnedFd) {
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes()); // Full, it is readable already.
}
