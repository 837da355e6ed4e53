//! Whether a bundle of evidence is what the ledger says, without the ledger, the network or any state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aseptic_attest::{Envelope, PublicKey, Statement, parse_lines, sha256};
use aseptic_ledger::{Checkpoint, LogProof, VerifierKey};
use aseptic_model::{Committed, Digest, Entry, Event, from_canonical};

use super::bundle::{Files, README, is_listed, lines, manifest, pretty};
use super::directory::read;
use super::document::{Document, Line, SCHEMA, belongs};
use super::picture::picture;
use super::report::report;
use super::unproven::not_proven;
use super::{IncidentError, MANIFEST_TYPE};
use crate::graph::svg;

/// What was verified, and what was not.
#[derive(Debug)]
pub struct Verification {
    /// What the bundle says.
    pub document: Document,
    /// The entries of it.
    pub timeline: Vec<Line>,
    /// What the ledger held.
    pub checkpoint: Checkpoint,
    /// How many runs have signed statements.
    pub statements: usize,
    /// Id of the key that signed the manifest.
    pub key: String,
    /// What nobody can know from the bundle alone.
    pub not_proven: Vec<String>,
}

pub(super) fn wrong(what: impl Into<String>) -> IncidentError {
    IncidentError::Bundle(what.into())
}

/// Verifies the bundle in `dir`. With `key`, the checkpoint is by that key of the ledger; without, by a key that the
/// bundle itself names.
///
/// # Errors
/// [`IncidentError::Bundle`] names the first thing that is not so.
pub fn verify(dir: &Path, key: Option<&VerifierKey>) -> Result<Verification, IncidentError> {
    let mut files = read(dir)?;
    let signed = files.remove("manifest.json").ok_or_else(|| wrong("it has no `manifest.json`"))?;
    let line = signed.strip_suffix(b"\n").ok_or_else(|| wrong("the manifest is not one line"))?;
    let envelope =
        Envelope::parse(line).map_err(|error| wrong(format!("the manifest is damaged: {error}")))?;
    if envelope.to_line().as_bytes() != line {
        return Err(wrong("the manifest is not written as it is signed"));
    }
    let statement = listed(&envelope, &files)?;
    let document: Document = json(&files, "incident.json")?;
    if document.schema != SCHEMA {
        return Err(wrong("`incident.json` is of another version"));
    }
    if statement != manifest(&files, &document.incident) {
        return Err(wrong("the manifest says more than what the files are"));
    }
    let (checkpoint, signer) = checked_checkpoint(&files, &document, key)?;
    let entries = proven(&files, &document, &checkpoint)?;
    let attestation = signing_key(&files, &entries)?;
    envelope.verify(&attestation).map_err(|error| wrong(format!("the manifest is not signed: {error}")))?;
    let timeline = timeline(&files, &entries)?;
    let same = |name: &str, made: &[u8]| match files.get(name) {
        Some(bytes) if bytes == made => Ok(()),
        _ => Err(wrong(format!("`{name}` is not what the entries and `incident.json` say"))),
    };
    same("incident.json", &pretty(&document)?)?;
    same("timeline.jsonl", &lines(&timeline)?)?;
    same("report.html", report(&document, &timeline).as_bytes())?;
    same("lineage.svg", svg(&picture(&document)).as_bytes())?;
    same("README.txt", README.as_bytes())?;
    agrees(&document, &entries)?;
    let statements = attached(&files, &document, &entries)?;
    no_others(&files, &document, &entries)?;
    let not_proven = not_proven(&document, &timeline, &checkpoint, key.is_some(), statements, &signer);
    let key = attestation.id().to_owned();
    Ok(Verification { document, timeline, checkpoint, statements, key, not_proven })
}

/// The files are exactly those of the manifest, whose signature is verified later: its key is in one of them.
fn listed(manifest: &Envelope, files: &Files) -> Result<Statement, IncidentError> {
    let statement =
        Statement::of(manifest).map_err(|error| wrong(format!("the manifest is damaged: {error}")))?;
    if statement.predicate_type != MANIFEST_TYPE {
        return Err(wrong("the manifest is a statement of another kind"));
    }
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    for subject in &statement.subject {
        let shown = subject.name.escape_debug();
        let Some(bytes) = files.get(&subject.name) else {
            return Err(wrong(format!("`{shown}` is in the manifest and not there")));
        };
        let same = subject.digest.get("blake3").is_some_and(|is| *is == Digest::of(bytes).to_string())
            && subject.digest.get("sha256").is_some_and(|is| *is == sha256(bytes));
        if !same {
            return Err(wrong(format!("`{shown}` is not the file of the manifest")));
        }
        missing.insert(&subject.name);
    }
    match files.keys().find(|name| !missing.contains(name.as_str())) {
        Some(extra) => Err(wrong(format!("`{}` is there and not in the manifest", extra.escape_debug()))),
        None => Ok(statement),
    }
}

