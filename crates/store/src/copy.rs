//! Copying a snapshot from one store to another.
//!
//! **Invariant:** what arrives was checked against its digest, and the root comes last, as in an import.
//! **Absent on purpose:** links between stores. Two stores never share a file, so nothing that happens to
//! one can reach the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aseptic_model::{Digest, FilePath};

use crate::chunk::CHUNK_BYTES_MAX;
use crate::error::{Damage, StoreError};
use crate::import::{CHECKPOINT_EVERY, Progress, Step};
use crate::lease::Lease;
use crate::object::Store;
use crate::objects::Object;
use crate::pack::Form;
use crate::parallel;
use crate::reader::Found;
use crate::segment::Entry;
use crate::tree::{Snapshot, Tree, TreeError};
use crate::verify::VerifyError;
use crate::writer::{CopyError, Writer};

/// Paths for each file that is stored. No tree of files comes near it; one that was made to harm can say 2^60
/// paths in a few bytes, and whoever shows or verifies it goes through all of them.
const PATHS_MAX: u64 = 100_000;

/// What a copy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The snapshot; complete here and on disk.
    pub snapshot: Snapshot,
    /// Files whose bytes were copied; this store had the others already.
    pub files_copied: u64,
    /// Their size in bytes.
    pub bytes_copied: u64,
}

