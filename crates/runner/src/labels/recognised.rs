//! Labelled data where nobody said that it is: files of a tree that a version with labels has, too.
//!
//! A hold-out that lies beside the code is read by every run, and one file of a dataset is not the dataset. Both are
//! recognised by the bytes of each file. The files of the tree are in memory, and those of the versions pass by.
//!
//! **Absent on purpose:** files that are only nearly the same, and those that runs left, which whoever asks about a dataset
//! looks up by themselves: a run leaves copies of its code.

mod search;

use std::collections::{BTreeSet, HashMap, HashSet};

use aseptic_catalog::{DatasetVersion, HeldOut};
use aseptic_model::{Code, DatasetName, Digest, FilePath, Label, ProjectName, escape_bytes};
use aseptic_policy::is_held_out;
use aseptic_store::{EntryKind, Store, StoreError};

use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer};
use search::Search;

/// Files of labelled versions that are looked at.
const FILES_MAX: usize = 500_000;

/// Files that are looked for at once, each about 40 bytes of memory.
const WANTED_MAX: usize = 500_000;

/// Files that a message names.
const NAMED_MAX: usize = 3;

/// The labelled versions of a project, with those of their files that were looked for.
#[derive(Debug, Default)]
pub(crate) struct Known {
    versions: Vec<DatasetVersion>,
    /// Each file that was looked for and found with the versions that have it, as their places in the list, in its order.
    files: HashMap<Digest, Vec<u32>>,
    /// Versions that were not looked at: they have too many files, or cannot be read.
    unread: Vec<String>,
}

/// Data with labels that is in a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recognised {
    /// The labels of all of it.
    pub(crate) labels: BTreeSet<Label>,
    /// The first files, each with the version that has it.
    named: Vec<String>,
    /// How many files there are.
    count: usize,
}

impl Known {
    /// Which files of `trees` every labelled version of a project has, but those of `apart`: hold-out data first, then the
    /// newest first. An empty file is everybody's.
    pub(crate) fn with_files_of(
        home: &Home,
        project: &ProjectName,
        apart: Option<&DatasetName>,
        trees: &[Digest],
    ) -> Result<Self, HomeError> {
        let mut known = Self::labelled(home, project, apart)?;
        if !known.versions.is_empty() {
            known.look_for_files_of(&home.store(project)?, trees, WANTED_MAX)?;
        }
        Ok(known)
    }

    /// Which labelled versions of a project have a file of these bytes.
    pub(crate) fn with_file(home: &Home, project: &ProjectName, file: &Digest) -> Result<Self, HomeError> {
        let mut known = Self::labelled(home, project, None)?;
        if !known.versions.is_empty() {
            known.look_for(&home.store(project)?, &HashSet::from([*file]), FILES_MAX);
        }
        Ok(known)
    }

    fn labelled(home: &Home, project: &ProjectName, apart: Option<&DatasetName>) -> Result<Self, HomeError> {
        let mut known = Self { versions: home.catalog.labelled_versions(project)?, ..Self::default() };
        known.versions.retain(|version| Some(&version.name) != apart);
        known.versions.sort_by_key(|version| !is_held_out(&version.labels));
        Ok(known)
    }

    /// Looks for at most `together` files at once.
    fn look_for_files_of(
        &mut self,
        store: &Store,
        trees: &[Digest],
        together: usize,
    ) -> Result<(), StoreError> {
        let mut wanted = HashSet::new();
        for tree in trees {
            for entry in store.walk(tree)? {
                let (_, EntryKind::File { size: 1.., digest, .. }) = entry? else { continue };
                if self.files.contains_key(&digest) {
                    continue;
                }
                wanted.insert(digest);
                if wanted.len() == together {
                    self.look_for(store, &wanted, FILES_MAX);
                    wanted.clear();
                }
            }
        }
        self.look_for(store, &wanted, FILES_MAX);
        Ok(())
    }

