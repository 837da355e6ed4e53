//! What a job uses of the machine over time, in a thread of its own, as JSON lines in the directory of its run.
//!
//! A line is on disk as far as the kernel has it when the next sample is taken, so that a run whose supervisor
//! died has them, too. When there are [`SAMPLES_MAX`], each two become one and the pause doubles: a run of days
//! has no more than that.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aseptic_sandbox::{Meter, Sample};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::timespec;

/// Time between two samples of a run that is not long; a shorter run has none.
const EVERY: Duration = Duration::from_secs(1);

/// Sampling may take at most one part in so many of the time of one processor.
const SHARE: u32 = 200;

/// Most lines.
const SAMPLES_MAX: usize = 4_000;

/// What a gateway says of its run, of all grants together.
#[derive(Debug, Default)]
pub(crate) struct NetworkBytes {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// The thread. Dropped, it has ended.
#[derive(Debug)]
pub(super) struct Sampler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<u64>>,
}

#[derive(Debug)]
struct Shared {
    /// Readable when the thread is to end.
    over: OwnedFd,
    stop: AtomicBool,
}

impl Sampler {
    /// Samples to the file `path`, which is made with the first sample.
    pub(super) fn start(meter: Meter, network: Option<Arc<NetworkBytes>>, path: PathBuf) -> io::Result<Self> {
        let over = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { over, stop: AtomicBool::new(false) });
        let theirs = Arc::clone(&shared);
        let mut series = Series { path, file: None, lines: Vec::new(), dropped: 0 };
        let thread = std::thread::Builder::new().name("sampler".to_owned()).spawn(move || {
            theirs.sample(&meter, network.as_deref(), &mut series);
            series.dropped
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ends it; returns how many bytes could not be written.
    pub(super) fn finish(mut self) -> u64 {
        self.end()
    }

    fn end(&mut self) -> u64 {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = rustix::io::write(&self.shared.over, &1_u64.to_ne_bytes()); // Full, it is readable already.
        self.thread.take().map_or(0, |thread| thread.join().unwrap_or(0))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn sample(&self, meter: &Meter, network: Option<&NetworkBytes>, series: &mut Series) {
        let started = Instant::now();
        let mut every = EVERY;
        let (mut due, mut before) = (every, (Duration::ZERO, Duration::ZERO));
        while series.dropped == 0 && self.wait_until(started + due) {
            let looked = Instant::now();
            let at = started.elapsed();
            // Without a process the job is over, or not there yet.
            if let Some(sample) = meter.sample(&self.stop) {
                let used = sample.processor.saturating_sub(before.0);
                let cores = used.as_secs_f64() / (at - before.1).as_secs_f64().max(1e-3);
                before = (sample.processor.max(before.0), at);
                series.add(Line::new(at, cores, &sample, network));
            }
            if series.lines.len() >= SAMPLES_MAX {
                every *= 2;
                series.halve();
            }
            due = (due + every).max(started.elapsed() + looked.elapsed() * SHARE);
        }
    }

    /// False when it is over.
    fn wait_until(&self, due: Instant) -> bool {
        loop {
            let pause = due.saturating_duration_since(Instant::now());
            let mut over = [PollFd::new(&self.over, PollFlags::IN)];
            match poll(&mut over, Some(&timespec(pause))) {
                Ok(0) => return true,
                Err(rustix::io::Errno::INTR) => {}
                _ => return false,
            }
        }
    }
}

/// One sample, or several that became one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    /// Since the start of the job.
    at: Duration,
    /// Seconds since 1970.
    time: f64,
    /// Processors that were used on average since the line before.
    cores: f64,
    sample: Sample,
    network: Option<[u64; 2]>,
}

impl Line {
    fn new(at: Duration, cores: f64, sample: &Sample, network: Option<&NetworkBytes>) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        let network =
            network.map(|bytes| [bytes.sent.load(Ordering::Relaxed), bytes.received.load(Ordering::Relaxed)]);
        Self { at, time, cores, sample: *sample, network }
    }

    /// Two lines as one: what is counted as it was last, what goes up and down as it was most.
    fn joined(first: &Self, second: &Self) -> Self {
        let (one, other) = (&first.sample, &second.sample);
        let sample = Sample {
            memory: one.memory.max(other.memory),
            processes: one.processes.max(other.processes),
            ..*other
        };
        Self { cores: f64::midpoint(first.cores, second.cores), sample, ..*second }
    }

    fn text(&self) -> String {
        let Sample { memory, read, written, processes, .. } = self.sample;
        let mut text = format!(
            "{{\"step\":{},\"time\":{:.3},\"cpu_cores\":{:.3},\"memory_bytes\":{memory},\
             \"disk_read_bytes\":{read},\"disk_written_bytes\":{written},\"processes\":{processes}",
            (self.at + Duration::from_millis(500)).as_secs(),
            self.time,
            self.cores
        );
        if let Some([sent, received]) = self.network {
            let _ = write!(text, ",\"network_sent_bytes\":{sent},\"network_received_bytes\":{received}");
        }
        text.push_str("}\n");
        text
    }
}

/// The lines of a run, and the file that has them.
#[derive(Debug)]
struct Series {
    path: PathBuf,
    file: Option<File>,
    lines: Vec<Line>,
    dropped: u64,
}

impl Series {
    /// A full disk ends the series, and the record says so.
    fn add(&mut self, line: Line) {
        let text = line.text();
        self.lines.push(line);
        let written = match &mut self.file {
            Some(file) => file.write_all(text.as_bytes()),
            None => OpenOptions::new().append(true).create_new(true).open(&self.path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                self.file = Some(file);
                Ok(())
            }),
        };
        if written.is_err() {
            self.dropped += text.len() as u64;
        }
    }

