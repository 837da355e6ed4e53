//! Ledgers to experiment on, and the log format written down a second time.

use std::fs;
use std::path::{Path, PathBuf};

use aseptic_ledger::{Entry, Ledger, Position, ReadError, read};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub(crate) const ORIGIN: &str = "example.com/ledger";
pub(crate) const MAGIC_BYTES: usize = 17;

/// A directory with a ledger that holds `entries`.
pub(crate) fn ledger_of(entries: &[&[u8]]) -> TempDir {
    let dir = TempDir::new().unwrap();
    Ledger::open(dir.path(), ORIGIN).unwrap().append(entries).unwrap();
    dir
}

pub(crate) fn log(dir: &TempDir) -> PathBuf {
    dir.path().join("log")
}

/// A copy of every file in `from`.
pub(crate) fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

pub(crate) fn entries(dir: &Path) -> Result<Vec<Vec<u8>>, ReadError> {
    read(dir, Position::START)?.map(|entry| entry.map(|Entry { bytes, .. }| bytes)).collect()
}

/// The frames of a log, each as its own bytes.
pub(crate) fn frames(log: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut rest = &log[MAGIC_BYTES..];
    while !rest.is_empty() {
        let length = usize::from(u16::from_le_bytes([rest[8], rest[9]]));
        let (frame, behind) = rest.split_at(16 + length + 80);
        frames.push(frame.to_vec());
        rest = behind;
    }
    frames
}

/// A log of these frames.
pub(crate) fn joined(frames: &[Vec<u8>]) -> Vec<u8> {
    [b"aseptic-ledger 1\n".to_vec(), frames.concat()].concat()
}

/// A frame with right checksums, as whoever knows the format but not the key can make it.
pub(crate) fn forged(index: u64, entry: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut frame = index.to_le_bytes().to_vec();
    frame.extend(u16::try_from(entry.len()).unwrap().to_le_bytes());
    frame.extend(&Sha256::digest(&frame)[..6]);
    frame.extend(entry);
    frame.extend(signature);
    frame.extend(&Sha256::digest(&frame)[..16]);
    frame
}

pub(crate) fn entry_of(frame: &[u8]) -> &[u8] {
    &frame[16..frame.len() - 80]
}

pub(crate) fn signature_of(frame: &[u8]) -> &[u8] {
    &frame[frame.len() - 80..frame.len() - 16]
}
