//! Reading snapshots: one directory, all entries, one entry.

use std::vec;

use aseptic_model::{Digest, FilePath, FilePathError};

use crate::error::StoreError;
use crate::lease::Lease;
use crate::object::Store;
use crate::tree::{EntryKind, Snapshot, Tree, TreeEntry, TreeError};

impl Store {
    /// The directory object `digest`.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Corrupt`], [`StoreError::NotTree`], [`StoreError::TooLarge`],
    /// [`StoreError::Io`].
    pub fn read_tree(&self, digest: &Digest) -> Result<Tree, StoreError> {
        let bytes = self.get_bytes(digest, Tree::BYTES_MAX)?;
        Tree::decode(&bytes).map_err(|source| StoreError::NotTree { digest: *digest, source })
    }

    /// The snapshot `digest` with its totals; reads only its root.
    ///
    /// # Errors
    /// As [`Store::read_tree`].
    pub fn snapshot(&self, digest: &Digest) -> Result<Snapshot, StoreError> {
        let tree = self.read_tree(digest)?;
        Ok(Snapshot { digest: *digest, files: tree.files(), bytes: tree.bytes() })
    }

    /// Every entry of the snapshot `digest`, each directory before what it holds, names in byte order.
    ///
    /// Memory is bounded by the directories on one path. Totals are checked on the way.
    ///
    /// # Errors
    /// As [`Store::read_tree`], for the root; later ones come as items.
    pub fn walk(&self, digest: &Digest) -> Result<Walk<'_>, StoreError> {
        let root = Level {
            path: None,
            digest: *digest,
            entries: self.read_tree(digest)?.into_entries().into_iter(),
        };
        Ok(Walk { store: self, levels: vec![root], next: None })
    }

    /// Every entry below the directory `kind`, which is at `path`; none if it is no directory.
    pub(crate) fn walk_below(&self, path: FilePath, kind: EntryKind) -> Walk<'_> {
        Walk { store: self, levels: Vec::new(), next: Some((path, kind)) }
    }

    /// The entry at `path`, if the snapshot has one. Links are not followed.
    ///
    /// # Errors
    /// As [`Store::read_tree`].
    pub fn lookup(&self, digest: &Digest, path: &FilePath) -> Result<Option<TreeEntry>, StoreError> {
        let mut tree = self.read_tree(digest)?;
        let mut components = path.components().peekable();
        while let Some(name) = components.next() {
            let Some(entry) = tree.get(name) else { return Ok(None) };
            match (components.peek(), &entry.kind) {
                (None, _) => return Ok(Some(entry.clone())),
                (Some(_), EntryKind::Directory { .. }) => tree = self.read_below(&entry.kind)?,
                (Some(_), _) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// What is at `path` as a snapshot of its own: a directory with its content; a file or link alone,
    /// under its name. `None` when there is nothing.
    ///
    /// # Errors
    /// As [`Store::read_tree`], and [`StoreError::Full`] or [`StoreError::Io`] when a new directory
    /// object could not be written.
    pub fn subtree(
        &self,
        lease: &Lease,
        digest: &Digest,
        path: &FilePath,
    ) -> Result<Option<Snapshot>, StoreError> {
        match self.lookup(digest, path)? {
            None => Ok(None),
            Some(TreeEntry { kind: EntryKind::Directory { files, bytes, digest }, .. }) => {
                self.read_below(&EntryKind::Directory { files, bytes, digest })?;
                Ok(Some(Snapshot { digest, files, bytes }))
            }
            Some(entry) => {
                let tree = Tree::new(vec![entry])
                    .map_err(|source| StoreError::NotTree { digest: *digest, source })?;
                let digest = self.put_bytes(lease, &tree.encode())?;
                Ok(Some(Snapshot { digest, files: tree.files(), bytes: tree.bytes() }))
            }
        }
    }

    /// The directory that an entry stands for; empty for anything else.
    pub(crate) fn read_below(&self, kind: &EntryKind) -> Result<Tree, StoreError> {
        let EntryKind::Directory { files, bytes, digest } = kind else {
            return Ok(Tree::default());
        };
        let tree = self.read_tree(digest)?;
        if (tree.files(), tree.bytes()) == (*files, *bytes) {
            Ok(tree)
        } else {
            Err(StoreError::NotTree { digest: *digest, source: TreeError::Total })
        }
    }
}

/// Iterator over the entries of a snapshot; see [`Store::walk`]. After an error about one directory it
/// goes on with the next entry.
#[derive(Debug)]
pub struct Walk<'s> {
    store: &'s Store,
    levels: Vec<Level>,
    /// A directory that was returned and is to be entered.
    next: Option<(FilePath, EntryKind)>,
}

/// A directory that is being listed.
#[derive(Debug)]
struct Level {
    path: Option<FilePath>,
    digest: Digest,
    entries: vec::IntoIter<TreeEntry>,
}

impl Walk<'_> {
    /// The next entry, or the directory that cannot be listed and why.
    pub(crate) fn step(&mut self) -> Option<Result<(FilePath, EntryKind), (FilePath, StoreError)>> {
        if let Some((path, kind)) = self.next.take()
            && let EntryKind::Directory { digest, .. } = kind
        {
            match self.store.read_below(&kind) {
                Ok(tree) => {
                    let entries = tree.into_entries().into_iter();
                    self.levels.push(Level { path: Some(path), digest, entries });
                }
                Err(error) => return Some(Err((path, error))),
            }
        }
        loop {
            let level = self.levels.last_mut()?;
            let Some(entry) = level.entries.next() else {
                self.levels.pop();
                continue;
            };
            let path = match &level.path {
                None => FilePath::from_bytes(entry.name),
                Some(parent) => parent.join(&entry.name),
            };
            return match path {
                Ok(path) => {
                    if matches!(entry.kind, EntryKind::Directory { .. }) {
                        self.next = Some((path.clone(), entry.kind.clone()));
                    }
                    Some(Ok((path, entry.kind)))
                }
                Err(error) => {
                    let level = self.levels.pop()?;
                    Some(Err((level.path?, too_long(level.digest, error))))
                }
            };
        }
    }
}

/// Names are checked when a directory object is decoded, so only the length can be wrong.
fn too_long(digest: Digest, _: FilePathError) -> StoreError {
    StoreError::NotTree { digest, source: TreeError::Path }
}

impl Iterator for Walk<'_> {
    type Item = Result<(FilePath, EntryKind), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.step()?.map_err(|(_, error)| error))
    }
}
