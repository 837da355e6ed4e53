//! Signals that are meant for the job, which this process only passes on, and those that end long work.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aseptic_runner::Signals;
use signal_hook::consts::signal::{
    SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

const PASSED_ON: [i32; 9] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT];

/// Takes over the signals of this process that a job should get. What the caller had ignored, as nohup(1)
/// and background jobs of a script do, stays ignored.
pub(crate) struct Caught(SignalDelivery<UnixStream, SignalOnly>);

impl Caught {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        let ignored = ignored();
        let caught = PASSED_ON.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        SignalDelivery::with_pipe(read, write, SignalOnly, caught).map(Self)
    }
}

/// Whether the user wants long work to end. The first signal says so, and the second ends this process.
#[derive(Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn catch() -> io::Result<Self> {
        let interrupt = Self::default();
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0)
        {
            // In this order: what the second finds was set by the first.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&interrupt.0))?;
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))?;
        }
        Ok(interrupt)
    }

    pub(crate) fn is_seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The signals that this process ignores, one bit each from the lowest; none if that cannot be known.
///
/// Source: proc_pid_status(5).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

impl Signals for Caught {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }

    fn take(&mut self) -> Vec<i32> {
        self.0.pending().collect()
    }
}
