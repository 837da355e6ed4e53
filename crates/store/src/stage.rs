//! Writing objects: staged under a private name, on disk, then visible.
//!
//! **Invariant:** an object has its final name only when its bytes are on disk, and the object that was
//! added last (the root of a snapshot) gets its name when all others have theirs, also after a power
//! loss. Dropping a [`Writer`] or killing its process leaves nothing visible that names something else.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use aseptic_model::Digest;
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, fsync, linkat, openat, renameat,
    renameat_with, syncfs, unlinkat,
};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::files::{FIXED_TIMES, READ_ONLY, open_directory};
use crate::object::{Store, object_name};
use crate::remove::remove_tree;

/// Up to this many files an fsync each is quicker than flushing the whole file system.
const FSYNC_MAX: usize = 32;

/// A private directory in `tmp`, removed on drop. Its lock says that its process lives.
#[derive(Debug)]
pub(crate) struct Staging {
    tmp: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) dir: OwnedFd,
    _lock: File,
    parts: AtomicU64,
}

impl Staging {
    /// Makes a staging directory, and removes those of dead processes.
    pub(crate) fn new(store: &Store) -> Result<Self, StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |error: io::Error| store.io("stage", "tmp", error);
        let tmp = store.dir.join("tmp");
        let guard = lock_tmp(&tmp).map_err(failed)?;
        remove_dead(&tmp).map_err(failed)?;
        let path = loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = tmp.join(format!("{}-{count}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => break path,
                // A process of the same number, dead or in another container.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        };
        let lock = File::create_new(path.join("lock")).map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        drop(guard);
        let dir = open_directory(&path).map_err(failed)?;
        Ok(Self { tmp, path, dir, _lock: lock, parts: AtomicU64::new(0) })
    }

    /// A name that nothing here has yet.
    pub(crate) fn part(&self) -> String {
        format!("part-{}", self.parts.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes an empty read-only file that can be written through what is returned.
    pub(crate) fn create(&self, name: &str, mode: Mode) -> rustix::io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.dir, name, flags, READ_ONLY)?;
        rustix::fs::fchmod(&file, mode)?; // Whatever the umask.
        Ok(File::from(file))
    }

    pub(crate) fn remove(&self, name: &str) {
        // What stays behind is removed with the directory.
        let _ = unlinkat(&self.dir, name, AtFlags::empty());
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

/// Removes staging directories whose process is gone.
fn remove_dead(tmp: &Path) -> io::Result<()> {
    for entry in fs::read_dir(tmp)? {
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
    Ok(())
}

/// New objects on their way into the store. Makes its staging directory when the first one comes.
#[derive(Debug)]
pub(crate) struct Writer<'s> {
    store: &'s Store,
    staging: OnceLock<Staging>,
    staged: Mutex<Vec<Digest>>,
}

/// Which side of a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    Read(io::Error),
    Write(StoreError),
}

impl<'s> Writer<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store, staging: OnceLock::new(), staged: Mutex::new(Vec::new()) }
    }

