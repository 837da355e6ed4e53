//! Everything that a snapshot is made of, each directory once.

use std::collections::HashSet;
use std::vec;

use aseptic_model::{Digest, FilePath};

use crate::error::StoreError;
use crate::object::Store;
use crate::tree::{EntryKind, TreeEntry, TreeError};

/// One step of [`Objects`].
#[derive(Debug)]
pub(crate) enum Object {
    /// A regular file, at one of its paths.
    File { path: FilePath, size: u64, digest: Digest },
    /// A directory. Those inside it follow, unless they came before.
    Directory { digest: Digest },
    /// A directory that came before, with all that is below it.
    Again { files: u64, bytes: u64 },
}

/// Iterator over the objects of a snapshot.
///
/// A directory that is at many places comes once, so that this takes time and memory in proportion to what
/// is stored: the number of paths may be exponential in it.
#[derive(Debug)]
pub(crate) struct Objects<'s> {
    store: &'s Store,
    /// Directories that were named and not opened.
    ahead: Vec<(Option<FilePath>, EntryKind)>,
    /// The directory that is being listed.
    open: Option<(Option<FilePath>, Digest, vec::IntoIter<TreeEntry>)>,
    seen: HashSet<Digest>,
}

impl Store {
    /// Every object of the snapshot `digest`, its root first.
    pub(crate) fn objects(&self, digest: &Digest) -> Result<Objects<'_>, StoreError> {
        let root = self.snapshot(digest)?;
        let root = EntryKind::Directory { files: root.files, bytes: root.bytes, digest: *digest };
        Ok(Objects { store: self, ahead: vec![(None, root)], open: None, seen: HashSet::new() })
    }
}

impl Iterator for Objects<'_> {
    type Item = Result<Object, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((directory, at, entries)) = &mut self.open else {
                let (path, kind) = self.ahead.pop()?;
                let EntryKind::Directory { files, bytes, digest } = kind else { continue };
                if !self.seen.insert(digest) {
                    return Some(Ok(Object::Again { files, bytes }));
                }
                return Some(self.store.read_below(&kind).map(|tree| {
                    self.open = Some((path, digest, tree.into_entries().into_iter()));
                    Object::Directory { digest }
                }));
            };
            let Some(TreeEntry { name, kind }) = entries.next() else {
                self.open = None;
                continue;
            };
            if matches!(kind, EntryKind::Symlink { .. }) {
                continue;
            }
            let path = match directory {
                None => FilePath::from_bytes(name),
                Some(directory) => directory.join(&name),
            };
            let Ok(path) = path else {
                let error = StoreError::NotTree { digest: *at, source: TreeError::Path };
                self.open = None;
                return Some(Err(error));
            };
            match kind {
                EntryKind::File { size, digest, .. } => {
                    return Some(Ok(Object::File { path, size, digest }));
                }
                kind => self.ahead.push((Some(path), kind)),
            }
        }
    }
}
