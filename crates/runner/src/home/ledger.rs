//! What the state writes to its ledger, and how the catalog follows.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aseptic_catalog::{Catalog, Difference};
use aseptic_ledger::{AppendError, Ledger, Position};
use aseptic_model::{Digest, Entry, Event, ProjectName, Timestamp, from_canonical, to_canonical};
use aseptic_policy::Act;
use aseptic_store::{Store, StoreError};

use super::acts::{acts_of, new_labels_of, objects_of};
use super::too_large::TooLarge;
use super::{Home, HomeError, RECORD_BYTES_MAX, format_error, now};
use crate::record::values::{self, Values, salt};
use crate::record::{living, reveal};
use crate::rotate::Rotated;

/// Entries applied to the catalog in one transaction: enough to be fast, little enough to hold.
const CATCH_UP_BATCH: usize = 16_000;

/// How often a comparison of the catalog begins again because others go on writing.
const VERIFY_TRIES: usize = 5;

/// How far the clock may be behind the latest entry without an entry about it: two processes that write at once may
/// read the clock in one order and write in the other, and a clock that is kept by NTP steps this little.
const CLOCK_TOLERANCE_MS: i64 = 1_000;

/// The stores of all projects, each opened once.
struct Stores {
    projects: PathBuf,
    open: Mutex<HashMap<ProjectName, Arc<Store>>>,
}

impl Stores {
    fn new(dir: &Path) -> Self {
        Self { projects: dir.join("projects"), open: Mutex::default() }
    }

    fn read(&self, project: &ProjectName, digest: &Digest) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        Ok(self.store(project)?.get_bytes(digest, RECORD_BYTES_MAX)?)
    }

    fn store(&self, project: &ProjectName) -> Result<Arc<Store>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(project) {
            return Ok(Arc::clone(store));
        }
        let store = Arc::new(Store::open(&self.projects.join(project.as_str()).join("store"))?);
        open.insert(project.clone(), Arc::clone(&store));
        Ok(store)
    }
}

/// What an update of the catalog met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// Nothing special.
    Entries,
    /// A value was erased, which the catalog may hold.
    Erasure,
}

impl Home {
    /// Writes `events` to the ledger as one durable commit. What they permit may happen after this
    /// returns, and not before.
    pub(crate) fn record(&mut self, project: &ProjectName, events: Vec<Event>) -> Result<(), HomeError> {
        self.record_in(events.into_iter().map(|event| (project.clone(), event)).collect())
    }

    /// As [`Self::record`], each event in its own project. None writes nothing.
    ///
    /// Values that people may ask to erase are durable in the file `values` before, and the entries have
    /// commitments to them. A clock that went back is an entry before the others.
    pub(crate) fn record_in(&mut self, events: Vec<(ProjectName, Event)>) -> Result<(), HomeError> {
        let mut acts = BTreeSet::new();
        for (project, event) in &events {
            let objects = objects_of(event);
            for act in acts_of(event) {
                let labels = new_labels_of(event);
                acts.extend(objects.iter().map(|object| (project, *act, object.clone(), labels.clone())));
            }
        }
        for (project, act, object, labels) in acts {
            self.allowed_with(project, act, object.as_deref(), labels)?;
        }
        self.commit(events)
    }

    /// Writes `events` as one durable commit, whoever causes them. None writes nothing.
    pub(super) fn commit(&self, mut events: Vec<(ProjectName, Event)>) -> Result<(), HomeError> {
        let Some((project, _)) = events.first() else { return Ok(()) };
        let time = now();
        if let Some(event) = self.clock_went_back(time)? {
            events.insert(0, (project.clone(), event));
        }
        self.write(time, events, |ledger, entries| ledger.append(entries).map(drop))
    }

    /// Hands the ledger over to another key, and records it.
    pub(crate) fn hand_over(
        &mut self,
        project: &ProjectName,
        reason: Option<String>,
    ) -> Result<Rotated, HomeError> {
        self.allowed(project, Act::ManageKeys, None)?;
        let next = self.ledger.next_key().map_err(AppendError::from)?;
        let (before, after) = (next.before().to_string(), next.verifier().to_string());
        let event = Event::LedgerKeyRotated { before: before.clone(), after: after.clone(), reason };
        let time = now();
        if let Some(event) = self.clock_went_back(time)? {
            self.write(time, vec![(project.clone(), event)], |ledger, entries| {
                ledger.append(entries).map(drop)
            })?;
        }
        let mut entry = 0;
        self.write(time, vec![(project.clone(), event)], |ledger, entries| {
            entry = ledger.hand_over(next, &entries.concat())?;
            Ok(())
        })?;
        Ok(Rotated { entry, before, after })
    }

    /// Writes `events`, whose values that can be erased are durable before.
    pub(super) fn write(
        &self,
        time: Timestamp,
        events: Vec<(ProjectName, Event)>,
        append: impl FnOnce(&Ledger, &[&[u8]]) -> Result<(), AppendError>,
    ) -> Result<(), HomeError> {
        let mut kept = Vec::new();
        let mut entries = Vec::with_capacity(events.len());
        for (project, event) in events {
            let mut entry = Entry::new(time, self.actor.clone(), project, event);
            kept.extend(entry.seal(salt)?);
            let bytes = to_canonical(&entry)?;
            TooLarge::check(&entry, bytes.len())?;
            entries.push(bytes);
        }
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        // Held until the entries are there: an erasure removes values that no entry has.
        let alone = if kept.is_empty() { None } else { Some(values::alone(&self.ledger_dir())?) };
        if let Some(alone) = &alone {
            alone.add(&kept)?;
        }
        append(&self.ledger, &entries)?;
        self.written.set(true);
        Ok(())
    }

