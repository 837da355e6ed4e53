//! What was on disk when a snapshot was last found to be intact.
//!
//! One file in `index/` for each snapshot: the states (device, inode, size, times of change) of the packs and
//! files that hold its objects, and of the copies in its view. What is in such a state still was not
//! written since. Bits that change on the medium change no state: only reading finds them.
//!
//! **Invariant:** a state is kept only if its file had been left alone for [`SETTLED`] when the verification
//! began, so that a later write gives it another one, however coarse the clock is.
//! **Invariant:** nothing is kept of a snapshot that was found to be damaged.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aseptic_model::Digest;
use rustix::fs::{CWD, Mode, renameat};

use crate::files::Stamp;
use crate::object::Store;
use crate::stage::Staging;

const MAGIC: [u8; 8] = *b"asseen\0\x01";
const KEY_BYTES: usize = 16;
/// Two seconds, the coarsest time stamp of a file system in use (FAT).
const SETTLED: Duration = Duration::from_secs(2);

/// A state of a file, in short.
pub(crate) type Key = [u8; KEY_BYTES];

/// The states that are known of one snapshot.
#[derive(Debug)]
pub(crate) struct States {
    path: PathBuf,
    known: HashSet<Key>,
    settled_before: i64,
}

impl States {
    /// Those that were kept of `snapshot`; none when the file is missing or damaged. `now` is the time when
    /// the verification begins.
    pub(crate) fn load(store: &Store, snapshot: &Digest, now: SystemTime) -> Self {
        let path = store.dir.join("index").join(format!("verified-{snapshot}"));
        let known = fs::read(&path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        let settled = now.checked_sub(SETTLED).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let settled_before = settled.and_then(|time| i64::try_from(time.as_secs()).ok()).unwrap_or(0);
        Self { path, known, settled_before }
    }

    /// Whether a file was found to be intact in this state.
    pub(crate) fn is_known(&self, stamp: &Stamp) -> bool {
        self.known.contains(&key(stamp))
    }

    /// The key of a file that may be kept.
    pub(crate) fn settled(&self, stamp: &Stamp) -> Option<Key> {
        let settled = stamp.modified.0 < self.settled_before && stamp.changed.0 < self.settled_before;
        settled.then(|| key(stamp))
    }

    /// Keeps `keys` instead of what is known.
    pub(crate) fn save(&self, store: &Store, keys: &HashSet<Key>) {
        if *keys != self.known {
            // Only a hint: without it the next verification reads more.
            let _ = self.replace(store, keys);
        }
    }

    fn replace(&self, store: &Store, keys: &HashSet<Key>) -> Option<()> {
        let mut sorted: Vec<Key> = keys.iter().copied().collect();
        sorted.sort_unstable();
        let keys = sorted.as_flattened();
        let staging = Staging::new(store).ok()?;
        let name = staging.part();
        let mut file = staging.create(&name, Mode::from_raw_mode(0o644)).ok()?;
        file.write_all(&[MAGIC.as_slice(), Digest::of(keys).as_bytes(), keys].concat()).ok()?;
        renameat(&staging.dir, name, CWD, &self.path).ok()
    }

    /// Forgets everything, so that all of a damaged snapshot is read until it is found to be intact.
    pub(crate) fn forget(&self) -> std::io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn key(stamp: &Stamp) -> Key {
    let mut hasher = blake3::Hasher::new();
    let Stamp { device, inode, size, modified, changed } = stamp;
    for number in [*device, *inode, *size] {
        hasher.update(&number.to_le_bytes());
    }
    for number in [modified.0, modified.1, changed.0, changed.1] {
        hasher.update(&number.to_le_bytes());
    }
    let mut key = Key::default();
    hasher.finalize_xof().fill(&mut key);
    key
}

fn decode(bytes: &[u8]) -> Option<HashSet<Key>> {
    let (sum, keys) = bytes.strip_prefix(&MAGIC)?.split_at_checked(Digest::BYTES)?;
    let (list, rest) = keys.as_chunks::<KEY_BYTES>();
    (sum == Digest::of(keys).as_bytes() && rest.is_empty()).then(|| list.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { device: 1, inode: 2, size: 3, modified: (1000, 4), changed: (1000, 5) };

    fn at(store: &Store, now: u64) -> States {
        States::load(store, &Digest::of(b"snapshot"), UNIX_EPOCH + Duration::from_secs(now))
    }

    #[test]
    fn what_was_kept_is_known_until_the_file_is_damaged_or_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let states = at(&store, 2000);
        let keys = HashSet::from([states.settled(&STAMP).unwrap()]);
        states.save(&store, &keys);
        let states = at(&store, 3000);
        assert!(states.is_known(&STAMP));
        assert!(!states.is_known(&Stamp { changed: (1000, 6), ..STAMP }));
        assert!(!states.is_known(&Stamp { inode: 3, ..STAMP }));
        let mut bytes = fs::read(&states.path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&states.path, &bytes).unwrap();
        assert!(!at(&store, 3000).is_known(&STAMP));
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&states.path, &bytes).unwrap();
        assert!(at(&store, 3000).is_known(&STAMP));
        states.forget().unwrap();
        states.forget().unwrap();
        assert!(!at(&store, 3000).is_known(&STAMP));
    }

    #[test]
    fn a_file_changed_within_two_seconds_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for (now, kept) in [(1000, false), (1001, false), (1002, false), (1003, true)] {
            assert_eq!(at(&store, now).settled(&STAMP).is_some(), kept, "{now}");
        }
    }
}
