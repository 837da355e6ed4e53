//! The stat index: which files of a source are known without reading them.
//!
//! A cache, one file per source. An entry says that a file in a certain state (path, device, inode, size,
//! times of change) had a certain digest. A damaged index is ignored.
//!
//! **Invariant:** an entry is made only for a file that was [`Settled`] when the import began.
//! **Absent on purpose:** merging. Of two imports of one source at once, the last one wins.

use std::cmp::Ordering as Order;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use aseptic_model::Digest;
use rustix::fs::{CWD, Mode, renameat};

use crate::files::Stamp;
use crate::hint::{KEY_BYTES, Key, MAGIC_BYTES, Settled};
use crate::object::Store;
use crate::sorted;
use crate::stage::Staging;

const MAGIC: [u8; MAGIC_BYTES] = *b"asindex\x01";
const ENTRY_BYTES: usize = KEY_BYTES + Digest::BYTES;
const HEADER_BYTES: usize = MAGIC_BYTES + Digest::BYTES;

/// What the last import of one source learned, and what this one does.
///
/// Costs 48 bytes of memory for each file of the source.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    /// Entries of the last import, sorted; as in the file.
    old: Vec<Entry>,
    /// One bit for each of them: the file is still as it was.
    kept: Vec<AtomicU64>,
    /// Files that were read.
    new: Mutex<Vec<Entry>>,
    /// The files that may be recorded.
    settled: Settled,
}

/// Key and digest of a file.
type Entry = [u8; ENTRY_BYTES];

/// A file that the index knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) digest: Digest,
    number: usize,
}

/// What an index that is saved says of files that the last import knew and this one has not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// They may still come.
    Keep,
    /// They are gone.
    Drop,
}

impl Index {
    /// The index of the source at the absolute path `source`; empty when there is none.
    ///
    /// `now` is the time when the import began.
    pub(crate) fn load(store: &Store, source: &Path, now: SystemTime) -> Self {
        let name = Digest::of(source.as_os_str().as_bytes()).to_string();
        let path = store.dir.join("index").join(name);
        let old = read(&path).unwrap_or_default();
        let kept = (0..old.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { path, old, kept, new: Mutex::default(), settled: Settled::at(now) }
    }

    /// What the last import knew of a file in this state.
    pub(crate) fn get(&self, key: &Key) -> Option<Known> {
        let number = sorted::find(&self.old, key)?;
        let digest = self.old.get(number)?.last_chunk().copied().map(Digest::from_bytes)?;
        Some(Known { digest, number })
    }

    /// Notes that a file is still as it was.
    pub(crate) fn keep(&self, known: Known) {
        if let Some(bits) = self.kept.get(known.number / 64) {
            bits.fetch_or(1 << (known.number % 64), Ordering::Relaxed);
        }
    }

    fn is_kept(&self, number: usize) -> bool {
        self.kept.get(number / 64).is_some_and(|bits| bits.load(Ordering::Relaxed) >> (number % 64) & 1 == 1)
    }

    /// Notes files that were read, each with its state.
    pub(crate) fn add(&self, read: impl IntoIterator<Item = (Key, Digest)>) {
        let entries = read.into_iter().map(|(key, digest)| {
            let mut entry = [0; ENTRY_BYTES];
            entry[..KEY_BYTES].copy_from_slice(&key);
            entry[KEY_BYTES..].copy_from_slice(digest.as_bytes());
            entry
        });
        self.new.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
    }

    /// Whether a file in this state may be recorded.
    pub(crate) fn is_settled(&self, stamp: &Stamp) -> bool {
        self.settled.has(stamp)
    }

    /// How many files were noted by [`Index::add`].
    pub(crate) fn added(&self) -> usize {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Replaces the index in the store, unless it would be the same. Of the files that were noted by
    /// [`Index::add`] it has the first `added`.
    pub(crate) fn save(&self, store: &Store, unmet: Unmet, added: usize) {
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(new) = new.get_mut(..added) else { return };
        let all_kept = unmet == Unmet::Keep || (0..self.old.len()).all(|number| self.is_kept(number));
        if new.is_empty() && all_kept {
            return;
        }
        new.sort_unstable();
        // The import succeeded without its cache: a full disk only makes the next one slower.
        let _ = self.replace(store, new, unmet);
    }

    fn replace(&self, store: &Store, new: &[Entry], unmet: Unmet) -> io::Result<()> {
        let staging = Staging::new(store).map_err(io::Error::other)?;
        let name = staging.part();
        let file = staging.create(&name, Mode::from_raw_mode(0o644))?;
        let mut out = BufWriter::new(&file);
        out.write_all(&[0; HEADER_BYTES])?;
        let mut hasher = blake3::Hasher::new();
        let kept = |(number, _): &(usize, &Entry)| unmet == Unmet::Keep || self.is_kept(*number);
        let mut old = self.old.iter().enumerate().filter(kept).map(|(_, entry)| entry).peekable();
        let mut new =
            new.chunk_by(|a, b| a[..KEY_BYTES] == b[..KEY_BYTES]).filter_map(<[Entry]>::first).peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => Order::Less,
                (None, Some(_)) => Order::Greater,
                (Some(_), None) => Order::Less,
                (Some(old), Some(new)) => old[..KEY_BYTES].cmp(&new[..KEY_BYTES]),
            };
            // The new one of two that have the same key was read in this import.
            let entry = if order == Order::Less { old.next() } else { new.next() };
            if order == Order::Equal {
                old.next();
            }
            let Some(entry) = entry else { break };
            hasher.update(entry);
            out.write_all(entry)?;
        }
        out.flush()?;
        drop(out);
        file.write_all_at(&[MAGIC.as_slice(), hasher.finalize().as_bytes()].concat(), 0)?;
        Ok(renameat(&staging.dir, name, CWD, &self.path)?)
    }
}