    /// The entry that says that the clock is behind an entry, if it is and none said so since.
    pub(super) fn clock_went_back(&self, time: Timestamp) -> Result<Option<Event>, HomeError> {
        // Through our own handle, which waits for nobody: what others added since it last appended is seen by the
        // next append, and counts then.
        let (from, mut latest) = self.seen.get();
        if from.index < self.ledger.size() {
            for entry in self.ledger.entries(from)? {
                let entry = entry?;
                let parsed: Option<Entry> = from_canonical(&entry.bytes).ok();
                latest = parsed.map_or(latest, |parsed| parsed.latest_time(latest));
                self.seen.set((entry.next, latest));
            }
        }
        let Some(before) = latest else { return Ok(None) };
        let milliseconds = before.as_unix_ms().saturating_sub(time.as_unix_ms());
        let behind = u64::try_from(milliseconds).ok().filter(|_| milliseconds >= CLOCK_TOLERANCE_MS);
        Ok(behind.map(|milliseconds| Event::LedgerClockWentBack { before, milliseconds }))
    }

    /// Applies to the catalog what the ledger has and the catalog has not. Finishes every erasure that the ledger
    /// speaks of: an erased value is then neither in `values` nor in the catalog.
    pub(crate) fn catch_up(&mut self) -> Result<(), HomeError> {
        let from_start = self.catalog.applied()?.is_none();
        {
            let _held = values::share(&self.ledger_dir())?;
            if self.apply_new()? == Met::Entries {
                return Ok(());
            }
        }
        let alone = values::alone(&self.ledger_dir())?;
        let living = living(&self.ledger_dir())?;
        let gone = alone.keep(|commitment| living.contains(commitment))?;
        if gone > 0 || !from_start {
            self.catalog = Catalog::forget(&self.place)?;
            self.apply_new()?;
        }
        Ok(())
    }

    fn apply_new(&mut self) -> Result<Met, HomeError> {
        // Whoever is told that nothing came of it does it again, or believes that it is not so.
        feed(&self.dir, &mut self.catalog, self.seen.get_mut()).map_err(|error| match error {
            HomeError::Catalog(error) if self.written.get() => HomeError::Behind(error),
            error => error,
        })
    }

    /// Forgets the catalog and makes it anew from ledger and stores.
    ///
    /// # Errors
    /// [`HomeError`]; run it again, the catalog holds no fact of its own.
    pub fn rebuild_catalog(&mut self) -> Result<(), HomeError> {
        self.catalog.clear()?;
        self.catch_up()
    }

    /// The first row in which the catalog is not what ledger and stores make of it. Compares with a catalog in memory,
    /// and changes nothing but bringing the catalog up to date.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn verify_catalog(&mut self) -> Result<Option<Difference>, HomeError> {
        let mut found = None;
        for _ in 0..VERIFY_TRIES {
            self.catch_up()?;
            let _held = values::share(&self.ledger_dir())?;
            let mut fresh = Catalog::in_memory()?;
            feed(&self.dir, &mut fresh, &mut (Position::START, None))?;
            found = self.catalog.difference(&fresh)?;
            match &found {
                Some(difference) if difference.table == "applied" => {} // Others added entries meanwhile.
                _ => break,
            }
        }
        Ok(found)
    }
}

/// Applies to `catalog` what the ledger in `dir` has and it has not. Stops at an erasure, unless the catalog was
/// empty: then it has no value that is not in `values`. `seen` moves along.
fn feed(
    dir: &Path,
    catalog: &mut Catalog,
    seen: &mut (Position, Option<Timestamp>),
) -> Result<Met, HomeError> {
    let ledger_dir = dir.join("ledger");
    let applied = catalog.applied()?;
    let from = applied.map_or(Position::START, |at| Position { index: at.index, offset: at.offset });
    if seen.0.index < from.index {
        *seen = (from, catalog.applied_time()?);
    }
    // Not through an open ledger: the catalog may already have what another process appended since.
    let mut entries = aseptic_ledger::read(&ledger_dir, from)?;
    let mut values = Values::open(&ledger_dir)?;
    let stores = Stores::new(dir);
    let fetch = |project: &ProjectName, digest: &Digest| stores.read(project, digest);
    let mut met = Met::Entries;
    loop {
        let mut batch = Vec::new();
        for entry in entries.by_ref().take(CATCH_UP_BATCH) {
            let entry = entry?;
            let mut parsed: Entry = from_canonical(&entry.bytes)
                .map_err(|source| format_error(format!("entry {} of the ledger", entry.index), source))?;
            if matches!(parsed.event, Event::LedgerErased { .. }) {
                met = Met::Erasure;
                if applied.is_some() {
                    return Ok(met);
                }
            }
            reveal(entry.index, &mut parsed, &mut values)?;
            if seen.0.index <= entry.index {
                *seen = (entry.next, parsed.latest_time(seen.1));
            }
            let next = aseptic_catalog::Position { index: entry.next.index, offset: entry.next.offset };
            batch.push((next, parsed));
        }
        if batch.is_empty() {
            catalog.end_many()?;
            return Ok(met);
        }
        if batch.len() == CATCH_UP_BATCH && catalog.applied()?.is_none() {
            catalog.begin_many()?;
        }
        catalog.apply(batch, &fetch)?;
    }
}
