//! Whether an attestation is to be believed: its signature, its key and its place in the ledger, its files.

use aseptic_attest::{Envelope, PROVENANCE, PublicKey, Statement, TRACE, parse_lines, parse_model_signature};
use aseptic_ledger::Position;
use aseptic_model::{Digest, Entry as Written, Event as Entry, ProjectName, RunId, RunRef, from_canonical};
use aseptic_policy::Act;

use super::outputs::compare;
use super::{AttestationError, Attested, Compared, OutputsToCheck, attest_show};
use crate::home::{Home, HomeError};

/// What was verified.
#[derive(Debug)]
pub struct Checked {
    /// The run that the ledger names, where it is about one.
    pub run: Option<RunId>,
    /// Id of the key.
    pub key: String,
    /// Index of the entry with the key; none where it was given.
    pub key_entry: Option<u64>,
    /// Index of the entry that names the attestation; none where no ledger was asked, or none names it.
    pub entry: Option<u64>,
    /// The statements.
    pub statements: Vec<Statement>,
    /// The files that were compared.
    pub outputs: Option<Compared>,
}

/// What the ledger says of keys and of one run.
#[derive(Default)]
struct Anchors {
    keys: Vec<(u64, PublicKey)>,
    sealed: Option<(u64, Entry)>,
}

impl Anchors {
    /// Reads the whole ledger, as far as it can be read.
    fn of(home: &Home, project: &ProjectName, run: Option<&RunId>) -> Result<Self, AttestationError> {
        let mut anchors = Self::default();
        let entries = aseptic_ledger::read(&home.ledger_dir(), Position::START).map_err(HomeError::from)?;
        for entry in entries {
            let entry = entry.map_err(HomeError::from)?;
            let Ok(written) = from_canonical::<Written>(&entry.bytes) else { continue };
            match written.event {
                Entry::AttestationKey { public_key, .. } => {
                    anchors.keys.push((entry.index, PublicKey::from_pem(&public_key)?));
                }
                Entry::RunSealed { run: ref sealed, .. }
                    if anchors.sealed.is_none() && written.project == *project && Some(sealed) == run =>
                {
                    anchors.sealed = Some((entry.index, written.event));
                }
                _ => {}
            }
        }
        Ok(anchors)
    }

    /// The key in force at the entry `index`.
    fn key_at(&self, index: u64) -> Option<(u64, &PublicKey)> {
        self.keys.iter().rev().find(|(at, _)| *at < index).map(|(at, key)| (*at, key))
    }

    /// The entry of the run: its index, and the attestations and outputs that it names.
    fn sealed(&self) -> Option<(u64, Option<Digest>, Digest)> {
        match &self.sealed {
            Some((index, Entry::RunSealed { attestation, outputs, .. })) => {
                Some((*index, *attestation, *outputs))
            }
            _ => None,
        }
    }
}

/// Verifies the attestations of a run of this machine: both statements are there and signed by the key in force when
/// it was sealed, the ledger names them and the key, they are about its outputs, and the files of `outputs` are
/// those. That nobody rewrote the ledger is for [`verify_ledger`](crate::verify_ledger).
///
/// # Errors
/// [`AttestationError`].
pub fn attest_verify(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
    key: Option<&PublicKey>,
    outputs: Option<&OutputsToCheck>,
) -> Result<Checked, AttestationError> {
    let attested = attest_show(home, project, run)?;
    let anchors = Anchors::of(home, project, Some(&attested.run))?;
    let Attested { run, digest, envelopes, statements } = attested;
    let unanchored = |what: String| AttestationError::Unanchored { what };
    let (index, named, tree) = anchors
        .sealed()
        .ok_or_else(|| unanchored(format!("the ledger does not say that run `{run}` was sealed")))?;
    if named != Some(digest) {
        return Err(unanchored(format!(
            "entry {index} of the ledger names another attestation of run `{run}`"
        )));
    }
    let (key_entry, recorded) = anchors.key_at(index).ok_or_else(|| {
        unanchored(format!("no entry of the ledger before {index} has a key of attestations"))
    })?;
    if key.is_some_and(|key| key != recorded) {
        return Err(unanchored(format!(
            "run `{run}` was to be signed by key {}, not by the given one",
            recorded.id()
        )));
    }
    for envelope in &envelopes {
        envelope.verify(recorded)?;
    }
    for wanted in [PROVENANCE, TRACE] {
        let about = statements.iter().find(|statement| statement.predicate_type == wanted);
        let about =
            about.ok_or_else(|| unanchored(format!("there is no statement {wanted} of run `{run}`")))?;
        let tree = tree.to_string();
        if !about.subject.iter().any(|subject| subject.digest.get("blake3") == Some(&tree)) {
            return Err(unanchored(format!(
                "the statement {wanted} is about other outputs than those of `{run}`"
            )));
        }
    }
    let compared = compared(&statements, outputs)?;
    Ok(Checked {
        run: Some(run),
        key: recorded.id().to_owned(),
        key_entry: Some(key_entry),
        entry: Some(index),
        statements,
        outputs: compared,
    })
}

