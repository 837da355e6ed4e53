//! The policy of a ledger's owner, in the file `witness-policy` beside the log.

use std::path::Path;

use aseptic_model::{Diagnose, Diagnosis};

use super::{POLICY_BYTES_MAX, Policy, PolicyError};
use crate::error::StorageError;
use crate::storage::{Disk, Storage, read_text};

const FILE: &str = "witness-policy";

/// Why the stored policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// The file system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file is no policy.
    #[error("the file `witness-policy` of the ledger is no policy")]
    Policy(#[source] PolicyError),
}

impl Diagnose for PolicyFileError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Storage(error) => error.diagnosis(),
            Self::Policy(error) => error.diagnosis(),
        }
    }
}

/// The policy that is stored beside the ledger in `dir`; nothing if none is.
///
/// # Errors
/// [`PolicyFileError`].
pub fn stored_policy(dir: &Path) -> Result<Option<Policy>, PolicyFileError> {
    let path = dir.join(FILE);
    let text = read_text(&path, POLICY_BYTES_MAX).map_err(StorageError::at("read", &path))?;
    text.map(|text| text.parse()).transpose().map_err(PolicyFileError::Policy)
}

/// Stores `policy` beside the ledger in `dir`, durably.
///
/// # Errors
/// [`StorageError`]: the one before stays, or the new one is there.
pub fn store_policy(dir: &Path, policy: &Policy) -> Result<(), StorageError> {
    let path = dir.join(FILE);
    Disk.create(&path, policy.to_string().as_bytes()).map_err(StorageError::at("write", &path))
}
