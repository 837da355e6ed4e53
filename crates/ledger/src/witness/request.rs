//! The body of `add-checkpoint`. Source: C2SP tlog-witness, add-checkpoint.

use std::fmt;
use std::str::FromStr;

use aseptic_model::{Class, Diagnose, Diagnosis};

use crate::merkle::TreeHash;
use crate::note::{Checkpoint, NoteError};
use crate::proof::{decimal, parse_hashes};

/// Longest body that is read, in bytes: a proof and a note fit.
pub const ADD_CHECKPOINT_BYTES_MAX: usize = 16 << 10;

/// Most hashes that a client may send.
const HASHES_MAX: usize = 63;

/// Why a text is not the body of an `add-checkpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequestError(&'static str);

impl From<NoteError> for RequestError {
    fn from(error: NoteError) -> Self {
        Self(error.0)
    }
}

impl Diagnose for RequestError {
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(
            Class::User,
            "ledger/request",
            "pass the whole file that `aseptic ledger witness update --request` wrote",
        )
    }
}

/// A checkpoint for a witness, and the proof that it continues the one that the witness saw last.
///
/// The text form is what is sent, and what is carried by hand to a witness without network. Parsing is strict
/// and bounded by [`ADD_CHECKPOINT_BYTES_MAX`], and checks no signature and no proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Entries of the checkpoint that the witness saw last; 0 for none.
    pub old: u64,
    /// From that one to this one.
    pub proof: Vec<TreeHash>,
    /// The new one.
    pub checkpoint: Checkpoint,
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        if text.len() > ADD_CHECKPOINT_BYTES_MAX {
            return Err(RequestError("a request is at most 16384 bytes"));
        }
        let parts = text.split_once("\n\n");
        let (head, checkpoint) =
            parts.ok_or(RequestError("a request is a head, an empty line, a checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| decimal(line.strip_prefix("old ")?));
        let old = old.ok_or(RequestError("the first line of a request is `old` and a decimal number"))?;
        let proof = parse_hashes(lines).map_err(|error| RequestError(error.0))?;
        if proof.len() > HASHES_MAX {
            return Err(RequestError("a request has at most 63 hashes"));
        }
        let checkpoint = checkpoint.parse::<Checkpoint>()?;
        Ok(Self { old, proof, checkpoint })
    }
}
