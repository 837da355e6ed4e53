//! Segments: sorted indexes that say in which pack an object is.
//!
//! A small segment is held in memory once it is asked often. In a bigger one a lookup reads a few pages:
//! digests are spread evenly, so the place of one is known closely before anything is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use aseptic_model::Digest;

use crate::pack::{Form, PackId, Packs};
use crate::sorted;

/// First bytes of every segment: a name and the version of the format.
pub(crate) const MAGIC: [u8; 8] = *b"assegm\0\x01";
/// Magic, checksum, number of packs, number of objects.
pub(crate) const HEADER_BYTES: usize = 8 + Digest::BYTES + 4 + 8;
pub(crate) const ENTRY_BYTES: usize = 64;
/// A segment up to this size may be held in memory: 260,000 objects.
const MEMORY_BYTES_MAX: u64 = 16 << 20;
/// So many lookups cost as much as reading a segment whole.
const LOOKUPS_ON_DISK: u32 = 64;
/// Packs of one segment: at 64 MiB each they are 64 TiB.
const PACKS_MAX: u32 = 1 << 20;
/// Entries that a lookup reads at once: two pages.
const WINDOW: usize = 128;
/// After so many guesses the digests are not spread as digests are; halving ends in any case.
const GUESSES_MAX: u32 = 6;

/// Where an object is, by the number of its pack in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    /// Of the stored bytes, in the pack.
    pub(crate) offset: u64,
    pub(crate) stored: u64,
    pub(crate) size: u64,
    pub(crate) pack: u32,
    pub(crate) form: Form,
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..32].copy_from_slice(self.digest.as_bytes());
        bytes[32..40].copy_from_slice(&self.offset.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.stored.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.size.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.pack.to_le_bytes());
        bytes[60] = self.form.code();
        bytes
    }

    /// `None` when no writer makes such an entry.
    pub(crate) fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let number = |at: usize| bytes[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        if bytes[61..] != [0; 3] {
            return None;
        }
        Some(Self {
            digest: digest_of(bytes),
            offset: number(32),
            stored: number(40),
            size: number(48),
            pack: bytes[56..].first_chunk().copied().map(u32::from_le_bytes)?,
            form: Form::of_code(bytes[60])?,
        })
    }
}

pub(crate) fn digest_of(entry: &[u8; ENTRY_BYTES]) -> Digest {
    let mut digest = [0; Digest::BYTES];
    digest.copy_from_slice(&entry[..Digest::BYTES]);
    Digest::from_bytes(digest)
}

/// A segment that is open for lookups.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    file: File,
    pub(crate) packs: Vec<PackId>,
    /// Packs that were seen to be there.
    present: Vec<AtomicBool>,
    pub(crate) objects: u64,
    memory: OnceLock<Option<Vec<u8>>>,
    lookups: AtomicU32,
}

impl Segment {
    /// Opens the segment `name` in `dir`. `None` when it is not as a writer makes it: what it would have
    /// led to is then missing, and can be imported again.
    pub(crate) fn open(dir: &Path, name: &str) -> io::Result<Option<Self>> {
        let file = File::open(dir.join(name))?;
        let length = file.metadata()?.len();
        let mut header = [0; HEADER_BYTES];
        if length < HEADER_BYTES as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut header, 0)?;
        let number = |at: usize| header[at..].first_chunk().copied().map_or(0, u32::from_le_bytes);
        let packs = number(40);
        let objects = header[44..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        let whole = objects
            .checked_mul(ENTRY_BYTES as u64)
            .and_then(|bytes| bytes.checked_add(entries_at(packs)))
            .is_some_and(|bytes| bytes == length);
        if header[..8] != MAGIC || packs > PACKS_MAX || !whole {
            return Ok(None);
        }
        let mut list = vec![0; packs as usize * PackId::BYTES];
        file.read_exact_at(&mut list, HEADER_BYTES as u64)?;
        let (ids, _) = list.as_chunks::<{ PackId::BYTES }>();
        Ok(Some(Self {
            name: name.to_owned(),
            file,
            packs: ids.iter().copied().map(PackId).collect(),
            present: ids.iter().map(|_| AtomicBool::new(false)).collect(),
            objects,
            memory: OnceLock::new(),
            lookups: AtomicU32::new(0),
        }))
    }

    /// The entry of an object, if this segment has one.
    pub(crate) fn get(&self, digest: &Digest) -> io::Result<Option<Entry>> {
        Ok(self.position(digest)?.map(|(_, entry)| entry))
    }

    /// As [`Segment::get`], with the number of the entry.
    pub(crate) fn position(&self, digest: &Digest) -> io::Result<Option<(u64, Entry)>> {
        if let Some(entries) = self.in_memory() {
            let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
            let at = sorted::find(entries, digest.as_bytes());
            return Ok(at.and_then(|at| Some((at as u64, Entry::decode(entries.get(at)?)?))));
        }
        self.search(digest)
    }

