//! A terminal of the user's, from which an attempt is started.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::pty::OpenptFlags;
use rustix::termios::OptionalActions;

use crate::scene::TERMINAL;

/// In arguments, stands for device and inode of the terminal.
pub const PLACEHOLDER: &str = "@TERMINAL@";

/// What is printed before the number of bytes that somebody typed.
pub(crate) const TYPED: &str = "typed ";

/// Runs `command` on a new terminal that is this session's own; prints how many bytes were typed on it.
///
/// This process must not lead a process group.
pub(crate) fn on_a_terminal(command: &[OsString]) -> io::Result<()> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = rustix::pty::openpt(flags)?;
    rustix::pty::grantpt(&controller)?;
    rustix::pty::unlockpt(&controller)?;
    let name = rustix::pty::ptsname(&controller, Vec::new())?;
    rustix::process::setsid()?;
    // The first terminal that the leader of a session opens becomes that session's own.
    let path = PathBuf::from(OsString::from_vec(name.into_bytes()));
    let terminal = OpenOptions::new().read(true).write(true).open(path)?;
    let mut settings = rustix::termios::tcgetattr(&terminal)?;
    settings.make_raw();
    rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &settings)?;
    let status = rustix::fs::fstat(&terminal)?;
    let device = format!("{}:{}", status.st_dev, status.st_ino);
    let mut words = command.iter().map(|word| {
        let word = String::from_utf8_lossy(word.as_bytes());
        OsString::from(word.replace(PLACEHOLDER, &device))
    });
    let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program);
    child.args(words).env(TERMINAL, &device).stdin(Stdio::from(terminal.try_clone()?));
    child.status()?;
    let typed = rustix::io::ioctl_fionread(&terminal)?;
    writeln!(io::stdout(), "{TYPED}{typed}")
}

/// How many bytes were typed, by the output of the part `terminal`.
#[must_use]
pub fn typed(output: &str) -> Option<u64> {
    output.lines().rev().find_map(|line| line.strip_prefix(TYPED)?.parse().ok())
}
