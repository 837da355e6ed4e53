//! Hints: what need not be read again, kept in files that may be lost.
//!
//! Each is replaced as a whole. Those that are more than a line have a name with the version of their format,
//! the BLAKE3 of the rest, and the rest. One that is missing or damaged is not used.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aseptic_model::Digest;
use rustix::fs::{CWD, Mode, renameat};

use crate::files::Stamp;
use crate::object::Store;
use crate::stage::Staging;

pub(crate) const MAGIC_BYTES: usize = 8;
pub(crate) const KEY_BYTES: usize = 16;
/// Two seconds, the coarsest time stamp of a file system in use (FAT).
const SETTLED: Duration = Duration::from_secs(2);

/// A state of a file, in short.
pub(crate) type Key = [u8; KEY_BYTES];

/// The state of the file at `path`, where states of different files are told apart by it.
pub(crate) fn key(path: &[u8], stamp: &Stamp) -> Key {
    let mut hasher = blake3::Hasher::new();
    let Stamp { device, inode, size, modified, changed } = stamp;
    for number in [*device, *inode, *size] {
        hasher.update(&number.to_le_bytes());
    }
    for number in [modified.0, modified.1, changed.0, changed.1] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(path);
    let mut key = Key::default();
    hasher.finalize_xof().fill(&mut key);
    key
}

/// Tells the files that had been left alone for [`SETTLED`] at some time. Only their states are kept: a later
/// write gives them another time of change, however coarse the clock is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    before: i64,
}

impl Settled {
    pub(crate) fn at(now: SystemTime) -> Self {
        let settled = now.checked_sub(SETTLED).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self { before: settled.and_then(|time| i64::try_from(time.as_secs()).ok()).unwrap_or(0) }
    }

    pub(crate) fn has(&self, stamp: &Stamp) -> bool {
        stamp.modified.0 < self.before && stamp.changed.0 < self.before
    }
}

/// A file of this content.
pub(crate) fn encode(magic: &[u8; MAGIC_BYTES], content: &[u8]) -> Vec<u8> {
    [magic.as_slice(), Digest::of(content).as_bytes(), content].concat()
}

/// The content of a file; none if it is not as it was written.
pub(crate) fn decode<'b>(magic: &[u8; MAGIC_BYTES], bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (sum, content) = bytes.strip_prefix(magic)?.split_at_checked(Digest::BYTES)?;
    (sum == Digest::of(content).as_bytes()).then_some(content)
}

/// Puts a file of these bytes at `path`. Whoever had it open reads on what was there.
pub(crate) fn replace(store: &Store, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staging = Staging::new(store).map_err(io::Error::other)?;
    let name = staging.part();
    staging.create(&name, Mode::from_raw_mode(0o644))?.write_all(bytes)?;
    Ok(renameat(&staging.dir, name, CWD, path)?)
}
