//! Packs: many objects in one file, one after the other.
//!
//! A record is a header and the stored bytes. The header repeats what the index says, so that the index
//! can be made again by reading the packs.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aseptic_model::Digest;

use crate::files::open_directory;
use crate::segment::Entry;
use crate::stage::Staging;

pub(crate) use crate::chunk::recipe;

/// First bytes of every pack: a name and the version of the format.
pub(crate) const MAGIC: [u8; 8] = *b"aspack\0\x01";
/// Form, digest, size, stored.
pub(crate) const RECORD_HEADER_BYTES: usize = 1 + Digest::BYTES + 8 + 8;
/// Files kept open: a store has more packs than a process may have descriptors.
const OPEN_MAX: usize = 64;

/// Name of a pack: random, so that nothing ever gets the name of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PackId(pub(crate) [u8; Self::BYTES]);

impl PackId {
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0; Self::BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(bytes))
    }

    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(digits: &str) -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if pairs.len() != Self::BYTES || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let digit = |digit: u8| match digit {
                b'0'..=b'9' => Some(digit - b'0'),
                b'a'..=b'f' => Some(digit - b'a' + 10),
                _ => None,
            };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    pub(crate) fn file_name(self) -> String {
        format!("{self}.pack")
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How the bytes of an object are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Plain,
    /// As one zstd frame.
    Zstd,
    /// As a list of other objects that follow each other.
    Chunked,
}

impl Form {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Plain => 1,
            Self::Zstd => 2,
            Self::Chunked => 3,
        }
    }

    pub(crate) const fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Plain),
            2 => Some(Self::Zstd),
            3 => Some(Self::Chunked),
            _ => None,
        }
    }
}

/// An object in a pack, as its record header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) form: Form,
    pub(crate) digest: Digest,
    /// Bytes of the object.
    pub(crate) size: u64,
    /// Bytes in the pack.
    pub(crate) stored: u64,
}

impl Record {
    /// The record of an object that an index knows.
    pub(crate) fn of(entry: &Entry) -> Self {
        Self { form: entry.form, digest: entry.digest, size: entry.size, stored: entry.stored }
    }

    pub(crate) fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[0] = self.form.code();
        bytes[1..33].copy_from_slice(self.digest.as_bytes());
        bytes[33..41].copy_from_slice(&self.size.to_le_bytes());
        bytes[41..].copy_from_slice(&self.stored.to_le_bytes());
        bytes
    }
}

/// The packs of a store that are open for reading.
#[derive(Debug)]
pub(crate) struct Packs {
    dir: PathBuf,
    open: RwLock<HashMap<PackId, Arc<File>>>,
}

impl Packs {
    pub(crate) fn new(store: &Path) -> Self {
        Self { dir: store.join("packs"), open: RwLock::default() }
    }

    /// Gives staged packs their names, durably. They must be on disk.
    pub(crate) fn publish(&self, staging: &Staging, packs: &[PackId]) -> io::Result<()> {
        let dir = open_directory(&self.dir)?;
        for pack in packs {
            let name = pack.file_name();
            staging.disk.rename(&staging.dir, &name, &dir, &name)?;
        }
        Ok(staging.disk.sync(&dir)?)
    }

    /// Opens a pack; a collection may have removed it.
    pub(crate) fn open(&self, id: PackId) -> io::Result<Arc<File>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&id) {
            return Ok(Arc::clone(file));
        }
        drop(open);
        let file = Arc::new(File::open(self.dir.join(id.file_name()))?);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.clear(); // Readers hold on to theirs.
        }
        open.insert(id, Arc::clone(&file));
        Ok(file)
    }

    /// Every pack that has its name.
    pub(crate) fn list(&self) -> io::Result<Vec<PackId>> {
        let mut packs = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(".pack"));
            packs.extend(digits.and_then(PackId::parse));
        }
        Ok(packs)
    }

    /// Whether the header of a record says what its entry in an index says.
    pub(crate) fn repeats(&self, id: PackId, entry: &Entry) -> bool {
        let mut header = [0; RECORD_HEADER_BYTES];
        let read = entry
            .offset
            .checked_sub(RECORD_HEADER_BYTES as u64)
            .is_some_and(|at| self.open(id).is_ok_and(|pack| pack.read_exact_at(&mut header, at).is_ok()));
        read && header == Record::of(entry).encode()
    }

    /// Whether a pack has its name.
    pub(crate) fn exists(&self, id: PackId) -> bool {
        self.dir.join(id.file_name()).exists()
    }
}