fn text<'f>(files: &'f Files, name: &str) -> Result<&'f str, IncidentError> {
    let bytes = files.get(name).ok_or_else(|| wrong(format!("it has no `{name}`")))?;
    std::str::from_utf8(bytes).map_err(|_| wrong(format!("`{name}` is no text")))
}

fn json<T: serde::de::DeserializeOwned>(files: &Files, name: &str) -> Result<T, IncidentError> {
    serde_json::from_str(text(files, name)?).map_err(|error| wrong(format!("`{name}` is damaged: {error}")))
}

fn checked_checkpoint(
    files: &Files,
    document: &Document,
    key: Option<&VerifierKey>,
) -> Result<(Checkpoint, String), IncidentError> {
    let checkpoint: Checkpoint = text(files, "checkpoint")?
        .parse()
        .map_err(|error| wrong(format!("`checkpoint` is damaged: {error}")))?;
    if checkpoint.to_string() != text(files, "checkpoint")? {
        return Err(wrong("`checkpoint` is not written as it is signed"));
    }
    if checkpoint.origin() != document.ledger || checkpoint.size() != document.entries {
        return Err(wrong(
            "`checkpoint` is of another ledger, or of another time, than `incident.json` says",
        ));
    }
    let known: Vec<VerifierKey> = text(files, "verifier")?
        .lines()
        .map(|line| line.parse().map_err(|_| wrong("`verifier` is damaged")))
        .collect::<Result<_, _>>()?;
    let by = match key {
        Some(key) => checkpoint.is_signed_by(key).then_some(key),
        None => known.iter().find(|key| checkpoint.is_signed_by(key)),
    };
    let by = by.ok_or_else(|| {
        wrong(match key {
            Some(_) => "the checkpoint is not signed by the given key; a ledger whose key was rotated signs with the newest",
            None => "the checkpoint is signed by no key of `verifier`",
        })
    })?;
    if !known.contains(by) {
        return Err(wrong("`verifier` does not have the key that signed the checkpoint"));
    }
    Ok((checkpoint, by.to_string()))
}

/// The entries, each proven to be in the tree of the checkpoint.
fn proven(
    files: &Files,
    document: &Document,
    checkpoint: &Checkpoint,
) -> Result<BTreeMap<u64, Entry>, IncidentError> {
    let mut entries = BTreeMap::new();
    for name in files.keys().filter(|name| name.starts_with("entries/")) {
        let bad =
            |why: &dyn std::fmt::Display| wrong(format!("`{}` proves nothing: {why}", name.escape_debug()));
        let proof: LogProof = text(files, name)?.parse().map_err(|error| bad(&error))?;
        if proof.to_string() != text(files, name)? || *name != format!("entries/{}.tlog-proof", proof.index) {
            return Err(bad(&"it is not written or named as it should be"));
        }
        if proof.checkpoint != *checkpoint {
            return Err(bad(&"it is for another checkpoint"));
        }
        let bytes = proof.extra.as_ref().ok_or_else(|| bad(&"it does not have the entry"))?;
        proof.verify(bytes).map_err(|error| bad(&error))?;
        let entry: Entry = from_canonical(bytes).map_err(|error| bad(&error))?;
        if !belongs(&entry, document) {
            return Err(bad(&"the entry is about something else"));
        }
        entries.insert(proof.index, entry);
    }
    Ok(entries)
}

/// The key of attestations that was in force last, by an entry.
fn signing_key(files: &Files, entries: &BTreeMap<u64, Entry>) -> Result<PublicKey, IncidentError> {
    let named = entries.values().rev().find_map(|entry| match &entry.event {
        Event::AttestationKey { public_key, .. } => Some(public_key),
        _ => None,
    });
    let named = named.ok_or_else(|| wrong("no entry has the key that signed the manifest"))?;
    if text(files, "attestation-key.pem")? != named {
        return Err(wrong("`attestation-key.pem` is not the key of the ledger"));
    }
    PublicKey::from_pem(named).map_err(|error| wrong(format!("`attestation-key.pem` is damaged: {error}")))
}

fn timeline(files: &Files, entries: &BTreeMap<u64, Entry>) -> Result<Vec<Line>, IncidentError> {
    let mut openings = BTreeMap::new();
    let wanted: BTreeSet<&Digest> = entries.values().flat_map(|entry| entry.committed.values()).collect();
    for line in text(files, "values.jsonl")?.lines() {
        let opening: Committed = from_canonical(line.as_bytes())
            .map_err(|error| wrong(format!("`values.jsonl` is damaged: {error}")))?;
        if !opening.is_true() || !wanted.contains(&opening.commitment) {
            return Err(wrong("`values.jsonl` opens no commitment of the entries"));
        }
        openings.insert(opening.commitment, opening);
    }
    Ok(entries.iter().map(|(index, entry)| Line::of(*index, entry, &openings)).collect())
}

