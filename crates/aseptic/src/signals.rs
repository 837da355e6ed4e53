//! Signals that are meant for the job: this process only passes them on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use aseptic_runner::Signals;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

const PASSED_ON: [i32; 7] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];

/// Takes over the signals of this process that a job should get.
pub(crate) struct Caught(SignalDelivery<UnixStream, SignalOnly>);

impl Caught {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        SignalDelivery::with_pipe(read, write, SignalOnly, PASSED_ON).map(Self)
    }
}

impl Signals for Caught {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }

    fn take(&mut self) -> Vec<i32> {
        self.0.pending().collect()
    }
}
