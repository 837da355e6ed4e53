//! What fuzzers call, in `fuzz/`: each function reads bytes that a disk or a stranger may hold, and checks what must
//! hold for any.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use aseptic_model::Digest;

use crate::index::Index;
use crate::object::Store;
use crate::pack::PackId;
use crate::segment::{ENTRY_BYTES, HEADER_BYTES};
use crate::tar;
use crate::tree::Tree;

/// Objects longer than this are not read: the fuzzer would wait.
const OBJECT_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static STORE: OnceCell<PathBuf> = const { OnceCell::new() };
}

/// The directory of a store that each thread has.
fn store_dir() -> PathBuf {
    STORE.with(|dir| {
        let make = || {
            let thread = std::thread::current().id();
            let dir = std::env::temp_dir().join(format!("aseptic-fuzz-{}-{thread:?}", std::process::id()));
            assert!(Store::open(&dir).is_ok(), "{}", dir.display());
            dir
        };
        dir.get_or_init(make).clone()
    })
}

/// A directory object; and a segment with the pack that it leads to, and every object in it, whatever its form: the
/// first two bytes say how long the pack is. Returns how many objects were read.
pub fn manifest(bytes: &[u8]) -> usize {
    if let Ok(tree) = Tree::decode(bytes) {
        assert_eq!(tree.encode(), bytes, "a directory has one encoding");
    }
    let Some((length, rest)) = bytes.split_first_chunk() else { return 0 };
    let length = usize::from(u16::from_le_bytes(*length));
    let Some((pack, segment)) = rest.split_at_checked(length) else { return 0 };
    let id = PackId([0; PackId::BYTES]);
    // It always leads to this pack: a fuzzer would not guess names.
    let mut segment = segment.to_vec();
    if let Some(named) = segment.get_mut(HEADER_BYTES..HEADER_BYTES + PackId::BYTES) {
        named.copy_from_slice(&id.0);
    }
    let dir = store_dir();
    write(&dir.join("packs").join(id.file_name()), pack);
    write(&dir.join("segments").join("0".repeat(32)), &segment);
    let Ok(store) = Store::open(&dir) else { return 0 };
    let mut read = 0;
    for entry in segment.get(HEADER_BYTES + PackId::BYTES..).unwrap_or_default().chunks_exact(ENTRY_BYTES) {
        let Some(digest) = entry.first_chunk().copied().map(Digest::from_bytes) else { continue };
        if let Ok(bytes) = store.get_bytes(&digest, OBJECT_BYTES_MAX) {
            assert_eq!(Digest::of(&bytes), digest, "what comes out was checked");
            read += 1;
        }
    }
    read
}

/// A tar archive in any compression. Returns how many entries it has, if it can be read to its end.
pub fn tar_archive(bytes: &[u8]) -> Option<usize> {
    tar::fuzz(bytes)
}

/// A stat index, as it is and with the checksum that it should have. Returns whether the second is one.
pub fn stat_index(bytes: &[u8]) -> bool {
    read_index(bytes);
    let mut summed = bytes.to_vec();
    if let Some((header, content)) = summed.split_at_mut_checked(40) {
        header[8..].copy_from_slice(Digest::of(content).as_bytes());
    }
    read_index(&summed)
}

fn read_index(bytes: &[u8]) -> bool {
    let dir = store_dir();
    let source = Path::new("/source");
    let name = Digest::of(source.as_os_str().as_encoded_bytes()).to_string();
    write(&dir.join("index").join(name), bytes);
    let Ok(store) = Store::open(&dir) else { return false };
    let index = Index::load(&store, source, UNIX_EPOCH);
    let mut known = 0;
    for entry in bytes.get(40..).unwrap_or_default().chunks_exact(48) {
        if let Some(key) = entry.first_chunk()
            && let Some(found) = index.get(key)
        {
            index.keep(found);
            known += 1;
        }
    }
    known > 0
}

fn write(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path); // It may be read-only.
    assert!(fs::write(path, bytes).is_ok(), "{}", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default(); // Not that of the build.
        let files = fs::read_dir(format!("{here}/../../fuzz/seeds/{target}")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read(file.path()).ok()).collect()
    }

    /// What the fuzzers begin with is read as what it is.
    #[test]
    fn seeds_are_read() {
        assert!(seeds("manifest").iter().any(|seed| manifest(seed) >= 3));
        assert!(seeds("manifest").iter().any(|seed| Tree::decode(seed).is_ok()));
        assert!(!seeds("tar_archive").is_empty());
        assert!(seeds("tar_archive").iter().all(|seed| tar_archive(seed).is_some_and(|count| count >= 5)));
        assert!(seeds("stat_index").iter().any(|seed| stat_index(seed)));
        assert!(crate::remove_tree(&store_dir()).is_ok());
    }
}
