//! The steps on the file system that an append takes, as a seam: tests break each of them two ways.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat, renameat_with};

use crate::error::StorageError;

/// File mode of everything in a ledger: entries tell what people did.
const MODE: u32 = 0o600;

/// Every step that changes a ledger.
///
/// The defaults are the real thing. An error says nothing about whether the step took effect.
pub(crate) trait Storage: Send + Sync {
    /// Writes `bytes` at `offset` of the log; on disk only after [`Storage::sync`].
    fn write(&self, log: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        log.write_all_at(bytes, offset)
    }

    /// Blocks until all of the log is on disk (`fdatasync(2)`, which includes the size of the file).
    fn sync(&self, log: &File) -> io::Result<()> {
        log.sync_data()
    }

    /// Cuts the log to `length` bytes, on disk when this returns.
    fn cut(&self, log: &File, length: u64) -> io::Result<()> {
        log.set_len(length)?;
        log.sync_data()
    }

    /// Cuts the log to `length` bytes; on disk only after [`Storage::sync`].
    fn shorten(&self, log: &File, length: u64) -> io::Result<()> {
        log.set_len(length)
    }

    /// Notes how far the log is on disk, in the file `path` of a few bytes. Not durable.
    fn note(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(path)?;
        file.write_all_at(bytes, 0)
    }

    /// Puts the written file `temporary` in the place of `path`, durably: after a crash one or the other is
    /// there in full.
    fn install(&self, temporary: &Path, path: &Path) -> io::Result<()> {
        File::open(temporary)?.sync_all()?;
        fs::rename(temporary, path)?;
        sync_parent(path)
    }

    /// Makes `bytes` the content of `path`, atomically for every process that reads under the lock, but not
    /// durably.
    ///
    /// Exchanges the file with the one before it: a plain rename over a file makes ext4 write the new one
    /// out at once (`auto_da_alloc`), which doubles the time of a durable append.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(&temporary)?;
        file.write_all_at(bytes, 0)?;
        if file.metadata()?.len() > bytes.len() as u64 {
            file.set_len(bytes.len() as u64)?;
        }
        // There may be nothing to exchange with yet, or the file system may not know how to.
        renameat_with(CWD, &temporary, CWD, path, RenameFlags::EXCHANGE)
            .or_else(|_| renameat(CWD, &temporary, CWD, path))
            .map_err(io::Error::from)
    }

    /// Creates `path` with the content `bytes`: after a crash it is there in full or not at all.
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        let mut file = create_new(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_parent(path)
    }
}

/// The real file system.
pub(crate) struct Disk;

impl Storage for Disk {}

/// A new file at `path`, in the place of one that a crash left there.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create_exclusive(path)
}

/// A new file at `path`, where there is none.
pub(crate) fn create_exclusive(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path)
}

/// Creates the directory `dir` and its parents, each durably, unless they are there.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    dir.parent().map_or(Ok(()), create_dir)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(dir),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// The text of the file `path`, as [`read_bounded`] reads it; nothing if there is no file.
pub(crate) fn read_text(path: &Path, limit: usize) -> io::Result<Option<String>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => read_bounded(&file?, limit).map(Some),
    }
}

/// A file that nobody else may read.
pub(crate) enum Private {
    Missing,
    /// Others can read it, or write to it.
    Exposed {
        /// Its permission bits.
        mode: u32,
    },
    /// As [`read_bounded`] reads it.
    Text(String),
}

/// The file `path` with a private key.
pub(crate) fn read_private(path: &Path, limit: usize) -> Result<Private, StorageError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Private::Missing),
        file => file.map_err(StorageError::at("open", path))?,
    };
    let metadata = file.metadata().map_err(StorageError::at("measure", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Ok(Private::Exposed { mode });
    }
    read_bounded(&file, limit).map(Private::Text).map_err(StorageError::at("read", path))
}

/// The text of `file`, for a strict parser: what is not UTF-8 is replaced, and of a file longer than `limit`
/// only one byte more than that is read.
pub(crate) fn read_bounded(file: &File, limit: usize) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_some(file, limit)?).into_owned())
}

/// The bytes of `file`; of one longer than `limit` only one byte more than that.
pub(crate) fn read_some(file: &File, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A lock of a ledger: `lock` for one who writes, or any number of readers that ask how far the log goes;
/// `sync` for one who brings it to the disk. Whoever takes both takes `sync` first.
///
/// Excludes other processes and other handles of this one. Source: `flock(2)`.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// The lock file, created unless it is there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path);
        options.map(Self)
    }

    /// The lock file for a reader; nothing in a copy that has none, where nobody appends.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(|file| Some(Self(file))),
        }
    }

    /// Blocks until nobody else holds the lock.
    pub(crate) fn exclusive(&self) -> io::Result<Held<'_>> {
        uninterrupted(|| self.0.lock())?;
        Ok(Held(&self.0))
    }

    /// Blocks until nobody holds the lock exclusively.
    pub(crate) fn shared(&self) -> io::Result<Held<'_>> {
        uninterrupted(|| self.0.lock_shared())?;
        Ok(Held(&self.0))
    }
}

fn uninterrupted(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A held lock; dropping it releases it.
#[must_use]
pub(crate) struct Held<'a>(&'a File);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Unlocking an open descriptor has no failure that a holder could act on.
        let _ = self.0.unlock();
    }
}
