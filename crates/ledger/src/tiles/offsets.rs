//! Where entries lie in the log: for every 256th one, a place at or before it from which to read.
//!
//! The file `offsets` has 16 bytes for each: index and offset of a [`Position`], little-endian. It is a hint:
//! whoever reads from a wrong position gets an error, and begins at the start of the log.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{DIR, TilesError, WIDTH};
use crate::error::StorageError;
use crate::frame::Position;

const RECORD_BYTES: usize = 16;

/// The file `offsets` and what is to be added to it.
pub(super) struct Offsets {
    path: PathBuf,
    file: Option<File>,
    /// Number of the first record that was set, and the records.
    first: u64,
    added: Vec<u8>,
}

impl Offsets {
    pub(super) fn open(dir: &Path) -> Result<Self, TilesError> {
        let path = dir.join(DIR).join("offsets");
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            file => Some(file.map_err(StorageError::at("open", &path))?),
        };
        Ok(Self { path, file, first: 0, added: Vec::new() })
    }

    /// A place at or before the entry `index`; the start of the log where none is known.
    pub(super) fn before(&self, index: u64) -> Position {
        let mut record = [0; RECORD_BYTES];
        let at = (index / WIDTH).checked_mul(RECORD_BYTES as u64);
        let read =
            self.file.as_ref().zip(at).is_some_and(|(file, at)| file.read_exact_at(&mut record, at).is_ok());
        let [a, b, c, d, e, f, g, h, offset @ ..] = record;
        let found = Position {
            index: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            offset: u64::from_le_bytes(offset),
        };
        let plausible = read && found.index <= index && found.offset >= Position::START.offset;
        if plausible { found } else { Position::START }
    }

    /// Says from where the entry `index`, a multiple of 256, can be read. Each call is for the next one.
    pub(super) fn set(&mut self, index: u64, at: Position) -> Result<(), TilesError> {
        if self.added.is_empty() {
            self.first = index / WIDTH;
        }
        self.added.extend_from_slice(&at.index.to_le_bytes());
        self.added.extend_from_slice(&at.offset.to_le_bytes());
        Ok(())
    }

    /// Writes what was set.
    pub(super) fn close(self) -> Result<(), TilesError> {
        if self.added.is_empty() {
            return Ok(());
        }
        let options = File::options().write(true).create(true).truncate(false).mode(0o600).open(&self.path);
        let write = options.and_then(|file| file.write_all_at(&self.added, self.first * RECORD_BYTES as u64));
        write.map_err(|error| StorageError::at("write", &self.path)(error).into())
    }
}
