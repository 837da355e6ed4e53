//! Which of the files that are looked for a snapshot has.
//!
//! Snapshots are read one after the other, without their paths. A directory that has none of the files is read once, in
//! however many of them it is.

use std::collections::{HashMap, HashSet};

use aseptic_model::Digest;
use aseptic_store::{EntryKind, Store, Tree};

/// Directories that are remembered, each about 80 bytes of memory.
const DIRECTORIES_MAX: usize = 100_000;

/// No path has more components.
const DEPTH_MAX: usize = 2_048;

/// A directory as another names it, or a snapshot: its digest, the number of its files and their bytes.
pub(super) type Named = (Digest, u64, u64);

pub(super) struct Search<'s> {
    store: &'s Store,
    wanted: &'s HashSet<Digest>,
    /// Directories without a file that is wanted, each with how many files below it are not empty.
    without: HashMap<Named, usize>,
}

/// What was found in one snapshot.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// How many of its files are not empty.
    pub(super) files: usize,
    /// Those that are wanted, one as often as it is there.
    pub(super) wanted: Vec<Digest>,
}

impl<'s> Search<'s> {
    pub(super) fn new(store: &'s Store, wanted: &'s HashSet<Digest>) -> Self {
        Self { store, wanted, without: HashMap::new() }
    }

    /// What of the snapshot `named` is wanted; nothing where it cannot be read.
    pub(super) fn within(&mut self, named: Named) -> Option<Found> {
        let mut found = Found::default();
        self.directory(named, 0, &mut found)?;
        Some(found)
    }

    fn tree(&mut self, tree: &Tree, depth: usize, found: &mut Found) -> Option<()> {
        for entry in tree.entries() {
            match entry.kind {
                EntryKind::File { size: 1.., digest, .. } => {
                    found.files += 1;
                    if self.wanted.contains(&digest) {
                        found.wanted.push(digest);
                    }
                }
                EntryKind::Directory { files, bytes, digest } => {
                    self.directory((digest, files, bytes), depth + 1, found)?;
                }
                EntryKind::File { .. } | EntryKind::Symlink { .. } => {}
            }
        }
        Some(())
    }

    fn directory(&mut self, named: Named, depth: usize, found: &mut Found) -> Option<()> {
        if let Some(files) = self.without.get(&named) {
            found.files += files;
            return Some(());
        }
        let (digest, files, bytes) = named;
        let tree = self.store.read_tree(&digest).ok()?;
        if depth > DEPTH_MAX || (tree.files(), tree.bytes()) != (files, bytes) {
            return None;
        }
        let before = (found.files, found.wanted.len());
        self.tree(&tree, depth, found)?;
        if found.wanted.len() == before.1 && self.without.len() < DIRECTORIES_MAX {
            self.without.insert(named, found.files - before.0);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aseptic_store::ImportOptions;

    use super::*;
    use crate::dataset::{Said, add};
    use crate::home::Home;
    use crate::labels::recognised::Known;
    use crate::observer::{Event, Observer};

    struct Nobody;

    impl Observer for Nobody {
        fn event(&mut self, _: Event<'_>) {}
    }

    /// Two labelled versions with a directory of two files in both, and a file of its own in each.
    fn with_shared_directory(dir: &Path) -> Home {
        let mut home = Home::open(&dir.join("state")).unwrap();
        for name in ["first", "second"] {
            let data = dir.join(name);
            std::fs::create_dir_all(data.join("shared/deep")).unwrap();
            std::fs::write(data.join("shared/deep/x"), "x").unwrap();
            std::fs::write(data.join("shared/y"), "y").unwrap();
            std::fs::write(data.join("shared/empty"), "").unwrap();
            std::fs::write(data.join("own"), name).unwrap();
            let said = Said { labels: ["pii".parse().unwrap()].into(), ..Said::default() };
            let (project, name) = ("default".parse().unwrap(), name.parse().unwrap());
            add(&mut home, &project, &data, &name, &said, &ImportOptions::default(), &mut Nobody).unwrap();
        }
        home
    }

    fn digests(bytes: &[&str]) -> HashSet<Digest> {
        bytes.iter().map(|bytes| Digest::of(bytes.as_bytes())).collect()
    }

    fn versions_with(known: &Known, bytes: &str) -> Vec<String> {
        known.versions_with(&Digest::of(bytes.as_bytes())).map(|version| version.name.to_string()).collect()
    }

    #[test]
    fn a_directory_of_several_versions_is_read_once_and_its_files_are_of_all_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let home = with_shared_directory(dir.path());
        let project = "default".parse().unwrap();
        let store = home.store(&project).unwrap();
        let mut known = Known::labelled(&home, &project, None).unwrap();
        let named =
            |version: &aseptic_catalog::DatasetVersion| (version.snapshot, version.files, version.bytes);

        let wanted = digests(&["other"]);
        let mut search = Search::new(&store, &wanted);
        for version in &known.versions {
            assert_eq!(search.within(named(version)), Some(Found { files: 3, wanted: Vec::new() }));
        }
        assert_eq!(search.without.len(), 4, "two snapshots, and two directories that both have");

        known.look_for(&store, &digests(&["x", "first"]), 100);
        assert_eq!(versions_with(&known, "x"), ["second", "first"]);
        assert_eq!(versions_with(&known, "first"), ["first"]);
        assert_eq!(versions_with(&known, "y"), [""; 0], "nobody looked for it");
        assert_eq!(known.gap(), None);

        // However few are looked for at once.
        let trees: Vec<_> = known.versions.iter().map(|version| version.snapshot).collect();
        let mut few = Known::labelled(&home, &project, None).unwrap();
        few.look_for_files_of(&store, &trees, 1).unwrap();
        let mut all = Known::labelled(&home, &project, None).unwrap();
        all.look_for_files_of(&store, &trees, 100).unwrap();
        assert_eq!(few.files, all.files);
        assert_eq!(all.files.len(), 4);
    }

    #[test]
    fn versions_that_are_too_many_files_together_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let home = with_shared_directory(dir.path());
        let project = "default".parse().unwrap();
        let store = home.store(&project).unwrap();
        let mut known = Known::labelled(&home, &project, None).unwrap();
        // The newest has four files, one of them empty: three of seven are used, and the other has four.
        known.look_for(&store, &digests(&["x"]), 7);
        assert_eq!((versions_with(&known, "x").len(), known.gap()), (2, None));
        let mut known = Known::labelled(&home, &project, None).unwrap();
        known.look_for(&store, &digests(&["x"]), 6);
        assert_eq!(versions_with(&known, "x"), ["second"], "the newest is first");
        let gap = known.gap().unwrap();
        assert!(gap.starts_with("files of first@1 were not looked for"), "{gap}");
    }

    #[test]
    fn a_snapshot_that_cannot_be_read_is_none_and_others_are() {
        let dir = tempfile::tempdir().unwrap();
        let home = with_shared_directory(dir.path());
        let project = "default".parse().unwrap();
        let store = home.store(&project).unwrap();
        let mut known = Known::labelled(&home, &project, None).unwrap();
        known.versions[0].snapshot = Digest::of(b"nothing");
        known.look_for(&store, &digests(&["x"]), 100);
        assert_eq!(versions_with(&known, "x"), ["first"]);
        assert!(known.gap().unwrap().starts_with("files of second@1 were not looked for"));
        known.versions[1].files += 1;
        known.look_for(&store, &digests(&["y"]), 100);
        assert_eq!(versions_with(&known, "y"), [""; 0], "it is not what the entry says");
    }
}
