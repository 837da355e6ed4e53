//! The verifier keys of a ledger, the oldest first: each but the first was named by the one before it.

use std::fmt;
use std::iter;
use std::path::Path;
use std::str::FromStr;

use crate::error::StorageError;
use crate::note::{NoteError, VerifierKey};
use crate::storage::read_text;

/// Longest file `verifier`: hundreds of keys fit.
const KEYS_BYTES_MAX: usize = 256 << 10;

/// All keys that ever signed a ledger. The text form is one verifier key per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    first: VerifierKey,
    later: Vec<VerifierKey>,
}

impl Keys {
    pub(crate) fn new(first: VerifierKey) -> Self {
        Self { first, later: Vec::new() }
    }

    /// The keys that the file `verifier` in `dir` lists; nothing if there is no such file.
    pub(crate) fn read(dir: &Path) -> Result<Option<Result<Self, NoteError>>, StorageError> {
        let path = dir.join("verifier");
        let text = read_text(&path, KEYS_BYTES_MAX).map_err(StorageError::at("read", &path))?;
        Ok(text.map(|text| text.parse()))
    }

    pub(crate) fn first(&self) -> &VerifierKey {
        &self.first
    }

    /// The one that signs from now on.
    pub(crate) fn current(&self) -> &VerifierKey {
        self.later.last().unwrap_or(&self.first)
    }

    /// The one before it.
    pub(crate) fn previous(&self) -> &VerifierKey {
        self.later.iter().nth_back(1).unwrap_or(&self.first)
    }

    pub(crate) fn push(&mut self, key: VerifierKey) {
        self.later.push(key);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &VerifierKey> {
        iter::once(&self.first).chain(&self.later)
    }

    /// The oldest keys up to the one at `place`.
    pub(crate) fn up_to(&self, place: usize) -> Option<Self> {
        Some(Self { first: self.first.clone(), later: self.later.get(..place)?.to_vec() })
    }

    /// Whether these are the oldest of `others`, or all.
    pub(crate) fn begin(&self, others: &Self) -> bool {
        self.first == others.first && others.later.starts_with(&self.later)
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|key| writeln!(f, "{key}"))
    }
}

impl FromStr for Keys {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let text = text.strip_suffix('\n').ok_or(NoteError("the verifier keys are not whole lines"))?;
        let mut keys = text.split('\n').map(str::parse::<VerifierKey>);
        let first = keys.next().ok_or(NoteError("there is no verifier key"))??;
        let later = keys.collect::<Result<Vec<_>, _>>()?;
        if later.iter().any(|key| key.name() != first.name()) {
            return Err(NoteError("the verifier keys have several names"));
        }
        Ok(Self { first, later })
    }
}