    /// Whether this segment leads to an object in a pack that is there.
    pub(crate) fn has(&self, digest: &Digest, packs: &Packs) -> bool {
        let Ok(Some(entry)) = self.get(digest) else { return false };
        let number = entry.pack as usize;
        let (Some(id), Some(present)) = (self.packs.get(number), self.present.get(number)) else {
            return false;
        };
        if !present.load(Ordering::Relaxed) {
            present.store(packs.exists(*id), Ordering::Relaxed);
        }
        present.load(Ordering::Relaxed)
    }

    /// All entries, when the segment is small, was asked often, and is intact.
    fn in_memory(&self) -> Option<&[u8]> {
        if let Some(memory) = self.memory.get() {
            return memory.as_deref();
        }
        if self.lookups.fetch_add(1, Ordering::Relaxed) < LOOKUPS_ON_DISK {
            return None;
        }
        self.memory.get_or_init(|| self.load()).as_deref()
    }

    fn load(&self) -> Option<Vec<u8>> {
        let bytes = self.objects * ENTRY_BYTES as u64;
        if bytes > MEMORY_BYTES_MAX {
            return None;
        }
        let mut entries = vec![0; usize::try_from(bytes).ok()?];
        self.file.read_exact_at(&mut entries, self.entries_at()).ok()?;
        Some(entries)
    }

    fn entries_at(&self) -> u64 {
        // The number of packs is bounded when a segment is opened.
        entries_at(u32::try_from(self.packs.len()).unwrap_or(u32::MAX))
    }

    /// Reads `count` entries from the one with this number on.
    pub(crate) fn read(&self, first: u64, count: usize) -> io::Result<Vec<u8>> {
        let mut entries = vec![0; count * ENTRY_BYTES];
        self.file.read_exact_at(&mut entries, self.entries_at() + first * ENTRY_BYTES as u64)?;
        Ok(entries)
    }

    fn search(&self, digest: &Digest) -> io::Result<Option<(u64, Entry)>> {
        let key = start_of(digest.as_bytes());
        let (mut low, mut high) = (0, self.objects);
        let (mut low_key, mut high_key) = (0, u64::MAX);
        let mut guesses = 0;
        let mut buffer = [0; WINDOW * ENTRY_BYTES];
        while low < high {
            let span = high - low;
            let guess = if guesses < GUESSES_MAX {
                let share = u128::from(key.saturating_sub(low_key)) * u128::from(span);
                let range = u128::from(high_key.saturating_sub(low_key)) + 1;
                low + u64::try_from(share / range).unwrap_or(0)
            } else {
                low + span / 2
            };
            guesses += 1;
            let count = span.min(WINDOW as u64);
            let first = guess.saturating_sub(WINDOW as u64 / 2).max(low).min(high - count);
            let window = &mut buffer[..usize::try_from(count).unwrap_or(0) * ENTRY_BYTES];
            self.file.read_exact_at(window, self.entries_at() + first * ENTRY_BYTES as u64)?;
            let (entries, _) = window.as_chunks::<ENTRY_BYTES>();
            let order = |entry: &[u8; ENTRY_BYTES]| entry[..Digest::BYTES].cmp(digest.as_bytes());
            match (entries.first(), entries.last()) {
                (Some(start), _) if order(start).is_gt() => {
                    high = first;
                    high_key = start_of(start);
                }
                (_, Some(end)) if order(end).is_lt() => {
                    low = first + count;
                    low_key = start_of(end);
                }
                _ => {
                    let at = entries.binary_search_by(order);
                    let entry = |at| Some((first + at as u64, Entry::decode(entries.get(at)?)?));
                    return Ok(at.ok().and_then(entry));
                }
            }
        }
        Ok(None)
    }

    /// Whether every byte is as it was written.
    pub(crate) fn is_intact(&self) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        let mut sum = [0; Digest::BYTES];
        self.file.read_exact_at(&mut sum, 8)?;
        let (mut hasher, mut at) = (blake3::Hasher::new(), 8 + Digest::BYTES as u64);
        let mut buffer = vec![0; 1 << 20];
        while at < length {
            let count = self.file.read_at(&mut buffer, at)?;
            if count == 0 {
                return Ok(false);
            }
            hasher.update(&buffer[..count]);
            at += count as u64;
        }
        Ok(*hasher.finalize().as_bytes() == sum)
    }
}

/// Where the entries begin in a segment of so many packs.
pub(crate) fn entries_at(packs: u32) -> u64 {
    HEADER_BYTES as u64 + u64::from(packs) * PackId::BYTES as u64
}

/// The first bytes of a digest as a number, for guessing its place.
fn start_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().copied().map_or(0, u64::from_be_bytes)
}
