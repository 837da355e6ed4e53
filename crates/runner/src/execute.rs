//! Execute: show and keep what the job prints, pass input and signals on, note what it opens, enforce the
//! clock and what a [`watcher`] finds.

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
use crate::input::{Feed, FromInput};
use crate::observer::{Observer, Signals, Stopped, Stream};
use crate::output::{Tee, is_writable};
use crate::provision::{Provisioned, RunDir};
use crate::streams::OurTerminal;

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
    /// Bytes of each stream that were not kept.
    pub(crate) dropped: Vec<(Stream, u64)>,
    /// What it was given on standard input, with the bytes that were not kept.
    pub(crate) given: Option<FromInput>,
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
    let Provisioned { prepared, ends, watched, unwatched, listening } = provisioned;
    let mut logs = Vec::new();
    for (stream, from) in ends.outputs {
        let name = if stream == Stream::Stdout { "logs/stdout" } else { "logs/stderr" };
        logs.push(Tee::new(stream, from, &dir.join(name))?);
    }
    let feed = Feed::new(ends.stdin, &dir.join("logs/stdin"))?;
    let running = prepared.start();
    let eyes = Eyes::new(running.meter(), limits, dir.path.clone());
    let watcher = eyes.clone().map(Watcher::start).transpose();
    let mut supervisor = Supervisor {
        logs,
        feed,
        terminal: ends.terminal,
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
    supervisor.clock.interrupted(supervisor.feed.keys.signal, ended);
    Ok(Executed {
        ended,
        cause: supervisor.clock.cause,
        lineage: supervisor.lineage.done(),
        dropped: supervisor.logs.iter().map(|tee| (tee.stream, tee.log.dropped)).collect(),
        given: supervisor.feed.given(),
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
    logs: Vec<Tee>,
    feed: Feed,
    terminal: Option<OurTerminal>,
    lineage: LineageBuilder,
    clock: Clock,
}

/// What the supervisor waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    End,
    Signals,
    Opened,
    Stop,
    Limit,
    Input,
    Output(usize),
}

impl Supervisor {
    fn watch(&mut self, signals: &mut dyn Signals, observer: &mut dyn Observer) -> Result<Ended, HomeError> {
        loop {
            observer.refresh();
            let ready = self.wait_for_something(signals, observer)?;
            for ready in &ready {
                match ready {
                    Awaited::End => {} // Last, when everything else that came with it is done.
                    Awaited::Opened => self.lineage.drain(&mut self.running),
                    Awaited::Output(number) => self.show(*number, observer)?,
                    Awaited::Input => self.feed.pump(observer),
                    Awaited::Stop => self.stop(observer),
                    Awaited::Limit => {
                        if let Some(reached) = self.watcher.as_ref().and_then(Watcher::found) {
                            self.clock.reached(reached, &self.running);
                        }
                    }
                    Awaited::Signals => {
                        for signal in signals.take() {
                            self.pass_on(signal, observer);
                        }
                    }
                }
            }
            if ready.contains(&Awaited::End) {
                let ended = self.running.wait();
                if ended != Ended::Exited(0) {
                    self.clock.check_disk(); // It may have met the end of the disk before we did.
                }
                return Ok(ended);
            }
            if self.feed.keys.insisted {
                self.clock.cause.get_or_insert(Cause::Signal(signal::QUIT));
                self.running.kill();
            }
            self.clock.check(&self.running);
        }
    }

    fn wait_for_something(
        &self,
        signals: &dyn Signals,
        observer: &dyn Observer,
    ) -> Result<Vec<Awaited>, HomeError> {
        let wait = self.clock.next_check();
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut awaited = vec![
            (Awaited::Signals, readable(signals.descriptor())),
            (Awaited::Opened, readable(self.running.opened.descriptor())),
            (Awaited::End, readable(self.running.descriptor())),
        ];
        for (number, tee) in self.logs.iter().enumerate() {
            let Some(from) = &tee.from else { continue };
            let polled = match observer.sink(tee.stream) {
                Some(sink) if tee.waiting => PollFd::from_borrowed_fd(sink, PollFlags::OUT),
                _ => readable(from.as_fd()),
            };
            awaited.push((Awaited::Output(number), polled));
        }
        awaited.extend(self.running.stops().map(|fd| (Awaited::Stop, readable(fd))));
        awaited.extend(self.watcher.iter().map(|watcher| (Awaited::Limit, readable(watcher.descriptor()))));
        awaited.extend(self.feed.awaited(observer).map(|polled| (Awaited::Input, polled)));
        let (awaited, mut polled): (Vec<_>, Vec<_>) = awaited.into_iter().unzip();
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io_error("wait for the job in", Path::new("/"), error.into())),
        }
        let ready = awaited.into_iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty());
        Ok(ready.map(|(awaited, _)| awaited).collect())
    }

    fn show(&mut self, number: usize, observer: &mut dyn Observer) -> Result<(), HomeError> {
        let Some(tee) = self.logs.get_mut(number) else { return Ok(()) };
        if tee.waiting {
            tee.waiting = false; // Whoever reads our output reads on.
        } else if is_writable(observer.sink(tee.stream)) {
            tee.pump(observer)?;
        } else {
            tee.waiting = true;
        }
        Ok(())
    }

    /// The job was stopped: so is this process, until somebody continues it.
    fn stop(&mut self, observer: &mut dyn Observer) {
        let Some(stopped_by) = self.running.stopped() else { return };
        match observer.stopped() {
            Stopped::AndContinued => self.pass_on(signal::CONT, observer),
            Stopped::Alone if stopped_by == signal::STOP => {} // As it wished, until somebody continues it.
            // The kernel stops nothing for a terminal if nobody would continue it.
            Stopped::Alone => self.running.signal(signal::CONT),
        }
    }

    fn pass_on(&mut self, signal: i32, observer: &mut dyn Observer) {
        if signal == signal::CONT {
            observer.continued();
        }
        if let (signal::CONT | signal::WINCH, Some(terminal)) = (signal, &self.terminal) {
            if let Some(size) = observer.terminal_size() {
                terminal.resize(size);
            }
            if signal == signal::WINCH && terminal.controls {
                return; // It has told its foreground.
            }
        }
        self.clock.signal(signal, &self.running);
    }

    /// Takes what was still in the pipes and in the kernel's list. Nothing writes any more.
    fn finish(&mut self) -> Result<Vec<(Stream, Vec<u8>)>, HomeError> {
        let mut rest = Vec::new();
        for tee in &mut self.logs {
            rest.extend(tee.rest()?.into_iter().map(|bytes| (tee.stream, bytes)));
        }
        self.lineage.drain(&mut self.running);
        Ok(rest)
    }
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
            self.ask_to_end(signal::TERM, running);
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
            signal::INT => {
                running.signal(signal);
                self.interrupts += 1;
                self.cause.get_or_insert(Cause::Signal(signal));
                if self.interrupts >= INTERRUPTS_MAX {
                    running.kill();
                }
            }
            signal::TERM | signal::HUP | signal::QUIT => {
                self.cause.get_or_insert(Cause::Signal(signal));
                self.ask_to_end(signal, running);
            }
            other => running.signal(other),
        }
    }

    /// A job that ended by what was typed was interrupted, as by a signal that came through us.
    fn interrupted(&mut self, typed: Option<i32>, ended: Ended) {
        let by = |signal| ended == Ended::Signaled(signal) || ended == Ended::Exited(128 + signal);
        if let Some(signal) = typed.filter(|signal| by(*signal)) {
            self.cause.get_or_insert(Cause::Signal(signal));
        }
    }

    fn ask_to_end(&mut self, signal: i32, running: &Running) {
        running.signal(signal);
        running.signal(signal::CONT); // A job that is stopped hears nothing.
        self.kill_at.get_or_insert_with(|| Instant::now() + self.grace);
    }
}

/// Numbers of the signals that mean something to the supervisor itself; the same on every Linux.
mod signal {
    pub(super) const HUP: i32 = 1;
    pub(super) const INT: i32 = 2;
    pub(super) const QUIT: i32 = 3;
    pub(super) const TERM: i32 = 15;
    pub(super) const CONT: i32 = 18;
    pub(super) const STOP: i32 = 19;
    pub(super) const WINCH: i32 = 28;
}

/// Free bytes of the file system for this user, and its size. Unknown counts as endless.
fn free_and_total(disk: &File) -> (u64, u64) {
    rustix::fs::fstatvfs(disk).map_or((u64::MAX, 0), |system| {
        (system.f_bavail.saturating_mul(system.f_frsize), system.f_blocks.saturating_mul(system.f_frsize))
    })
}
