//! A directory for an archive on its way.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use aseptic_store::remove_dead;
use rustix::fs::{FlockOperation, flock};

use crate::home::{Home, HomeError, io_error, make_private, remove};

/// Where they all are, in the state directory.
const ARCHIVING: &str = "archiving";

/// A private directory in the state directory, removed on drop. Its lock says that its process lives.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes one, and removes those of dead processes.
    pub(super) fn new(home: &Home) -> Result<Self, HomeError> {
        let all = home.dir().join(ARCHIVING);
        make_private(&all)?;
        let _guard = clear_all(&all)?;
        let mut number = 0;
        let path = loop {
            let path = all.join(format!("{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => break path,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(io_error("make", &path, source)),
            }
        };
        let lock = path.join("lock");
        let lock = File::create_new(&lock).map_err(|source| io_error("make", &lock, source))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|source| io_error("lock", &path, source.into()))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where its store is, or will be.
    pub(super) fn store(&self) -> PathBuf {
        self.path.join("store")
    }
}

/// Removes those of processes that were killed.
pub(crate) fn clear(home: &Home) -> Result<(), HomeError> {
    let all = home.dir().join(ARCHIVING);
    if all.exists() {
        clear_all(&all)?;
    }
    Ok(())
}

/// While what is returned is held, no other is made: one that is just being made has no lock yet, and would look
/// dead.
fn clear_all(all: &Path) -> Result<OwnedFd, HomeError> {
    remove_dead(all).map_err(|source| io_error("clear", all, source))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove(&self.path); // The next one tries again.
    }
}
