//! Evidence as a directory: gathered, written beside its place, and moved there whole.
//!
//! **Invariant:** the ledger names a bundle before it is there, and half a bundle has another name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aseptic_attest::{STATEMENT, Statement, Subject, sha256};
use aseptic_catalog::Incident;
use aseptic_ledger::{Position, ledger_keys, prove};
use aseptic_model::{
    Digest, Entry, Event, IncidentId, Object, ProjectName, RunId, from_canonical, to_canonical,
};
use serde_json::json;

use super::document::{
    ARTIFACTS_MAX, Artifact, Dataset, Document, Line, Run, SCHEMA, STEPS_MAX, Step, Thing, belongs,
};
use super::picture::picture;
use super::report::report;
use super::staged::Staged;
use super::{IncidentError, MANIFEST_TYPE, check_place};
use crate::attest::Signer;
use crate::graph::svg;
use crate::home::{Home, HomeError, RECORD_BYTES_MAX};
use crate::prove::{checkpoint, publish};
use crate::quarantine::{current_reach, union};
use crate::record::values::openings;

/// The files of a bundle by their names.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The directories of a bundle; there are none in them.
pub(super) const DIRECTORIES: [&str; 3] = ["entries", "reached", "statements"];

pub(super) const README: &str = "Evidence of an incident, as aseptic recorded it.

report.html        for people; it needs no network
lineage.svg        how one thing came of another
incident.json      the same for programs: runs, datasets, files, hosts, people
timeline.jsonl     the entries of the ledger about it, a line each
entries/           these entries, each with the proof that the ledger has it (C2SP tlog-proof)
values.jsonl       what opens the commitments of the entries: reasons and statements of people
reached/           what each object had reached when it was put in quarantine
statements/        what was signed about each run when it was sealed (in-toto statements in DSSE)
checkpoint         what the ledger held, signed by its key, with the cosignatures of witnesses
verifier           the keys of the ledger; compare them with those that were published
attestation-key.pem  the key that signed the manifest
manifest.json      every file with its digests, signed (DSSE)

To check all of it on any machine: aseptic incident verify DIR --key KEY
";

/// What was exported.
#[derive(Debug)]
pub struct Exported {
    /// The incident.
    pub incident: IncidentId,
    /// Where it is.
    pub path: PathBuf,
    /// Number of files.
    pub files: usize,
    /// BLAKE3 of the manifest, which the ledger names.
    pub manifest: Digest,
}

/// Gathers the evidence of `incident` and writes it to `out`, which must not be there.
pub(super) fn export(
    home: &mut Home,
    project: &ProjectName,
    incident: &Incident,
    out: &Path,
) -> Result<Exported, IncidentError> {
    check_place(home, out)?;
    let staged = Staged::new(out)?;
    let signer = Signer::open(home)?;
    home.record(project, signer.entry().into_iter().collect())?;
    home.catch_up()?;
    let mut files = gather(home, project, incident)?;
    files.insert("attestation-key.pem".to_owned(), signer.key().public().pem().as_bytes().to_vec());
    let statement = manifest(&files, &incident.incident);
    let envelope = statement.sign(signer.key()).map_err(crate::attest::KeyError::from)?;
    let signed = format!("{}\n", envelope.to_line()).into_bytes();
    let manifest = Digest::of(&signed);
    let count = files.len() + 1;
    files.insert("manifest.json".to_owned(), signed);
    staged.write(&files)?;
    let event = Event::IncidentExported { incident: incident.incident.clone(), manifest };
    home.record(project, vec![event])?;
    staged.keep(out)?;
    Ok(Exported { incident: incident.incident.clone(), path: out.to_owned(), files: count, manifest })
}

/// What the manifest of `files` says.
pub(super) fn manifest(files: &Files, incident: &IncidentId) -> Statement {
    let subject = files.iter().map(|(name, bytes)| Subject {
        name: name.clone(),
        digest: BTreeMap::from([
            ("blake3".to_owned(), Digest::of(bytes).to_string()),
            ("sha256".to_owned(), sha256(bytes)),
        ]),
        annotations: None,
    });
    Statement {
        kind: STATEMENT.to_owned(),
        subject: subject.collect(),
        predicate_type: MANIFEST_TYPE.to_owned(),
        predicate: json!({ "incident": incident, "files": files.len() }),
    }
}

