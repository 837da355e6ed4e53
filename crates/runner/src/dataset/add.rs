//! Adding a version, and what is said about it on that occasion.

use std::collections::BTreeSet;
use std::path::Path;

use aseptic_catalog::DatasetVersion;
use aseptic_model::{
    DatasetName, Event as Entry, InputRef, Label, METADATA_MAX, MetaKey, Metadata, Origin, ProjectName,
    Retained, Retention,
};
use aseptic_store::{ImportOptions, Snapshot};

use super::describe::{label_others, labels_of_same, taken_off};
use super::made::left_by_runs;
use super::{DatasetError, find, lock, object_of};
use crate::home::{Home, HomeError};
use crate::observer::{Observer, import_progress};

/// What is said about the bytes of a version from where they come: a new version does not inherit it.
const SOURCE: &str = "source";

/// What is said about a version when it is added.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Labels that it has, besides those it inherits.
    pub labels: BTreeSet<Label>,
    /// Statements about it.
    pub metadata: Metadata,
    /// How long its bytes are kept; none leaves it to the project.
    pub retention: Option<Retention>,
}

/// A dataset version after [`add`].
#[derive(Debug)]
pub struct Added {
    /// The version.
    pub version: DatasetVersion,
    /// Whether it is new: the bytes of the newest version stay that version.
    pub new: bool,
    /// What was recorded besides: what is new about a version that is not, and labels of the same bytes under
    /// other names.
    pub recorded: Vec<Entry>,
}

/// Imports the file or directory `path` as the next version of the dataset `name`.
///
/// A new version has the labels of the one before and what is said about it, except its source, which is of
/// other bytes. The bytes of the newest version stay that version, and what is said now is added to it.
/// Durable when it returns; after an error or a crash nothing of it is visible. One that the observer says is
/// interrupted goes on where it was when it is done again.
///
/// # Errors
/// [`DatasetError`].
pub fn add(
    home: &mut Home,
    project: &ProjectName,
    path: &Path,
    name: &DatasetName,
    said: &Said,
    options: &ImportOptions,
    observer: &mut dyn Observer,
) -> Result<Added, DatasetError> {
    keep_state_out(home, path)?;
    let store = home.store(project)?;
    // Until the ledger names it.
    let lease = store.lease()?;
    let imported = store.import(&lease, path, options, &mut import_progress(observer))?;
    adopt(home, project, name, &imported.snapshot, said, None)
}

/// Refuses what holds the state of aseptic, or lies in it: a run would see the key of the ledger, and what
/// other projects have.
///
/// # Errors
/// [`DatasetError::State`].
pub fn keep_state_out(home: &Home, path: &Path) -> Result<(), DatasetError> {
    // What cannot be resolved cannot be imported either, and the import says why.
    match path.canonicalize() {
        Ok(real) if home.overlaps(&real) => Err(DatasetError::State { path: path.display().to_string() }),
        _ => Ok(()),
    }
}

/// Makes bytes that are in the store, and kept there by a lease, the next version of `name`.
pub(crate) fn adopt(
    home: &mut Home,
    project: &ProjectName,
    name: &DatasetName,
    snapshot: &Snapshot,
    said: &Said,
    origin: Option<Origin>,
) -> Result<Added, DatasetError> {
    // Versions are numbered without gaps whoever imports at the same time.
    let _lock = lock(home, project)?;
    let next = next(home, project, name, snapshot, said, origin)?;
    home.record(project, next.events.clone())?;
    next.finish(home, project, name)
}

/// What is to be recorded so that some bytes are a version.
pub(super) struct Next {
    pub(super) version: u32,
    pub(super) new: bool,
    /// The first one adds the version if it is new.
    pub(super) events: Vec<Entry>,
}

impl Next {
    /// The version, after the events were recorded.
    pub(super) fn finish(
        mut self,
        home: &mut Home,
        project: &ProjectName,
        name: &DatasetName,
    ) -> Result<Added, DatasetError> {
        let (version, object) =
            (self.version, Retained::Dataset { name: name.clone(), version: self.version });
        home.catch_up().map_err(|source| DatasetError::Recorded { object, source })?;
        let reference = InputRef::Dataset { name: name.clone(), version: Some(version) };
        let version = find(home, project, &reference)?;
        if self.new {
            self.events.remove(0);
        }
        Ok(Added { version, new: self.new, recorded: self.events })
    }
}

