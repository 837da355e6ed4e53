//! Execute: show and keep what the job prints, note what it opens, pass signals on, enforce the clock and
//! what a [`watcher`] finds.

mod disk;
mod lineage;
mod watcher;

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use aseptic_model::{Limits, Lineage};
use aseptic_sandbox::{Ended, Enforcement, Running, Usage};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::attempts::{Attempted, Listening};
use crate::home::{HomeError, io_error};
use crate::observer::{Observer, Signals, Stream};
use crate::output::{Tee, is_writable};
use crate::provision::{Provisioned, RunDir};

use lineage::LineageBuilder;
pub(crate) use watcher::Reached;
use watcher::{Bound, Eyes, Watcher};

/// How often the free space of the disk is looked at.
const DISK_EVERY: Duration = Duration::from_millis(100);

/// Free space below which a run is ended, so that the runs beside it and its own seal have room. A
/// twentieth of a small disk.
const DISK_FREE_MIN: u64 = 64 << 20;

/// Interrupts after which a job that ignores them is killed.
const INTERRUPTS_MAX: u32 = 3;

/// What executing a job gave.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) ended: Ended,
    pub(crate) cause: Option<Cause>,
    pub(crate) lineage: Lineage,
    /// Bytes of stdout and stderr that were not kept.
    pub(crate) dropped: [u64; 2],
    pub(crate) duration: Duration,
    pub(crate) usage: Option<Usage>,
    /// What enforced the limits of the jail.
    pub(crate) enforced: Vec<Enforcement>,
    /// What it attempted, if that was to be seen.
    pub(crate) attempted: Option<Attempted>,
    /// What it printed at the end and was not shown yet: whoever reads it may be slow, and the run is
    /// sealed first.
    pub(crate) rest: Vec<(Stream, Vec<u8>)>,
}

/// Why a job was ended by us or by the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Wall(u64),
    Limit(Reached),
    Disk,
    Signal(i32),
}

impl Cause {
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Wall(limit) => {
                format!("wall-clock limit of {} reached", aseptic_model::describe_ms(*limit))
            }
            Self::Limit(reached) => reached.describe(),
            Self::Disk => "the disk is almost full, so the run was ended".to_owned(),
            Self::Signal(signal) => format!("interrupted by signal {signal}"),
        }
    }
}

/// Runs the job to its end. No process of it is left when this returns.
pub(crate) fn execute(
    provisioned: Provisioned,
    dir: &RunDir,
    limits: &Limits,
    signals: &mut dyn Signals,
    observer: &mut dyn Observer,
) -> Result<Executed, HomeError> {
    let Provisioned { prepared, pipes: [stdout, stderr], watched, unwatched, listening } = provisioned;
    let running = prepared.start();
    let eyes = Eyes::new(running.meter(), limits, dir.path.clone());
    let watcher = eyes.clone().map(Watcher::start).transpose();
    let mut supervisor = Supervisor {
        logs: [
            Tee::new(Stream::Stdout, stdout, &dir.join("logs/stdout"))?,
            Tee::new(Stream::Stderr, stderr, &dir.join("logs/stderr"))?,
        ],
        watcher: watcher.map_err(|source| io_error("start to watch", &dir.path, source))?,
        running,
        lineage: LineageBuilder::new(watched, unwatched),
        clock: Clock::new(limits, &dir.path)?,
    };
    let started = Instant::now();
    let ended = supervisor.watch(signals, observer)?;
    let duration = started.elapsed();
    supervisor.watcher = None;
    supervisor.clock.at_the_end(ended, &supervisor.running, limits, eyes);
    let rest = supervisor.finish()?;
    let attempted = listening.map(Listening::finish);
    Ok(Executed {
        ended,
        cause: supervisor.clock.cause,
        lineage: supervisor.lineage.done(),
        dropped: [supervisor.logs[0].dropped, supervisor.logs[1].dropped],
        duration,
        usage: supervisor.running.usage().cloned(),
        enforced: supervisor.running.enforced.clone(),
        attempted,
        rest,
    })
}

