//! A snapshot that is being put together: a directory is stored as soon as everything in it is known.
//!
//! So memory holds the directories that are being worked on and those above them, never the whole tree.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aseptic_model::{Digest, FilePath};

use crate::error::StoreError;
use crate::files::join;
use crate::tree::{EntryKind, Snapshot, Tree, TreeEntry, TreeError};
use crate::writer::Writer;

/// Stands for a digest that is not known yet.
const UNKNOWN: Digest = Digest::from_bytes([0; Digest::BYTES]);

/// A directory that is not complete.
#[derive(Debug)]
pub(crate) struct Branch {
    /// The entry that stands for it; none for the root.
    at: Option<Place>,
    path: Vec<u8>,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    entries: Vec<TreeEntry>,
    /// How many of the entries are still to come.
    unknown: usize,
}

/// Where an entry is: its directory and its place in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) branch: Arc<Branch>,
    pub(crate) slot: usize,
}

/// Why a directory could not be stored.
#[derive(Debug)]
pub(crate) enum ForestError {
    Shape(Vec<u8>, TreeError),
    Store(StoreError),
}

/// The snapshot, once the root is complete.
pub(crate) type Rooted = Result<Option<Snapshot>, ForestError>;

/// Entry of a file whose content comes later, through [`Branch::set`].
pub(crate) fn file_to_come(name: Vec<u8>) -> TreeEntry {
    TreeEntry { name, kind: EntryKind::File { size: 0, digest: UNKNOWN, executable: false } }
}

/// Entry of a directory that comes later, through the [`Place::open`] of its place.
pub(crate) fn directory_to_come(name: Vec<u8>) -> TreeEntry {
    TreeEntry { name, kind: EntryKind::Directory { files: 0, bytes: 0, digest: UNKNOWN } }
}

impl Place {
    /// The directory that the entry here stands for, to be filled.
    pub(crate) fn open(self) -> Arc<Branch> {
        let path = self.branch.path_of(self.slot);
        Arc::new(Branch { at: Some(self), path, content: Mutex::default() })
    }
}

impl Branch {
    pub(crate) fn root() -> Arc<Self> {
        Arc::new(Self { at: None, path: Vec::new(), content: Mutex::default() })
    }

    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Name of an entry.
    pub(crate) fn name(&self, slot: usize) -> Vec<u8> {
        self.content().entries.get(slot).map(|entry| entry.name.clone()).unwrap_or_default()
    }

    /// Path of an entry.
    pub(crate) fn path_of(&self, slot: usize) -> Vec<u8> {
        join(&self.path, &self.name(slot))
    }

    /// Gives a directory its entries, once. So many of them are still to come.
    pub(crate) fn fill(
        self: &Arc<Self>,
        entries: Vec<TreeEntry>,
        unknown: usize,
        writer: &Writer<'_>,
    ) -> Rooted {
        *self.content() = Content { entries, unknown };
        if unknown == 0 { store(Arc::clone(self), writer) } else { Ok(None) }
    }

    /// Says what some entries are that were to come, each once.
    pub(crate) fn set(
        self: &Arc<Self>,
        known: impl IntoIterator<Item = (usize, EntryKind)>,
        writer: &Writer<'_>,
    ) -> Rooted {
        if self.put(known) { store(Arc::clone(self), writer) } else { Ok(None) }
    }

    /// Whether the directory is complete with these.
    fn put(&self, known: impl IntoIterator<Item = (usize, EntryKind)>) -> bool {
        let mut content = self.content();
        let before = content.unknown;
        for (slot, kind) in known {
            content.entries[slot].kind = kind;
            content.unknown -= 1;
        }
        before > 0 && content.unknown == 0
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores a complete directory, and those above it that are complete with it.
fn store(mut branch: Arc<Branch>, writer: &Writer<'_>) -> Rooted {
    loop {
        let entries = std::mem::take(&mut branch.content().entries);
        let tree = Tree::new(entries).map_err(|error| ForestError::Shape(branch.path.clone(), error))?;
        let digest = writer.add_bytes(&tree.encode()).map_err(ForestError::Store)?;
        let (files, bytes) = (tree.files(), tree.bytes());
        let Some(Place { branch: above, slot }) = branch.at.clone() else {
            return Ok(Some(Snapshot { digest, files, bytes }));
        };
        if !above.put([(slot, EntryKind::Directory { files, bytes, digest })]) {
            return Ok(None);
        }
        branch = above;
    }
}

/// The snapshot of a root of which everything was set.
pub(crate) fn complete(snapshot: Option<Snapshot>) -> Result<Snapshot, ForestError> {
    snapshot.ok_or(ForestError::Shape(Vec::new(), TreeError::Length))
}

/// Refuses a path that no [`FilePath`] can hold.
pub(crate) fn check_length(path: &[u8]) -> Result<(), TreeError> {
    if path.len() <= FilePath::BYTES_MAX { Ok(()) } else { Err(TreeError::Path) }
}
