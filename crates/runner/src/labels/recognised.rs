//! Labelled data where nobody said that it is: files of a tree that a version with labels has, too.
//!
//! A hold-out that lies beside the code is read by every run, and one file of a dataset is not the dataset. Both are
//! recognised by the bytes of each file.
//!
//! **Absent on purpose:** files that are only nearly the same, and those that runs left, which whoever asks about a dataset
//! looks up by themselves: a run leaves copies of its code.

use std::collections::BTreeSet;

use aseptic_catalog::DatasetVersion;
use aseptic_model::{Code, DatasetName, Digest, FilePath, Label, ProjectName, escape_bytes};
use aseptic_policy::is_held_out;
use aseptic_store::{EntryKind, Store, StoreError};

use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer};

/// Files of labelled versions that are looked at, each 40 bytes of memory.
const FILES_MAX: usize = 500_000;

/// Files that a message names.
const NAMED_MAX: usize = 3;

/// The files of labelled versions.
#[derive(Debug, Default)]
pub(crate) struct Known {
    versions: Vec<DatasetVersion>,
    /// Each file with the version that has it, as its place in the list; in the order of digests.
    files: Vec<(Digest, u32)>,
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
    /// Every labelled version of a project but those of `apart`: hold-out data first, then the newest first.
    pub(crate) fn of(
        home: &Home,
        project: &ProjectName,
        apart: Option<&DatasetName>,
    ) -> Result<Self, HomeError> {
        let mut known = Self { versions: home.catalog.labelled_versions(project)?, ..Self::default() };
        known.versions.retain(|version| Some(&version.name) != apart);
        known.versions.sort_by_key(|version| !is_held_out(&version.labels));
        if known.versions.is_empty() {
            return Ok(known);
        }
        let store = home.store(project)?;
        for (place, version) in (0_u32..).zip(&known.versions) {
            let room = FILES_MAX - known.files.len();
            let fits = usize::try_from(version.files).is_ok_and(|files| files <= room);
            let before = known.files.len();
            if !fits || read(&store, version, place, &mut known.files).is_err() {
                known.files.truncate(before);
                known.unread.push(format!("{}@{}", version.name, version.version));
            }
        }
        known.files.sort_unstable();
        Ok(known)
    }

    /// What of `tree` is labelled data. An empty file is everybody's.
    ///
    /// # Errors
    /// As [`Store::walk`].
    pub(crate) fn within(&self, store: &Store, tree: &Digest) -> Result<Recognised, StoreError> {
        let mut found = Recognised::default();
        if self.files.is_empty() {
            return Ok(found);
        }
        for entry in store.walk(tree)? {
            if let (path, EntryKind::File { size: 1.., digest, .. }) = entry? {
                found.add(&path, self.versions_with(&digest));
            }
        }
        Ok(found)
    }

    /// Labels of the versions that have a file of these bytes.
    pub(crate) fn labels_of(&self, file: &Digest) -> BTreeSet<Label> {
        self.versions_with(file).flat_map(|version| version.labels.iter().cloned()).collect()
    }

    fn versions_with(&self, file: &Digest) -> impl Iterator<Item = &DatasetVersion> {
        let first = self.files.partition_point(|(digest, _)| digest < file);
        let same = self.files.iter().skip(first).take_while(move |(digest, _)| digest == file);
        same.filter_map(|(_, place)| self.versions.get(usize::try_from(*place).ok()?))
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

fn read(
    store: &Store,
    version: &DatasetVersion,
    place: u32,
    files: &mut Vec<(Digest, u32)>,
) -> Result<(), StoreError> {
    for entry in store.walk(&version.snapshot)? {
        if let (_, EntryKind::File { size: 1.., digest, .. }) = entry? {
            files.push((digest, place));
        }
    }
    Ok(())
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
    let known = Known::of(home, project, None)?;
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
