//! The bounds that the supervisor itself enforces, and why a job was ended.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use aseptic_model::Limits;
use aseptic_sandbox::{Ended, Running};

use super::watcher::{Bound, Eyes, Reached};
use crate::home::{HomeError, io_error};

/// How often the free space of the disk is looked at.
const DISK_EVERY: Duration = Duration::from_millis(100);

/// Free space below which a run is ended, so that the runs beside it and its own seal have room. A
/// twentieth of a small disk.
const DISK_FREE_MIN: u64 = 64 << 20;

/// Interrupts after which a job that ignores them is killed.
const INTERRUPTS_MAX: u32 = 3;

/// Why a job was ended by us or by the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Wall(u64),
    Limit(Reached),
    Disk,
    Signal(i32),
    /// Somebody asked for it; who.
    Asked(String),
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
            // Not why: that can be erased from the ledger, and from a record nothing can.
            Self::Asked(who) => format!("stopped by {who}; the entry `run.stopped` says why"),
        }
    }
}

/// The bounds that the supervisor itself enforces.
pub(super) struct Clock {
    started: Instant,
    wall: Option<Duration>,
    grace: Duration,
    /// When the job is killed if it has not ended.
    kill_at: Option<Instant>,
    pub(super) cause: Option<Cause>,
    interrupts: u32,
    disk: File,
    disk_floor: u64,
}

impl Clock {
    pub(super) fn new(limits: &Limits, dir: &Path) -> Result<Self, HomeError> {
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
    pub(super) fn next_check(&self) -> Duration {
        let now = Instant::now();
        let wall = self.wall.filter(|_| self.cause.is_none()).map(|wall| self.started + wall);
        let next = [wall, self.kill_at].into_iter().flatten().min();
        next.map_or(DISK_EVERY, |next| next.saturating_duration_since(now).min(DISK_EVERY))
    }

    pub(super) fn check(&mut self, running: &Running) {
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
    pub(super) fn reached(&mut self, reached: Reached, running: &Running) {
        self.cause.get_or_insert(Cause::Limit(reached));
        running.kill();
    }

    /// A limit that was reached and that nobody has noticed: the job was faster.
    pub(super) fn at_the_end(
        &mut self,
        ended: Ended,
        running: &Running,
        limits: &Limits,
        eyes: Option<Eyes>,
    ) {
        if self.cause.is_some() {
            return;
        }
        let memory = running.out_of_memory().map(|found| Reached::of_memory(found, limits.memory_bytes));
        let bound = if ended == Ended::Exited(0) { Bound::Beyond } else { Bound::At };
        let reached = memory.or_else(|| eyes?.at_the_end(bound));
        self.cause = reached.map(Cause::Limit);
    }

    /// Whether the disk is almost full, which then is the cause of the end.
    pub(super) fn check_disk(&mut self) -> bool {
        let full = free_and_total(&self.disk).0 < self.disk_floor;
        if full {
            self.cause = Some(Cause::Disk);
        }
        full
    }

    /// What a person or a scheduler sends goes to the job; the job decides, within the grace period.
    pub(super) fn signal(&mut self, signal: i32, running: &Running) {
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

    /// Somebody asked that the run stop.
    pub(super) fn asked_to_stop(&mut self, who: String, running: &Running) {
        self.cause.get_or_insert(Cause::Asked(who));
        self.ask_to_end(signal::TERM, running);
    }

    /// A job that ended by what was typed was interrupted, as by a signal that came through us.
    pub(super) fn interrupted(&mut self, typed: Option<i32>, ended: Ended) {
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
pub(super) mod signal {
    pub(in crate::execute) const HUP: i32 = 1;
    pub(in crate::execute) const INT: i32 = 2;
    pub(in crate::execute) const QUIT: i32 = 3;
    pub(in crate::execute) const TERM: i32 = 15;
    pub(in crate::execute) const CONT: i32 = 18;
    pub(in crate::execute) const STOP: i32 = 19;
    pub(in crate::execute) const WINCH: i32 = 28;
}

/// Free bytes of the file system for this user, and its size. Unknown counts as endless.
fn free_and_total(disk: &File) -> (u64, u64) {
    rustix::fs::fstatvfs(disk).map_or((u64::MAX, 0), |system| {
        (system.f_bavail.saturating_mul(system.f_frsize), system.f_blocks.saturating_mul(system.f_frsize))
    })
}
