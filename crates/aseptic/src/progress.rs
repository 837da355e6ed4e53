//! The line that long work draws on a terminal.

use std::time::{Duration, Instant};

use aseptic_runner::{Progress, Step, Transfer, TransferStep};
use indicatif::{ProgressBar, ProgressStyle};

/// Progress is told thousands of times a second, and nobody reads that fast.
const REDRAW: Duration = Duration::from_millis(50);

const FILES: &str =
    "{msg} [{bar:20}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
const STREAM: &str = "{msg}, {binary_bytes}, {binary_bytes_per_sec}";

/// A line that is drawn over and over; gone when dropped.
#[derive(Debug)]
pub(crate) struct Line {
    bar: ProgressBar,
    step: Option<Step>,
    transfer: Option<TransferStep>,
    drawn: Option<Instant>,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { bar: ProgressBar::new(0), step: None, transfer: None, drawn: None }
    }

    /// How far an import, a copy or a verification is, how fast, and what is left.
    pub(crate) fn files(&mut self, progress: &Progress) {
        if self.step != Some(progress.step) {
            self.step = Some(progress.step);
            self.style(match progress.step {
                Step::Scan | Step::Write => "{msg}",
                // Of a stream nobody knows the end.
                Step::Read if progress.bytes_total == 0 => STREAM,
                Step::Read | Step::Copy => FILES,
            });
            self.bar.reset(); // The rate is that of this step.
        } else if self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let Progress { files, files_total, .. } = progress;
        self.bar.set_length(progress.bytes_total);
        self.bar.set_position(progress.bytes);
        self.bar.set_message(match progress.step {
            Step::Scan => format!("scanning, {files} files so far"),
            Step::Read if progress.bytes_total == 0 => format!("reading, {files} files so far"),
            Step::Read => format!("reading {files} of {files_total} files"),
            Step::Copy => format!("copying {files} of {files_total} files"),
            Step::Write => "waiting for the disk".to_owned(),
        });
    }

    /// How far files are on their way to or from an archive.
    pub(crate) fn transfer(&mut self, transfer: &Transfer) {
        if self.transfer != Some(transfer.step) {
            (self.transfer, self.step) = (Some(transfer.step), None);
            self.style(FILES);
            self.bar.reset();
        } else if self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.bar.set_length(transfer.bytes_total);
        self.bar.set_position(transfer.bytes);
        let verb = match transfer.step {
            TransferStep::Send => "sending",
            TransferStep::Check => "checking",
            TransferStep::Receive => "receiving",
        };
        self.bar.set_message(format!("{verb} {} of {} files", transfer.files, transfer.files_total));
    }

    /// How many runs a search looked at.
    pub(crate) fn searched(&mut self, runs: u64) {
        if self.drawn.is_none() {
            self.drawn = Some(Instant::now());
            self.style("{msg}");
        }
        self.bar.set_message(format!("searched {runs} runs"));
        self.bar.tick();
    }

    /// Which attempt of a drill comes next.
    pub(crate) fn attempt(&mut self, attempt: &str, done: usize, total: usize) {
        if self.drawn.is_none() {
            self.drawn = Some(Instant::now());
            self.style("{pos} of {len} attempts: {msg}");
            self.bar.set_length(total as u64);
        }
        self.bar.set_message(attempt.to_owned());
        self.bar.set_position(done as u64);
    }

    /// How many versions of datasets were searched.
    pub(crate) fn searched_versions(&mut self, done: usize, total: usize) {
        if self.drawn.is_none() {
            self.style("searched {pos} of {len} dataset versions");
            self.bar.set_length(total as u64);
        } else if self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.bar.set_position(done as u64);
    }

    /// How many entries of the ledger were counted, and then how many runs were looked into.
    pub(crate) fn counted(&mut self, done: u64, total: u64) {
        if self.drawn.is_none() {
            self.style("[{bar:20}] {pos} of {len}");
        } else if self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn style(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
