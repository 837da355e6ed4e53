//! The directory of a run while it goes on, and how to tell that nobody is at it any more.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aseptic_sandbox::Prepared;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags};

use crate::home::{HomeError, io_error, make_private, remove};

/// Disk space set aside while the job runs, so that a job that fills the disk can still be sealed.
const RESERVE_BYTES: u64 = 1 << 20;

/// Ending of the name of a run directory that is being removed.
pub(crate) const REMOVED: &str = "old";

/// The directory of a run while it goes on.
#[derive(Debug)]
pub(crate) struct RunDir {
    pub(crate) path: PathBuf,
    /// Held by the supervisor and by the jail's first process: whoever can take it knows that both are
    /// gone or ending.
    pub(crate) lock: File,
}

impl RunDir {
    /// Makes the directory of a new run. Its lock appears in it already held, so nobody takes it for an
    /// orphan; until then it is empty, and whoever finds it so may remove it.
    pub(crate) fn create(path: PathBuf) -> Result<Self, HomeError> {
        let failed = |source| io_error("make", &path, source);
        loop {
            make_private(&path)?;
            match held_lock(&path) {
                Ok(lock) => {
                    let this = Self { path, lock };
                    this.fill()?;
                    return Ok(this);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // It was removed: again.
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn fill(&self) -> Result<(), HomeError> {
        for name in ["changes", "overlay", "out", "tmp", "var-tmp", "home", "logs", "root"] {
            let dir = self.join(name);
            fs::create_dir(&dir).map_err(|source| io_error("make", &dir, source))?;
        }
        for name in ["tmp", "var-tmp"] {
            let dir = self.join(name);
            let sticky = fs::Permissions::from_mode(0o1777);
            fs::set_permissions(&dir, sticky).map_err(|source| io_error("open", &dir, source))?;
        }
        let path = self.join("reserve");
        let file = File::create_new(&path).map_err(|source| io_error("make", &path, source))?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()), // Copy-on-write systems keep their own.
            Err(source) => Err(io_error("set space aside in", &path, source.into())),
        }
    }

    /// Takes over the directory of a run whose supervisor is gone; nothing when it is not.
    pub(crate) fn adopt(path: PathBuf) -> Option<Self> {
        let Ok(lock) = File::open(path.join("lock")) else {
            let _ = fs::remove_dir(&path); // Empty: its supervisor died before it had a lock.
            return None;
        };
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
        // Whoever held it before may be done with the directory. Or it is the kernel's doing: it takes the
        // lock from a process that ends before it ends the others of the jail.
        let this = path.join("lock").exists().then_some(Self { path, lock })?;
        First::read(&this.join(FIRST)).is_none_or(|first| first.is_gone()).then_some(this)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Gives back what only the job needed: its temporary files, and the space set aside.
    pub(crate) fn release(&self) -> Result<(), HomeError> {
        for name in ["tmp", "var-tmp", "home", "overlay"] {
            let dir = self.join(name);
            if dir.exists() {
                remove(&dir)?;
            }
        }
        match fs::remove_file(self.join("reserve")) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &self.join("reserve"), source))
            }
            _ => Ok(()),
        }
    }

    /// Removes the directory; the run is over. Killed halfway, it has a name that says so.
    pub(crate) fn remove(self) -> Result<(), HomeError> {
        let failed = |error| io_error("remove", &self.path, error);
        let removed = self.path.with_extension(REMOVED);
        fs::rename(&self.path, &removed).map_err(failed)?;
        let _ = aseptic_store::remove_tree(&removed); // Else the next command does it.
        Ok(())
    }

    /// Writes down whom the jail ends with, for whoever finds the run without its supervisor.
    pub(crate) fn note_first(&self, prepared: &Prepared) -> Result<(), HomeError> {
        let path = self.join(FIRST);
        let failed = |source| io_error("write", &path, source);
        let first = First::of(prepared.pid()).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        fs::write(&path, format!("{} {}\n", first.pid, first.started)).map_err(failed)
    }
}

/// Kills the jail of the run in the directory `path`, whatever its supervisor does. False when there is none.
pub(crate) fn kill_jail(path: &Path) -> io::Result<bool> {
    First::read(&path.join(FIRST)).map_or(Ok(false), |first| first.kill())
}

/// Whether the jail of the run in the directory `path` is gone, or was never there.
pub(crate) fn is_jail_gone(path: &Path) -> bool {
    First::read(&path.join(FIRST)).is_none_or(|first| first.process().is_none())
}

/// Names the first process of the jail, in the directory of its run.
const FIRST: &str = "first";

/// How long to wait for the end of a jail that is ending; one that takes longer is left to the next command.
const END_WAIT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The first process of a jail. When it has ended, so has every other.
struct First {
    pid: i32,
    /// In ticks since the machine was started: another process of the number has another start.
    started: String,
}

impl First {
    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.to_owned();
        Some(Self { pid, started })
    }

    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (pid, started) = text.trim_end().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.to_owned() })
    }

    /// Ends it, and with it every process of the jail. False when it is gone already.
    fn kill(&self) -> io::Result<bool> {
        let Some(process) = self.process() else { return Ok(false) };
        match rustix::process::pidfd_send_signal(&process, rustix::process::Signal::KILL) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// It, and no other process that has its number by now; nothing when it is gone.
    fn process(&self) -> Option<OwnedFd> {
        let pid = rustix::process::Pid::from_raw(self.pid)?;
        let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
        // Looked at after it was opened: the process of this number is the one that was opened.
        Self::of(self.pid).is_some_and(|now| now.started == self.started).then_some(process)
    }

    /// Waits for its end, which is at hand when nobody holds the lock of its run.
    fn is_gone(&self) -> bool {
        let Some(process) = self.process() else { return true };
        let mut polled = [PollFd::new(&process, PollFlags::IN)];
        rustix::event::poll(&mut polled, Some(&END_WAIT)).is_ok_and(|ready| ready > 0)
    }
}

/// A lock file in `directory` that is held by the time it has its name.
fn held_lock(directory: &Path) -> io::Result<File> {
    let nameless = rustix::fs::open(directory, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR)?;
    rustix::fs::flock(&nameless, FlockOperation::NonBlockingLockExclusive)?;
    let known_as = format!("/proc/self/fd/{}", nameless.as_raw_fd());
    rustix::fs::linkat(CWD, known_as, CWD, directory.join("lock"), AtFlags::SYMLINK_FOLLOW)?;
    Ok(nameless.into())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_run_is_not_taken_over_before_its_jail_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let dir = RunDir::create(path.clone()).unwrap();
        // The supervisor and the first process have given up the lock, and that one is still there.
        let mut first = Command::new("sleep").arg("1000").spawn().unwrap();
        let known = First::of(i32::try_from(first.id()).unwrap()).unwrap();
        fs::write(dir.join(FIRST), format!("{} {}\n", known.pid, known.started)).unwrap();
        drop(dir);
        assert!(RunDir::adopt(path.clone()).is_none());
        first.kill().unwrap(); // It need not have been waited for.
        assert!(RunDir::adopt(path.clone()).is_some());
        first.wait().unwrap();
        // Another process of its number is not it.
        fs::write(path.join(FIRST), format!("{} 1\n", std::process::id())).unwrap();
        assert!(RunDir::adopt(path).is_some());
    }
}
