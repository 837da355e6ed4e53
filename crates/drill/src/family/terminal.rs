//! The terminal that a run was started from.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use rustix::pty::OpenptFlags;

use super::first;
use crate::attempt::{Attempt, Family};
use crate::scene::TERMINAL;
use crate::sys::kernel;
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "terminal",
    about: "the terminal that a run was started from",
    attempts: &[
        Attempt::new("type-on-the-terminal", FILTER, "type as if the user did", |_| {
            match kernel::type_on(terminal()?, b'x') {
                Ok(()) => Said::reached("typed"),
                // The kernel's own switch, behind the filter.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    Said::reached("the terminal answered")
                }
                Err(error) => Err(error),
            }
        })
        .on_terminal(),
        Attempt::new("paste-on-the-console", FILTER, "ask for the selection of a virtual console", |_| {
            match kernel::console(terminal()?) {
                Ok(()) => Said::reached("the console answered"),
                Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => {
                    Said::reached("the terminal answered")
                }
                Err(error) => Err(error),
            }
        })
        .on_terminal(),
        Attempt::new(
            "terminal-by-descriptor",
            "streams and terminal of its own",
            "look for it among open files",
            |_| first(0..1024, |number| is_the_users(Path::new(&format!("/proc/self/fd/{number}")))),
        )
        .on_terminal(),
        Attempt::new("terminal-by-path", "mount namespace", "look for it in /dev", |_: &Scene| {
            first(crate::marks::search(Path::new("/dev")), |path: PathBuf| is_the_users(&path))
        })
        .on_terminal(),
    ],
};

const FILTER: &str = "system call filter";

/// The terminal of this session; where there is none, one that becomes it.
fn terminal() -> io::Result<File> {
    if io::stdin().is_terminal() {
        return Ok(File::from(rustix::stdio::stdin().try_clone_to_owned()?));
    }
    let controller = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::pty::unlockpt(&controller)?;
    let name = rustix::pty::ptsname(&controller, Vec::new())?;
    let terminal = OpenOptions::new().read(true).write(true).open(name.to_string_lossy().as_ref())?;
    std::mem::forget(controller); // Without it the terminal would hang up.
    Ok(terminal)
}

/// Whether this is the terminal that the user started the run from.
fn is_the_users(path: &Path) -> io::Result<Said> {
    let users = std::env::var(TERMINAL).map_err(io::Error::other)?;
    let status = rustix::fs::stat(path)?;
    if format!("{}:{}", status.st_dev, status.st_ino) == users {
        Said::reached(path.display())
    } else {
        Said::refused("another file")
    }
}
