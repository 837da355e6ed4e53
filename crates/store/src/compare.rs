//! What differs between two snapshots, for a person: files that are added, removed, changed and renamed.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet, VecDeque};

use aseptic_model::{Digest, FilePath};

use crate::diff::{Difference, Enter};
use crate::error::StoreError;
use crate::object::Store;
use crate::tree::EntryKind;

/// With more changes than this no renames are looked for, which takes all of them in memory.
const RENAMES_MAX: u64 = 200_000;

/// One change from a snapshot to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where; for a renamed entry, where it is now.
    pub path: FilePath,
    /// What.
    pub kind: ChangeKind,
}

/// What was done to an entry. Of directories only those are told that are new or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new. What is in a new directory follows.
    Added(EntryKind),
    /// It is gone. What was in a directory that is gone follows.
    Removed(EntryKind),
    /// It has another path, and is a file of equal content or a directory with equal content.
    Renamed {
        /// The path that it had.
        from: FilePath,
        /// What it is.
        entry: EntryKind,
    },
    /// It has other content, another target or another type, or may be executed or not any more. If one of
    /// both is a directory, what was or is in it follows.
    Changed {
        /// What it was.
        before: EntryKind,
        /// What it is.
        after: EntryKind,
    },
}

/// A number of regular files and the sum of their sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Number of files.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
}

/// Every change, counted in regular files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files that are new.
    pub added: Amount,
    /// Files that are gone.
    pub removed: Amount,
    /// Files that have another path.
    pub renamed: Amount,
    /// Files that have other content, or may be executed or not any more, as they were.
    pub changed_before: Amount,
    /// The same files as they are.
    pub changed_after: Amount,
    /// Changes of other entries: links, and directories that are new or gone.
    pub others: u64,
}

/// What differs between two snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The changes by path, as many as were asked for.
    pub changes: Vec<Change>,
    /// Whether there are others.
    pub more: bool,
    /// All changes.
    pub totals: Totals,
    /// Whether renamed files were looked for; without, one is removed at one path and added at another.
    pub renames: bool,
}

impl Store {
    /// Compares two snapshots; lists at most `limit` changes and counts all.
    ///
    /// Takes time in proportion to the difference; equal snapshots cost one read. No file is read.
    ///
    /// # Errors
    /// As [`Store::read_tree`].
    pub fn compare(&self, before: &Digest, after: &Digest, limit: usize) -> Result<Comparison, StoreError> {
        self.compare_within(before, after, limit, RENAMES_MAX)
    }

    fn compare_within(
        &self,
        before: &Digest,
        after: &Digest,
        limit: usize,
        renames_max: u64,
    ) -> Result<Comparison, StoreError> {
        let mut comparer = Comparer { store: self, limit, found: Comparison::default() };
        let (mut held, mut weight) = (Vec::new(), 0);
        let mut differences = self.diff(before, after, Enter::Common)?;
        for difference in differences.by_ref() {
            let difference = difference?;
            if is_entered(&difference) {
                continue;
            }
            weight += 1 + below(difference.before.as_ref()) + below(difference.after.as_ref());
            held.push(difference);
            if weight > renames_max {
                break;
            }
        }
        if weight <= renames_max {
            comparer.with_renames(held)?;
        } else {
            for difference in held.into_iter().map(Ok).chain(differences) {
                comparer.stream(difference?)?;
            }
        }
        Ok(comparer.found)
    }
}

/// Whether this is a directory that both have: what differs in it comes by itself.
fn is_entered(difference: &Difference) -> bool {
    let is_directory = |kind: &Option<EntryKind>| matches!(kind, Some(EntryKind::Directory { .. }));
    is_directory(&difference.before) && is_directory(&difference.after)
}

/// Files below a directory.
fn below(kind: Option<&EntryKind>) -> u64 {
    match kind {
        Some(EntryKind::Directory { files, .. }) => *files,
        _ => 0,
    }
}

struct Comparer<'s> {
    store: &'s Store,
    limit: usize,
    found: Comparison,
}

impl Comparer<'_> {
    /// Takes all differences at once.
    fn with_renames(&mut self, mut differences: Vec<Difference>) -> Result<(), StoreError> {
        // Whole directories first, so that one that was renamed is not even read.
        let mut changes = take_renamed(&mut differences, whole_directory);
        let mut single = Vec::new();
        for difference in differences {
            expand(self.store, difference, |difference| single.push(difference))?;
        }
        changes.extend(take_renamed(&mut single, filled_file));
        changes.extend(single.into_iter().filter_map(change));
        changes.sort_by(in_order);
        self.found.renames = true;
        changes.into_iter().for_each(|change| self.push(change));
        Ok(())
    }

    /// Takes one difference without remembering more of it than is asked for.
    fn stream(&mut self, difference: Difference) -> Result<(), StoreError> {
        if is_entered(&difference) {
            return Ok(());
        }
        let store = self.store;
        expand(store, difference, |difference| {
            change(difference).into_iter().for_each(|change| self.push(change))
        })
    }

    fn push(&mut self, change: Change) {
        self.found.totals.count(&change.kind);
        if self.found.changes.len() < self.limit {
            self.found.changes.push(change);
        } else {
            self.found.more = true;
        }
    }
}