    /// Looks for `wanted` in the first versions that have at most `room` files together.
    fn look_for(&mut self, store: &Store, wanted: &HashSet<Digest>, mut room: usize) {
        self.unread.clear();
        let mut search = Search::new(store, wanted);
        for (place, version) in (0_u32..).zip(&self.versions) {
            let fits = usize::try_from(version.files).is_ok_and(|files| files <= room);
            let named = (version.snapshot, version.files, version.bytes);
            let found = if fits { search.within(named) } else { None };
            let Some(found) = found else {
                self.unread.push(format!("{}@{}", version.name, version.version));
                continue;
            };
            room -= found.files;
            for digest in found.wanted {
                let places = self.files.entry(digest).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
    }

    /// What of `tree`, whose files were looked for, is labelled data.
    ///
    /// # Errors
    /// As [`Store::walk`].
    pub(crate) fn within(&self, store: &Store, tree: &Digest) -> Result<Recognised, StoreError> {
        let mut found = Recognised::default();
        if self.files.is_empty() {
            return Ok(found);
        }
        for entry in store.walk(tree)? {
            if let (path, EntryKind::File { digest, .. }) = entry? {
                found.add(&path, self.versions_with(&digest));
            }
        }
        Ok(found)
    }

    /// Hold-out data that has a file of `tree`, too, whose files were looked for.
    ///
    /// # Errors
    /// As [`Store::walk`].
    pub(crate) fn held_out_with_files_of(
        &self,
        store: &Store,
        tree: &Digest,
    ) -> Result<BTreeSet<HeldOut>, StoreError> {
        let mut found = BTreeSet::new();
        if self.files.is_empty() {
            return Ok(found);
        }
        for entry in store.walk(tree)? {
            let (_, EntryKind::File { digest, .. }) = entry? else { continue };
            let held_out = self.versions_with(&digest).filter(|version| is_held_out(&version.labels));
            found.extend(
                held_out.map(|version| HeldOut::Dataset {
                    name: version.name.clone(),
                    snapshot: version.snapshot,
                }),
            );
        }
        Ok(found)
    }

    /// Labels of the versions that have a file of these bytes.
    pub(crate) fn labels_of(&self, file: &Digest) -> BTreeSet<Label> {
        self.versions_with(file).flat_map(|version| version.labels.iter().cloned()).collect()
    }

    fn versions_with(&self, file: &Digest) -> impl Iterator<Item = &DatasetVersion> {
        let places = self.files.get(file).into_iter().flatten();
        places.filter_map(|place| self.versions.get(usize::try_from(*place).ok()?))
    }

    /// What was not looked at, in words.
    pub(crate) fn gap(&self) -> Option<String> {
        let (first, others) = self.unread.split_first()?;
        let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        Some(format!(
            "files of {first}{others} were not looked for: there are too many, or they cannot be read"
        ))
    }
}

impl Recognised {
    fn add<'v>(&mut self, path: &FilePath, versions: impl Iterator<Item = &'v DatasetVersion>) {
        let mut named = None;
        for version in versions {
            self.labels.extend(version.labels.iter().cloned());
            named.get_or_insert(version);
        }
        let Some(version) = named else { return };
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            let path = escape_bytes(path.as_bytes());
            self.named.push(format!("`{path}` of {}@{}", version.name, version.version));
        }
    }

    /// The files in words; nothing where there are none.
    pub(crate) fn describe(&self) -> Option<String> {
        if self.named.is_empty() {
            return None;
        }
        let others = self.count.saturating_sub(self.named.len());
        let others = if others > 0 { format!(" and {others} more") } else { String::new() };
        Some(format!("{}{others}", self.named.join(", ")))
    }
}

/// Gives the code the labels of the data that lies in it, which is given in words.
pub(crate) fn recognise(
    home: &Home,
    store: &Store,
    project: &ProjectName,
    code: Option<&mut Code>,
    observer: &mut dyn Observer,
) -> Result<Option<String>, HomeError> {
    let Some(code) = code else { return Ok(None) };
    let known = Known::with_files_of(home, project, None, &[code.snapshot])?;
    if let Some(gap) = known.gap() {
        observer.event(Event::Note(&format!("labelled data in the code: {gap}")));
    }
    let recognised = known.within(store, &code.snapshot)?;
    let described = recognised.describe();
    if let Some(files) = &described {
        let labels: Vec<_> = recognised.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        observer.event(Event::Note(&format!(
            "the code has {files}, so the run is labelled {labels}; `.asepticignore` leaves files out of the code"
        )));
    }
    code.labels = recognised.labels;
    Ok(described)
}
