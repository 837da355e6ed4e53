//! What the job is given on standard input: passed on as it takes it, and kept if nobody typed it.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::home::HomeError;
use crate::observer::Observer;
use crate::output::Log;
use crate::streams::Input;

/// Bytes read ahead of the job, beside those that its pipe holds.
const CHUNK_BYTES: usize = 16_384;

/// What Ctrl-C and Ctrl-\ send. They are keys of the terminal's default settings, as most others are.
const INTERRUPT: u8 = 3;
const QUIT: u8 = 28;
/// What Ctrl-D sends.
const END: u8 = 4;

/// So many Ctrl-\ in a row, within this time, end a job that takes no notice of anything.
const QUITS: u32 = 3;
const QUITS_WITHIN: Duration = Duration::from_secs(2);

/// Standard input of a job on its way.
pub(crate) struct Feed {
    /// The job's pipe or terminal, until one of the two sides closes.
    to: Option<File>,
    /// What was piped in is kept.
    log: Option<Log>,
    buffer: Vec<u8>,
    /// What of the buffer the job has not taken yet.
    waiting: Range<usize>,
    from: Option<FromInput>,
    pub(crate) keys: Keys,
}

/// What was typed that means more than its byte.
#[derive(Default)]
pub(crate) struct Keys {
    quits: u32,
    first_quit: Option<Instant>,
    /// The signal that the last Ctrl-C or Ctrl-\ stands for, where the job has it so.
    pub(crate) signal: Option<i32>,
    /// Whether the job is to be killed.
    pub(crate) insisted: bool,
}

/// What a job was given on standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FromInput {
    Typed,
    Piped {
        /// Bytes that were passed on and not kept.
        dropped: u64,
    },
}

impl Feed {
    /// What is piped in is kept at `path`.
    pub(crate) fn new(input: Input, path: &Path) -> Result<Self, HomeError> {
        let (to, log) = match input {
            Input::Nothing => (None, None),
            Input::Typed(terminal) => (Some(terminal), None),
            Input::Piped(pipe) => (Some(pipe), Some(Log::new(path)?)),
        };
        let from = match (&to, &log) {
            (None, _) => None,
            (Some(_), None) => Some(FromInput::Typed),
            (Some(_), Some(_)) => Some(FromInput::Piped { dropped: 0 }),
        };
        Ok(Self { to, log, from, buffer: vec![0; CHUNK_BYTES], waiting: 0..0, keys: Keys::default() })
    }

    /// What to wait for: that the job takes more, or that there is more.
    pub(crate) fn awaited<'a>(&'a self, observer: &'a dyn Observer) -> Option<PollFd<'a>> {
        let to = self.to.as_ref()?;
        if self.waiting.is_empty() {
            Some(PollFd::from_borrowed_fd(observer.input()?, PollFlags::IN))
        } else {
            Some(PollFd::from_borrowed_fd(to.as_fd(), PollFlags::OUT))
        }
    }

    /// Passes on what is there, as far as the job takes it. Never blocks.
    pub(crate) fn pump(&mut self, observer: &mut dyn Observer) {
        if self.waiting.is_empty() {
            match observer.read(&mut self.buffer) {
                Ok(length @ 1..) => self.waiting = 0..length.min(self.buffer.len()),
                Err(error) if is_temporary(&error) => return,
                Ok(0) | Err(_) => {
                    if let (Some(terminal), None) = (&mut self.to, &self.log) {
                        let _ = terminal.write(&[END]); // A pipe has an end; on a terminal it is typed.
                    }
                    self.to = None;
                    return;
                }
            }
            if self.log.is_none() {
                self.keys.typed(&self.buffer[self.waiting.clone()]);
            }
        }
        let Some(to) = &mut self.to else { return };
        match to.write(&self.buffer[self.waiting.clone()]) {
            Ok(length) => {
                if let Some(log) = &mut self.log {
                    log.keep(&self.buffer[self.waiting.start..self.waiting.start + length]);
                }
                self.waiting.start += length;
            }
            Err(error) if is_temporary(&error) => {}
            Err(_) => self.to = None, // The job has closed its end: whoever writes to ours hears of it.
        }
    }

    /// What the job was given.
    pub(crate) fn given(&self) -> Option<FromInput> {
        match (self.from, &self.log) {
            (Some(FromInput::Piped { .. }), Some(log)) => Some(FromInput::Piped { dropped: log.dropped }),
            (from, _) => from,
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Keys {
    fn typed(&mut self, keys: &[u8]) {
        for key in keys {
            match *key {
                QUIT => {
                    let recent = self.first_quit.is_some_and(|first| first.elapsed() < QUITS_WITHIN);
                    if !recent {
                        (self.first_quit, self.quits) = (Some(Instant::now()), 0);
                    }
                    self.quits += 1;
                    self.insisted |= self.quits >= QUITS;
                    self.signal = Some(3);
                }
                INTERRUPT => *self = Self { signal: Some(2), insisted: self.insisted, ..Self::default() },
                _ => (self.first_quit, self.quits) = (None, 0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(typed: &[u8]) -> (Option<i32>, bool) {
        let mut keys = Keys::default();
        typed.iter().for_each(|key| keys.typed(&[*key]));
        (keys.signal, keys.insisted)
    }

    #[test]
    fn only_three_quits_in_a_row_insist() {
        assert_eq!(after(b"word\n"), (None, false));
        assert_eq!(after(b"\x03\x03\x03\x03"), (Some(2), false));
        assert_eq!(after(b"\x1c\x1c"), (Some(3), false));
        assert_eq!(after(b"\x1c\x1cx\x1c"), (Some(3), false));
        assert_eq!(after(b"\x1c\x1c\x03\x1c"), (Some(3), false));
        assert_eq!(after(b"\x1c\x1c\x1c"), (Some(3), true));
    }

    #[test]
    fn quits_far_apart_do_not_insist() {
        let mut keys =
            Keys { quits: 2, first_quit: Instant::now().checked_sub(QUITS_WITHIN), ..Keys::default() };
        keys.typed(&[QUIT]);
        assert!(!keys.insisted);
    }
}
