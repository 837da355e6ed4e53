//! Labels and statements: what is said about a version after it was added.

use std::collections::BTreeSet;

use aseptic_catalog::{DatasetVersion, Node};
use aseptic_model::{
    Digest, Event as Entry, InputRef, Label, MetaKey, MetaValue, Metadata, Object, ProjectName,
};
use aseptic_policy::Act;

use super::add::check_room;
use super::{DatasetError, find, implied, lock, object_of};
use crate::home::{Home, HomeError};
use crate::labels::{Before, LabelsReached};

/// A version after its labels or statements were changed.
#[derive(Debug)]
pub struct Relabelled {
    /// The version as it is now.
    pub version: DatasetVersion,
    /// What was recorded; nothing when all of it was so before.
    pub recorded: Vec<Entry>,
    /// Other versions of the same bytes that still have a label which was taken off.
    pub still: Vec<DatasetVersion>,
    /// What came of the versions and has other labels by that.
    pub reached: LabelsReached,
}

/// Gives labels to a version, to every other version of the same bytes, and with that to everything that came of them.
/// Durable when it returns.
///
/// # Errors
/// [`DatasetError`]; nothing was recorded.
pub fn label(
    home: &mut Home,
    project: &ProjectName,
    reference: &InputRef,
    labels: &BTreeSet<Label>,
) -> Result<Relabelled, DatasetError> {
    home.allowed(project, Act::Label, None)?;
    let _lock = lock(home, project)?;
    let version = find(home, project, reference)?;
    let events = label_others(home, project, &version.snapshot, labels, labels)?;
    record(home, project, &version, events, labels, &BTreeSet::new())
}

/// Takes labels off one version, for `reason`. Others of the same bytes keep theirs; what came of it loses them where no
/// other way brings them. Durable when it returns.
///
/// # Errors
/// [`DatasetError`]; nothing was recorded.
pub fn unlabel(
    home: &mut Home,
    project: &ProjectName,
    reference: &InputRef,
    labels: &BTreeSet<Label>,
    reason: &MetaValue,
) -> Result<Relabelled, DatasetError> {
    home.allowed(project, Act::Declassify, None)?;
    let _lock = lock(home, project)?;
    let version = find(home, project, reference)?;
    let removed: BTreeSet<_> = labels.intersection(&version.labels).cloned().collect();
    let events = match removed.is_empty() {
        true => Vec::new(),
        false => vec![Entry::DatasetLabelled {
            name: version.name.clone(),
            version: version.version,
            added: BTreeSet::new(),
            removed,
            reason: Some(reason.to_string()),
        }],
    };
    record(home, project, &version, events, labels, labels)
}

/// Changes what is said about a version. Durable when it returns.
///
/// # Errors
/// [`DatasetError`]; nothing was recorded.
pub fn describe(
    home: &mut Home,
    project: &ProjectName,
    reference: &InputRef,
    set: &Metadata,
    unset: &BTreeSet<MetaKey>,
) -> Result<Relabelled, DatasetError> {
    home.allowed(project, Act::Describe, None)?;
    let _lock = lock(home, project)?;
    let version = find(home, project, reference)?;
    let mut after = version.metadata.clone();
    after.retain(|key, _| !unset.contains(key));
    after.extend(set.clone());
    check_room(&after, || object_of(&version))?;
    let before = &version.metadata;
    let set: Metadata = after.into_iter().filter(|(key, value)| before.get(key) != Some(value)).collect();
    let unset: BTreeSet<_> =
        unset.iter().filter(|key| before.contains_key(key) && !set.contains_key(key)).cloned().collect();
    let implied = implied::labels(&set);
    let mut events = match set.is_empty() && unset.is_empty() {
        true => Vec::new(),
        false => {
            let (name, version) = (version.name.clone(), version.version);
            vec![Entry::DatasetDescribed { name, version, set, unset }]
        }
    };
    events.extend(label_others(home, project, &version.snapshot, &implied, &implied)?);
    record(home, project, &version, events, &BTreeSet::new(), &BTreeSet::new())
}

