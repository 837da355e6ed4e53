use std::path::PathBuf;

use aseptic_model::{Class, Diagnose, Diagnosis};

use crate::error::{ReadError, StorageError};
use crate::note::NoteError;
use crate::proof::ProofError;

/// Why tiles were not written, or a proof not made from them.
#[derive(Debug, thiserror::Error)]
pub enum TilesError {
    /// The file system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The checkpoint or the verifier keys of the ledger cannot be used.
    #[error("the checkpoint of the ledger cannot be used")]
    Checkpoint(#[source] NoteError),
    /// A tile is missing or has another length than it should.
    #[error("the tile `{path}` is not what it should be")]
    Tile {
        /// Which one.
        path: PathBuf,
    },
    /// The log does not have the root that was signed for this number of entries.
    #[error("the first {size} entries of the log are not those that were published")]
    Changed {
        /// That number.
        size: u64,
    },
    /// There is no such entry in the tree.
    #[error("the checkpoint is of {size} entries, so entry {index} is not in it")]
    NotIn {
        /// Index of the entry.
        index: u64,
        /// Number of entries of the checkpoint.
        size: u64,
    },
    /// More entries than can be read for one proof are not in tiles yet.
    #[error("{entries} entries are not in tiles yet")]
    Behind {
        /// How many.
        entries: u64,
    },
    /// The proof that was made does not hold.
    #[error("the log does not prove its checkpoint")]
    Proof(#[source] ProofError),
}

impl Diagnose for TilesError {
    fn diagnosis(&self) -> Diagnosis {
        let keep = "keep this directory as evidence, and compare it with a checkpoint kept elsewhere";
        match self {
            Self::Storage(error) => error.diagnosis(),
            Self::Log(error) => error.diagnosis(),
            Self::Checkpoint(_) => Diagnosis::new(Class::Damaged, "ledger/checkpoint", keep),
            Self::Tile { .. } | Self::Behind { .. } => Diagnosis::new(
                Class::Damaged,
                "ledger/tile",
                "make the tiles anew with `aseptic ledger publish`",
            ),
            Self::Changed { .. } => Diagnosis::new(Class::Damaged, "ledger/rolled-back", keep),
            Self::NotIn { .. } => Diagnosis::new(
                Class::User,
                "ledger/not-in",
                "choose an entry that `aseptic ledger show` lists, or wait until it is published",
            ),
            Self::Proof(_) => Diagnosis::new(Class::Damaged, "ledger/proof", keep),
        }
    }
}
