//! Where a file or directory lies in trees. Directories that were looked into are not looked into again.

use std::collections::{BTreeSet, HashMap};

use aseptic_catalog::Places;
use aseptic_model::{Digest, FilePath, Object, Place, ProjectName};
use aseptic_store::{EntryKind, Store, StoreError};

use crate::home::{Home, HomeError};

/// Deepest directory that is looked into: deeper ones than the store takes do not exist.
const DEPTH_MAX: usize = 1_024;

/// Most places that are listed of one object, such as an empty file; a tree beyond counts as not looked into.
pub(crate) const PLACES_MAX: usize = 1_000_000;

/// The first file or directory of `tree` that `is_sought`; nothing if there is none.
pub(crate) fn first_of(
    store: &Store,
    tree: &Digest,
    is_sought: impl Fn(&Digest) -> bool,
) -> Result<Option<Digest>, StoreError> {
    let mut seen = BTreeSet::from([*tree]);
    let mut open = vec![*tree];
    while let Some(tree) = open.pop() {
        for entry in store.read_tree(&tree)?.entries() {
            let (digest, is_directory) = match &entry.kind {
                EntryKind::File { digest, .. } => (*digest, false),
                EntryKind::Directory { digest, .. } => (*digest, true),
                EntryKind::Symlink { .. } => continue,
            };
            if is_sought(&digest) {
                return Ok(Some(digest));
            }
            if is_directory && seen.insert(digest) {
                open.push(digest);
            }
        }
    }
    Ok(None)
}

/// Every place of a file or directory in the trees of `project`; none for other objects.
pub(crate) fn places(home: &Home, project: &ProjectName, object: &Object) -> Result<Places, HomeError> {
    let mut places = Places::default();
    let (Object::File(sought) | Object::Snapshot(sought)) = object else { return Ok(places) };
    let mut look =
        Look { store: home.store(project)?, sought: *sought, known: HashMap::new(), left: PLACES_MAX };
    for snapshot in home.catalog.trees(project)? {
        match look.below(&snapshot, DEPTH_MAX) {
            Ok(paths) => {
                places.found.extend(paths.into_iter().map(|path| Place { snapshot, path }));
                if look.left == 0 {
                    places.unseen.insert(snapshot);
                }
            }
            Err(StoreError::Missing { .. }) => drop(places.unseen.insert(snapshot)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(places)
}

struct Look {
    store: Store,
    sought: Digest,
    /// Paths inside of each directory.
    known: HashMap<Digest, Vec<FilePath>>,
    /// How many more paths are kept.
    left: usize,
}

impl Look {
    fn below(&mut self, tree: &Digest, depth: usize) -> Result<Vec<FilePath>, StoreError> {
        if let Some(known) = self.known.get(tree) {
            return Ok(known.clone());
        }
        let mut paths = Vec::new();
        for entry in self.store.read_tree(tree)?.entries() {
            let (digest, is_directory) = match &entry.kind {
                EntryKind::File { digest, .. } => (*digest, false),
                EntryKind::Directory { digest, .. } => (*digest, true),
                EntryKind::Symlink { .. } => continue,
            };
            let Ok(name) = FilePath::from_bytes(entry.name.as_slice()) else { continue };
            if digest == self.sought {
                paths.push(name);
            } else if is_directory && depth > 0 {
                for below in self.below(&digest, depth - 1)? {
                    let joined = [name.as_bytes(), b"/", below.as_bytes()].concat();
                    paths.extend(FilePath::from_bytes(joined).ok());
                }
            }
        }
        paths.truncate(self.left);
        self.left = self.left.saturating_sub(paths.len());
        self.known.insert(*tree, paths.clone());
        Ok(paths)
    }
}