fn gather(home: &mut Home, project: &ProjectName, incident: &Incident) -> Result<Files, IncidentError> {
    let dir = home.ledger_dir();
    publish(&dir)?;
    let tree = checkpoint(&dir)?;
    let mut document = document(home, project, incident, tree.size())?;
    let mut files = Files::new();
    let mut entries: Vec<(u64, Entry)> = Vec::new();
    for read in aseptic_ledger::read(&dir, Position::START).map_err(HomeError::from)? {
        let read = read.map_err(HomeError::from)?;
        if read.index >= tree.size() {
            break;
        }
        let Ok(entry) = from_canonical::<Entry>(&read.bytes) else { continue };
        if belongs(&entry, &document) {
            let proof = prove(&dir, read.index, &tree).map_err(crate::prove::ProveError::from)?;
            files.insert(format!("entries/{}.tlog-proof", read.index), proof.to_string().into_bytes());
            entries.push((read.index, entry));
        }
    }
    document.actors = entries.iter().map(|(_, entry)| entry.actor.clone()).collect();
    document.given_away.retain(|given| entries.iter().any(|(index, _)| index == given));
    let wanted = entries.iter().flat_map(|(_, entry)| entry.committed.values().copied()).collect();
    let known = openings(&dir, &wanted).map_err(HomeError::from)?;
    let mut values = Vec::new();
    for opening in &known {
        values.extend(to_canonical(opening).map_err(HomeError::from)?);
        values.push(b'\n');
    }
    let known = known.into_iter().map(|opening| (opening.commitment, opening)).collect();
    let timeline: Vec<_> = entries.iter().map(|(index, entry)| Line::of(*index, entry, &known)).collect();
    attached(home, &document, &entries, &mut files)?;
    let keys: Vec<String> = ledger_keys(&dir)
        .map_err(crate::prove::ProveError::from)?
        .iter()
        .map(|key| format!("{key}\n"))
        .collect();
    files.insert("report.html".to_owned(), report(&document, &timeline).into_bytes());
    files.insert("lineage.svg".to_owned(), svg(&picture(&document)).into_bytes());
    files.insert("incident.json".to_owned(), pretty(&document)?);
    files.insert("timeline.jsonl".to_owned(), lines(&timeline)?);
    files.insert("values.jsonl".to_owned(), values);
    files.insert("checkpoint".to_owned(), tree.to_string().into_bytes());
    files.insert("verifier".to_owned(), keys.concat().into_bytes());
    files.insert("README.txt".to_owned(), README.as_bytes().to_vec());
    Ok(files)
}

pub(super) fn pretty(document: &Document) -> Result<Vec<u8>, IncidentError> {
    let mut text = serde_json::to_vec_pretty(document).map_err(IncidentError::Json)?;
    text.push(b'\n');
    Ok(text)
}

pub(super) fn lines(timeline: &[Line]) -> Result<Vec<u8>, IncidentError> {
    let mut text = Vec::new();
    for line in timeline {
        text.extend(to_canonical(line).map_err(HomeError::from)?);
        text.push(b'\n');
    }
    Ok(text)
}

fn document(
    home: &Home,
    project: &ProjectName,
    incident: &Incident,
    entries: u64,
) -> Result<Document, IncidentError> {
    let mut previews = Vec::new();
    for object in &incident.objects {
        previews.push(current_reach(home, project, object)?);
    }
    let unseen = previews.iter().flat_map(|preview| preview.reached.unseen.iter().copied()).collect();
    let steps = previews.iter().flat_map(|preview| preview.steps.iter().cloned());
    let step = |(from, to)| Step { from: thing(from), to: thing(to) };
    let steps: BTreeSet<Step> = steps.take(STEPS_MAX).map(step).collect();
    let (reached, datasets, given) = union(previews);
    let (mut runs, mut artifacts, mut unlisted) = (Vec::new(), Vec::new(), 0_u64);
    let mut hosts = BTreeSet::new();
    for one in reached {
        let Some(known) = home.catalog.run(&one.project, &one.run).map_err(HomeError::from)? else {
            continue;
        };
        hosts.extend(known.host.clone());
        for (path, size, blake3, sha256) in
            home.catalog.outputs(&one.project, &one.run).map_err(HomeError::from)?
        {
            if artifacts.len() < ARTIFACTS_MAX {
                artifacts.push(Artifact { run: one.run.clone(), path, size, blake3, sha256 });
            } else {
                unlisted += 1;
            }
        }
        runs.push(Run {
            project: one.project,
            run: one.run,
            experiment: one.experiment,
            planned: one.planned,
            actor: one.actor,
            status: one.status,
            host: known.host,
            outputs: known.outputs,
            statements: known.attestation,
        });
    }
    let datasets = datasets.into_iter().map(|one| Dataset {
        project: one.project,
        name: one.name,
        version: one.version,
        snapshot: one.snapshot,
    });
    Ok(Document {
        schema: SCHEMA.to_owned(),
        incident: incident.incident.clone(),
        project: project.clone(),
        ledger: home.origin(),
        entries,
        objects: incident.objects.clone(),
        runs,
        datasets: datasets.collect(),
        artifacts,
        artifacts_unlisted: unlisted,
        hosts,
        actors: BTreeSet::new(),
        given_away: given.into_iter().map(|one| one.entry).collect(),
        steps,
        unseen,
    })
}

fn thing((project, object): (ProjectName, Object)) -> Thing {
    Thing { project, object }
}

/// What the entries name and the store has: signed statements, and what was reached at that time.
fn attached(
    home: &Home,
    document: &Document,
    entries: &[(u64, Entry)],
    files: &mut Files,
) -> Result<(), IncidentError> {
    let read = |project: &ProjectName, digest: &Digest| -> Result<Vec<u8>, IncidentError> {
        Ok(home.store(project)?.get_bytes(digest, RECORD_BYTES_MAX).map_err(HomeError::from)?)
    };
    for (_, entry) in entries {
        match &entry.event {
            Event::RunSealed { run, attestation: Some(digest), .. }
                if is_listed(document, &entry.project, run) =>
            {
                let name = format!("statements/{}-{run}.jsonl", entry.project);
                files.insert(name, read(&entry.project, digest)?);
            }
            Event::QuarantineAdded { reached: Some(digest), .. } => {
                files.insert(format!("reached/{digest}.json"), read(&entry.project, digest)?);
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn is_listed(document: &Document, project: &ProjectName, run: &RunId) -> bool {
    document.runs.iter().any(|known| known.project == *project && known.run == *run)
}
