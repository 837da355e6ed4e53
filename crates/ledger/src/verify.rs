//! Proving a ledger: every frame, the signatures that cover them, and the checkpoints that others hold.

use std::fs::File;
use std::path::Path;

use crate::error::{ReadError, Reference, StorageError, VerifyError};
use crate::frame::{Damage, FrameError, Frames, Version};
use crate::head::Head;
use crate::keys::Keys;
use crate::merkle::TreeHash;
use crate::note::{Checkpoint, NoteError, VerifierKey};
use crate::read::{Settled, settled};
use crate::suspect::named;

/// Commits between two looks at a signature when the first wrong one is searched: few enough to remember.
const STRIDE: usize = 4096;

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
    /// The key that signs the next entry.
    pub verifier: VerifierKey,
    /// All keys, the oldest first; each named its successor. Whoever trusts the result must know the first
    /// from elsewhere.
    pub keys: Vec<VerifierKey>,
    /// Bytes at the end that a crash left of an append that was never acknowledged; usually 0.
    pub torn_tail: u64,
    /// Entries that the published checkpoint acknowledges. Without one, and without a kept checkpoint, a
    /// log that lost its end cannot be told from one that never had it.
    pub published: Option<u64>,
}

/// Proves that no entry of the ledger in `dir` was altered, removed, inserted or moved.
///
/// Checks the checksum and index of every commit, the tree of all entries, the signature of the last commit,
/// which covers all of them, and that of each handover to another key; and that the published checkpoint
/// and the one that the caller `kept`, if any, are of this log. If a signature is wrong, the others are
/// checked until the first wrong one is found. Reads the whole log once, with little memory. Needs no
/// private key and writes nothing, so it works on a read-only copy; entries appended meanwhile are not looked
/// at.
///
/// Someone who holds the private key can write another history and sign it: only a kept checkpoint shows it.
///
/// # Errors
/// - [`VerifyError::Log`]: an entry is not what was written ([`ReadError::Broken`] names the first such
///   entry, or the first of those that were appended together with it, where the
///   tiles do not tell), or the log cannot be read.
/// - [`VerifyError::Verifier`], [`VerifyError::Checkpoint`], [`VerifyError::Key`]: the files do not belong
///   together, or the key was replaced.
/// - [`VerifyError::Truncated`]: entries were removed from the end.
/// - [`VerifyError::RolledBack`]: the log is signed but is not the one of the checkpoint.
///
/// Source: `docs/formats/ledger.md`, verifying; RFC 6962 section 2.1.
pub fn verify(dir: &Path, kept: Option<&Checkpoint>) -> Result<Verified, VerifyError> {
    let listed = listed_keys(dir)?;
    let settled = settled(dir)?;
    let start = Head::empty(listed.first().clone());
    prove(dir, &listed, settled, start, kept)
}

/// The verifier keys of the directory.
pub(crate) fn listed_keys(dir: &Path) -> Result<Keys, VerifyError> {
    let listed = Keys::read(dir).map_err(ReadError::from)?;
    listed.unwrap_or(Err(NoteError("it is missing"))).map_err(VerifyError::Verifier)
}

/// As [`verify`], from `start` on, which is where the log has the entries of `since`.
pub(crate) fn prove_from(
    dir: &Path,
    listed: &Keys,
    settled: Settled,
    start: Head,
    since: &Checkpoint,
) -> Result<Verified, VerifyError> {
    let verified = prove(dir, listed, settled, start, Some(since))?;
    let checkpoint = verified.checkpoint.or_else(|| Some(since.clone()));
    Ok(Verified { checkpoint, ..verified })
}

fn prove(
    dir: &Path,
    listed: &Keys,
    settled: Settled,
    start: Head,
    kept: Option<&Checkpoint>,
) -> Result<Verified, VerifyError> {
    let Settled { log, version, length, checkpoint } = settled;
    let published = checkpoint.map(|text| text.parse()).transpose().map_err(VerifyError::Checkpoint)?;
    let mut marks: Vec<_> = [(Reference::Published, published.as_ref()), (Reference::Kept, kept)]
        .into_iter()
        .filter_map(|(reference, checkpoint)| Some(Mark::new(reference, checkpoint?)))
        .collect();

    let scan = Scan { dir, log: &log, version, length };
    let (head, left) = scan.run(start, &mut marks).map_err(|error| {
        // A log that is signed by others says nothing; a checkpoint that is says whose it is.
        let foreign = marks.iter().find(|mark| !listed.iter().any(|key| mark.checkpoint.is_signed_by(key)));
        match (&error, foreign) {
            (ReadError::Broken { damage: Damage::Signature, .. }, Some(mark)) => {
                VerifyError::Key { reference: mark.reference }
            }
            _ => error.into(),
        }
    })?;
    for mark in &marks {
        mark.judge(&head)?;
    }
    if !listed.begin(&head.keys) {
        return Err(VerifyError::Verifier(NoteError("it lists keys that the log does not know")));
    }
    Ok(Verified {
        entries: head.tree.size(),
        root: head.tree.root(),
        checkpoint: head.checkpoint().or_else(|| published.clone()),
        verifier: head.keys.current().clone(),
        keys: head.keys.iter().cloned().collect(),
        torn_tail: left,
        published: published.as_ref().map(Checkpoint::size),
    })
}

