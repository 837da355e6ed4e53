//! What belongs to a version or a run, and with that into its archive.

use std::collections::BTreeSet;

use aseptic_archive::Manifest;
use aseptic_catalog::{DatasetVersion, RunSummary};
use aseptic_model::{Digest, InputRef, Metadata, ProjectName, Retained, RunRecord, RunRef};

use super::ArchiveError;
use crate::dataset::{find, object_of};
use crate::home::Home;
use crate::results::{ResultError, summary};

/// The list of an archive of `reference`, without its files, and where it is archived by now.
pub(super) fn content_of(
    home: &Home,
    project: &ProjectName,
    reference: &InputRef,
) -> Result<(Manifest, Option<String>), ArchiveError> {
    match reference {
        InputRef::Dataset { .. } => of_version(project, find(home, project, reference)?),
        InputRef::Artifact { run, path: None } => of_run(home, project, run),
        InputRef::Artifact { path: Some(_), .. } => Err(ArchiveError::Part(reference.clone())),
    }
}

fn of_version(
    project: &ProjectName,
    version: DatasetVersion,
) -> Result<(Manifest, Option<String>), ArchiveError> {
    let object = object_of(&version);
    if version.expired.is_some() {
        return Err(ArchiveError::Expired { object, archived: version.archived });
    }
    let manifest = Manifest {
        schema: Manifest::schema(),
        object,
        project: project.clone(),
        snapshots: [version.snapshot].into(),
        objects: BTreeSet::new(),
        files: version.files,
        bytes: version.bytes,
        labels: version.labels,
        metadata: version.metadata,
        retention: version.retention,
        contents: std::collections::BTreeMap::new(),
    };
    Ok((manifest, version.archived))
}

/// Everything that a run left: outputs, code, plan, record, attestations and what was printed. Its inputs are archived as
/// the datasets and runs that they are.
fn of_run(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
) -> Result<(Manifest, Option<String>), ArchiveError> {
    let run = summary(home, project, run)?;
    let object = Retained::Run(run.run.clone());
    if run.expired.is_some() {
        return Err(ArchiveError::Expired { object, archived: run.archived });
    }
    let (snapshots, objects) = parts_of(home, project, &run)?;
    let store = home.store(project)?;
    let (mut files, mut bytes) = (0, 0);
    for snapshot in &snapshots {
        let snapshot = store.snapshot(snapshot)?;
        files += snapshot.files;
        bytes += snapshot.bytes;
    }
    let manifest = Manifest {
        schema: Manifest::schema(),
        object,
        project: project.clone(),
        snapshots,
        objects,
        files,
        bytes,
        labels: run.labels,
        metadata: Metadata::new(),
        retention: run.retention,
        contents: std::collections::BTreeMap::new(),
    };
    Ok((manifest, run.archived))
}

/// Trees and objects of a sealed run.
fn parts_of(
    home: &Home,
    project: &ProjectName,
    run: &RunSummary,
) -> Result<(BTreeSet<Digest>, BTreeSet<Digest>), ArchiveError> {
    let Some(digest) = run.record else {
        let state = run.status.map_or("still running", aseptic_model::Status::as_str);
        return Err(ResultError::NotSealed { run: run.run.clone(), state, what: "record" }.into());
    };
    let record: RunRecord = home.object(project, &digest)?;
    let kept = record.kept_logs().map(|log| log.blake3);
    let objects = kept.chain([run.plan, digest]).chain(run.attestation).chain(run.inventory).collect();
    // A run that was never started has its record in the place of its outputs.
    let outputs = run.outputs.filter(|outputs| *outputs != digest);
    Ok((outputs.into_iter().chain(run.code).collect(), objects))
}