/// What `incident.json` says of runs, datasets and the incident is what the entries say.
fn agrees(document: &Document, entries: &BTreeMap<u64, Entry>) -> Result<(), IncidentError> {
    let opened = entries.values().any(|entry| {
        matches!(&entry.event, Event::IncidentOpened { incident, objects, .. }
            if *incident == document.incident && *objects == document.objects)
    });
    if !opened {
        return Err(wrong("no entry opened an incident about these objects"));
    }
    for run in &document.runs {
        let about = || {
            entries
                .values()
                .filter(|entry| entry.project == run.project && entry.event.run() == Some(&run.run))
        };
        let planned = about().any(|entry| {
            matches!(entry.event, Event::RunPlanned { .. })
                && entry.time == run.planned
                && entry.actor == run.actor
        });
        let sealed = about().find_map(|entry| match &entry.event {
            Event::RunSealed { status, outputs, attestation, .. } => Some((*status, *outputs, *attestation)),
            _ => None,
        });
        let same = match sealed {
            Some((status, outputs, attestation)) => {
                run.status == Some(status) && run.outputs == Some(outputs) && run.statements == attestation
            }
            None => run.outputs.is_none() && run.statements.is_none(),
        };
        if !planned || !same {
            return Err(wrong(format!("the entries say something else of run `{}`", run.run)));
        }
    }
    for dataset in &document.datasets {
        let added = entries.values().any(|entry| {
            entry.project == dataset.project
                && matches!(&entry.event, Event::DatasetAdded { name, version, snapshot, .. }
                    if *name == dataset.name && *version == dataset.version && *snapshot == dataset.snapshot)
        });
        if !added {
            return Err(wrong(format!("no entry added `{}@{}`", dataset.name, dataset.version)));
        }
    }
    if !super::picture::is_of(document) {
        return Err(wrong("the picture shows what was not reached"));
    }
    let actors: BTreeSet<&String> = entries.values().map(|entry| &entry.actor).collect();
    if !document.actors.iter().eq(actors)
        || !document.given_away.iter().all(|given| entries.contains_key(given))
    {
        return Err(wrong("the entries name other people, or other things that were given away"));
    }
    Ok(())
}

/// The statements and lists that entries name; returns the number of runs that have statements.
fn attached(
    files: &Files,
    document: &Document,
    entries: &BTreeMap<u64, Entry>,
) -> Result<usize, IncidentError> {
    let named = |name: &str, digest: &Digest| match files.get(name) {
        Some(bytes) if Digest::of(bytes) == *digest => Ok(bytes),
        Some(_) => Err(wrong(format!("`{name}` is not what its entry names"))),
        None => Err(wrong(format!("it has no `{name}`, which an entry names"))),
    };
    let mut statements = 0;
    let mut key: Option<PublicKey> = None;
    for entry in entries.values() {
        match &entry.event {
            Event::AttestationKey { public_key, .. } => {
                let parsed = PublicKey::from_pem(public_key);
                key =
                    Some(parsed.map_err(|error| wrong(format!("a key in the ledger is damaged: {error}")))?);
            }
            Event::RunSealed { run, attestation: Some(digest), .. }
                if is_listed(document, &entry.project, run) =>
            {
                let name = format!("statements/{}-{run}.jsonl", entry.project);
                let bad =
                    |why: &dyn std::fmt::Display| wrong(format!("`{name}` is not to be believed: {why}"));
                let key = key.as_ref().ok_or_else(|| bad(&"no entry before has a key"))?;
                for envelope in parse_lines(named(&name, digest)?).map_err(|error| bad(&error))? {
                    envelope.verify(key).map_err(|error| bad(&error))?;
                }
                statements += 1;
            }
            Event::QuarantineAdded { reached: Some(digest), .. } => {
                named(&format!("reached/{digest}.json"), digest)?;
            }
            _ => {}
        }
    }
    Ok(statements)
}

/// Nothing is there that nobody verified.
fn no_others(
    files: &Files,
    document: &Document,
    entries: &BTreeMap<u64, Entry>,
) -> Result<(), IncidentError> {
    const PLAIN: [&str; 9] = [
        "README.txt",
        "attestation-key.pem",
        "checkpoint",
        "incident.json",
        "lineage.svg",
        "report.html",
        "timeline.jsonl",
        "values.jsonl",
        "verifier",
    ];
    let named: BTreeSet<String> = entries
        .values()
        .filter_map(|entry| match &entry.event {
            Event::RunSealed { run, attestation: Some(_), .. }
                if is_listed(document, &entry.project, run) =>
            {
                Some(format!("statements/{}-{run}.jsonl", entry.project))
            }
            Event::QuarantineAdded { reached: Some(digest), .. } => Some(format!("reached/{digest}.json")),
            _ => None,
        })
        .collect();
    let known = |name: &&String| {
        PLAIN.contains(&name.as_str()) || name.starts_with("entries/") || named.contains(name.as_str())
    };
    match files.keys().find(|name| !known(name)) {
        Some(extra) => Err(wrong(format!("nothing says what `{}` is", extra.escape_debug()))),
        None => Ok(()),
    }
}