/// A checkpoint that the log must pass through.
struct Mark<'a> {
    reference: Reference,
    checkpoint: &'a Checkpoint,
    /// Whether the log has this root at this size.
    holds: bool,
    /// Whether the key that was in force at this size signed it.
    signed: Option<bool>,
}

impl<'a> Mark<'a> {
    fn new(reference: Reference, checkpoint: &'a Checkpoint) -> Self {
        Self { reference, checkpoint, holds: false, signed: None }
    }

    /// Looks at the log where it has as many entries as the checkpoint.
    fn pass(&mut self, head: &Head) {
        if self.checkpoint.size() == head.tree.size() {
            self.holds = self.checkpoint.root() == head.tree.root();
            let keys = [head.signed_by(), head.keys.current()];
            self.signed = Some(keys.into_iter().any(|key| self.checkpoint.is_signed_by(key)));
        }
    }

    fn judge(&self, head: &Head) -> Result<(), VerifyError> {
        let Self { reference, checkpoint, .. } = *self;
        // Where the log never had that size, any key of it will do.
        let by_any = || head.keys.iter().any(|key| checkpoint.is_signed_by(key));
        if !self.signed.unwrap_or_else(by_any) {
            return Err(VerifyError::Key { reference });
        }
        let (acknowledged, found) = (checkpoint.size(), head.tree.size());
        if acknowledged > found {
            return Err(VerifyError::Truncated { reference, acknowledged, found });
        }
        if self.holds { Ok(()) } else { Err(VerifyError::RolledBack { reference, size: acknowledged }) }
    }
}

/// The log that is read.
struct Scan<'a> {
    dir: &'a Path,
    log: &'a File,
    version: Version,
    length: u64,
}

impl Scan<'_> {
    /// Reads on from `start` to the end; the bytes that are left there are of no frame.
    fn run(&self, start: Head, marks: &mut [Mark<'_>]) -> Result<(Head, u64), ReadError> {
        let path = self.dir.join("log");
        let mut frames = self.frames(&start)?;
        let mut head = start.clone();
        let ended = loop {
            marks.iter_mut().for_each(|mark| mark.pass(&head));
            let step = frames.advance();
            let Ok(Some(commit)) = step else { break step.map(drop) };
            if let Err(error) = head.push(&commit) {
                break Err(error);
            }
        };
        // What precedes comes first, so that the lowest damaged entry is named.
        let before = match &ended {
            Err(FrameError::Broken { damage: Damage::Signature, .. }) => ended,
            _ => head.check().and(ended),
        };
        match before {
            Err(FrameError::Broken { damage: Damage::Signature, .. }) => Err(self.first_wrong(start)?),
            other => other
                .map_err(|error| named(error, self.dir, self.log, head.position()).at(&path))
                .map(|()| (head, frames.left())),
        }
    }

    fn frames(&self, from: &Head) -> Result<Frames<&File>, ReadError> {
        let frames = Frames::new(self.log, self.version, from.position(), self.length);
        Ok(frames.map_err(StorageError::at("read", &self.dir.join("log")))?)
    }

    /// Names the first commit whose signature is wrong: goes on in strides, and commit by commit through the
    /// first stride that ends with a wrong one.
    fn first_wrong(&self, start: Head) -> Result<ReadError, ReadError> {
        let path = self.dir.join("log");
        let mut base = start;
        loop {
            let mut head = base.clone();
            let stride = self.walk(&mut head, Check::Last)?;
            let Err(error) = stride else {
                if head.offset == base.offset {
                    // Only if the file changes while it is read.
                    return Err(ReadError::Broken { index: head.tree.size(), damage: Damage::Signature });
                }
                base = head;
                continue;
            };
            let first = self.walk(&mut base, Check::Each)?.err();
            return Ok(first.unwrap_or(error).at(&path));
        }
    }

    /// Goes on by at most [`STRIDE`] commits.
    fn walk(&self, head: &mut Head, check: Check) -> Result<Result<(), FrameError>, ReadError> {
        let mut frames = self.frames(head)?;
        for _ in 0..STRIDE {
            let commit = match frames.advance() {
                Ok(Some(commit)) => commit,
                ended => return Ok(head.check().and(ended.map(drop))),
            };
            let pushed = head.push(&commit).and_then(|()| match check {
                Check::Each => head.check(),
                Check::Last => Ok(()),
            });
            if pushed.is_err() {
                return Ok(pushed);
            }
        }
        Ok(head.check())
    }
}

/// Which signatures are checked on the way.
#[derive(Clone, Copy)]
enum Check {
    Each,
    Last,
}