/// Decides which version of `name` the bytes of `snapshot` are. The caller holds the lock.
pub(super) fn next(
    home: &Home,
    project: &ProjectName,
    name: &DatasetName,
    snapshot: &Snapshot,
    said: &Said,
    origin: Option<Origin>,
) -> Result<Next, DatasetError> {
    let versions = home.catalog.versions(project, name).map_err(HomeError::from)?;
    let is_there =
        |version: &&DatasetVersion| version.snapshot == snapshot.digest && version.expired.is_none();
    let latest = versions.first();
    let given_before = || {
        let given = |version: &&DatasetVersion| origin.is_some() && version.origin == origin;
        versions.iter().filter(is_there).find(given)
    };
    if let Some(same) = latest.filter(is_there).or_else(given_before) {
        return known(home, project, same, said, origin.as_ref());
    }
    let version = latest.map_or(1, |latest| latest.version + 1);
    // A label is never lost by importing again: taking one off is a decision of its own.
    let mut labels = said.labels.clone();
    labels.extend(latest.iter().flat_map(|latest| latest.labels.iter().cloned()));
    labels.extend(labels_of_same(home, project, &snapshot.digest)?);
    let left_by_runs = left_by_runs(home, project, latest, &snapshot.digest)?;
    for file in &left_by_runs {
        labels.extend(home.catalog.labels_of_file(file).map_err(HomeError::from)?);
    }
    let inherits = |(key, _): &(&MetaKey, _)| origin.is_none() && key.as_str() != SOURCE;
    let before = latest.into_iter().flat_map(|latest| latest.metadata.iter()).filter(inherits);
    let mut metadata: Metadata = before.map(|(key, value)| (key.clone(), value.clone())).collect();
    metadata.extend(said.metadata.clone());
    check_room(&metadata, || Retained::Dataset { name: name.clone(), version })?;
    let mut events = vec![Entry::DatasetAdded {
        name: name.clone(),
        version,
        snapshot: snapshot.digest,
        files: snapshot.files,
        bytes: snapshot.bytes,
        labels: labels.clone(),
        metadata,
        retention: said.retention,
        origin,
        left_by_runs,
    }];
    events.extend(label_others(home, project, &snapshot.digest, &labels, &said.labels)?);
    Ok(Next { version, new: true, events })
}

/// What is new about the version `same`, whose bytes are there already.
fn known(
    home: &Home,
    project: &ProjectName,
    same: &DatasetVersion,
    said: &Said,
    origin: Option<&Origin>,
) -> Result<Next, DatasetError> {
    let (name, version) = (same.name.clone(), same.version);
    let mut events = Vec::new();
    let mut labels = labels_of_same(home, project, &same.snapshot)?;
    // What somebody took off comes back only when somebody says so.
    let taken_off = taken_off(home, project, same)?;
    labels.retain(|label| !taken_off.contains(label));
    labels.extend(said.labels.iter().cloned());
    let added: BTreeSet<_> = labels.difference(&same.labels).cloned().collect();
    if !added.is_empty() {
        let removed = BTreeSet::new();
        events.push(Entry::DatasetLabelled { name: name.clone(), version, added, removed, reason: None });
    }
    let others = label_others(home, project, &same.snapshot, &said.labels, &said.labels)?;
    events.extend(others.into_iter().filter(|event| !is_about(event, same)));
    let mut set = said.metadata.clone();
    // What was given by another project says nothing against what is said here.
    set.retain(|key, value| match same.metadata.get(key) {
        Some(here) => origin.is_none() && here != value,
        None => true,
    });
    if !set.is_empty() {
        let mut all = same.metadata.clone();
        all.extend(set.clone());
        check_room(&all, || object_of(same))?;
        events.push(Entry::DatasetDescribed { name: name.clone(), version, set, unset: BTreeSet::new() });
    }
    if let Some(class) = said.retention.filter(|class| same.retention != Some(*class)) {
        if same.retention == Some(Retention::Hold) {
            return Err(DatasetError::Held(object_of(same)));
        }
        events.push(Entry::RetentionSet { object: object_of(same), class: Some(class), reason: None });
    }
    Ok(Next { version, new: false, events })
}

fn is_about(event: &Entry, of: &DatasetVersion) -> bool {
    matches!(event, Entry::DatasetLabelled { name, version, .. } if (name, version) == (&of.name, &of.version))
}

pub(super) fn check_room(metadata: &Metadata, object: impl FnOnce() -> Retained) -> Result<(), DatasetError> {
    if metadata.len() <= METADATA_MAX {
        return Ok(());
    }
    Err(DatasetError::TooMuchSaid { object: object(), statements: metadata.len() })
}
