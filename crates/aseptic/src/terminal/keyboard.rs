//! The keyboard of the caller's terminal, while the job has it.

use std::io::{self, ErrorKind};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::termios::{OptionalActions, QueueSelector, SpecialCodeIndex, Termios};

/// In the modes of [`Keyboard::enter`] this never waits.
pub(super) fn read_keys(buffer: &mut [u8]) -> io::Result<usize> {
    match rustix::io::read(rustix::stdio::stdin(), buffer)? {
        0 if is_gone() => Ok(0),
        0 => Err(ErrorKind::WouldBlock.into()),
        length => Ok(length),
    }
}

/// Whether the terminal was closed. In the background no signal says so.
fn is_gone() -> bool {
    let mut polled = [PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::empty())];
    let _ = rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// The keyboard of the terminal that is standard input.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    /// Whether keys come to the job as they are typed.
    pub(super) raw: bool,
    /// The modes to go back to.
    before: Option<Termios>,
}

impl Keyboard {
    pub(super) fn refresh(&mut self) {
        if !self.raw && is_gone() {
            self.raw = true; // Whoever reads finds its end.
            return;
        }
        match (is_foreground(), self.raw) {
            (true, false) => self.enter(),
            (false, true) => self.raw = false, // Whoever is in front now has set its own modes.
            _ => {}
        }
    }

    /// Every key goes to the job's terminal, which knows what Ctrl-C means to the job.
    fn enter(&mut self) {
        let stdin = rustix::stdio::stdin();
        if self.before.is_none() {
            self.before = rustix::termios::tcgetattr(stdin).ok();
        }
        let Some(mut modes) = self.before.clone() else { return };
        modes.make_raw();
        modes.special_codes[SpecialCodeIndex::VMIN] = 0;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        self.raw = rustix::termios::tcsetattr(stdin, OptionalActions::Now, &modes).is_ok();
    }

    /// Throws away what was typed and not read.
    pub(super) fn forget(&self) {
        if self.raw && is_foreground() {
            let _ = rustix::termios::tcflush(rustix::stdio::stdin(), QueueSelector::IFlush);
            let mut buffer = [0; 4096];
            // More may follow from where the terminal keeps it; as much as it can keep, and no endless stream.
            for _ in 0..32 {
                if !matches!(read_keys(&mut buffer), Ok(1..)) {
                    break;
                }
            }
        }
    }

    pub(super) fn leave(&mut self) {
        self.raw = false;
        // In the background, the modes are those of whoever is in front, and setting them would stop us.
        if let Some(before) = self.before.take()
            && is_foreground()
        {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &before);
        }
    }
}

/// Whether the terminal may be read and set. One that controls nobody here has no background.
fn is_foreground() -> bool {
    rustix::termios::tcgetpgrp(rustix::stdio::stdin())
        .map_or(true, |group| group == rustix::process::getpgrp())
}

/// Whether a shell with job control started this process: the kernel does not stop others with Ctrl-Z, since
/// they would stay so (an orphaned process group).
pub(super) fn is_continued_by_somebody() -> bool {
    let own = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| Process::parse(&stat));
    let Some(own) = own else { return false };
    let mut parent = own.parent;
    // Through those of the same group, such as a script, to whoever started them.
    while let Some(process) =
        std::fs::read_to_string(format!("/proc/{parent}/stat")).ok().and_then(|stat| Process::parse(&stat))
    {
        if process.group != own.group {
            return process.session == own.session;
        }
        parent = process.parent;
    }
    false
}

struct Process {
    parent: u32,
    group: u32,
    session: u32,
}

impl Process {
    /// Of the text of `/proc/PID/stat`, in which the name of the program can hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(1).map(str::parse);
        let mut next = || fields.next()?.ok();
        Some(Self { parent: next()?, group: next()?, session: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_any_name_has_a_parent() {
        let process = Process::parse("12 (a) 7 (b) S 3 4 5 6").unwrap();
        assert_eq!((process.parent, process.group, process.session), (3, 4, 5));
        assert!(Process::parse("12 (a").is_none());
    }
}
