//! What a jail uses at one moment, for who draws it over time.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::usage::{Meter, fields, resident};

/// What a jail uses at one moment, or has used until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Processor time of all its processes until now, those that ended included.
    pub processor: Duration,
    /// Bytes of memory now, without files on disk. Where no control group counts them, pages that several
    /// processes have count for each of these.
    pub memory: u64,
    /// Bytes read from disks until now.
    pub read: u64,
    /// Bytes written to disks until now, or in memory to be written.
    pub written: u64,
    /// How many processes there are now.
    pub processes: u64,
}

impl Meter {
    /// Looks once: at two files of a control group where there is one, and at some for each process.
    ///
    /// Nothing when `stop` is set meanwhile, or when no process is left.
    #[must_use]
    pub fn sample(&self, stop: &AtomicBool) -> Option<Sample> {
        let processes = self.processes();
        if processes.is_empty() {
            return None;
        }
        let mut sample = Sample { processes: processes.len() as u64, ..Sample::default() };
        // What has ended counts as its parent's, and the parent of the last ones is the first process.
        for process in [self.first()].into_iter().chain(processes.iter().copied()) {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let [read, written] = fields(process, "io", ["read_bytes", "write_bytes"]);
            sample.read += read;
            sample.written += written;
        }
        sample.processor = match self.group_processor() {
            Some((user, system)) => user + system,
            None => self.processor_time(&processes),
        };
        sample.memory = self.group_memory().unwrap_or_else(|| resident(&processes));
        Some(sample)
    }

    fn processor_time(&self, processes: &BTreeSet<i32>) -> Duration {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let own: u64 = processes.iter().map(|process| times(*process).iter().sum::<u64>()).sum();
        let [_, _, user, system] = times(self.first());
        Duration::from_millis((own + user + system).saturating_mul(1000) / ticks)
    }
}

/// User and system time of a process in ticks, then of its children that ended; zero for one that is gone.
///
/// Source: proc_pid_stat(5).
pub(crate) fn times(process: i32) -> [u64; 4] {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program, in parentheses, can hold anything.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let mut numbers = fields.split(' ').skip(11).map(|field| field.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}
