//! Reading one file into the store.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};

use super::{ImportError, large};
use crate::files::{Stamp, file_type, is_executable, open_file_below, text_below};
use crate::scan::failed;
use crate::tree::EntryKind;
use crate::writer::{CopyError, Writer};

/// Files from this size on are stored in chunks, so that a new version costs what changed in it. Smaller
/// ones are files of their own: those are linked into views, and not put together.
pub(crate) const CHUNKED_BYTES_MIN: u64 = 64 << 20;

/// A file that was read.
#[derive(Debug)]
pub(super) struct ReadFile {
    pub(super) stamp: Stamp,
    pub(super) kind: EntryKind,
}

/// Reads files, for any number of threads.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    writer: &'a Writer<'a>,
    bytes: AtomicU64,
    /// Held by the one who reads a large file with helpers; two at once would only take turns.
    helped: Mutex<()>,
    pub(super) chunked_min: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(writer: &'a Writer<'a>) -> Self {
        let (bytes, helped) = (AtomicU64::new(0), Mutex::new(()));
        Self { writer, bytes, helped, chunked_min: CHUNKED_BYTES_MIN }
    }

    /// How many bytes were read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Reads the file `name` in `directory` into the store, and makes sure that nobody wrote to it meanwhile.
    /// Errors call it `path`. One that takes long asks `stop` now and then.
    pub(super) fn read(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        path: &[u8],
        buffer: &mut [u8],
        stop: &(impl Fn() -> bool + Sync),
    ) -> Result<ReadFile, ImportError> {
        self.read_seen(directory, name, path, buffer, stop, &|| ())
    }

    /// As [`Reader::read`], and calls `seen` whenever something was read.
    pub(super) fn read_seen(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        path: &[u8],
        buffer: &mut [u8],
        stop: &(impl Fn() -> bool + Sync),
        seen: &(impl Fn() + Sync),
    ) -> Result<ReadFile, ImportError> {
        let changed = || ImportError::Changed { path: text_below(path) };
        let unreadable = |source| ImportError::Unreadable { path: text_below(path), source };
        let file = open_file_below(directory, name).map_err(|error| failed(path, error))?;
        let stat = rustix::fs::fstat(&file).map_err(|error| unreadable(error.into()))?;
        if !file_type(&stat).is_file() {
            return Err(changed());
        }
        let before = Stamp::of(&stat);
        let mut file = File::from(file);
        let seen = |count: u64| {
            self.bytes.fetch_add(count, Ordering::Relaxed);
            seen();
        };
        let copied = if before.size < buffer.len() as u64 {
            self.small(&mut file, before.size, buffer, &seen)
        } else if before.size < self.chunked_min {
            self.middle(&mut file, before.size, buffer, &seen)
        } else {
            let held = match self.helped.try_lock() {
                Err(TryLockError::WouldBlock) => None,
                Ok(held) => Some(held),
                Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            };
            let threads = if held.is_some() { large::THREADS } else { 1 };
            large::add(self.writer, &file, before.size, threads, stop, &seen)
        };
        let (digest, size) = copied.map_err(|error| match error {
            CopyError::Read(error) if error.kind() == io::ErrorKind::UnexpectedEof => changed(),
            CopyError::Read(error) if error.kind() == io::ErrorKind::Interrupted => ImportError::Interrupted,
            CopyError::Read(error) => unreadable(error),
            CopyError::Write(error) => error.into(),
        })?;
        let after = Stamp::of_open(file.as_fd()).map_err(unreadable)?;
        if before != after || size != before.size {
            return Err(changed());
        }
        let kind = EntryKind::File { size, digest, executable: is_executable(&stat) };
        Ok(ReadFile { stamp: before, kind })
    }

    /// A file that becomes a file of its own.
    fn middle(
        &self,
        file: &mut File,
        size: u64,
        buffer: &mut [u8],
        seen: &impl Fn(u64),
    ) -> Result<(aseptic_model::Digest, u64), CopyError> {
        match self.writer.add_shared(file, size, buffer, |piece| seen(piece.len() as u64))? {
            Some(added) => Ok(added),
            None => self.writer.add_file(file, size, buffer, |piece| seen(piece.len() as u64)),
        }
    }

    /// A file that fits in the buffer with room to see that it has grown.
    fn small(
        &self,
        file: &mut File,
        size: u64,
        buffer: &mut [u8],
        seen: &impl Fn(u64),
    ) -> Result<(aseptic_model::Digest, u64), CopyError> {
        let mut filled = 0;
        // When all of it is there no other read is needed: its size and times are looked at once more.
        while filled == 0 || (filled as u64) < size {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CopyError::Read(error)),
            }
        }
        seen(filled as u64);
        let digest = self.writer.add_bytes(&buffer[..filled]).map_err(CopyError::Write)?;
        Ok((digest, filled as u64))
    }
}
