//! Adding a version, and what is said about it on that occasion.

use std::collections::BTreeSet;
use std::path::Path;

use aseptic_catalog::DatasetVersion;
use aseptic_model::{
    DatasetName, Event as Entry, InputRef, Label, METADATA_MAX, MetaKey, Metadata, Origin, ProjectName,
    Retained, Retention,
};
use aseptic_policy::Act;
use aseptic_store::{ImportOptions, Snapshot};

use super::describe::{label_others, labels_of_same, taken_off};
use super::made::left_by_runs;
use super::{DatasetError, find, implied, lock, object_of};
use crate::home::{Home, HomeError};
use crate::labels::recognised::Known;
use crate::labels::sidecar::{self, Carried};
use crate::observer::{Event, Observer, import_progress};

/// What is said about the bytes of a version from where they come: a new version does not inherit it.
const SOURCE: &str = "source";

/// What is said about a version when it is added.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Labels that it has, besides those it inherits.
    pub labels: BTreeSet<Label>,
    /// Labels that came with the files: it has them unless somebody took them off.
    pub carried: BTreeSet<Label>,
    /// Statements about it.
    pub metadata: Metadata,
    /// How long its bytes are kept; none leaves it to the project.
    pub retention: Option<Retention>,
}

impl Said {
    /// With the labels that came with the files, which the observer is told.
    pub(super) fn with(&self, carried: &Carried, snapshot: &Snapshot, observer: &mut dyn Observer) -> Self {
        if let Some(note) = carried.note(&snapshot.digest) {
            observer.event(Event::Note(&note));
        }
        Self { carried: carried.labels.clone(), ..self.clone() }
    }
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
    /// Labels that follow from what is said about it, and that nobody gave it before.
    pub implied: BTreeSet<Label>,
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
    options: &ImportOptions<'_>,
    observer: &mut dyn Observer,
) -> Result<Added, DatasetError> {
    home.allowed(project, Act::AddDataset, None)?;
    keep_state_out(home, path)?;
    let carried = sidecar::beside(path)?;
    let store = home.store(project)?;
    // Until the ledger names it.
    let lease = store.lease()?;
    let options = ImportOptions { leave_out: Some(sidecar::SUFFIX), ..*options };
    let imported = store.import(&lease, path, &options, &mut import_progress(observer))?;
    let said = said.with(&carried, &imported.snapshot, observer);
    adopt(home, project, name, &imported.snapshot, &said, None)
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
    /// Labels that follow from what is said about it, and that nobody gave it before.
    pub(super) implied: BTreeSet<Label>,
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
        Ok(Added { version, new: self.new, recorded: self.events, implied: self.implied })
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
    let mut labels: BTreeSet<_> = said.labels.union(&said.carried).cloned().collect();
    labels.extend(latest.iter().flat_map(|latest| latest.labels.iter().cloned()));
    let same = labels_of_same(home, project, &snapshot.digest)?;
    labels.extend(same.all());
    labels.extend(recognised(home, project, name, snapshot, latest)?);
    let left_by_runs = left_by_runs(home, project, latest, &snapshot.digest)?;
    let mut inherited = same.left;
    for file in &left_by_runs {
        inherited.extend(home.catalog.labels_of_file(file).map_err(HomeError::from)?);
    }
    labels.extend(inherited.iter().cloned());
    // What somebody gave is its own, whoever left the same bytes.
    inherited.retain(|label| !said.labels.contains(label) && !same.given.contains(label));
    if let Some(latest) = latest {
        let given = home.catalog.labels_given(project, &crate::labels::object_of(latest));
        let given = given.map_err(HomeError::from)?;
        inherited.retain(|label| !given.contains(label));
    }
    let inherits = |(key, _): &(&MetaKey, _)| origin.is_none() && key.as_str() != SOURCE;
    let before = latest.into_iter().flat_map(|latest| latest.metadata.iter()).filter(inherits);
    let mut metadata: Metadata = before.map(|(key, value)| (key.clone(), value.clone())).collect();
    metadata.extend(said.metadata.clone());
    check_room(&metadata, || Retained::Dataset { name: name.clone(), version })?;
    let mut said_labels = said.labels.clone();
    said_labels.extend(implied::labels(&said.metadata));
    let mut implied = implied::labels(&metadata);
    if let Some(latest) = latest {
        // What somebody took off comes back only when somebody says so.
        let taken_off = taken_off(home, project, latest)?;
        implied.retain(|label| said_labels.contains(label) || !taken_off.contains(label));
    }
    implied.retain(|label| !labels.contains(label));
    labels.extend(implied.iter().cloned());
    let mut events = vec![Entry::DatasetAdded {
        name: name.clone(),
        version,
        snapshot: snapshot.digest,
        files: snapshot.files,
        bytes: snapshot.bytes,
        labels: labels.clone(),
        inherited,
        metadata,
        retention: said.retention,
        origin,
        left_by_runs,
    }];
    events.extend(label_others(home, project, &snapshot.digest, &labels, &said_labels)?);
    Ok(Next { version, new: true, implied, events })
}

/// Labels of other datasets that have a file of these bytes, without those that somebody took off the version before.
fn recognised(
    home: &Home,
    project: &ProjectName,
    name: &DatasetName,
    snapshot: &Snapshot,
    latest: Option<&DatasetVersion>,
) -> Result<BTreeSet<Label>, HomeError> {
    let known = Known::with_files_of(home, project, Some(name), &[snapshot.digest])?;
    let mut labels = known.within(&home.store(project)?, &snapshot.digest)?.labels;
    if let Some(latest) = latest {
        let taken_off = taken_off(home, project, latest)?;
        labels.retain(|label| !taken_off.contains(label));
    }
    Ok(labels)
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
    let mut labels = labels_of_same(home, project, &same.snapshot)?.all();
    labels.extend(said.carried.iter().cloned());
    // What somebody took off comes back only when somebody says so.
    let taken_off = taken_off(home, project, same)?;
    labels.retain(|label| !taken_off.contains(label));
    let implied: BTreeSet<_> = implied::labels(&said.metadata)
        .into_iter()
        .filter(|label| !same.labels.contains(label) && !said.labels.contains(label))
        .collect();
    let said_labels: BTreeSet<_> = said.labels.union(&implied).cloned().collect();
    labels.extend(said_labels.iter().cloned());
    let mut added: BTreeSet<_> = labels.difference(&same.labels).cloned().collect();
    let given =
        home.catalog.labels_given(project, &crate::labels::object_of(same)).map_err(HomeError::from)?;
    added.extend(said.labels.difference(&given).cloned());
    if !added.is_empty() {
        let removed = BTreeSet::new();
        events.push(Entry::DatasetLabelled { name: name.clone(), version, added, removed, reason: None });
    }
    let others = label_others(home, project, &same.snapshot, &said_labels, &said_labels)?;
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
    Ok(Next { version, new: false, implied, events })
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
