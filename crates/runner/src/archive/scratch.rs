//! A directory for an archive on its way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

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
        let _guard = remove_dead(&all)?;
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
        remove_dead(&all)?;
    }
    Ok(())
}

/// Removes the dead ones; while the guard is held no other is made.
fn remove_dead(all: &Path) -> Result<File, HomeError> {
    // One that is just being made has no lock yet and would look dead.
    let guard = File::open(all).map_err(|source| io_error("open", all, source))?;
    let locked = flock(&guard, FlockOperation::LockExclusive);
    locked.map_err(|source| io_error("lock", all, source.into()))?;
    for entry in fs::read_dir(all).map_err(|source| io_error("list", all, source))? {
        let path = entry.map_err(|source| io_error("list", all, source))?.path();
        if is_dead(&path) {
            let _ = remove(&path); // The next one tries again.
        }
    }
    Ok(guard)
}

fn is_dead(path: &Path) -> bool {
    match File::open(path.join("lock")) {
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove(&self.path); // The next one tries again.
    }
}
