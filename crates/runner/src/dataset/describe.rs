//! Labels and statements: what is said about a version after it was added.

use std::collections::BTreeSet;

use aseptic_catalog::{DatasetVersion, Node};
use aseptic_model::{Digest, Event as Entry, InputRef, Label, MetaKey, MetaValue, Metadata, ProjectName};

use super::add::check_room;
use super::{DatasetError, find, lock, object_of};
use crate::home::{Home, HomeError};

/// A version after its labels or statements were changed.
#[derive(Debug)]
pub struct Relabelled {
    /// The version as it is now.
    pub version: DatasetVersion,
    /// What was recorded; nothing when all of it was so before.
    pub recorded: Vec<Entry>,
    /// Other versions of the same bytes that still have a label which was taken off.
    pub still: Vec<DatasetVersion>,
    /// Runs that had the version as an input before, whose outputs keep the labels that they have.
    pub runs: usize,
}

/// Gives labels to a version, and to every other version of the same bytes. Durable when it returns.
///
/// # Errors
/// [`DatasetError`]; nothing was recorded.
pub fn label(
    home: &mut Home,
    project: &ProjectName,
    reference: &InputRef,
    labels: &BTreeSet<Label>,
) -> Result<Relabelled, DatasetError> {
    let _lock = lock(home, project)?;
    let version = find(home, project, reference)?;
    let events = label_others(home, project, &version.snapshot, labels, labels)?;
    record(home, project, &version, events, BTreeSet::new())
}

/// Takes labels off one version, for `reason`. Others of the same bytes keep theirs. Durable when it returns.
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
    record(home, project, &version, events, labels.clone())
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
    let events = match set.is_empty() && unset.is_empty() {
        true => Vec::new(),
        false => {
            let (name, version) = (version.name.clone(), version.version);
            vec![Entry::DatasetDescribed { name, version, set, unset }]
        }
    };
    record(home, project, &version, events, BTreeSet::new())
}

fn record(
    home: &mut Home,
    project: &ProjectName,
    version: &DatasetVersion,
    events: Vec<Entry>,
    off: BTreeSet<Label>,
) -> Result<Relabelled, DatasetError> {
    if !events.is_empty() {
        home.record(project, events.clone())?;
        home.catch_up()?;
    }
    let still = versions_of(home, project, &version.snapshot)?
        .into_iter()
        .filter(|other| object_of(other) != object_of(version) && !other.labels.is_disjoint(&off));
    let reference = InputRef::Dataset { name: version.name.clone(), version: Some(version.version) };
    let consumers = home.catalog.consumers(project, &version.snapshot).map_err(HomeError::from)?;
    let runs: BTreeSet<_> = consumers.into_iter().map(|consumer| consumer.run).collect();
    Ok(Relabelled {
        version: find(home, project, &reference)?,
        recorded: events,
        still: still.collect(),
        runs: runs.len(),
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

/// Labels of the datasets and artifacts that are the bytes of `digest`.
pub(super) fn labels_of_same(
    home: &Home,
    project: &ProjectName,
    digest: &Digest,
) -> Result<BTreeSet<Label>, HomeError> {
    let mut labels: BTreeSet<_> =
        versions_of(home, project, digest)?.into_iter().flat_map(|version| version.labels).collect();
    for node in home.catalog.producers(project, digest)? {
        if let Node::Artifact { run, .. } = node {
            let run = home.catalog.run(project, &run)?;
            labels.extend(run.into_iter().flat_map(|run| run.labels));
        }
    }
    Ok(labels)
}

/// What gives `labels` to every version of the bytes of `digest` that has them not. One that was taken off a
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
        let added: BTreeSet<_> = labels
            .difference(&other.labels)
            .filter(|label| said.contains(label) || !taken_off.contains(label))
            .cloned()
            .collect();
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
