//! The stat index: which files of a source are known without reading them.
//!
//! A cache, one file per source. An entry says that a file in a certain state (path, device, inode, size,
//! times of change) had a certain digest. A damaged index is ignored.
//!
//! **Invariant:** an entry is made only for a file that had been left alone for [`SETTLED`] when the
//! import began: a later write then gives it another time of change, however coarse the clock is.
//! **Absent on purpose:** merging. Of two imports of one source at once, the last one wins.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aseptic_model::Digest;
use rustix::fs::{CWD, Mode, renameat};

use crate::files::Stamp;
use crate::object::Store;
use crate::stage::Staging;
use std::os::unix::ffi::OsStrExt;

const MAGIC: [u8; 8] = *b"asindex\x01";
const KEY_BYTES: usize = 16;
const ENTRY_BYTES: usize = KEY_BYTES + Digest::BYTES;
const HEADER_BYTES: usize = MAGIC.len() + Digest::BYTES;
/// Two seconds, the coarsest time stamp of a file system in use (FAT).
const SETTLED: Duration = Duration::from_secs(2);

/// A state of a file, in short.
pub(crate) type Key = [u8; KEY_BYTES];

/// What the last import of one source learned.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    /// Entries of key and digest, sorted; as in the file.
    entries: Vec<u8>,
    /// Files changed at this second or later are not recorded.
    settled_before: i64,
}

impl Index {
    /// The index of the source at the absolute path `source`; empty when there is none.
    ///
    /// `now` is the time when the import began.
    pub(crate) fn load(store: &Store, source: &Path, now: SystemTime) -> Self {
        let name = Digest::of(source.as_os_str().as_bytes()).to_string();
        let path = store.dir.join("index").join(name);
        let entries = fs::read(&path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        let settled = now.checked_sub(SETTLED).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let settled_before = settled.and_then(|time| i64::try_from(time.as_secs()).ok()).unwrap_or(0);
        Self { path, entries, settled_before }
    }

    /// The digest that a file in this state had.
    pub(crate) fn get(&self, key: &Key) -> Option<Digest> {
        let (entries, _) = self.entries.as_chunks::<ENTRY_BYTES>();
        let index = entries.binary_search_by(|entry| entry[..KEY_BYTES].cmp(key)).ok()?;
        entries.get(index)?.last_chunk().copied().map(Digest::from_bytes)
    }

    /// Whether a file in this state may be recorded.
    pub(crate) fn is_settled(&self, stamp: &Stamp) -> bool {
        stamp.modified.0 < self.settled_before && stamp.changed.0 < self.settled_before
    }

    /// Replaces the index by `known`, unless that is what it holds.
    pub(crate) fn save(&self, store: &Store, known: &[(Key, Digest)]) {
        let mut entries: Vec<[u8; ENTRY_BYTES]> = Vec::with_capacity(known.len());
        for (key, digest) in known {
            let mut entry = [0; ENTRY_BYTES];
            entry[..KEY_BYTES].copy_from_slice(key);
            entry[KEY_BYTES..].copy_from_slice(digest.as_bytes());
            entries.push(entry);
        }
        entries.sort_unstable();
        let entries = entries.as_flattened();
        if entries != self.entries {
            // The import succeeded without its cache: a full disk only makes the next one slower.
            let _ = self.replace(store, entries);
        }
    }

    fn replace(&self, store: &Store, entries: &[u8]) -> Option<()> {
        let staging = Staging::new(store).ok()?;
        let name = staging.part();
        let mut file = staging.create(&name, Mode::from_raw_mode(0o644)).ok()?;
        file.write_all(&[MAGIC.as_slice(), Digest::of(entries).as_bytes()].concat()).ok()?;
        file.write_all(entries).ok()?;
        renameat(&staging.dir, name, CWD, &self.path).ok()
    }
}

/// The state of the file at `path` below its source.
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

fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let (header, entries) = bytes.split_at_checked(HEADER_BYTES)?;
    let sum = header.strip_prefix(&MAGIC)?;
    let intact = sum == Digest::of(entries).as_bytes() && entries.len() % ENTRY_BYTES == 0;
    intact.then(|| entries.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        index.save(&store, &[(key(b"b", &STAMP), Digest::of(b"")), (key(b"a", &STAMP), digest)]);
        let (_, index) = at(2000, dir.path());
        assert_eq!(index.get(&key(b"a", &STAMP)), Some(digest));
        assert_eq!(index.get(&key(b"c", &STAMP)), None);
        assert_eq!(index.get(&key(b"a", &Stamp { size: 4, ..STAMP })), None);

        let mut bytes = fs::read(&index.path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&index.path, bytes).unwrap();
        assert!(at(2000, dir.path()).1.entries.is_empty());
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
