//! The ledger as a person reads it, and what of it can be erased.

mod erase;
mod filter;
pub(crate) mod values;
mod viewer;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use aseptic_ledger::{Entries, Position, read};
use aseptic_model::{Entry, Event, from_canonical};

pub(crate) use erase::living;
pub use erase::{Erasable, EraseError, Erased, Places, erase};
pub use filter::{EntryFilter, EntryObject, EntryObjectError};
pub use values::ValuesError;
pub use viewer::EntryViewer;

use crate::home::HomeError;
use values::Values;

/// One entry and its place.
#[derive(Debug)]
pub struct Recorded {
    /// Zero-based index in the ledger.
    pub index: u64,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// What they say, with the committed values that are known; nothing when this version does not understand them.
    pub entry: Option<Entry>,
    /// Committed values that are not known, by place.
    pub hidden: BTreeMap<String, Hidden>,
    /// Where the next entry begins.
    pub next: Position,
}

/// Why a committed value is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// Somebody erased it, and the ledger says so.
    Erased,
    /// Its salt is not where it should be, as in a copy of the ledger without the file `values`.
    Missing,
}

impl Hidden {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Erased => "erased",
            Self::Missing => "missing",
        }
    }
}

impl Recorded {
    /// The committed values that are known, by place.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, String> {
        let Some(entry) = &self.entry else { return BTreeMap::new() };
        let mut values = entry.event.erasable();
        values.retain(|place, _| entry.committed.contains_key(place));
        values
    }
}

/// The entries of the ledger directory `dir` from `from` on, in order, without opening it for writing.
///
/// # Errors
/// [`HomeError::Read`]; each item may be [`HomeError::Read`] or [`HomeError::Values`], and nothing follows one.
pub fn entries(dir: &Path, from: Position) -> Result<Records, HomeError> {
    let entries = read(dir, from)?;
    // After the end of the entries is known: the values of an entry are durable before it is.
    let values = Values::open(dir)?;
    Ok(Records { dir: dir.to_owned(), entries, values, erased: None, failed: false })
}

/// Iterator over entries; see [`entries`].
#[derive(Debug)]
pub struct Records {
    dir: PathBuf,
    entries: Entries,
    values: Values,
    erased: Option<HashMap<u64, BTreeSet<String>>>,
    failed: bool,
}

impl Iterator for Records {
    type Item = Result<Recorded, HomeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let recorded = self.entries.next()?.map_err(HomeError::from).and_then(|entry| self.reveal(entry));
        self.failed = recorded.is_err();
        Some(recorded)
    }
}

impl Records {
    fn reveal(&mut self, entry: aseptic_ledger::Entry) -> Result<Recorded, HomeError> {
        let aseptic_ledger::Entry { index, bytes, next } = entry;
        let mut parsed: Option<Entry> = from_canonical(&bytes).ok();
        let mut hidden = BTreeMap::new();
        if let Some(entry) = &mut parsed {
            for place in reveal(index, entry, &mut self.values)? {
                let why = if self.is_erased(index, &place)? { Hidden::Erased } else { Hidden::Missing };
                hidden.insert(place, why);
            }
        }
        Ok(Recorded { index, bytes, entry: parsed, hidden, next })
    }

    /// Whether the ledger says that a value was erased. It says so after the entry of the value.
    fn is_erased(&mut self, index: u64, place: &str) -> Result<bool, HomeError> {
        let erased = match self.erased.take() {
            Some(erased) => erased,
            None => erasures(&self.dir)?,
        };
        let is = erased.get(&index).is_some_and(|places| places.contains(place));
        self.erased = Some(erased);
        Ok(is)
    }
}

/// Every place that the ledger says was erased, by the index of its entry.
fn erasures(dir: &Path) -> Result<HashMap<u64, BTreeSet<String>>, HomeError> {
    let mut erased: HashMap<u64, BTreeSet<String>> = HashMap::new();
    for entry in read(dir, Position::START)? {
        if let Ok(Entry { event: Event::LedgerErased { entry, places, .. }, .. }) =
            from_canonical(&entry?.bytes)
        {
            erased.entry(entry).or_default().extend(places);
        }
    }
    Ok(erased)
}

/// Puts the known values back into entry `index`. Returns the places of those that are not known.
pub(crate) fn reveal(
    index: u64,
    entry: &mut Entry,
    values: &mut Values,
) -> Result<BTreeSet<String>, ValuesError> {
    let mut known = HashMap::new();
    for commitment in entry.committed.values() {
        if let Some(value) = values.get(commitment)? {
            known.insert(*commitment, value.to_owned());
        }
    }
    entry
        .reveal(|commitment| known.get(commitment).map(String::as_str))
        .map_err(|source| ValuesError::Place { index, source })
}