impl Store {
    /// Copies every object of the snapshot `digest` of `from` that this store does not have.
    ///
    /// Blocks until the snapshot is on disk here; after an error or a crash it does not exist here. Every
    /// byte is checked on the way. Files that both stores have are not read; neither are those that a copy
    /// which was killed had copied, but for its last [`CHECKPOINT_EVERY`].
    ///
    /// # Errors
    /// - [`VerifyError::Damaged`]: a file of the snapshot is missing or damaged in `from`; names it.
    /// - [`VerifyError::Store`]: a directory of it is, or names the same files too often, or one of the two
    ///   stores failed.
    pub fn copy_from(
        &self,
        lease: &Lease,
        from: &Self,
        digest: &Digest,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Copied, VerifyError> {
        let writer = Writer::new(self, lease);
        Self::copy_paced(writer, from, digest, CHECKPOINT_EVERY, progress)
    }

    /// As [`Store::copy_from`], but reads what this store has of the snapshot, too, and repairs it: an
    /// object that is damaged here is copied again.
    ///
    /// # Errors
    /// As [`Store::copy_from`].
    pub fn restore_from(
        &self,
        lease: &Lease,
        from: &Self,
        digest: &Digest,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Copied, VerifyError> {
        let writer = Writer::new(self, lease).paranoid(true);
        Self::copy_paced(writer, from, digest, CHECKPOINT_EVERY, progress)
    }

    fn copy_paced(
        writer: Writer<'_>,
        from: &Self,
        digest: &Digest,
        checkpoint_every: Duration,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Copied, VerifyError> {
        let snapshot = from.snapshot(digest)?;
        let objects = from.objects(digest)?;
        let bytes = AtomicU64::new(0);
        let mut copied = Copied { snapshot, files_copied: 0, bytes_copied: 0 };
        let (mut directories, mut kept, mut objects_seen) = (Vec::new(), Instant::now(), 1_u64);
        let mut done = Progress {
            step: Step::Copy,
            files: 0,
            bytes: 0,
            files_total: snapshot.files,
            bytes_total: snapshot.bytes,
        };
        let copy = Copy { from, writer: &writer, root: *digest, bytes: &bytes };
        parallel::run(
            objects,
            |buffer, object| match object? {
                Object::File { path, size, digest } => copy.file(buffer, path, size, &digest),
                Object::Directory { digest } => Ok(Done::Directory(digest)),
                Object::Again { files, bytes: repeated } => {
                    bytes.fetch_add(repeated, Ordering::Relaxed);
                    Ok(Done::Files { known: files, copied: None })
                }
            },
            |one| {
                objects_seen += u64::from(one.is_some());
                match one {
                    Some(Done::Files { known, copied: size }) => {
                        done.files += known + u64::from(size.is_some());
                        copied.files_copied += u64::from(size.is_some());
                        copied.bytes_copied += size.unwrap_or(0);
                    }
                    Some(Done::Directory(directory)) => directories.push(directory),
                    None => {}
                }
                done.bytes = bytes.load(Ordering::Relaxed);
                progress(done);
                if kept.elapsed() >= checkpoint_every {
                    writer.checkpoint()?;
                    kept = Instant::now();
                }
                Ok::<_, VerifyError>(())
            },
        )?;
        if snapshot.files / PATHS_MAX > objects_seen {
            return Err(StoreError::NotTree { digest: *digest, source: TreeError::Repeats }.into());
        }
        progress(Progress { step: Step::Write, ..done });
        // The root comes last.
        for directory in directories.iter().filter(|directory| *directory != digest).chain([digest]) {
            writer.add_bytes(&from.get_bytes(directory, Tree::BYTES_MAX)?)?;
        }
        writer.publish()?;
        Ok(copied)
    }
}

/// What is the same for every file of a copy.
struct Copy<'c> {
    from: &'c Store,
    writer: &'c Writer<'c>,
    root: Digest,
    bytes: &'c AtomicU64,
}

/// What became of one object.
enum Done {
    Files { known: u64, copied: Option<u64> },
    Directory(Digest),
}

impl Copy<'_> {
    fn file(
        &self,
        buffer: &mut [u8],
        path: FilePath,
        size: u64,
        digest: &Digest,
    ) -> Result<Done, VerifyError> {
        if self.writer.trusts(digest) {
            self.bytes.fetch_add(size, Ordering::Relaxed);
            return Ok(Done::Files { known: 1, copied: None });
        }
        match self.copy(buffer, size, digest) {
            Ok(()) => Ok(Done::Files { known: 0, copied: Some(size) }),
            Err(error) => match error.into_damage() {
                Ok(cause) => {
                    let list = vec![Damage { path, cause }];
                    Err(VerifyError::Damaged { digest: self.root, list, count: 1 })
                }
                Err(error) => Err(error.into()),
            },
        }
    }

    fn copy(&self, buffer: &mut [u8], size: u64, digest: &Digest) -> Result<(), StoreError> {
        let found = self.from.find(digest)?;
        if let Found::Packed(pack, entry @ Entry { form: Form::Chunked, .. }) = &found {
            return self.copy_chunked(self.from.recipe(pack, entry)?, size, digest);
        }
        let mut object = self.from.source(found, digest)?;
        let counted = |piece: &[u8]| {
            self.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        };
        match self.writer.add_file(&mut object, size, buffer, counted) {
            Ok((copied, length)) if (copied, length) == (*digest, size) => Ok(()),
            Ok(_) => Err(StoreError::Corrupt { digest: *digest }),
            Err(CopyError::Read(error)) => Err(self.from.read_failed(digest, error)),
            Err(CopyError::Write(error)) => Err(error),
        }
    }

    /// Copies a chunked object as one, so that what the other store shares with it is shared there, too.
    fn copy_chunked(&self, recipe: Vec<(Digest, u32)>, size: u64, digest: &Digest) -> Result<(), StoreError> {
        let corrupt = || StoreError::Corrupt { digest: *digest };
        let (mut hasher, mut sum) = (blake3::Hasher::new(), 0);
        for (chunk, length) in &recipe {
            let bytes = self.from.get_bytes(chunk, CHUNK_BYTES_MAX)?;
            if bytes.len() as u64 != u64::from(*length) {
                return Err(corrupt());
            }
            hasher.update(&bytes);
            self.writer.add_chunk(&bytes)?;
            sum += u64::from(*length);
            self.bytes.fetch_add(u64::from(*length), Ordering::Relaxed);
        }
        if sum != size || hasher.finalize().as_bytes() != digest.as_bytes() {
            return Err(corrupt());
        }
        self.writer.add_recipe(*digest, size, &recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{EntryKind, TreeEntry};

    /// Bytes that no compression makes fewer.
    fn chunk(seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; 70_000];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// A snapshot with one chunked file, the chunks of which are given by their seeds.
    fn chunked(store: &Store, chunks: &[u8]) -> (Digest, Digest) {
        let lease = store.lease().unwrap();
        let writer = Writer::new(store, &lease);
        let content: Vec<Vec<u8>> = chunks.iter().copied().map(chunk).collect();
        let recipe: Vec<_> = content.iter().map(|chunk| (writer.add_chunk(chunk).unwrap(), 70_000)).collect();
        let whole = content.concat();
        let (digest, size) = (Digest::of(&whole), whole.len() as u64);
        writer.add_recipe(digest, size, &recipe).unwrap();
        let kind = EntryKind::File { size, digest, executable: false };
        let tree = Tree::new(vec![TreeEntry { name: b"big".to_vec(), kind }]).unwrap();
        let root = writer.add_bytes(&tree.encode()).unwrap();
        writer.publish().unwrap();
        (root, digest)
    }

    #[test]
    fn a_chunked_file_stays_chunked() {
        let dir = tempfile::tempdir().unwrap();
        let from = Store::open(&dir.path().join("from")).unwrap();
        let to = Store::open(&dir.path().join("to")).unwrap();
        let lease = to.lease().unwrap();
        let (first, _) = chunked(&from, b"abc");
        to.copy_from(&lease, &from, &first, &mut |_| ()).unwrap();
        let before = to.storage(&first).unwrap();
        assert_eq!((before.chunked.files, before.chunked.bytes), (1, 210_000));
        assert!(before.chunked.disk_bytes >= 210_000 && before.missing.files == 0);
        let (second, file) = chunked(&from, b"abcd");
        to.copy_from(&lease, &from, &second, &mut |_| ()).unwrap();
        assert_eq!(to.get_bytes(&file, 1 << 20).unwrap().len(), 280_000);
        let packs = std::fs::read_dir(dir.path().join("to/packs")).unwrap();
        let packed: u64 = packs.map(|pack| pack.unwrap().metadata().unwrap().len()).sum();
        assert!((280_000..290_000).contains(&packed), "one chunk and a recipe were added: {packed}");
        to.verify(&second, &mut |_| ()).unwrap();
    }

    #[test]
    fn a_copy_goes_on_where_another_one_ended() {
        let dir = tempfile::tempdir().unwrap();
        let from = Store::open(&dir.path().join("from")).unwrap();
        let to = Store::open(&dir.path().join("to")).unwrap();
        let lease = from.lease().unwrap();
        let writer = Writer::new(&from, &lease);
        let file = |number: u32| {
            let bytes = number.to_le_bytes().repeat(100);
            let kind = EntryKind::File { size: 400, digest: Digest::of(&bytes), executable: false };
            // The last one is missing, so that the copy fails when it has all others.
            if number != 199 {
                writer.add_bytes(&bytes).unwrap();
            }
            TreeEntry { name: format!("{number:03}").into_bytes(), kind }
        };
        let tree = Tree::new((0..200).map(file).collect()).unwrap();
        let root = writer.add_bytes(&tree.encode()).unwrap();
        writer.publish().unwrap();
        let copy = || {
            let lease = to.lease().unwrap();
            let writer = Writer::new(&to, &lease);
            Store::copy_paced(writer, &from, &root, Duration::ZERO, &mut |_| ())
        };
        assert!(matches!(copy(), Err(VerifyError::Damaged { .. })));
        assert!(matches!(to.snapshot(&root), Err(StoreError::Missing { .. })), "nothing is visible of it");
        from.put_bytes(&lease, &199_u32.to_le_bytes().repeat(100)).unwrap();
        let copied = copy().unwrap();
        assert!(copied.files_copied < 200, "what the first one had copied is there: {copied:?}");
        to.verify(&root, &mut |_| ()).unwrap();
    }

    #[test]
    fn a_recipe_of_other_chunks_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let from = Store::open(&dir.path().join("from")).unwrap();
        let to = Store::open(&dir.path().join("to")).unwrap();
        let (root, _) = {
            let lease = from.lease().unwrap();
            let writer = Writer::new(&from, &lease);
            let chunk = writer.add_chunk(&[1; 70_000]).unwrap();
            let digest = Digest::of(b"something else");
            writer.add_recipe(digest, 70_000, &[(chunk, 70_000)]).unwrap();
            let kind = EntryKind::File { size: 70_000, digest, executable: false };
            let tree = Tree::new(vec![TreeEntry { name: b"big".to_vec(), kind }]).unwrap();
            let root = writer.add_bytes(&tree.encode()).unwrap();
            writer.publish().unwrap();
            (root, digest)
        };
        let error = to.copy_from(&to.lease().unwrap(), &from, &root, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("`big` (other content)"), "{error}");
        assert!(matches!(to.snapshot(&root), Err(StoreError::Missing { .. })));
    }

    #[test]
    fn a_tree_that_names_few_files_too_often_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) =
            (Store::open(&dir.path().join("from")).unwrap(), Store::open(&dir.path().join("to")).unwrap());
        let lease = from.lease().unwrap();
        let writer = Writer::new(&from, &lease);
        let digest = writer.add_bytes(b"x").unwrap();
        let file = EntryKind::File { size: 1, digest, executable: false };
        let mut tree = Tree::new(vec![TreeEntry { name: b"f".to_vec(), kind: file }]).unwrap();
        for _ in 0..40 {
            let digest = writer.add_bytes(&tree.encode()).unwrap();
            let kind = EntryKind::Directory { files: tree.files(), bytes: tree.bytes(), digest };
            let entry = |name: &[u8]| TreeEntry { name: name.to_vec(), kind: kind.clone() };
            tree = Tree::new(vec![entry(b"a"), entry(b"b")]).unwrap();
        }
        let root = writer.add_bytes(&tree.encode()).unwrap();
        writer.publish().unwrap();
        let copied = to.copy_from(&to.lease().unwrap(), &from, &root, &mut |_| ());
        let refused = VerifyError::Store(StoreError::NotTree { digest: root, source: TreeError::Repeats });
        assert_eq!(copied.unwrap_err().to_string(), refused.to_string());
        assert!(matches!(to.snapshot(&root), Err(StoreError::Missing { .. })));
    }
}
