//! Proofs that entries are in the ledger, for whoever does not have all of it.

use std::path::Path;

use aseptic_ledger::{
    Checkpoint, LogProof, Policy, ReadError, TilesError, collected, ledger_keys, prove, published_checkpoint,
    read_from, update_tiles,
};
use aseptic_model::{Class, Diagnose, Diagnosis, Entry, ProjectName, RunId, RunRef, from_canonical};

use aseptic_policy::Act;

use crate::home::{Home, HomeError};
use crate::results::{ResultError, seen};
use crate::witness::{WitnessingError, witness_policy};

/// Why something is not proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// No run is meant.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger cannot be read, or proves nothing.
    #[error(transparent)]
    Tiles(#[from] TilesError),
    /// Something about witnesses.
    #[error(transparent)]
    Witness(#[from] WitnessingError),
    /// The ledger has nothing about the run.
    #[error("the ledger has no entry of run `{0}`")]
    NoEntry(RunId),
    /// The checkpoint was not signed by a key of the ledger.
    #[error("the checkpoint was not signed by a key of this ledger")]
    Key,
}

impl Diagnose for ProveError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Result(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
            Self::Tiles(error) => error.diagnosis(),
            Self::Witness(error) => error.diagnosis(),
            Self::NoEntry(_) => {
                Diagnosis::new(Class::User, "ledger/not-in", "`aseptic ledger show` lists what is there")
            }
            Self::Key => Diagnosis::new(
                Class::Damaged,
                "ledger/key",
                "compare the file `verifier` with the key that was published when the ledger began",
            ),
        }
    }
}

impl From<ReadError> for ProveError {
    fn from(error: ReadError) -> Self {
        Self::Tiles(error.into())
    }
}

/// One entry of a run that is proven to be in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenEntry {
    /// Its index.
    pub index: u64,
    /// Its event, such as `run.sealed`.
    pub kind: &'static str,
}

/// Brings the tiles of the ledger in `dir` up to date; returns the number of entries.
///
/// # Errors
/// [`ProveError`].
pub fn publish(dir: &Path) -> Result<u64, ProveError> {
    Ok(update_tiles(dir)?.ok_or(WitnessingError::Empty)?)
}

/// The checkpoint of the ledger in `dir` as it is now, with its cosignatures.
///
/// # Errors
/// [`ProveError`].
pub fn checkpoint(dir: &Path) -> Result<Checkpoint, ProveError> {
    Ok(published_checkpoint(dir)?.ok_or(WitnessingError::Empty)?)
}

/// The proof that the entry `index` is in the ledger of `home`, where the user may look at the project of the entry: for
/// the newest checkpoint that enough witnesses cosigned, if it has the entry, and otherwise for the present one.
///
/// # Errors
/// [`ProveError`].
pub fn prove_viewed(home: &Home, project: &ProjectName, index: u64) -> Result<LogProof, ProveError> {
    home.allowed(project, Act::View, None)?;
    let dir = home.ledger_dir();
    if let Some(entry) = read_from(&dir, index)?.next() {
        let parsed: Option<Entry> = from_canonical(&entry?.bytes).ok();
        match parsed {
            Some(entry) => home.allowed(&entry.project, Act::View, None)?,
            None => home.allowed_everywhere(project)?,
        }
    }
    prove_entry(&dir, index)
}

/// The proof that the entry `index` is in the ledger in `dir`: for the newest checkpoint that enough witnesses
/// cosigned, if it has the entry, and otherwise for the present one.
///
/// # Errors
/// [`ProveError`].
fn prove_entry(dir: &Path, index: u64) -> Result<LogProof, ProveError> {
    let policy = witness_policy(dir)?;
    let best = if policy.needs_witnesses() { witnessed_by(dir, &policy, index)? } else { None };
    let checkpoint = match best {
        Some(checkpoint) => checkpoint,
        None => checkpoint(dir)?,
    };
    Ok(prove(dir, index, &checkpoint)?)
}

/// The newest checkpoint that the policy accepts and that has the entry `index`.
fn witnessed_by(dir: &Path, policy: &Policy, index: u64) -> Result<Option<Checkpoint>, ProveError> {
    let accepted =
        |kept: &Checkpoint| kept.size() > index && policy.judge(kept).is_ok_and(|judged| judged.quorum);
    Ok(collected(dir).map_err(TilesError::from)?.into_iter().rev().find(accepted))
}

/// The proof of a run: that the entry that sealed it (the last one about it, where nothing sealed it) is in the
/// ledger.
///
/// # Errors
/// [`ProveError`].
pub fn prove_run(home: &Home, project: &ProjectName, run: &RunRef) -> Result<LogProof, ProveError> {
    let (run, from) = planned(home, project, run)?;
    let dir = home.ledger_dir();
    let mut last = None;
    for found in entries_of(&dir, &run, from)? {
        let found = found?;
        last = Some(found.index);
        if found.kind == "run.sealed" {
            break;
        }
    }
    prove_entry(&dir, last.ok_or(ProveError::NoEntry(run))?)
}

/// Proves that every entry of a run is in the tree of `kept`, or of the present checkpoint.
///
/// # Errors
/// [`ProveError`]: one of them is not, or the checkpoint is none of this ledger.
pub fn verify_run(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
    kept: Option<&Checkpoint>,
) -> Result<(RunId, Vec<ProvenEntry>, Checkpoint), ProveError> {
    let (run, from) = planned(home, project, run)?;
    let dir = home.ledger_dir();
    let tree = match kept {
        Some(kept) => kept.clone(),
        None => checkpoint(&dir)?,
    };
    if !ledger_keys(&dir)?.iter().any(|key| tree.is_signed_by(key)) {
        return Err(ProveError::Key);
    }
    let mut proven = Vec::new();
    for found in entries_of(&dir, &run, from)? {
        let found = found?;
        prove(&dir, found.index, &tree)?;
        proven.push(found);
    }
    if proven.is_empty() { Err(ProveError::NoEntry(run)) } else { Ok((run, proven, tree)) }
}

/// The run, and the index of its first entry.
fn planned(home: &Home, project: &ProjectName, run: &RunRef) -> Result<(RunId, u64), ProveError> {
    let run = seen(home, project, run)?.run;
    let entry = home.catalog.run_entry(project, &run).map_err(HomeError::from)?;
    Ok((run, entry.unwrap_or(0)))
}

/// The entries about `run` from the entry `from` on.
fn entries_of<'r>(
    dir: &Path,
    run: &'r RunId,
    from: u64,
) -> Result<impl Iterator<Item = Result<ProvenEntry, ReadError>> + use<'r>, ReadError> {
    let id = run.as_str().as_bytes();
    let about = move |entry: aseptic_ledger::Entry| {
        // Few entries hold the id at all; only these are parsed.
        let holds = entry.bytes.windows(id.len()).any(|part| part == id);
        let parsed: Entry = if holds { from_canonical(&entry.bytes).ok()? } else { return None };
        let kind = parsed.event.kind();
        (parsed.event.run() == Some(run)).then_some(ProvenEntry { index: entry.index, kind })
    };
    let entries = read_from(dir, from)?;
    Ok(entries.filter_map(move |entry| entry.map(&about).transpose()))
}
