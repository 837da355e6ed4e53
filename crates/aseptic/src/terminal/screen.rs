//! The screen of the caller's terminal, on which the job's is shown.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;

use aseptic_runner::{Stream, TerminalSize};
use rustix::fs::OFlags;

/// Undoes what programs that are killed leave behind: the other screen, colours and character set, a hidden
/// cursor, keypad and cursor keys, reports of the mouse, marks around pasted text.
const RESET: &[u8] = b"\x1b[?1047l\x1b[0m\x1b(B\x1b[?25h\x1b[?1l\x1b>\x1b[?1000;1002;1003;1006l\x1b[?2004l";

/// Where the job's terminal is shown.
#[derive(Debug)]
pub(super) struct Screen {
    /// The stream of the job that its terminal is.
    pub(super) stream: Stream,
    on_stdout: bool,
    /// A description of our own that never waits, if there can be one.
    file: Option<File>,
    /// The last byte that was shown.
    last: Option<u8>,
    /// Whether anything was shown that can change more than text.
    pub(super) escaped: bool,
}

impl Screen {
    pub(super) fn new(stream: Stream, on_stdout: bool) -> Self {
        let number = if on_stdout { 1 } else { 2 };
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let file = OpenOptions::new().write(true).custom_flags(flags).open(format!("/proc/self/fd/{number}"));
        Self { stream, on_stdout, file: file.ok(), last: None, escaped: false }
    }

    pub(super) fn show(&mut self, bytes: &[u8]) -> usize {
        let written = match &mut self.file {
            Some(file) => file.write(bytes),
            None if self.on_stdout => {
                io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()).map(|()| bytes.len())
            }
            None => io::stderr().write_all(bytes).map(|()| bytes.len()),
        };
        match written {
            Ok(length) => {
                self.note(bytes.get(..length).unwrap_or(bytes));
                length
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => bytes.len(), // It is gone. The log keeps every byte.
        }
    }

    pub(super) fn note(&mut self, bytes: &[u8]) {
        self.last = bytes.last().copied().or(self.last);
        // Escape, enquiry, and the controls that Unicode has for the same.
        self.escaped |= bytes.iter().any(|byte| matches!(byte, 0x1b | 0x05))
            || bytes.windows(2).any(|two| matches!(two, [0xc2, 0x80..=0x9f]));
    }

    /// Makes the terminal fit for what comes next; on a line of its own if that is a message.
    pub(super) fn finish(self, message_follows: bool) {
        let mut last = Vec::new();
        if self.escaped {
            last.extend(RESET);
        }
        if message_follows && self.last.is_some_and(|last| last != b'\n') {
            last.extend(b"\r\n");
        }
        let _ = if self.on_stdout {
            io::stdout().write_all(&last).and_then(|()| io::stdout().flush())
        } else {
            io::stderr().write_all(&last)
        };
    }

    pub(super) fn size(&self) -> Option<TerminalSize> {
        let stream = if self.on_stdout { rustix::stdio::stdout() } else { rustix::stdio::stderr() };
        let size = rustix::termios::tcgetwinsize(stream).ok()?;
        let size = TerminalSize { rows: size.ws_row, columns: size.ws_col };
        (size.rows > 0 && size.columns > 0).then_some(size)
    }
}