struct Supervisor {
    watcher: Option<Watcher>,
    running: Running,
    logs: [Tee; 2],
    lineage: LineageBuilder,
    clock: Clock,
}

impl Supervisor {
    fn watch(&mut self, signals: &mut dyn Signals, observer: &mut dyn Observer) -> Result<Ended, HomeError> {
        loop {
            let ready = self.wait_for_something(signals, observer)?;
            if ready.opened {
                self.lineage.drain(&mut self.running);
            }
            for (log, ready) in self.logs.iter_mut().zip(ready.output) {
                match (ready, log.waiting) {
                    (false, _) => {}
                    (true, true) => log.waiting = false, // Whoever reads our output reads on.
                    (true, false) if is_writable(observer.sink(log.stream)) => log.pump(observer)?,
                    (true, false) => log.waiting = true,
                }
            }
            if ready.signals {
                for signal in signals.take() {
                    self.clock.signal(signal, &self.running);
                }
            }
            if ready.ended {
                let ended = self.running.wait();
                if ended != Ended::Exited(0) {
                    self.clock.check_disk(); // It may have met the end of the disk before we did.
                }
                return Ok(ended);
            }
            if ready.watcher
                && let Some(reached) = self.watcher.as_ref().and_then(Watcher::found)
            {
                self.clock.reached(reached, &self.running);
            }
            self.clock.check(&self.running);
        }
    }

    fn wait_for_something(&self, signals: &dyn Signals, observer: &dyn Observer) -> Result<Ready, HomeError> {
        let wait = self.clock.next_check();
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let ended = self.running.descriptor();
        let signals = signals.descriptor();
        let opened = self.running.opened.descriptor();
        // A closed stream is always readable: ask for the end of the job in its place.
        let output = self.logs.each_ref().map(|log| match observer.sink(log.stream) {
            _ if !log.open => PollFd::from_borrowed_fd(ended, PollFlags::IN),
            Some(sink) if log.waiting => PollFd::from_borrowed_fd(sink, PollFlags::OUT),
            _ => PollFd::from_borrowed_fd(log.pipe.as_fd(), PollFlags::IN),
        });
        let [stdout, stderr] = output;
        let watcher = self.watcher.as_ref().map_or(ended, Watcher::descriptor);
        let [ended, signals, opened, watcher] =
            [ended, signals, opened, watcher].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let mut polled = [ended, signals, opened, watcher, stdout, stderr];
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io_error("wait for the job in", Path::new("/"), error.into())),
        }
        let polled = polled.map(|polled| !polled.revents().is_empty());
        let [ended, signals, opened, watcher, stdout, stderr] = polled;
        Ok(Ready {
            ended,
            signals,
            opened,
            watcher,
            output: [stdout && self.logs[0].open, stderr && self.logs[1].open],
        })
    }

    /// Takes what was still in the pipes and in the kernel's list. Nothing writes any more.
    fn finish(&mut self) -> Result<Vec<(Stream, Vec<u8>)>, HomeError> {
        let mut rest = Vec::new();
        for log in &mut self.logs {
            while log.open {
                rest.push((log.stream, log.take()?.to_vec()));
            }
        }
        self.lineage.drain(&mut self.running);
        Ok(rest)
    }
}

struct Ready {
    ended: bool,
    signals: bool,
    opened: bool,
    watcher: bool,
    output: [bool; 2],
}

/// The bounds that the supervisor itself enforces.
struct Clock {
    started: Instant,
    wall: Option<Duration>,
    grace: Duration,
    /// When the job is killed if it has not ended.
    kill_at: Option<Instant>,
    cause: Option<Cause>,
    interrupts: u32,
    disk: File,
    disk_floor: u64,
}

