//! The directories of a snapshot, listed beside its view so that a later run need not read the whole tree.
//!
//! **Invariant:** the list is what the tree says. One that is damaged or missing is not used.

use std::fs;

use aseptic_model::{Digest, FilePath};

use crate::error::StoreError;
use crate::hint;
use crate::object::Store;
use crate::tree::EntryKind;

/// A name and the version of the format.
const MAGIC: [u8; 8] = *b"asdirs\0\x01";

impl Store {
    /// Paths of all directories below the root, each before those inside it.
    ///
    /// Takes time in proportion to their number once there is a view of the snapshot, whatever files it has.
    ///
    /// # Errors
    /// As [`Store::read_tree`].
    pub fn directories(&self, digest: &Digest) -> Result<Vec<FilePath>, StoreError> {
        let list = self.dir.join("views").join(digest.to_string()).join("directories");
        if let Some(paths) = fs::read(list).ok().and_then(|bytes| decode(&bytes)) {
            return Ok(paths);
        }
        let mut paths = Vec::new();
        for entry in self.walk(digest)? {
            if let (path, EntryKind::Directory { .. }) = entry? {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

/// Each path with a zero behind it.
pub(crate) fn encode(paths: &[FilePath]) -> Vec<u8> {
    let list: Vec<u8> = paths.iter().flat_map(|path| path.as_bytes().iter().copied().chain([0])).collect();
    hint::encode(&MAGIC, &list)
}

fn decode(bytes: &[u8]) -> Option<Vec<FilePath>> {
    let list = hint::decode(&MAGIC, bytes)?;
    let Some(list) = list.strip_suffix(b"\0") else { return list.is_empty().then(Vec::new) };
    list.split(|byte| *byte == 0).map(|path| FilePath::from_bytes(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written_or_not_at_all() {
        for names in [&[][..], &["a"], &["a", "a/b\n", "\u{e9}"]] {
            let paths: Vec<FilePath> =
                names.iter().map(|name| FilePath::from_bytes(*name).unwrap()).collect();
            let bytes = encode(&paths);
            assert_eq!(decode(&bytes), Some(paths));
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert_eq!(decode(&damaged), None);
            }
            assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