/// The entries in a file; none if it is not as it was written.
fn read(path: &Path) -> Option<Vec<Entry>> {
    let mut file = File::open(path).ok()?;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?.checked_sub(HEADER_BYTES)?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).ok()?;
    let mut entries = vec![[0; ENTRY_BYTES]; length / ENTRY_BYTES];
    file.read_exact(entries.as_flattened_mut()).ok()?;
    let sum = header.strip_prefix(&MAGIC)?;
    let intact = sum == Digest::of(entries.as_flattened()).as_bytes()
        && length % ENTRY_BYTES == 0
        && entries.is_sorted_by(|a, b| a[..KEY_BYTES] < b[..KEY_BYTES]);
    intact.then_some(entries)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::hint::key;

    const STAMP: Stamp = Stamp { device: 1, inode: 2, size: 3, modified: (1000, 4), changed: (1000, 5) };

    fn at(now: u64, dir: &Path) -> (Store, Index) {
        let store = Store::open(dir).unwrap();
        let index = Index::load(&store, Path::new("/source"), UNIX_EPOCH + Duration::from_secs(now));
        (store, index)
    }

    #[test]
    fn what_was_saved_is_found_until_the_file_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let (store, index) = at(2000, dir.path());
        let digest = Digest::of(b"content");
        index.add([(key(b"b", &STAMP), Digest::of(b"")), (key(b"a", &STAMP), digest)]);
        index.save(&store, Unmet::Drop, index.added());
        let (_, index) = at(2000, dir.path());
        let get = |index: &Index, path: &[u8], stamp| index.get(&key(path, &stamp)).map(|known| known.digest);
        assert_eq!(get(&index, b"a", STAMP), Some(digest));
        assert_eq!(get(&index, b"c", STAMP), None);
        assert_eq!(get(&index, b"a", Stamp { size: 4, ..STAMP }), None);

        // One that was interrupted before it met `b`, then one that did not meet it.
        index.keep(index.get(&key(b"a", &STAMP)).unwrap());
        index.add([(key(b"c", &STAMP), digest)]);
        index.save(&store, Unmet::Keep, index.added());
        let (_, index) = at(2000, dir.path());
        assert_eq!([b"a", b"b", b"c"].map(|path| get(&index, path, STAMP).is_some()), [true; 3]);
        index.keep(index.get(&key(b"a", &STAMP)).unwrap());
        index.add([(key(b"c", &STAMP), Digest::of(b"read again"))]);
        index.save(&store, Unmet::Drop, index.added());
        let (_, index) = at(2000, dir.path());
        assert_eq!([b"a", b"b", b"c"].map(|path| get(&index, path, STAMP).is_some()), [true, false, true]);
        assert_eq!(get(&index, b"c", STAMP), Some(Digest::of(b"read again")));

        let mut bytes = std::fs::read(&index.path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&index.path, bytes).unwrap();
        assert!(at(2000, dir.path()).1.old.is_empty());
    }

    #[test]
    fn a_file_changed_within_two_seconds_is_not_recorded() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!at(1001, dir.path()).1.is_settled(&STAMP));
        assert!(!at(1002, dir.path()).1.is_settled(&STAMP));
        assert!(at(1003, dir.path()).1.is_settled(&STAMP));
        let future = Stamp { modified: (5000, 0), ..STAMP };
        assert!(!at(1003, dir.path()).1.is_settled(&future));
    }
}