/// Shows a difference, and each of what was and what is below it.
fn expand(store: &Store, difference: Difference, mut show: impl FnMut(Difference)) -> Result<(), StoreError> {
    let Difference { path, before, after } = difference.clone();
    show(difference);
    for (kind, is_old) in [(before, true), (after, false)] {
        let Some(kind @ EntryKind::Directory { .. }) = kind else { continue };
        for entry in store.walk_below(path.clone(), kind) {
            let (path, kind) = entry?;
            let (before, after) = if is_old { (Some(kind), None) } else { (None, Some(kind)) };
            show(Difference { path, before, after });
        }
    }
    Ok(())
}

/// Empty directories are all equal, so one that is gone says nothing about one that is new.
fn whole_directory(kind: &EntryKind) -> Option<Digest> {
    match kind {
        EntryKind::Directory { files: 1.., digest, .. } => Some(*digest),
        _ => None,
    }
}

/// As with directories.
fn filled_file(kind: &EntryKind) -> Option<Digest> {
    match kind {
        EntryKind::File { size: 1.., digest, .. } => Some(*digest),
        _ => None,
    }
}

/// Takes out what is gone at one path and new at another, in the order of the paths. What is equal has
/// equal digests of what `digest` takes from it.
fn take_renamed(differences: &mut Vec<Difference>, digest: fn(&EntryKind) -> Option<Digest>) -> Vec<Change> {
    let mut old: HashMap<Digest, VecDeque<FilePath>> = HashMap::new();
    for Difference { path, before, after } in differences.iter() {
        if let (Some(digest), None) = (before.as_ref().and_then(digest), after) {
            old.entry(digest).or_default().push_back(path.clone());
        }
    }
    let (mut renamed, mut gone) = (Vec::new(), HashSet::new());
    differences.retain(|Difference { path, before, after }| {
        let (None, Some(entry)) = (before, after) else { return true };
        let same = digest(entry).and_then(|digest| old.get_mut(&digest)?.pop_front());
        let Some(from) = same else { return true };
        gone.insert(from.clone());
        let kind = ChangeKind::Renamed { from, entry: entry.clone() };
        renamed.push(Change { path: path.clone(), kind });
        false
    });
    differences.retain(|difference| difference.after.is_some() || !gone.contains(&difference.path));
    renamed
}

/// The order of a walk: as the names of each directory, not as the bytes of whole paths.
fn in_order(a: &Change, b: &Change) -> Ordering {
    a.path.components().cmp(b.path.components())
}

fn change(difference: Difference) -> Option<Change> {
    let kind = match (difference.before, difference.after) {
        (None, Some(after)) => ChangeKind::Added(after),
        (Some(before), None) => ChangeKind::Removed(before),
        (Some(before), Some(after)) => ChangeKind::Changed { before, after },
        (None, None) => return None,
    };
    Some(Change { path: difference.path, kind })
}

impl Amount {
    fn add(&mut self, files: u64, bytes: u64) {
        self.files += files;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Totals {
    fn count(&mut self, kind: &ChangeKind) {
        match kind {
            ChangeKind::Added(EntryKind::File { size, .. }) => self.added.add(1, *size),
            ChangeKind::Removed(EntryKind::File { size, .. }) => self.removed.add(1, *size),
            ChangeKind::Renamed { entry: EntryKind::File { size, .. }, .. } => self.renamed.add(1, *size),
            ChangeKind::Renamed { entry: EntryKind::Directory { files, bytes, .. }, .. } => {
                self.renamed.add(*files, *bytes);
            }
            ChangeKind::Changed {
                before: EntryKind::File { size: before, .. },
                after: EntryKind::File { size: after, .. },
            } => {
                self.changed_before.add(1, *before);
                self.changed_after.add(1, *after);
            }
            ChangeKind::Changed { before: EntryKind::File { size, .. }, .. } => self.removed.add(1, *size),
            ChangeKind::Changed { after: EntryKind::File { size, .. }, .. } => self.added.add(1, *size),
            _ => self.others += 1,
        }
    }
}

#[cfg(test)]
mod tests;
