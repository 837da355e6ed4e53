//! The bytes of each document.

use std::path::Path;

use aseptic_attest::{
    Artifact, AttestError, CRATE_FILE, Dataset, DatasetFile, FILES_MAX, Facts, MODEL_LABEL, ModelFile,
    RunFacts, croissant, cyclonedx, layout, link, link_name, model_signature, openlineage, ro_crate,
};
use aseptic_model::{
    FilePath, InputRef, Inventory, Plan, ProjectName, Retained, RunRecord, RunRef, to_canonical,
};
use aseptic_store::{EntryKind, Store};
use serde_json::Value;

use super::export::not_for;
use super::outputs::{each, sha256_of};
use super::{AttestExportError, AttestationError, Document, Signer, VERSION, attest_show};
use crate::dataset::{find, object_of};
use crate::home::{Home, HomeError, io_error};
use crate::results::{planned_and_record, refuse_repository, summary};
use crate::retention::{there, there_run};

/// The files of a document, by name; a document that is one file has one without a name.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// Those of a document about a run.
pub(super) fn of_run(
    home: &mut Home,
    project: &ProjectName,
    store: &Store,
    run: &RunRef,
    path: Option<&FilePath>,
    document: Document,
) -> Result<(Retained, Files), AttestExportError> {
    if path.is_some() && document != Document::Oms {
        return Err(not_for(document, "is about a whole run: name it without a path"));
    }
    let (plan, record) = planned_and_record(home, project, run)?;
    let object = Retained::Run(record.run.clone());
    let stored = || attest_show(home, project, run);
    let version = match stored() {
        Ok(attested) => attested.statements.iter().find_map(ran_by),
        Err(AttestationError::None(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let version = version.unwrap_or_else(|| VERSION.to_owned());
    let ledger = home.origin();
    let facts = Facts::new(RunFacts { plan: &plan, record: &record, ledger: &ledger, version: &version })
        .map_err(AttestError::from)?;
    let one = |bytes| vec![(String::new(), bytes)];
    let files = match document {
        Document::Slsa | Document::RuntimeTrace => {
            let attested = stored()?;
            let envelope = match document {
                Document::Slsa => attested.provenance(),
                _ => attested.trace(),
            };
            let envelope = envelope.ok_or_else(|| AttestationError::None(record.run.clone()))?;
            one(format!("{}\n", envelope.to_line()).into_bytes())
        }
        Document::InToto => signed(home, project, |signer| {
            let read = read_files(store, &plan, &record)?;
            let (layout, link) = (layout(&facts, signer.key())?, link(&facts, &read, signer.key())?);
            let public = signer.key().public();
            Ok(vec![
                ("root.layout".to_owned(), format!("{}\n", layout.to_line()).into_bytes()),
                (link_name(public), format!("{}\n", link.to_line()).into_bytes()),
                ("key.pem".to_owned(), public.pem().as_bytes().to_vec()),
            ])
        })?,
        Document::Oms => {
            let (name, model) = model(&record, path)?;
            signed(home, project, |signer| {
                Ok(vec![(String::new(), pretty(&model_signature(&name, &model, signer.key())?))])
            })?
        }
        Document::CycloneDx => {
            let inventory: Option<Inventory> =
                record.inventory.map(|digest| home.object(project, &digest)).transpose()?;
            one(pretty(&cyclonedx(&record, inventory.as_ref())))
        }
        Document::OpenLineage => {
            let events = openlineage(&record);
            one(events.iter().flat_map(|event| format!("{event}\n").into_bytes()).collect())
        }
        Document::RoCrate => crate_files(home, project, store, &facts, run)?,
        Document::Croissant => Vec::new(), // Is about datasets; see `attest_export`.
    };
    Ok((object, files))
}

/// The version of aseptic that a provenance names.
fn ran_by(statement: &aseptic_attest::Statement) -> Option<String> {
    statement.predicate.pointer("/runDetails/builder/version/aseptic")?.as_str().map(str::to_owned)
}

/// What is signed now, by a key that is in the ledger before.
fn signed(
    home: &mut Home,
    project: &ProjectName,
    make: impl FnOnce(&Signer) -> Result<Files, AttestExportError>,
) -> Result<Files, AttestExportError> {
    let signer = Signer::open(home)?;
    home.record(project, signer.entry().into_iter().collect())?;
    make(&signer)
}

/// The files that a run read, with the digests that its inputs give them.
fn read_files(store: &Store, plan: &Plan, record: &RunRecord) -> Result<Vec<Artifact>, AttestExportError> {
    let mut read = Vec::new();
    for (name, paths) in &record.lineage.read {
        let Some(input) = plan.inputs.get(name) else { continue };
        for path in paths {
            if let Some(EntryKind::File { digest, .. }) =
                store.lookup(&input.snapshot, path)?.map(|entry| entry.kind)
            {
                let (path, blake3) = (path.to_string(), digest.to_string());
                read.push(Artifact { input: name.clone(), path, blake3 });
            }
        }
    }
    Ok(read)
}

/// Name and files of the model in the outputs of a run: what is named, or all where they are labelled `model`.
fn model(record: &RunRecord, path: Option<&FilePath>) -> Result<(String, Vec<ModelFile>), AttestExportError> {
    let refused = |why: String| AttestExportError::NotFor { format: Document::Oms.as_str(), why };
    let part = match path {
        Some(path) => path.to_string(),
        None if record.labels.iter().any(|label| label.as_str() == MODEL_LABEL) => "out".to_owned(),
        None => {
            let why = format!(
                "signs a model, and the outputs of run `{}` have no label `{MODEL_LABEL}`: name the model \
                               as RUN/PATH",
                record.run
            );
            return Err(refused(why));
        }
    };
    let below = format!("{part}/");
    let inside = |path: &FilePath| path.to_string().strip_prefix(&below).map(str::to_owned);
    if let Some(link) = record.links.iter().find(|link| inside(&link.path).is_some()) {
        return Err(refused(format!("signs files alone, and `{}` is a link", link.path)));
    }
    let files: Vec<_> = record
        .outputs
        .iter()
        .filter_map(|output| Some(ModelFile { path: inside(&output.path)?, sha256: output.sha256.clone() }))
        .collect();
    if files.is_empty() {
        return Err(refused(format!(
            "signs a directory of files, and run `{}` left none in `{part}`",
            record.run
        )));
    }
    let name = part.rsplit('/').next().unwrap_or(&part).to_owned();
    Ok((name, files))
}

/// What lies beside the outputs in a crate.
fn crate_files(
    home: &Home,
    project: &ProjectName,
    store: &Store,
    facts: &Facts<'_>,
    run: &RunRef,
) -> Result<Files, AttestExportError> {
    let summary = summary(home, project, run)?;
    there_run(&summary)?;
    if let Some(outputs) = &summary.outputs {
        refuse_repository(store, outputs)?;
    }
    let canonical = AttestError::from;
    let mut files: Files = vec![
        (CRATE_FILE.to_owned(), pretty(&ro_crate(facts.run.record, None))),
        ("plan.json".to_owned(), to_canonical(facts.run.plan).map_err(canonical)?),
        ("record.json".to_owned(), to_canonical(facts.run.record).map_err(canonical)?),
    ];
    match attest_show(home, project, run) {
        Ok(attested) => {
            let lines: String = attested.envelopes.iter().map(|one| format!("{}\n", one.to_line())).collect();
            files.push(("attestation.jsonl".to_owned(), lines.into_bytes()));
        }
        Err(AttestationError::None(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(files)
}

/// That of a dataset.
pub(super) fn of_dataset(
    home: &Home,
    project: &ProjectName,
    store: &Store,
    reference: &InputRef,
) -> Result<(Retained, Files), AttestExportError> {
    let version = find(home, project, reference)?;
    there(&version)?;
    if version.files > FILES_MAX as u64 {
        let why = format!("lists each file, at most {FILES_MAX}, and `{reference}` has {}", version.files);
        return Err(AttestExportError::NotFor { format: Document::Croissant.as_str(), why });
    }
    let mut found = Vec::new();
    for entry in store.walk(&version.snapshot)? {
        if let (path, EntryKind::File { size, digest, .. }) = entry? {
            found.push((path.to_string(), size, digest));
        }
    }
    let mut files = each(&found, |(path, size, digest)| {
        let mut reader = store.reader(digest).map_err(HomeError::from)?;
        let (sha256, _) =
            sha256_of(&mut reader).map_err(|source| io_error("read", Path::new(path), source))?;
        Ok::<_, HomeError>(DatasetFile { path: path.clone(), size: *size, sha256 })
    })?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let canonical = |error: serde_json::Error| AttestError::Format { what: "JSON", why: error.to_string() };
    let facts = Dataset {
        name: &version.name,
        version: version.version,
        snapshot: version.snapshot,
        added: version.added,
        labels: &version.labels,
        metadata: &version.metadata,
        files: &files,
    };
    Ok((object_of(&version), vec![(String::new(), pretty(&croissant(&facts).map_err(canonical)?))]))
}

fn pretty(document: &Value) -> Vec<u8> {
    format!("{document:#}\n").into_bytes()
}