    /// Stages an object of these bytes, unless the store has it.
    pub(crate) fn add_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.store.has(&digest) {
            return Ok(digest);
        }
        let staging = self.staging()?;
        let name = digest.to_string();
        // An object that another thread stages is not staged again.
        let mut file = match staging.create(&name, READ_ONLY) {
            Ok(file) => file,
            Err(Errno::EXIST) => return Ok(digest),
            Err(error) => return Err(self.failed(error)),
        };
        file.write_all(bytes).map_err(|error| self.failed(error))?;
        rustix::fs::futimens(&file, &FIXED_TIMES).map_err(|error| self.failed(error))?;
        self.push(digest);
        Ok(digest)
    }

    /// Stages the rest of `file` as an object, reading at most one byte more than `expected`, and shows
    /// every piece to `seen`. Returns how many bytes it read.
    pub(crate) fn add_file(
        &self,
        file: &mut File,
        expected: u64,
        buffer: &mut [u8],
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(Digest, u64), CopyError> {
        let mut source = file.take(expected.saturating_add(1));
        let first = fill(&mut source, buffer).map_err(CopyError::Read)?;
        seen(&buffer[..first]);
        if first < buffer.len() {
            let digest = self.add_bytes(&buffer[..first]).map_err(CopyError::Write)?;
            return Ok((digest, first as u64));
        }
        let staging = self.staging().map_err(CopyError::Write)?;
        let failed = |error: io::Error| CopyError::Write(self.failed(error));
        let part = staging.part();
        let mut out = staging.create(&part, READ_ONLY).map_err(|error| failed(error.into()))?;
        let (mut hasher, mut size, mut count) = (blake3::Hasher::new(), 0, first);
        while count > 0 {
            hasher.update(&buffer[..count]);
            out.write_all(&buffer[..count]).map_err(failed)?;
            size += count as u64;
            count = fill(&mut source, buffer).map_err(CopyError::Read)?;
            seen(&buffer[..count]);
        }
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        rustix::fs::futimens(&out, &FIXED_TIMES).map_err(|error| failed(error.into()))?;
        self.keep_part(&part, digest).map_err(CopyError::Write)?;
        Ok((digest, size))
    }

    /// Stages an open file of this digest by giving it a second name. The caller has made sure that
    /// nothing can write to it. Returns false when no link is possible and the file must be copied.
    pub(crate) fn add_link(&self, file: BorrowedFd<'_>, digest: Digest) -> Result<bool, StoreError> {
        let staging = self.staging()?;
        // Through the descriptor: whatever its name means by now, this is the file that was hashed.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        match linkat(CWD, path, &staging.dir, digest.to_string(), AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => {
                self.push(digest);
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(true), // Another thread stages the same bytes.
            Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::NOENT) => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Makes every staged object visible, the one that was added last after all others.
    pub(crate) fn publish(self) -> Result<(), StoreError> {
        let mut staged = self.staged.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (Some(staging), Some(root)) = (self.staging.into_inner(), staged.pop()) else {
            return Ok(());
        };
        let store = self.store;
        let failed = |error: Errno| store.io("write", "objects", error);
        if staged.len() < FSYNC_MAX {
            for digest in staged.iter().chain([&root]) {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let file = openat(&staging.dir, digest.to_string(), flags, Mode::empty()).map_err(failed)?;
                fsync(file).map_err(failed)?;
            }
        } else {
            syncfs(&staging.dir).map_err(failed)?;
        }
        for group in [staged.as_slice(), &[root]] {
            for digest in group {
                name_object(store, &staging, &digest.to_string(), &object_name(digest)).map_err(failed)?;
            }
            sync_names(store, group).map_err(failed)?;
        }
        Ok(())
    }

    pub(crate) fn staging(&self) -> Result<&Staging, StoreError> {
        if let Some(staging) = self.staging.get() {
            return Ok(staging);
        }
        // Two threads may both make one; the second is dropped and removes itself.
        let staging = Staging::new(self.store)?;
        Ok(self.staging.get_or_init(|| staging))
    }

    fn keep_part(&self, part: &str, digest: Digest) -> Result<(), StoreError> {
        let staging = self.staging()?;
        if self.store.has(&digest) {
            staging.remove(part);
            return Ok(());
        }
        match renameat_with(&staging.dir, part, &staging.dir, digest.to_string(), RenameFlags::NOREPLACE) {
            Ok(()) => self.push(digest),
            Err(Errno::EXIST) => staging.remove(part),
            Err(error) => return Err(self.failed(error)),
        }
        Ok(())
    }

    fn push(&self, digest: Digest) {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).push(digest);
    }

    fn failed(&self, error: impl Into<io::Error>) -> StoreError {
        self.store.io("stage an object", "tmp", error)
    }
}

/// Gives a staged file its name below `objects`, unless something already has it.
pub(crate) fn name_object(
    store: &Store,
    staging: &Staging,
    staged: &str,
    name: &str,
) -> rustix::io::Result<()> {
    match renameat_with(&staging.dir, staged, &store.objects, name, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Ok(()),
        // A file system without this flag: replacing an object by an equal one does no harm.
        Err(Errno::INVAL) => renameat(&staging.dir, staged, &store.objects, name),
        other => other,
    }
}

fn sync_names(store: &Store, digests: &[Digest]) -> rustix::io::Result<()> {
    if digests.len() >= FSYNC_MAX {
        return syncfs(&store.objects);
    }
    let mut prefixes: Vec<u8> = digests.iter().map(|digest| digest.as_bytes()[0]).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    for prefix in prefixes {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fsync(openat(&store.objects, format!("{prefix:02x}"), flags, Mode::empty())?)?;
    }
    Ok(())
}

/// Reads until the buffer is full or the source ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
