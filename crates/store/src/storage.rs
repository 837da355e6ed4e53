//! How a snapshot is stored, and what that takes on disk.

use std::collections::HashSet;

use aseptic_model::Digest;

use crate::error::StoreError;
use crate::object::Store;
use crate::objects::Object;
use crate::pack::Form;
use crate::reader::Found;
use crate::segment::Entry;

/// Some files of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Number of files, each path counted.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// Bytes that their content takes on disk, equal content once.
    pub disk_bytes: u64,
}

/// The files of a snapshot by how they are stored. A file that is stored in several ways counts where it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// In a file of their own.
    pub loose: Stored,
    /// In a pack, as they are.
    pub packed: Stored,
    /// In a pack, compressed.
    pub compressed: Stored,
    /// As chunks, which other files may have, too.
    pub chunked: Stored,
    /// Not there.
    pub missing: Stored,
    /// Number of distinct directories.
    pub directories: u64,
    /// Bytes that these take on disk.
    pub directory_bytes: u64,
}

impl Storage {
    /// Bytes that everything takes on disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        let files = [self.loose, self.packed, self.compressed, self.chunked];
        files.iter().map(|stored| stored.disk_bytes).sum::<u64>() + self.directory_bytes
    }
}

impl Store {
    /// How the snapshot `digest` is stored. Reads its directories and no file.
    ///
    /// # Errors
    /// As [`Store::read_tree`].
    pub fn storage(&self, digest: &Digest) -> Result<Storage, StoreError> {
        let mut storage = Storage::default();
        let mut seen = HashSet::new();
        for object in self.objects(digest)? {
            match object? {
                Object::Directory { digest } => {
                    storage.directories += 1;
                    storage.directory_bytes += self.find(&digest)?.stored();
                }
                // Equal directories are stored once; their files are counted where they came first.
                Object::Again { .. } => {}
                Object::File { size, digest, .. } => {
                    let found = match self.find(&digest) {
                        Ok(found) => Some(found),
                        Err(StoreError::Missing { .. }) => None,
                        Err(error) => return Err(error),
                    };
                    let stored = match &found {
                        None => &mut storage.missing,
                        Some(Found::Loose(..)) => &mut storage.loose,
                        Some(Found::Packed(_, entry)) => match entry.form {
                            Form::Plain => &mut storage.packed,
                            Form::Zstd => &mut storage.compressed,
                            Form::Chunked => &mut storage.chunked,
                        },
                    };
                    stored.files += 1;
                    stored.bytes += size;
                    if let (Some(found), true) = (found, seen.insert(digest)) {
                        stored.disk_bytes += self.size_on_disk(&found, &mut seen)?;
                    }
                }
            }
        }
        Ok(storage)
    }

    fn size_on_disk(&self, found: &Found, seen: &mut HashSet<Digest>) -> Result<u64, StoreError> {
        let mut bytes = found.stored();
        if let Found::Packed(pack, entry @ Entry { form: Form::Chunked, .. }) = found {
            for (chunk, _) in self.recipe(pack, entry)? {
                if seen.insert(chunk) {
                    bytes += self.find(&chunk)?.stored();
                }
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::import::ImportOptions;

    #[test]
    fn every_file_is_counted_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        for directory in ["d/a", "d/b"] {
            fs::create_dir_all(dir.path().join(directory)).unwrap();
            for number in 0..40_u32 {
                fs::write(dir.path().join(format!("{directory}/{number}")), number.to_le_bytes()).unwrap();
            }
        }
        fs::write(dir.path().join("d/b/more"), "more").unwrap();
        fs::write(dir.path().join("d/big"), vec![1; 1 << 20]).unwrap();
        fs::write(dir.path().join("d/same"), vec![1; 1 << 20]).unwrap();
        let lease = store.lease().unwrap();
        let options = ImportOptions::default();
        let imported = store
            .import(&lease, &dir.path().join("d"), &options, &mut |_| std::ops::ControlFlow::Continue(()))
            .unwrap();
        let storage = store.storage(&imported.snapshot.digest).unwrap();
        assert_eq!(storage.loose, Stored { files: 2, bytes: 2 << 20, disk_bytes: 1 << 20 });
        let packed = [storage.packed, storage.compressed];
        assert_eq!(packed.iter().map(|stored| stored.files).sum::<u64>(), 81);
        assert_eq!(packed.iter().map(|stored| stored.disk_bytes).sum::<u64>(), 41 * 4, "equal files once");
        assert_eq!((storage.missing, storage.directories), (Stored::default(), 3));
        let hex = Digest::of(&vec![1; 1 << 20]).to_string();
        fs::remove_file(dir.path().join("store/objects").join(&hex[..2]).join(hex)).unwrap();
        let storage = store.storage(&imported.snapshot.digest).unwrap();
        assert_eq!((storage.missing.files, storage.loose.files), (2, 0));
    }
}
