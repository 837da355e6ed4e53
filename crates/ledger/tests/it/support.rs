//! Ledgers to experiment on, and the log format written down a second time.

use std::fs;
use std::path::{Path, PathBuf};

use aseptic_ledger::{Entry, Ledger, Position, ReadError, read};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub(crate) const ORIGIN: &str = "example.com/ledger";
pub(crate) const MAGIC_BYTES: usize = 17;

/// A directory with a ledger that holds `entries`, each a commit of its own.
pub(crate) fn ledger_of(entries: &[&[u8]]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    for entry in entries {
        ledger.append(&[entry]).unwrap();
    }
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
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap());
        let (frame, behind) = rest.split_at(24 + usize::try_from(length).unwrap() + 80);
        frames.push(frame.to_vec());
        rest = behind;
    }
    frames
}

/// A log of these frames.
pub(crate) fn joined(frames: &[Vec<u8>]) -> Vec<u8> {
    [b"aseptic-ledger 2\n".to_vec(), frames.concat()].concat()
}

/// A frame with right checksums, as whoever knows the format but not the key can make it.
pub(crate) fn forged(index: u64, entry: &[u8], signature: &[u8]) -> Vec<u8> {
    forged_commit(index, &[entry], None, signature)
}

/// As [`forged`], of several entries, or a handover.
pub(crate) fn forged_commit(index: u64, entries: &[&[u8]], key: Option<&[u8]>, signature: &[u8]) -> Vec<u8> {
    let (mut body, mut leaves) = (Vec::new(), Vec::new());
    for entry in entries {
        body.extend(u16::try_from(entry.len()).unwrap().to_le_bytes());
        body.extend(*entry);
        leaves.extend(Sha256::digest([&[0], *entry].concat()));
    }
    let new_key = key.unwrap_or_default();
    let mut frame = index.to_le_bytes().to_vec();
    frame.extend(u32::try_from(body.len() + new_key.len()).unwrap().to_le_bytes());
    frame.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    frame.extend(u16::from(key.is_some()).to_le_bytes());
    frame.extend(&Sha256::digest(&frame)[..8]);
    let check = Sha256::digest([&frame, &leaves[..], new_key, signature].concat());
    [&frame, &body[..], new_key, signature, &check[..16]].concat()
}

/// The entry of a frame that has one.
pub(crate) fn entry_of(frame: &[u8]) -> &[u8] {
    &frame[26..frame.len() - 80]
}

pub(crate) fn signature_of(frame: &[u8]) -> &[u8] {
    &frame[frame.len() - 80..frame.len() - 16]
}
