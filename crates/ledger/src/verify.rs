//! Proving a ledger: every frame, every signature, and the checkpoints that others hold.

use std::fs::File;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use crate::error::{ReadError, Reference, StorageError, VerifyError};
use crate::frame::{Damage, Frames, Position};
use crate::merkle::{Tree, TreeHash};
use crate::note::{Checkpoint, NOTE_BYTES_MAX, NoteError, SIGNATURE_BYTES, VerifierKey};
use crate::read::{Settled, settled};
use crate::storage::read_text;

/// How many signatures are gathered before they are checked: bounds memory at about a megabyte.
const CLAIMS_MAX: usize = 8192;
/// Fewest signatures that are worth a thread of their own.
const CLAIMS_PER_THREAD_MIN: usize = 64;

/// What was proven of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of entries, all of them as they were appended.
    pub entries: u64,
    /// Root of their tree.
    pub root: TreeHash,
    /// The signed statement of both, to be kept elsewhere; none for a log that is empty and was never
    /// published.
    pub checkpoint: Option<Checkpoint>,
    /// The key that signed. Whoever trusts the result must know this key from elsewhere.
    pub verifier: VerifierKey,
    /// Bytes at the end that a crash left of an append that was never acknowledged; usually 0.
    pub torn_tail: u64,
    /// Entries that the published checkpoint acknowledges. Without one, and without a kept checkpoint, a
    /// log that lost its end cannot be told from one that never had it.
    pub published: Option<u64>,
}

/// Proves that no entry of the ledger in `dir` was altered, removed, inserted or moved.
///
/// Checks the checksum, index and signature of every entry, and that the published checkpoint and the one
/// that the caller `kept`, if any, are of this log. Reads the whole log once. Needs no private key and
/// writes nothing, so it works on a read-only copy; entries appended meanwhile are not looked at.
///
/// Someone who holds the private key can write another history and sign it: only a kept checkpoint shows it.
///
/// # Errors
/// - [`VerifyError::Log`]: an entry is not what was written ([`ReadError::Broken`] names the first such
///   entry), or the log cannot be read.
/// - [`VerifyError::Verifier`], [`VerifyError::Checkpoint`], [`VerifyError::Key`]: the files do not belong
///   together, or the key was replaced.
/// - [`VerifyError::Truncated`]: entries were removed from the end.
/// - [`VerifyError::RolledBack`]: the log is signed but is not the one of the checkpoint.
///
/// Source: `docs/formats/ledger.md`, verifying; RFC 6962 section 2.1.
pub fn verify(dir: &Path, kept: Option<&Checkpoint>) -> Result<Verified, VerifyError> {
    let path = dir.join("verifier");
    let text = read_text(&path, NOTE_BYTES_MAX).map_err(StorageError::at("read", &path));
    let text = text.map_err(ReadError::from)?.unwrap_or_default();
    let line = text.strip_suffix('\n').ok_or(VerifyError::Verifier(NoteError("it is not one line")))?;
    let verifier: VerifierKey = line.parse().map_err(VerifyError::Verifier)?;

    let Settled { log, length, checkpoint } = settled(dir)?;
    let published = checkpoint.map(|text| text.parse()).transpose().map_err(VerifyError::Checkpoint)?;
    let mut references = Vec::new();
    for (reference, checkpoint) in [(Reference::Published, published.as_ref()), (Reference::Kept, kept)] {
        let Some(checkpoint) = checkpoint else { continue };
        if !checkpoint.is_signed_by(&verifier) {
            return Err(VerifyError::Key { reference });
        }
        references.push(Mark { reference, checkpoint, holds: false });
    }

    let scan = Scan::run(&dir.join("log"), &log, length, &verifier, &mut references)?;
    let entries = scan.tree.size();
    for Mark { reference, checkpoint, holds } in references {
        let acknowledged = checkpoint.size();
        if acknowledged > entries {
            return Err(VerifyError::Truncated { reference, acknowledged, found: entries });
        }
        if !holds {
            return Err(VerifyError::RolledBack { reference, size: acknowledged });
        }
    }
    let root = scan.tree.root();
    let last = scan.last.map(|signature| Checkpoint::new(&verifier, entries, root, &signature));
    let published_size = published.as_ref().map(Checkpoint::size);
    let checkpoint = last.or(published);
    Ok(Verified { entries, root, checkpoint, verifier, torn_tail: scan.left, published: published_size })
}

/// A checkpoint that the log must pass through.
struct Mark<'a> {
    reference: Reference,
    checkpoint: &'a Checkpoint,
    holds: bool,
}

/// What reading a whole log gives.
struct Scan {
    tree: Tree,
    last: Option<[u8; SIGNATURE_BYTES]>,
    left: u64,
}

impl Scan {
    fn run(
        path: &Path,
        log: &File,
        length: u64,
        verifier: &VerifierKey,
        marks: &mut [Mark<'_>],
    ) -> Result<Self, ReadError> {
        let mut frames = Frames::new(log, Position::START, length).map_err(StorageError::at("read", path))?;
        let mut tree = Tree::default();
        let mut claims = Vec::new();
        let mut last = None;
        loop {
            for mark in marks.iter_mut().filter(|mark| mark.checkpoint.size() == tree.size()) {
                mark.holds = mark.checkpoint.root() == tree.root();
            }
            let step = frames.advance();
            if !matches!(step, Ok(Some(_))) || claims.len() == CLAIMS_MAX {
                // The entries up to here come first, so that the lowest damaged one is named.
                check_claims(&claims, verifier)?;
                claims.clear();
            }
            let Some(frame) = step.map_err(|error| error.at(path))? else { break };
            tree.push(&frame.entry);
            claims.push(Claim { index: frame.index, root: tree.root(), signature: frame.signature });
            last = Some(frame.signature);
        }
        Ok(Self { tree, last, left: frames.left() })
    }
}

/// What the signature of one entry says.
struct Claim {
    index: u64,
    root: TreeHash,
    signature: [u8; SIGNATURE_BYTES],
}

/// Checks signatures on all processors; the error names the first entry whose signature is wrong.
fn check_claims(claims: &[Claim], verifier: &VerifierKey) -> Result<(), ReadError> {
    let first_wrong = |claims: &[Claim]| {
        let wrong =
            claims.iter().find(|claim| !verifier.accepts(claim.index + 1, claim.root, &claim.signature));
        wrong.map(|claim| claim.index)
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = claims.len().div_ceil(threads).max(CLAIMS_PER_THREAD_MIN);
    let (own, others) = claims.split_at_checked(share).unwrap_or((claims, &[]));
    let wrong = thread::scope(|scope| {
        let mut workers = Vec::new();
        let mut wrong = None;
        for claims in others.chunks(share) {
            // Where no thread can be started, the work is done here.
            match thread::Builder::new().spawn_scoped(scope, move || first_wrong(claims)) {
                Ok(worker) => workers.push(worker),
                Err(_) => wrong = wrong.or_else(|| first_wrong(claims)),
            }
        }
        let found = workers.into_iter().filter_map(|w| w.join().unwrap_or_else(|panic| resume_unwind(panic)));
        first_wrong(own).into_iter().chain(wrong).chain(found).min()
    });
    match wrong {
        Some(index) => Err(ReadError::Broken { index, damage: Damage::Signature }),
        None => Ok(()),
    }
}
