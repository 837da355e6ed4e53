//! Waiting for more, for commands that go on until Ctrl-C.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits for so long, less when a signal comes. False when nobody reads standard output any more.
pub(crate) fn wait(pause: Duration) -> io::Result<bool> {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let timeout = Timespec::try_from(pause).map_err(io::Error::other)?;
    match poll(&mut watched, Some(&timeout)) {
        Ok(_) => Ok(!watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
