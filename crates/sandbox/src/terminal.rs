//! A session, and a terminal of the jail's own: its multiplexer is the jail's, so its names are, too.
//!
//! **Invariant:** [`open`] is async-signal-safe, as `setup.rs`.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Result;
use rustix::pty::OpenptFlags;
use rustix::termios::{InputModes, OptionalActions, OutputModes, Winsize};

use crate::compile::c_string;
use crate::error::PrepareError;
use crate::jail::{Jail, Mount, Terminal};
use crate::sys;

/// A terminal that will be opened.
pub(crate) struct OwnTerminal {
    multiplexer: CString,
    terminal: Terminal,
}

impl OwnTerminal {
    pub(crate) fn of(jail: &Jail) -> std::result::Result<Option<Self>, PrepareError> {
        let Some(terminal) = jail.terminal else { return Ok(None) };
        let devices = jail.mounts.iter().find_map(|mount| match mount {
            Mount::Devices { target } => Some(target.join("pts/ptmx")),
            _ => None,
        });
        let without = || PrepareError::Description { what: "a terminal without devices".to_owned() };
        let multiplexer = c_string(devices.ok_or_else(without)?.as_os_str())?;
        Ok(Some(Self { multiplexer, terminal }))
    }

    /// Whether each standard stream is on it.
    fn streams(&self) -> [bool; 3] {
        [self.terminal.stdin, self.terminal.stdout, self.terminal.stderr]
    }

    /// A standard stream that is on it.
    pub(crate) fn stream(&self) -> Option<RawFd> {
        (0..).zip(self.streams()).find_map(|(stream, on)| on.then_some(stream))
    }
}

/// Leaves the caller's session, and opens the terminal onto the standard streams that are on it. The
/// supervisor's side is returned.
pub(crate) fn open(wanted: Option<&OwnTerminal>) -> Result<Option<OwnedFd>> {
    rustix::process::setsid()?;
    let Some(wanted) = wanted else { return Ok(None) };
    let Terminal { size, stdin: controls, .. } = wanted.terminal;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let ours = rustix::fs::openat(CWD, wanted.multiplexer.as_c_str(), flags, Mode::empty())?;
    rustix::pty::unlockpt(&ours)?;
    // Where nobody types, a program that asks for a key must not wait for ever: it cannot ask.
    let access = if controls {
        OpenptFlags::RDWR
    } else {
        OpenptFlags::from_bits_retain(libc::O_WRONLY.cast_unsigned())
    };
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, access | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&theirs, size)?;
    let mut modes = rustix::termios::tcgetattr(&theirs)?;
    modes.input_modes |= InputModes::IUTF8; // So that Backspace takes back whole characters.
    if !controls {
        modes.output_modes -= OutputModes::OPOST; // Where it is shown, lines get their ends.
    }
    rustix::termios::tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    if controls {
        rustix::process::ioctl_tiocsctty(&theirs)?;
    }
    for (stream, on) in (0..).zip(wanted.streams()) {
        if on {
            sys::duplicate_to(theirs.as_raw_fd(), stream)?;
        }
    }
    Ok(Some(ours))
}
