//! Reading entries, in order, from any position.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::durable::Durable;
use crate::error::{ReadError, StorageError};
use crate::frame::{Commit, Frames, MAGIC, Position, Version};
use crate::frame_v1;
use crate::note::NOTE_BYTES_MAX;
use crate::storage::{Lock, read_text};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Zero-based index.
    pub index: u64,
    /// What was appended.
    pub bytes: Vec<u8>,
    /// Where the next entry begins: to be kept by whoever wants to go on from there.
    pub next: Position,
}

/// The entries of the ledger in `dir` that are durable now, from the position `from` on.
///
/// Needs no key and works on a read-only copy. Waits for an append in progress, so that an entry is never
/// seen before the disk has confirmed it; entries appended later are not seen. Each frame is checked for
/// accidental damage as it is read; only [`verify`](crate::verify()) proves that nobody altered the log.
///
/// # Errors
/// - [`ReadError::Storage`]: the log cannot be opened.
/// - [`ReadError::Format`]: it is not a log of a known version.
/// - [`ReadError::Truncated`]: it ends before `from`.
pub fn read(dir: &Path, from: Position) -> Result<Entries, ReadError> {
    let Settled { log, version, length, .. } = settled(dir)?;
    Entries::new(log, version, dir.join("log"), from, length)
}

/// Iterator over entries; see [`read`]. Ends after the first error.
///
/// Each item is an error when the log is damaged there ([`ReadError::Broken`] names the entry) or the
/// file system fails.
pub struct Entries {
    frames: Frames<File>,
    path: PathBuf,
    /// The commit that is read, and where its next entry is.
    commit: Option<(Commit, usize)>,
    /// Index of the next entry.
    index: u64,
    failed: bool,
}

impl Entries {
    pub(crate) fn new(
        log: File,
        version: Version,
        path: PathBuf,
        from: Position,
        end: u64,
    ) -> Result<Self, ReadError> {
        if from.offset > end {
            return Err(ReadError::Truncated { index: from.index });
        }
        let frames = Frames::new(log, version, from, end).map_err(StorageError::at("read", &path))?;
        Ok(Self { frames: frames.entering(), path, commit: None, index: from.index, failed: false })
    }

    /// The next entry of the commit that is read.
    fn next_of_commit(&mut self) -> Option<Entry> {
        let (commit, at) = self.commit.as_mut()?;
        let (entry, behind) = commit.entry_at(*at)?;
        let (bytes, index) = (entry.to_vec(), self.index);
        *at = behind;
        self.index += 1;
        let last = self.index == commit.next();
        let next = Position { index: self.index, offset: if last { commit.end } else { commit.offset } };
        Some(Entry { index, bytes, next })
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.next_of_commit() {
            return Some(Ok(entry));
        }
        if self.failed {
            return None;
        }
        match self.frames.advance() {
            Ok(commit) => {
                let commit = commit?;
                // The first one may be entered in its middle.
                let mut at = 0;
                for _ in commit.first..self.index {
                    at = commit.entry_at(at)?.1;
                }
                self.commit = Some((commit, at));
                self.next_of_commit().map(Ok)
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error.at(&self.path)))
            }
        }
    }
}

/// A log and how far it is on disk.
pub(crate) struct Settled {
    pub(crate) log: File,
    pub(crate) version: Version,
    pub(crate) length: u64,
    /// The text of the published checkpoint, if there is one.
    pub(crate) checkpoint: Option<String>,
}

/// The log in `dir`, how far it is on disk, and the checkpoint that belongs to it.
pub(crate) fn settled(dir: &Path) -> Result<Settled, ReadError> {
    let open = |name| {
        let path = dir.join(name);
        Lock::open(&path).map_err(StorageError::at("open", &path))
    };
    // In a copy without locks nobody appends.
    let Some(lock) = open("lock")? else { return Ok(look(dir, None)?.0) };
    let (settled, durable) = look(dir, Some(&lock))?;
    if durable >= settled.length {
        return Ok(settled);
    }
    // Whoever brings the log to the disk has `sync`, until what the disk refused is taken back.
    let sync = open("sync")?;
    let held = sync.as_ref().map(Lock::exclusive).transpose();
    let _held = held.map_err(StorageError::at("lock", &dir.join("sync")))?;
    let (settled, durable) = look(dir, Some(&lock))?;
    if durable < settled.length {
        settled.log.sync_data().map_err(StorageError::at("sync", &dir.join("log")))?;
    }
    Ok(settled)
}

/// The log in `dir` as it is while nobody writes, and the offset up to which it is known to be on disk.
fn look(dir: &Path, lock: Option<&Lock>) -> Result<(Settled, u64), ReadError> {
    let held = lock.map(Lock::shared).transpose();
    let _held = held.map_err(StorageError::at("lock", &dir.join("lock")))?;
    let path = dir.join("log");
    let log = File::open(&path).map_err(StorageError::at("open", &path))?;
    let version = version_of(&log, &path)?;
    let metadata = log.metadata().map_err(StorageError::at("measure", &path))?;
    let durable = Durable::read(dir, &metadata).map_err(StorageError::at("read", &dir.join("durable")))?;
    let checkpoint = read_checkpoint(dir)?;
    Ok((Settled { log, version, length: metadata.len(), checkpoint }, durable.offset))
}

/// The text of the published checkpoint. One that a power failure emptied counts as absent.
pub(crate) fn read_checkpoint(dir: &Path) -> Result<Option<String>, StorageError> {
    let path = dir.join("checkpoint");
    let text = read_text(&path, NOTE_BYTES_MAX).map_err(StorageError::at("read", &path))?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// How the log is written, by its first line.
pub(crate) fn version_of(mut log: &File, path: &Path) -> Result<Version, ReadError> {
    let mut magic = [0; MAGIC.len()];
    match log.read_exact(&mut magic) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadError::Format),
        Err(error) => Err(StorageError::at("read", path)(error).into()),
        Ok(()) if magic == *MAGIC => Ok(Version::Two),
        Ok(()) if magic == *frame_v1::MAGIC => Ok(Version::One),
        Ok(()) => Err(ReadError::Format),
    }
}
