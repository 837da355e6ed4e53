//! Where the bytes of one file, or one directory, lie in snapshots.

use std::collections::BTreeMap;
use std::rc::Rc;

use aseptic_model::{Digest, FilePath};

use crate::error::StoreError;
use crate::object::Store;
use crate::tree::EntryKind;

/// Places in one answer: more than anyone reads.
const PLACES_MAX: usize = 10_000;

/// Where something lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundPlaces {
    /// The snapshot and the path in it, in the order that the snapshots were given in.
    pub places: Vec<(Digest, FilePath)>,
    /// Whether there are more places.
    pub truncated: bool,
    /// Snapshots that could not be read through, each with the first reason.
    pub unreadable: Vec<(Digest, String)>,
}

impl Store {
    /// Finds the file or directory `digest` in `snapshots`, by its digest and under whatever name. Links are not
    /// followed. `step` is told how many of the snapshots are done, and ends the search where it says `false`.
    ///
    /// Each directory is read once, however many snapshots have it. Memory: a digest for each directory, and 10,000
    /// places. A snapshot that is damaged or gone is listed, and the search goes on.
    pub fn find_file(
        &self,
        snapshots: &[Digest],
        digest: &Digest,
        step: &mut dyn FnMut(usize) -> bool,
    ) -> FoundPlaces {
        let mut found = FoundPlaces::default();
        let mut search = Search { store: self, digest, known: BTreeMap::new() };
        for (index, snapshot) in snapshots.iter().enumerate() {
            if !step(index) {
                found.truncated = true;
                break;
            }
            match search.below(snapshot, 0) {
                Ok(paths) => {
                    for path in paths.iter() {
                        if found.places.len() == PLACES_MAX {
                            found.truncated = true;
                            return found;
                        }
                        found.places.push((*snapshot, path.clone()));
                    }
                }
                Err(error) => found.unreadable.push((*snapshot, error.to_string())),
            }
        }
        found
    }
}

/// Deepest directory: a path has at most 4,095 bytes, two for each level.
const DEPTH_MAX: usize = 2048;

struct Search<'s> {
    store: &'s Store,
    digest: &'s Digest,
    /// What is below each directory that was read.
    known: BTreeMap<Digest, Rc<Vec<FilePath>>>,
}

impl Search<'_> {
    fn below(&mut self, directory: &Digest, depth: usize) -> Result<Rc<Vec<FilePath>>, StoreError> {
        if let Some(known) = self.known.get(directory) {
            return Ok(known.clone());
        }
        let mut paths = Vec::new();
        if depth < DEPTH_MAX {
            for entry in self.store.read_tree(directory)?.into_entries() {
                let (here, below) = match &entry.kind {
                    EntryKind::File { digest, .. } => (digest == self.digest, None),
                    EntryKind::Directory { digest, .. } => (digest == self.digest, Some(*digest)),
                    EntryKind::Symlink { .. } => (false, None),
                };
                // A path that is too long cannot be one of a job.
                let Ok(name) = FilePath::from_bytes(entry.name) else { continue };
                if let Some(below) = below {
                    for path in self.below(&below, depth + 1)?.iter().take(PLACES_MAX) {
                        let whole = [name.as_bytes(), b"/", path.as_bytes()].concat();
                        paths.extend(FilePath::from_bytes(whole).ok());
                    }
                }
                if here {
                    paths.push(name);
                }
            }
        }
        let paths = Rc::new(paths);
        self.known.insert(*directory, paths.clone());
        Ok(paths)
    }
}