impl Clock {
    fn new(limits: &Limits, dir: &Path) -> Result<Self, HomeError> {
        let disk = File::open(dir).map_err(|source| io_error("open", dir, source))?;
        let total = free_and_total(&disk).1;
        Ok(Self {
            started: Instant::now(),
            wall: limits.wall_ms.map(Duration::from_millis),
            grace: Duration::from_millis(limits.grace_ms),
            kill_at: None,
            cause: None,
            interrupts: 0,
            disk,
            disk_floor: DISK_FREE_MIN.min(total / 20),
        })
    }

    /// How long nothing needs to be checked.
    fn next_check(&self) -> Duration {
        let now = Instant::now();
        let wall = self.wall.filter(|_| self.cause.is_none()).map(|wall| self.started + wall);
        let next = [wall, self.kill_at].into_iter().flatten().min();
        next.map_or(DISK_EVERY, |next| next.saturating_duration_since(now).min(DISK_EVERY))
    }

    fn check(&mut self, running: &Running) {
        let now = Instant::now();
        if self.kill_at.is_some_and(|at| now >= at) {
            running.kill();
        }
        if let Some(wall) = self.wall
            && self.cause.is_none()
            && now >= self.started + wall
        {
            self.cause = Some(Cause::Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)));
            self.ask_to_end(libc_signal::TERM, running);
        }
        if self.check_disk() {
            running.kill(); // Asking would give it time to fill the rest.
        }
    }

    /// A limit was reached. The job is not asked to end: that would give it time to go on.
    fn reached(&mut self, reached: Reached, running: &Running) {
        self.cause.get_or_insert(Cause::Limit(reached));
        running.kill();
    }

    /// A limit that was reached and that nobody has noticed: the job was faster.
    fn at_the_end(&mut self, ended: Ended, running: &Running, limits: &Limits, eyes: Option<Eyes>) {
        if self.cause.is_some() {
            return;
        }
        let memory = running.out_of_memory().map(|found| Reached::of_memory(found, limits.memory_bytes));
        let bound = if ended == Ended::Exited(0) { Bound::Beyond } else { Bound::At };
        let reached = memory.or_else(|| eyes?.at_the_end(bound));
        self.cause = reached.map(Cause::Limit);
    }

    /// Whether the disk is almost full, which then is the cause of the end.
    fn check_disk(&mut self) -> bool {
        let full = free_and_total(&self.disk).0 < self.disk_floor;
        if full {
            self.cause = Some(Cause::Disk);
        }
        full
    }

    /// What a person or a scheduler sends goes to the job; the job decides, within the grace period.
    fn signal(&mut self, signal: i32, running: &Running) {
        match signal {
            libc_signal::INT => {
                running.signal(signal);
                self.interrupts += 1;
                self.cause.get_or_insert(Cause::Signal(signal));
                if self.interrupts >= INTERRUPTS_MAX {
                    running.kill();
                }
            }
            libc_signal::TERM | libc_signal::HUP | libc_signal::QUIT => {
                self.cause.get_or_insert(Cause::Signal(signal));
                self.ask_to_end(signal, running);
            }
            other => running.signal(other),
        }
    }

    fn ask_to_end(&mut self, signal: i32, running: &Running) {
        running.signal(signal);
        self.kill_at.get_or_insert_with(|| Instant::now() + self.grace);
    }
}

/// Numbers of the signals that mean something to the supervisor itself; the same on every Linux.
mod libc_signal {
    pub(super) const HUP: i32 = 1;
    pub(super) const INT: i32 = 2;
    pub(super) const QUIT: i32 = 3;
    pub(super) const TERM: i32 = 15;
}

/// Free bytes of the file system for this user, and its size. Unknown counts as endless.
fn free_and_total(disk: &File) -> (u64, u64) {
    rustix::fs::fstatvfs(disk).map_or((u64::MAX, 0), |system| {
        (system.f_bavail.saturating_mul(system.f_frsize), system.f_blocks.saturating_mul(system.f_frsize))
    })
}
