//! Erasing what people may ask to erase: the salt and the value go, and the signed entry stays as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use aseptic_catalog::ResolveError;
use aseptic_ledger::Position;
use aseptic_model::{Class, Diagnose, Diagnosis, Digest, Entry, Event, ProjectName, RunRef, from_canonical};
use aseptic_policy::Act;

use super::{EntryFilter, EntryObject, Hidden, Recorded, entries};
use crate::home::{Home, HomeError, format_error};

/// What is to be erased from. Text form: an index, `NAME@VERSION`, `NAME`, or a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erasable {
    /// One entry, by its zero-based index.
    Entry(u64),
    /// Every entry about this.
    Object(EntryObject),
    /// Every entry about a run of the project.
    Run(RunRef),
}

impl FromStr for Erasable {
    type Err = <EntryObject as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(index) = text.parse().ok().filter(|_| digits && text.len() < RUN_CHARACTERS) {
            return Ok(Self::Entry(index));
        }
        if let Some(run) = text.strip_prefix("run:").unwrap_or(text).parse::<RunRef>().ok()
            && (text.starts_with("run:") || run.as_id().is_some() || run.is_latest())
        {
            return Ok(Self::Run(run));
        }
        text.parse().map(Self::Object)
    }
}

/// Characters of a run id: a shorter number is an index.
const RUN_CHARACTERS: usize = 12;

impl fmt::Display for Erasable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(index) => write!(f, "entry {index}"),
            Self::Object(object) => write!(f, "{object}"),
            Self::Run(run) => write!(f, "run {run}"),
        }
    }
}

/// Which values.
#[derive(Clone, Debug)]
pub enum Places {
    /// All that can be erased.
    All,
    /// Those in these places, such as `reason` or `metadata.owner`.
    These(BTreeSet<String>),
}

impl Places {
    fn has(&self, place: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(places) => places.contains(place),
        }
    }
}

/// What was erased.
#[derive(Debug)]
pub struct Erased {
    /// The places, by the index of their entry.
    pub places: BTreeMap<u64, BTreeSet<String>>,
    /// Other entries that still hold one of the erased texts, by index and place.
    pub still: BTreeMap<u64, BTreeSet<String>>,
}

/// Why nothing was erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// There is nothing of this kind.
    #[error("there is nothing to erase in {0}")]
    Nothing(Erasable),
    /// It was written before values were committed to.
    #[error("entry {index} holds its `{place}` itself, as earlier versions wrote it")]
    Plain {
        /// Zero-based index of the entry.
        index: u64,
        /// Where in it.
        place: String,
    },
    /// The run is not known.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The state.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for EraseError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Nothing(_) => Diagnosis::new(
                Class::User,
                "ledger/nothing-to-erase",
                "`aseptic ledger show --json` lists under `values` what can be erased, by its place",
            ),
            Self::Plain { .. } => Diagnosis::new(
                Class::User,
                "ledger/plain",
                "it is signed as it stands and cannot be erased; only a new ledger would not have it",
            ),
            Self::Resolve(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// Erases values of a project's entries: their salts and texts are gone from the state directory when it returns,
/// and the ledger says who erased which places, and why.
///
/// # Errors
/// [`EraseError`]. After [`EraseError::Home`] look at the ledger: if it says that they were erased, the next
/// command that opens the state finishes it.
pub fn erase(
    home: &mut Home,
    project: &ProjectName,
    what: &Erasable,
    places: &Places,
    reason: &str,
) -> Result<Erased, EraseError> {
    home.allowed(project, Act::Erase, None)?;
    let object = match what {
        Erasable::Entry(_) => None,
        Erasable::Object(object) => Some(object.clone()),
        Erasable::Run(run) => Some(EntryObject::Run(home.catalog.resolve_run(project, run)?)),
    };
    let filter = EntryFilter { object, ..EntryFilter::default() };
    let is_meant = |recorded: &Recorded| match what {
        Erasable::Entry(index) => recorded.index == *index,
        _ => recorded.entry.as_ref().is_some_and(|entry| entry.project == *project) && filter.fits(recorded),
    };
    let (mut chosen, mut texts, mut plain) = (BTreeMap::new(), BTreeSet::new(), None);
    let mut events = Vec::new();
    for recorded in entries(&home.ledger_dir(), Position::START)? {
        let recorded = recorded?;
        let Some(entry) = recorded.entry.as_ref().filter(|_| is_meant(&recorded)) else { continue };
        let is_erased = |place: &String| recorded.hidden.get(place) == Some(&Hidden::Erased);
        let these: BTreeSet<_> =
            entry.committed.keys().filter(|place| places.has(place) && !is_erased(place)).cloned().collect();
        let in_plain = entry.event.erasable().into_keys();
        let mut in_plain = in_plain.filter(|place| places.has(place) && !entry.committed.contains_key(place));
        plain = plain.or_else(|| in_plain.next().map(|place| (recorded.index, place)));
        if these.is_empty() {
            continue;
        }
        texts.extend(
            recorded.values().into_iter().filter(|(place, _)| these.contains(place)).map(|(_, text)| text),
        );
        let reason = Some(reason.to_owned());
        let event = Event::LedgerErased { entry: recorded.index, places: these.clone(), reason };
        events.push((entry.project.clone(), event));
        chosen.insert(recorded.index, these);
    }
    if chosen.is_empty() {
        return Err(match plain {
            Some((index, place)) => EraseError::Plain { index, place },
            None => EraseError::Nothing(what.clone()),
        });
    }
    home.record_in(events)?;
    home.catch_up()?;
    Ok(Erased { still: still(home, &texts)?, places: chosen })
}

/// Where a text of these stands yet, committed to or not.
fn still(home: &Home, texts: &BTreeSet<String>) -> Result<BTreeMap<u64, BTreeSet<String>>, HomeError> {
    let mut found = BTreeMap::new();
    for recorded in entries(&home.ledger_dir(), Position::START)? {
        let recorded = recorded?;
        let Some(entry) = &recorded.entry else { continue };
        let same = entry.event.erasable().into_iter().filter(|(_, text)| texts.contains(text));
        let places: BTreeSet<_> = same.map(|(place, _)| place).collect();
        if !places.is_empty() {
            found.insert(recorded.index, places);
        }
    }
    Ok(found)
}

/// The commitments of the ledger in `dir` whose values are not erased.
pub(crate) fn living(dir: &Path) -> Result<HashSet<Digest>, HomeError> {
    let mut of_entry: HashMap<u64, BTreeMap<String, Digest>> = HashMap::new();
    let mut living = HashSet::new();
    for entry in aseptic_ledger::read(dir, Position::START)? {
        let entry = entry?;
        let parsed: Entry = from_canonical(&entry.bytes)
            .map_err(|source| format_error(format!("entry {} of the ledger", entry.index), source))?;
        if let Event::LedgerErased { entry: index, places, .. } = &parsed.event
            && let Some(committed) = of_entry.get(index)
        {
            for commitment in places.iter().filter_map(|place| committed.get(place)) {
                living.remove(commitment);
            }
        }
        if !parsed.committed.is_empty() {
            living.extend(parsed.committed.values().copied());
            of_entry.insert(entry.index, parsed.committed);
        }
    }
    Ok(living)
}
