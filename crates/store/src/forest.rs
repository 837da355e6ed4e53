//! A snapshot that is being put together, in memory, before any of its directories has a digest.

use aseptic_model::{Digest, FilePath};

use crate::error::StoreError;
use crate::files::join;
use crate::stage::Writer;
use crate::tree::{EntryKind, Snapshot, Tree, TreeEntry, TreeError};

/// Stands for a digest that is not known yet.
const UNKNOWN: Digest = Digest::from_bytes([0; Digest::BYTES]);

/// Where an entry is: its directory and its place in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) directory: usize,
    pub(crate) slot: usize,
}

#[derive(Debug)]
struct Branch {
    /// The entry that stands for it; none for the root.
    at: Option<Place>,
    path: Vec<u8>,
    entries: Vec<TreeEntry>,
}

/// Directories under construction. Entries keep their place until [`Forest::store`] sorts them.
#[derive(Debug)]
pub(crate) struct Forest {
    branches: Vec<Branch>,
}

/// Why the directories could not be stored.
#[derive(Debug)]
pub(crate) enum ForestError {
    Shape(Vec<u8>, TreeError),
    Store(StoreError),
}

impl Forest {
    /// A forest with an empty root directory, number 0.
    pub(crate) fn new() -> Self {
        Self { branches: vec![Branch { at: None, path: Vec::new(), entries: Vec::new() }] }
    }

    pub(crate) fn path(&self, directory: usize) -> &[u8] {
        &self.branches[directory].path
    }

    /// Adds one entry to a directory.
    pub(crate) fn push(&mut self, directory: usize, entry: TreeEntry) -> Place {
        let entries = &mut self.branches[directory].entries;
        entries.push(entry);
        Place { directory, slot: entries.len() - 1 }
    }

    /// Adds a directory to a directory and returns its number, which is greater.
    pub(crate) fn push_directory(&mut self, directory: usize, name: &[u8]) -> usize {
        let path = join(self.path(directory), name);
        let kind = EntryKind::Directory { files: 0, bytes: 0, digest: UNKNOWN };
        let at = Some(self.push(directory, TreeEntry { name: name.to_vec(), kind }));
        self.branches.push(Branch { at, path, entries: Vec::new() });
        self.branches.len() - 1
    }

    /// Adds a file whose digest comes later, through [`Forest::set`].
    pub(crate) fn push_file(&mut self, directory: usize, name: &[u8]) -> Place {
        let kind = EntryKind::File { size: 0, digest: UNKNOWN, executable: false };
        self.push(directory, TreeEntry { name: name.to_vec(), kind })
    }

    pub(crate) fn set(&mut self, place: Place, kind: EntryKind) {
        self.branches[place.directory].entries[place.slot].kind = kind;
    }

    /// Path of the entry at `place`.
    pub(crate) fn path_of(&self, place: Place) -> Vec<u8> {
        let branch = &self.branches[place.directory];
        join(&branch.path, &branch.entries[place.slot].name)
    }

    /// Adds every directory object to `writer`, the root last.
    pub(crate) fn store(mut self, writer: &Writer<'_>) -> Result<Snapshot, ForestError> {
        // A directory has a greater number than the one that holds it.
        while let Some(Branch { at, path, entries }) = self.branches.pop() {
            let tree = Tree::new(entries).map_err(|error| ForestError::Shape(path, error))?;
            let digest = writer.add_bytes(&tree.encode()).map_err(ForestError::Store)?;
            let (files, bytes) = (tree.files(), tree.bytes());
            match at {
                Some(place) => self.set(place, EntryKind::Directory { files, bytes, digest }),
                None => return Ok(Snapshot { digest, files, bytes }),
            }
        }
        // A forest always has its root.
        Err(ForestError::Shape(Vec::new(), TreeError::Length))
    }
}

/// Refuses a path that no [`FilePath`] can hold.
pub(crate) fn check_length(path: &[u8]) -> Result<(), TreeError> {
    if path.len() <= FilePath::BYTES_MAX { Ok(()) } else { Err(TreeError::Path) }
}
