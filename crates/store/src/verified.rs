//! What was on disk when a snapshot was last found to be intact.
//!
//! One file in `index/` for each snapshot: the states (device, inode, size, times of change) of the packs and
//! files that hold its objects, and of the copies in its view. What is in such a state still was not
//! written since. Bits that change on the medium change no state: only reading finds them.
//!
//! **Invariant:** a state is kept only if its file was [`Settled`] when the verification began.
//! **Invariant:** nothing is kept of a snapshot that was found to be damaged.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use aseptic_model::Digest;

use crate::files::Stamp;
use crate::hint::{self, KEY_BYTES, Key, Settled};
use crate::object::Store;

const MAGIC: [u8; 8] = *b"asseen\0\x01";

/// The states that are known of one snapshot.
#[derive(Debug)]
pub(crate) struct States {
    path: PathBuf,
    known: HashSet<Key>,
    settled: Settled,
}

impl States {
    /// Those that were kept of `snapshot`; none when the file is missing or damaged. `now` is the time when
    /// the verification begins.
    pub(crate) fn load(store: &Store, snapshot: &Digest, now: SystemTime) -> Self {
        let path = store.dir.join("index").join(format!("verified-{snapshot}"));
        let known = fs::read(&path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        Self { path, known, settled: Settled::at(now) }
    }

    /// Whether a file was found to be intact in this state.
    pub(crate) fn is_known(&self, stamp: &Stamp) -> bool {
        self.known.contains(&hint::key(b"", stamp))
    }

    /// The key of a file that may be kept.
    pub(crate) fn settled(&self, stamp: &Stamp) -> Option<Key> {
        self.settled.has(stamp).then(|| hint::key(b"", stamp))
    }

    /// Keeps `keys` instead of what is known.
    pub(crate) fn save(&self, store: &Store, keys: &HashSet<Key>) {
        if *keys != self.known {
            let mut sorted: Vec<Key> = keys.iter().copied().collect();
            sorted.sort_unstable();
            // Without it the next verification reads more.
            let _ = hint::replace(store, &self.path, &hint::encode(&MAGIC, sorted.as_flattened()));
        }
    }

    /// Forgets everything, so that all of a damaged snapshot is read until it is found to be intact.
    pub(crate) fn forget(&self) -> std::io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn decode(bytes: &[u8]) -> Option<HashSet<Key>> {
    let (list, rest) = hint::decode(&MAGIC, bytes)?.as_chunks::<KEY_BYTES>();
    rest.is_empty().then(|| list.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

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
