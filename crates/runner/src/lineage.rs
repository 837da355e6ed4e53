//! Lineage: what something came from and what came from it.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_catalog::{
    Direction, EDGES_MAX, FilePlace, LineageGraph, LineagePage, Node, NodeDetails, version_is,
};
use aseptic_model::{Digest, Object, ObjectRef, ProjectName};
use aseptic_policy::Act;
use serde::Serialize;

use crate::home::Home;
use crate::objects::{NamedObject, Purpose, resolve};
use crate::quarantine::Marks;
use crate::results::ResultError;

/// What is asked about something.
#[derive(Clone, Debug)]
pub struct LineageRequest {
    /// What it came from.
    pub up: bool,
    /// What came from it.
    pub down: bool,
    /// Steps to go, each from one run to the next; without one, all.
    pub depth: Option<u32>,
    /// Edges in each direction that were seen before.
    pub skip: usize,
    /// Edges in each direction.
    pub limit: usize,
}

/// The lineage of one thing.
#[derive(Debug, Serialize)]
pub struct Lineage {
    /// What was asked about, as it was understood.
    pub object: Object,
    /// Where it was named, if it was named by its place in a dataset; it may lie elsewhere too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// It in the graph: several where more than one version is meant, none where it never occurred.
    pub objects: Vec<NodeDetails>,
    /// What it came from, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<LineageGraph>,
    /// What came from it, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<LineageGraph>,
    /// Why the answer may lack something, a sentence each.
    pub notes: Vec<String>,
}

/// Follows what `reference` names.
///
/// A file or directory is looked for in every version of every dataset; `step` is told how many are done and how many
/// there are, and ends that where it says `false`, which a note of the answer says.
///
/// # Errors
/// [`ResultError`] when it names nothing, [`ResultError::TooFar`] when `skip` is over [`EDGES_MAX`].
pub fn lineage(
    home: &Home,
    project: &ProjectName,
    reference: &ObjectRef,
    request: &LineageRequest,
    step: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Lineage, ResultError> {
    home.allowed(project, Act::View, None)?;
    if request.skip >= EDGES_MAX {
        return Err(ResultError::TooFar);
    }
    let NamedObject { object, place } = resolve(home, project, reference, Purpose::Look)?;
    home.allowed_on(project, Act::View, &object)?;
    let mut notes = Vec::new();
    let places = places(home, project, &object, &mut notes, step)?;
    let page = LineagePage { depth: request.depth, skip: request.skip, limit: request.limit };
    let ask = |wanted: bool, direction| {
        wanted.then(|| home.catalog.lineage(project, &object, &places, direction, &page)).transpose()
    };
    let mut up = ask(request.up, Direction::Up)?;
    let mut down = ask(request.down, Direction::Down)?;
    let mut objects = nodes(home, project, &object)?;
    let answers = [&mut up, &mut down].into_iter().flatten().flat_map(|graph| &mut graph.nodes);
    mark(home, project, answers.chain(&mut objects))?;
    Ok(Lineage {
        up,
        down,
        objects,
        object,
        place: place.map(|(version, path)| format!("{}@{}/{path}", version.name, version.version)),
        notes,
    })
}

/// Says of each node what in quarantine reaches it.
fn mark<'n>(
    home: &Home,
    project: &ProjectName,
    nodes: impl Iterator<Item = &'n mut NodeDetails>,
) -> Result<(), ResultError> {
    let mut marks = Marks::new(home)?;
    for node in nodes.filter(|node| !node.quarantined) {
        let reached = match &node.id {
            Node::Run { run } => marks.run(project, run)?,
            Node::Artifact { run, path, .. } => marks.outputs(project, run, path.as_ref())?,
            Node::Dataset { name, version, .. } => {
                match home.catalog.dataset_version(project, name, Some(*version))? {
                    Some(version) => marks.version(project, &version)?,
                    None => None,
                }
            }
            _ => None,
        };
        node.reached_by = reached.map(|found| found.object);
    }
    Ok(())
}

/// Where a file or directory lies in datasets of the project.
fn places(
    home: &Home,
    project: &ProjectName,
    object: &Object,
    notes: &mut Vec<String>,
    step: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Vec<FilePlace>, ResultError> {
    let digest = match object {
        Object::File(digest) | Object::Snapshot(digest) => Some(*digest),
        Object::Artifact { run, path } => home.catalog.output_digest(project, run, path)?,
        _ => None,
    };
    let Some(digest) = digest.filter(|_| home.has_store(project)) else { return Ok(Vec::new()) };
    let store = home.store(project)?;
    let _lease = store.lease()?; // What is deleted while it is read would look damaged.
    let (gone, there): (Vec<_>, Vec<_>) =
        home.catalog.all_versions(project)?.into_iter().partition(|version| version.expired.is_some());
    let mut versions: BTreeMap<Digest, Vec<_>> = BTreeMap::new();
    for version in there {
        versions.entry(version.snapshot).or_default().push(version);
    }
    let snapshots: Vec<Digest> = versions.keys().copied().collect();
    let found = store.find_file(&snapshots, &digest, &mut |done| step(done, snapshots.len()));
    if !gone.is_empty() {
        notes.push(format!(
            "{} dataset versions were not searched, since their bytes were deleted",
            gone.len()
        ));
    }
    if found.truncated {
        notes.push("it lies in more places than were searched".to_owned());
    }
    for (snapshot, why) in &found.unreadable {
        for version in versions.get(snapshot).into_iter().flatten() {
            notes.push(format!("{}@{} could not be searched: {why}", version.name, version.version));
        }
    }
    let place = |(snapshot, path): (Digest, aseptic_model::FilePath)| {
        let versions = versions.get(&snapshot).map(Vec::as_slice).unwrap_or_default();
        let places: Vec<_> = versions
            .iter()
            .map(|version| FilePlace {
                name: version.name.clone(),
                version: version.version,
                snapshot,
                path: path.clone(),
            })
            .collect();
        places
    };
    let places: BTreeSet<FilePlace> = found.places.into_iter().flat_map(place).collect();
    Ok(places.into_iter().collect())
}

/// What was asked about, as nodes of the graph.
fn nodes(home: &Home, project: &ProjectName, object: &Object) -> Result<Vec<NodeDetails>, ResultError> {
    let catalog = &home.catalog;
    let nodes = match object {
        Object::Run(run) => vec![Node::Run { run: run.clone() }],
        Object::Artifact { run, path } => match catalog.output_digest(project, run, path)? {
            Some(digest) => vec![Node::Artifact { run: run.clone(), path: Some(path.clone()), digest }],
            None => vec![Node::Run { run: run.clone() }], // A directory; its digest is of no use to anyone.
        },
        Object::Dataset { name, version } => catalog
            .versions(project, name)?
            .into_iter()
            .filter(|found| version.is_none_or(|version| version == found.version))
            .map(|found| Node::Dataset { name: found.name, version: found.version, digest: found.snapshot })
            .collect(),
        Object::Snapshot(digest) => vec![Node::Snapshot { digest: *digest }],
        Object::File(digest) => vec![Node::File { digest: *digest }],
        Object::Host(host) => vec![Node::Host { host: host.clone() }],
        Object::Policy(digest) => vec![Node::Policy { digest: *digest }],
        Object::Package { name, version } => catalog
            .package_versions(name)?
            .into_iter()
            .filter(|known| version.as_ref().is_none_or(|wanted| version_is(wanted, known)))
            .map(|version| Node::Package { name: name.clone(), version })
            .collect(),
    };
    let details = nodes.into_iter().map(|node| catalog.node(project, node));
    Ok(details.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}
