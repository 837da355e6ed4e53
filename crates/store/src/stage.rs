//! Staging directories: where everything new is until it is on disk.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::files::{OWNER_ALL, READ_WRITE, open_directory};
use crate::object::Store;
use crate::remove::remove_tree;

/// A private directory in `tmp`, removed on drop. Its lock says that its process lives.
#[derive(Debug)]
pub(crate) struct Staging {
    tmp: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) dir: OwnedFd,
    pub(crate) disk: Disk,
    _lock: File,
    parts: AtomicU64,
}

impl Staging {
    /// Makes a staging directory, and removes those of dead processes.
    pub(crate) fn new(store: &Store) -> Result<Self, StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |error: io::Error| store.io("stage", "tmp", error);
        let tmp = store.dir.join("tmp");
        let guard = remove_dead(&tmp).map_err(failed)?;
        let path = loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{count}", std::process::id());
            let path = tmp.join(&name);
            match store.disk.make_new_directory(&guard, &name, OWNER_ALL) {
                Ok(()) => break path,
                // A process of the same number, dead or in another container.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(error.into())),
            }
        };
        let dir = open_directory(&path).map_err(failed)?;
        let lock = store.disk.create(&dir, "lock", READ_WRITE).map_err(|error| failed(error.into()))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        drop(guard);
        Ok(Self { tmp, path, dir, disk: store.disk.clone(), _lock: lock, parts: AtomicU64::new(0) })
    }

    /// A name that nothing here has yet.
    pub(crate) fn part(&self) -> String {
        format!("part-{}", self.parts.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes an empty file that can be written through what is returned.
    pub(crate) fn create(&self, name: &str, mode: Mode) -> rustix::io::Result<File> {
        self.disk.create(&self.dir, name, mode)
    }

    pub(crate) fn remove(&self, name: &str) {
        // What stays behind is removed with the directory.
        let _ = self.disk.unlink(&self.dir, name);
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next import.
        if let Ok(_guard) = lock_tmp(&self.tmp) {
            let _ = remove_tree(&self.path);
        }
    }
}

/// Lets one process at a time make or remove directories in `tmp`: one that is just being made has no
/// lock yet and would look dead, and a name could be used again while an old tree of it is removed.
pub(crate) fn lock_tmp(tmp: &Path) -> io::Result<OwnedFd> {
    let guard = open_directory(tmp)?;
    flock(&guard, FlockOperation::LockExclusive)?;
    Ok(guard)
}

/// Removes what processes that died have left.
pub(crate) fn clear_tmp(store: &Store) -> Result<(), StoreError> {
    let cleared = remove_dead(&store.dir.join("tmp")).map(drop);
    cleared.map_err(|error: io::Error| store.io("clear", "tmp", error))
}

/// Removes directories in `all` whose process is gone: its lock on the file `lock` in it is. While what is
/// returned is held, nobody makes or removes another one.
///
/// # Errors
/// `all` could not be locked or listed.
pub fn remove_dead(all: &Path) -> io::Result<OwnedFd> {
    let guard = lock_tmp(all)?;
    for entry in fs::read_dir(all)? {
        let path = entry?.path();
        let dead = match File::open(path.join("lock")) {
            Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok(),
            // Killed before it had a lock. Anything that is no directory is not ours to judge.
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if dead {
            // Not worth failing an import: the next one tries again.
            let _ = remove_tree(&path);
        }
    }
    Ok(guard)
}