    fn halve(&mut self) {
        let pairs = self.lines.as_chunks::<2>().0;
        self.lines = pairs.iter().map(|[first, second]| Line::joined(first, second)).collect();
        let text: String = self.lines.iter().map(Line::text).collect();
        // The old file stays until the new one is there.
        let new = self.path.with_extension("new");
        let written = OpenOptions::new().append(true).create_new(true).open(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            fs::rename(&new, &self.path)?;
            Ok(file)
        });
        match written {
            Ok(file) => self.file = Some(file),
            Err(_) => self.dropped += text.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u64, cores: f64, memory: u64) -> Line {
        let sample = Sample { memory, read: second, processes: 1, ..Sample::default() };
        Line { at: Duration::from_secs(second), time: 1e9, cores, sample, network: None }
    }

    #[test]
    fn a_line_is_json() {
        let networked = Line { network: Some([1, 2]), ..line(3, 1.5, 4_096) };
        let read: serde_json::Value = serde_json::from_str(&networked.text()).unwrap();
        assert_eq!((&read["step"], &read["cpu_cores"]), (&3.into(), &1.5.into()));
        assert_eq!((&read["memory_bytes"], &read["network_received_bytes"]), (&4_096.into(), &2.into()));
    }

    #[test]
    fn a_long_run_has_a_bounded_number_of_lines_and_keeps_peaks() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("system");
        let mut series = Series { path: path.clone(), file: None, lines: Vec::new(), dropped: 0 };
        for second in 0..30_000 {
            series.add(line(second, 1.0, if second == 12_345 { 9_999 } else { 5 }));
            if series.lines.len() >= SAMPLES_MAX {
                series.halve();
            }
        }
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), series.lines.len());
        assert!(series.lines.len() < SAMPLES_MAX && series.dropped == 0);
        assert_eq!(text.matches("\"memory_bytes\":9999,").count(), 1);
        assert!(text.ends_with(&line(29_999, 1.0, 5).text()));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_ends_it_and_is_said() {
        let path = PathBuf::from("/dev/full/none");
        let mut series = Series { path, file: None, lines: Vec::new(), dropped: 0 };
        series.add(line(1, 1.0, 1));
        assert!(series.dropped > 0);
    }
}