/// Verifies the statements in a file: envelopes, a line each, or the signature of a model.
///
/// With a key, everything is signed by it, and no ledger is asked. Without, by a key that the ledger of `home` has; a
/// provenance or trace of a run of this ledger then has to be the one that the ledger names.
///
/// # Errors
/// [`AttestationError`].
pub fn attest_verify_file(
    text: &[u8],
    from: Result<&PublicKey, (&Home, &ProjectName)>,
    outputs: Option<&OutputsToCheck>,
) -> Result<Checked, AttestationError> {
    let envelopes = match parse_model_signature(text)? {
        Some(envelope) => vec![envelope],
        None => parse_lines(text)?,
    };
    let mut checked = match from {
        Ok(key) => {
            for envelope in &envelopes {
                envelope.verify(key)?;
            }
            let (key, statements) = (key.id().to_owned(), parsed(&envelopes)?);
            Checked { run: None, key, key_entry: None, entry: None, statements, outputs: None }
        }
        Err((home, project)) => by_ledger(home, project, &envelopes)?,
    };
    checked.outputs = compared(&checked.statements, outputs)?;
    Ok(checked)
}

/// Nothing of a payload is looked at before its signature is known to be good.
fn parsed(envelopes: &[Envelope]) -> Result<Vec<Statement>, AttestationError> {
    Ok(envelopes.iter().map(Statement::of).collect::<Result<_, _>>()?)
}

fn by_ledger(
    home: &Home,
    project: &ProjectName,
    envelopes: &[Envelope],
) -> Result<Checked, AttestationError> {
    let unanchored = |what: String| AttestationError::Unanchored { what };
    home.allowed(project, Act::View, None)?;
    let keys = Anchors::of(home, project, None)?.keys;
    let mut used = None;
    for envelope in envelopes {
        let known = keys.iter().rev().find(|(_, key)| envelope.verify(key).is_ok());
        let (index, key) = known.ok_or_else(|| {
            let ids = envelope.keyids().map(|id| id.chars().take(64).flat_map(char::escape_debug).collect());
            let ids: Vec<String> = ids.collect();
            unanchored(format!("it is signed by no key that the ledger has (it names {})", ids.join(", ")))
        })?;
        used = Some((*index, key.id().to_owned()));
    }
    let (key_entry, key) = used.ok_or_else(|| unanchored("it has no statement".to_owned()))?;
    let statements = parsed(envelopes)?;
    // Which run of ours they are about, if they say so.
    let prefix = format!("{}/{project}/", home.origin());
    let run =
        statements.iter().find_map(invocation).and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
    let anchors = Anchors::of(home, project, run.as_ref())?;
    let ours = statements
        .iter()
        .any(|statement| invocation(statement).is_some_and(|name| name.starts_with(&prefix)));
    let entry = match (&run, anchors.sealed()) {
        (Some(run), Some((index, ..))) => {
            let stored = attest_show(home, project, &run_ref(run)?)?;
            for (envelope, statement) in envelopes.iter().zip(&statements) {
                let named = [PROVENANCE, TRACE].contains(&statement.predicate_type.as_str());
                if named && !stored.envelopes.contains(envelope) {
                    return Err(unanchored(format!("the ledger names another statement about run `{run}`")));
                }
            }
            Some(index)
        }
        _ if ours => return Err(unanchored("the ledger has no run of that name".to_owned())),
        _ => None,
    };
    Ok(Checked {
        run: run.filter(|_| entry.is_some()),
        key,
        key_entry: Some(key_entry),
        entry,
        statements,
        outputs: None,
    })
}

fn run_ref(run: &RunId) -> Result<RunRef, AttestationError> {
    let wrong = |_| AttestationError::Unanchored { what: format!("`{run}` names no run") };
    run.as_str().parse().map_err(wrong)
}

/// The run that a statement says it is about.
fn invocation(statement: &Statement) -> Option<&str> {
    let at = match statement.predicate_type.as_str() {
        PROVENANCE => "/runDetails/metadata/invocationId",
        TRACE => "/monitoredProcess/event",
        _ => return None,
    };
    statement.predicate.pointer(at)?.as_str()
}

fn compared(
    statements: &[Statement],
    outputs: Option<&OutputsToCheck>,
) -> Result<Option<Compared>, AttestationError> {
    let Some(outputs) = outputs else { return Ok(None) };
    // Statements of one run have the same subjects; those of another must not pass as well.
    let mut distinct: Vec<&Statement> = statements.iter().collect();
    distinct.dedup_by(|one, before| one.subject == before.subject);
    let mut compared = None;
    for statement in distinct {
        compared = Some(compare(statement, outputs)?);
    }
    compared.map(Some).ok_or(AttestationError::Unlisted)
}
