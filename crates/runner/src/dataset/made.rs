//! What of a new version runs had left before: somebody took it out, and brings it back.

use std::collections::BTreeSet;

use aseptic_catalog::DatasetVersion;
use aseptic_model::{Digest, Event as Entry, LEFT_FILES_MAX, ProjectName};
use aseptic_store::{EntryKind, Store, StoreError};

use crate::home::{Home, HomeError};

/// Files that are asked about at once.
const TOGETHER: usize = 65_536;

/// The files of `tree` that a run of any project left before, by their bytes. One that the version before has too is
/// listed if that version lists it: what a run copied from there is not the run's.
///
/// At most [`LEFT_FILES_MAX`]; of more, first those that name a run which no other names.
pub(super) fn left_by_runs(
    home: &Home,
    project: &ProjectName,
    before: Option<&DatasetVersion>,
    tree: &Digest,
) -> Result<BTreeSet<Digest>, HomeError> {
    let store = home.store(project)?;
    let mut left = BTreeSet::new();
    let mut some = BTreeSet::new();
    for digest in files(&store, tree)? {
        some.insert(digest?);
        if some.len() == TOGETHER {
            left.extend(home.catalog.left_by_runs(&some)?);
            some.clear();
        }
    }
    left.extend(home.catalog.left_by_runs(&some)?);
    if let Some(before) = before.filter(|before| before.expired.is_none() && !left.is_empty()) {
        let listed = listed(home, project, before)?;
        for digest in files(&store, &before.snapshot)? {
            let digest = digest?;
            if !listed.contains(&digest) {
                left.remove(&digest);
            }
        }
    }
    few(home, left)
}

/// The files below `tree` that are not empty.
fn files<'s>(
    store: &'s Store,
    tree: &Digest,
) -> Result<impl Iterator<Item = Result<Digest, StoreError>> + use<'s>, StoreError> {
    Ok(store.walk(tree)?.filter_map(|entry| match entry {
        Ok((_, EntryKind::File { size, digest, .. })) => (size > 0).then_some(Ok(digest)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }))
}

/// What the entry that added a version lists.
fn listed(
    home: &Home,
    project: &ProjectName,
    version: &DatasetVersion,
) -> Result<BTreeSet<Digest>, HomeError> {
    let changes = home.catalog.dataset_changes(project, &version.name)?;
    let of_it = changes.into_iter().filter(|change| change.version == version.version);
    let added = of_it.filter_map(|change| match change.event {
        Entry::DatasetAdded { left_by_runs, .. } => Some(left_by_runs),
        _ => None,
    });
    Ok(added.flatten().collect())
}

fn few(home: &Home, left: BTreeSet<Digest>) -> Result<BTreeSet<Digest>, HomeError> {
    if left.len() <= LEFT_FILES_MAX {
        return Ok(left);
    }
    let (mut first, mut others, mut named) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for file in left {
        if first.len() == LEFT_FILES_MAX {
            break;
        }
        let before = named.len();
        named.extend(home.catalog.runs_that_left(&file)?);
        if named.len() > before {
            first.insert(file)
        } else {
            others.insert(file)
        };
    }
    let room = LEFT_FILES_MAX - first.len();
    first.extend(others.into_iter().take(room));
    Ok(first)
}
