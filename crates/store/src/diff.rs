//! What differs between two snapshots, entry by entry.
//!
//! Walks both trees side by side. Directories with equal digests are equal in everything below, so they are
//! not read: this takes time in proportion to the difference, whatever the size of the snapshots.

use std::vec;

use aseptic_model::{Digest, FilePath};

use crate::error::StoreError;
use crate::object::Store;
use crate::tree::{EntryKind, Tree, TreeEntry, TreeError};

/// A name that means something else in two snapshots. One of the two is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) path: FilePath,
    pub(crate) before: Option<EntryKind>,
    pub(crate) after: Option<EntryKind>,
}

/// Which directories [`Diff`] enters besides those that both snapshots have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enter {
    /// No others.
    Common,
    /// Those that are new: everything in them is new.
    New,
}

/// Iterator over the differences of two snapshots, each directory before what it holds, names in byte
/// order. Memory is bounded by the directories on one path. It ends after an error.
#[derive(Debug)]
pub(crate) struct Diff<'s> {
    store: &'s Store,
    enter: Enter,
    levels: Vec<Level>,
    /// The last difference, if it is a directory to be entered.
    next: Option<(FilePath, Option<EntryKind>, EntryKind)>,
}

/// Two directories that are being compared.
#[derive(Debug)]
struct Level {
    path: Option<FilePath>,
    /// The one that is read after the other.
    digest: Digest,
    changes: vec::IntoIter<Change>,
}

impl Store {
    /// The differences from the snapshot `before` to the snapshot `after`. Equal ones cost one read.
    pub(crate) fn diff(&self, before: &Digest, after: &Digest, enter: Enter) -> Result<Diff<'_>, StoreError> {
        let new = self.read_tree(after)?;
        let old = if before == after { new.clone() } else { self.read_tree(before)? };
        let changes = join(old, new).into_iter();
        Ok(Diff {
            store: self,
            enter,
            levels: vec![Level { path: None, digest: *after, changes }],
            next: None,
        })
    }
}

impl Diff<'_> {
    fn level(
        &self,
        path: FilePath,
        before: Option<&EntryKind>,
        after: &EntryKind,
    ) -> Result<Option<Level>, StoreError> {
        let EntryKind::Directory { digest, .. } = after else { return Ok(None) };
        let old = match before {
            Some(kind @ EntryKind::Directory { .. }) => self.store.read_below(kind)?,
            _ if self.enter == Enter::New => Tree::default(),
            _ => return Ok(None),
        };
        let changes = join(old, self.store.read_below(after)?).into_iter();
        Ok(Some(Level { path: Some(path), digest: *digest, changes }))
    }

    fn step(&mut self) -> Result<Option<Difference>, StoreError> {
        if let Some((path, before, after)) = self.next.take() {
            let level = self.level(path, before.as_ref(), &after)?;
            self.levels.extend(level);
        }
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some((name, before, after)) = level.changes.next() else {
                self.levels.pop();
                continue;
            };
            let path = match &level.path {
                None => FilePath::from_bytes(name),
                Some(directory) => directory.join(&name),
            };
            let too_long = StoreError::NotTree { digest: level.digest, source: TreeError::Path };
            let path = path.map_err(|_| too_long)?;
            if let Some(after) = &after {
                self.next = Some((path.clone(), before.clone(), after.clone()));
            }
            return Ok(Some(Difference { path, before, after }));
        }
    }
}

impl Iterator for Diff<'_> {
    type Item = Result<Difference, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.levels.clear();
        }
        step.transpose()
    }
}

/// A name that differs between two directories, with what it was and what it is.
type Change = (Vec<u8>, Option<EntryKind>, Option<EntryKind>);

/// The names that differ between two directories, in byte order.
fn join(old: Tree, new: Tree) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut old = old.into_entries().into_iter().peekable();
    for TreeEntry { name, kind } in new.into_entries() {
        while let Some(gone) = old.next_if(|entry| entry.name < name) {
            changes.push((gone.name, Some(gone.kind), None));
        }
        let before = old.next_if(|entry| entry.name == name).map(|entry| entry.kind);
        if before.as_ref() != Some(&kind) {
            changes.push((name, before, Some(kind)));
        }
    }
    changes.extend(old.map(|gone| (gone.name, Some(gone.kind), None)));
    changes
}
