//! Reading entries, in order, from any position.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{ReadError, StorageError};
use crate::frame::{Frames, MAGIC, Position};
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
/// - [`ReadError::Format`]: it is not a log of version 1.
/// - [`ReadError::Truncated`]: it ends before `from`.
pub fn read(dir: &Path, from: Position) -> Result<Entries, ReadError> {
    let Settled { log, length, .. } = settled(dir)?;
    Entries::new(log, dir.join("log"), from, length)
}

/// Iterator over entries; see [`read`]. Ends after the first error.
///
/// Each item is an error when the log is damaged there ([`ReadError::Broken`] names the entry) or the
/// file system fails.
pub struct Entries {
    frames: Frames<File>,
    path: PathBuf,
    failed: bool,
}

impl Entries {
    pub(crate) fn new(log: File, path: PathBuf, from: Position, end: u64) -> Result<Self, ReadError> {
        if from.offset > end {
            return Err(ReadError::Truncated { index: from.index });
        }
        let frames = Frames::new(log, from, end).map_err(StorageError::at("read", &path))?;
        Ok(Self { frames, path, failed: false })
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("at", &self.frames.position()).finish_non_exhaustive()
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.frames.advance() {
            Ok(frame) => frame.map(|frame| {
                Ok(Entry { index: frame.index, bytes: frame.entry, next: self.frames.position() })
            }),
            Err(error) => {
                self.failed = true;
                Some(Err(error.at(&self.path)))
            }
        }
    }
}

/// A log at a moment when nobody was appending.
pub(crate) struct Settled {
    pub(crate) log: File,
    pub(crate) length: u64,
    /// The text of the published checkpoint, if there is one.
    pub(crate) checkpoint: Option<String>,
}

/// The log in `dir`, its length and the checkpoint that belongs to it.
pub(crate) fn settled(dir: &Path) -> Result<Settled, ReadError> {
    let path = dir.join("lock");
    let lock = Lock::open(&path).map_err(StorageError::at("open", &path))?;
    let _held = lock.as_ref().map(Lock::shared).transpose().map_err(StorageError::at("lock", &path))?;

    let path = dir.join("log");
    let log = File::open(&path).map_err(StorageError::at("open", &path))?;
    check_magic(&log, &path)?;
    let length = log.metadata().map_err(StorageError::at("measure", &path))?.len();
    Ok(Settled { log, length, checkpoint: read_checkpoint(dir)? })
}

/// The text of the published checkpoint. One that a power failure emptied counts as absent.
pub(crate) fn read_checkpoint(dir: &Path) -> Result<Option<String>, StorageError> {
    let path = dir.join("checkpoint");
    let text = read_text(&path, NOTE_BYTES_MAX).map_err(StorageError::at("read", &path))?;
    Ok(text.filter(|text| !text.is_empty()))
}

pub(crate) fn check_magic(mut log: &File, path: &Path) -> Result<(), ReadError> {
    let mut magic = [0; MAGIC.len()];
    match log.read_exact(&mut magic) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadError::Format),
        Err(error) => Err(StorageError::at("read", path)(error).into()),
        Ok(()) if magic == *MAGIC => Ok(()),
        Ok(()) => Err(ReadError::Format),
    }
}