/// Records `events`, which change `labels` and take `off` some.
fn record(
    home: &mut Home,
    project: &ProjectName,
    version: &DatasetVersion,
    events: Vec<Entry>,
    labels: &BTreeSet<Label>,
    off: &BTreeSet<Label>,
) -> Result<Relabelled, DatasetError> {
    let mut reached = LabelsReached::default();
    if !events.is_empty() {
        let changed = events.iter().filter_map(|event| match event {
            Entry::DatasetLabelled { name, version, .. } => {
                Some(Object::Dataset { name: name.clone(), version: Some(*version) })
            }
            _ => None,
        });
        let changed: Vec<_> = changed.collect();
        let before = Before::look(home, project, &changed, labels)?;
        home.record(project, events.clone())?;
        home.catch_up()?;
        reached = before.compare(home)?;
    }
    let still = versions_of(home, project, &version.snapshot)?
        .into_iter()
        .filter(|other| object_of(other) != object_of(version) && !other.labels.is_disjoint(off));
    let reference = InputRef::Dataset { name: version.name.clone(), version: Some(version.version) };
    Ok(Relabelled {
        version: find(home, project, &reference)?,
        recorded: events,
        still: still.collect(),
        reached,
    })
}

/// Every dataset version that is the bytes of `digest`.
fn versions_of(
    home: &Home,
    project: &ProjectName,
    digest: &Digest,
) -> Result<Vec<DatasetVersion>, HomeError> {
    let mut versions = Vec::new();
    for node in home.catalog.producers(project, digest)? {
        if let Node::Dataset { name, version, .. } = node {
            versions.extend(home.catalog.dataset_version(project, &name, Some(version))?);
        }
    }
    Ok(versions)
}

/// Labels of whatever is the bytes of `digest`.
#[derive(Debug, Default)]
pub(super) struct SameBytes {
    /// All labels of versions.
    pub(super) versions: BTreeSet<Label>,
    /// Those of them that were given to a version itself.
    pub(super) given: BTreeSet<Label>,
    /// Labels of what runs left.
    pub(super) left: BTreeSet<Label>,
}

impl SameBytes {
    pub(super) fn all(&self) -> BTreeSet<Label> {
        self.versions.union(&self.left).cloned().collect()
    }
}

pub(super) fn labels_of_same(
    home: &Home,
    project: &ProjectName,
    digest: &Digest,
) -> Result<SameBytes, HomeError> {
    let mut same = SameBytes::default();
    for version in versions_of(home, project, digest)? {
        same.given.extend(home.catalog.labels_given(project, &crate::labels::object_of(&version))?);
        same.versions.extend(version.labels);
    }
    for node in home.catalog.producers(project, digest)? {
        if let Node::Artifact { run, path, .. } = node {
            same.left.extend(home.catalog.labels_of_outputs(project, &run, path.as_ref())?);
        }
    }
    Ok(same)
}

/// What gives `labels` to every version of the bytes of `digest` that has them not of its own. One that was taken off a
/// version comes back to it only if it is among those that are `said` now.
pub(super) fn label_others(
    home: &Home,
    project: &ProjectName,
    digest: &Digest,
    labels: &BTreeSet<Label>,
    said: &BTreeSet<Label>,
) -> Result<Vec<Entry>, HomeError> {
    let mut events = Vec::new();
    for other in versions_of(home, project, digest)? {
        let taken_off = taken_off(home, project, &other)?;
        let given = home.catalog.labels_given(project, &crate::labels::object_of(&other))?;
        // What is said is its own from then on, also where it only inherited it.
        let new = |label: &&Label| match said.contains(*label) {
            true => !given.contains(*label),
            false => !other.labels.contains(*label) && !taken_off.contains(*label),
        };
        let added: BTreeSet<_> = labels.iter().filter(new).cloned().collect();
        if !added.is_empty() {
            let removed = BTreeSet::new();
            let DatasetVersion { name, version, .. } = other;
            events.push(Entry::DatasetLabelled { name, version, added, removed, reason: None });
        }
    }
    Ok(events)
}

/// Labels that somebody took off a version and nobody gave it again.
pub(super) fn taken_off(
    home: &Home,
    project: &ProjectName,
    version: &DatasetVersion,
) -> Result<BTreeSet<Label>, HomeError> {
    let mut off = BTreeSet::new();
    // The last change comes first.
    for change in home.catalog.dataset_changes(project, &version.name)?.iter().rev() {
        if let (Entry::DatasetLabelled { added, removed, .. }, true) =
            (&change.event, change.version == version.version)
        {
            off.extend(removed.iter().cloned());
            off.retain(|label| !added.contains(label));
        }
    }
    Ok(off)
}
