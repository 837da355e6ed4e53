//! What the processes of a jail use: while they run, seen from outside, and in the end, as the kernel says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::cgroup::{Memory, Processor, Version};
use crate::sample::times;
use crate::sys::Used;

/// What a jail used, from its making to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in programs.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// Most memory at once, in bytes. What that counts is in `source`.
    pub memory_peak: Option<u64>,
    /// Bytes read from disks.
    pub read_bytes: Option<u64>,
    /// Bytes written to disks, or in memory to be written.
    pub written_bytes: Option<u64>,
    /// Which counters these are.
    pub source: String,
}

/// Why memory ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfMemory {
    /// The jail is or was at its limit.
    Limit {
        /// Bytes that it used at most.
        used: u64,
    },
    /// The machine had none left, and the kernel ended a process of the jail.
    Machine,
}

/// Looks at a jail from outside while it runs; of use in another thread than the jail's own.
#[derive(Clone, Debug)]
pub struct Meter {
    first: i32,
    group: Option<Memory>,
    processor: Option<Processor>,
    /// Bytes that this process has to watch over, since no control group does.
    watched: Option<u64>,
    peak: Arc<AtomicU64>,
}

impl Meter {
    pub(crate) fn new(
        first: i32,
        group: Option<Memory>,
        processor: Option<Processor>,
        watched: Option<u64>,
    ) -> Self {
        Self { first, group, processor, watched, peak: Arc::default() }
    }

    /// The first process of the jail.
    pub(crate) fn first(&self) -> i32 {
        self.first
    }

    /// User and system time of its control group, where that counts them.
    pub(crate) fn group_processor(&self) -> Option<(Duration, Duration)> {
        self.processor.as_ref()?.times()
    }

    /// Memory of its control group, where there is one.
    pub(crate) fn group_memory(&self) -> Option<u64> {
        self.group.as_ref()?.now()
    }

    /// Whether memory ran out since the jail started. Where a control group enforces the limit, this reads
    /// two small files; elsewhere a few for each process.
    ///
    /// A jail of which the kernel has killed a process may go on without that; the caller ends it.
    #[must_use]
    pub fn out_of_memory(&self) -> Option<OutOfMemory> {
        if let Some(group) = &self.group {
            let killed = group.killed()?;
            return (killed.processes > 0).then(|| match killed.at_limit {
                true => OutOfMemory::Limit { used: group.peak().unwrap_or(0) },
                false => OutOfMemory::Machine,
            });
        }
        let limit = self.watched?;
        let processes = self.processes();
        let used = resident(&processes);
        // The first sum counts pages twice that several processes have; only the second is fair, and slow.
        let used = if used > limit { proportional(&processes) } else { used };
        self.peak.fetch_max(used, Ordering::Relaxed);
        (used > limit).then_some(OutOfMemory::Limit { used })
    }

    /// Process ids of the jail as the host sees them, without its first process. One that is just being
    /// started may be missing.
    #[must_use]
    pub fn processes(&self) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.first];
        while let Some(process) = open.pop() {
            // What loses its parent becomes a child of the first process, so all of them are below it.
            let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
            for task in tasks {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                let children = children.split_whitespace().filter_map(|child| child.parse().ok());
                open.extend(children.filter(|child| found.insert(*child)));
            }
        }
        found
    }

    /// What all processes but the first used until now, and those that each of them waited for.
    pub(crate) fn so_far(&self) -> Used {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let mut used = Used::default();
        for process in self.processes() {
            for (number, time) in times(process).into_iter().enumerate() {
                let time = Duration::from_millis(time.saturating_mul(1000) / ticks);
                *(if number % 2 == 0 { &mut used.user } else { &mut used.system }) += time;
            }
            let [largest] = fields(process, "status", ["VmHWM"]);
            let [read, written] = fields(process, "io", ["read_bytes", "write_bytes"]);
            used.largest_bytes = used.largest_bytes.max(largest.saturating_mul(1024));
            used.read_bytes += read;
            used.written_bytes += written;
        }
        used
    }

    pub(crate) fn peak(&self) -> Option<u64> {
        Some(self.peak.load(Ordering::Relaxed)).filter(|peak| *peak > 0)
    }

    /// What the jail used, after its end. `killed` is what was seen of processes that were killed and that
    /// nobody waited for; `group` the times of its control group.
    pub(crate) fn usage(&self, mut used: Used, killed: Used, group: Option<(Duration, Duration)>) -> Usage {
        used.largest_bytes = used.largest_bytes.max(killed.largest_bytes);
        used.read_bytes += killed.read_bytes;
        used.written_bytes += killed.written_bytes;
        let (user, system) = group.unwrap_or((used.user + killed.user, used.system + killed.system));
        let times = if group.is_some() { "control group, version 2" } else { "rusage" };
        let (peak, memory) = match (&self.group, self.peak()) {
            (Some(group), _) if group.peak().is_some() => (
                group.peak(),
                match group.version() {
                    Version::V1 => "control group, version 1",
                    Version::V2 => "control group, version 2",
                },
            ),
            (_, Some(peak)) if peak > used.largest_bytes => {
                (Some(peak), "sums of all processes, seen now and then")
            }
            _ => (Some(used.largest_bytes), "largest process alone (rusage)"),
        };
        Usage {
            user,
            system,
            memory_peak: peak,
            read_bytes: Some(used.read_bytes),
            written_bytes: Some(used.written_bytes),
            source: format!("processor: {times}; memory: {memory}; disks: rusage"),
        }
    }
}

/// Numbers in a file such as `/proc/PID/status`; zero for a process that is gone.
pub(crate) fn fields<const N: usize>(process: i32, file: &str, names: [&str; N]) -> [u64; N] {
    let text = fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
    names.map(|name| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = value.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
        number.unwrap_or(0)
    })
}

/// Memory that is not of files on disk, pages of several processes counted for each of them.
pub(crate) fn resident(processes: &BTreeSet<i32>) -> u64 {
    let sums = sum(processes, |process| fields(process, "status", ["RssAnon", "RssShmem"]));
    sums[0] + sums[1].max(shared(processes))
}

/// Likewise, pages of several processes counted once.
fn proportional(processes: &BTreeSet<i32>) -> u64 {
    let sums = sum(processes, |process| fields(process, "smaps_rollup", ["Pss_Anon", "Pss_Shmem"]));
    sums[0] + sums[1].max(shared(processes))
}

/// Of numbers of kilobytes, in bytes.
fn sum(processes: &BTreeSet<i32>, of: impl Fn(i32) -> [u64; 2]) -> [u64; 2] {
    processes
        .iter()
        .map(|process| of(*process))
        .fold([0; 2], |sums, one| [sums[0] + one[0] * 1024, sums[1] + one[1] * 1024])
}

/// What is in `/dev/shm` of the jail, mapped or not.
fn shared(processes: &BTreeSet<i32>) -> u64 {
    let system = processes.iter().find_map(|process| {
        let path = PathBuf::from(format!("/proc/{process}/root/dev/shm"));
        let system = rustix::fs::statfs(&path).ok()?;
        (system.f_type == libc::TMPFS_MAGIC).then_some(system)
    });
    system.map_or(0, |system| {
        let blocks = system.f_blocks.saturating_sub(system.f_bfree);
        blocks.saturating_mul(u64::try_from(system.f_bsize).unwrap_or(0))
    })
}
