//! The ledger as a person reads it.

use std::path::Path;

use aseptic_ledger::{ReadError, read};
use aseptic_model::{Entry, from_canonical};

/// One entry and its place.
#[derive(Debug)]
pub struct Recorded {
    /// Zero-based index in the ledger.
    pub index: u64,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// What they say; nothing when this version does not understand them.
    pub entry: Option<Entry>,
}

/// The entries of the ledger directory `dir`, in order, without opening it for writing.
///
/// # Errors
/// [`ReadError`], with what could be read before it lost.
pub fn entries(dir: &Path) -> Result<Vec<Recorded>, ReadError> {
    read(dir, aseptic_ledger::Position::START)?
        .map(|entry| {
            let entry = entry?;
            let parsed = from_canonical(&entry.bytes).ok();
            Ok(Recorded { index: entry.index, bytes: entry.bytes, entry: parsed })
        })
        .collect()
}
