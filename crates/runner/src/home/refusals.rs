//! Refusals, counted so that nobody fills the ledger with them.
//!
//! A refusal that says something new is an entry. The same one again within an hour is counted in the file `refusals`,
//! and so is every one of a user who has had [`ENTRIES_MAX`] entries in that hour. When it is over, the next command of
//! anybody writes what was counted to the ledger.
//!
//! **Invariant:** a count is in the ledger before it leaves the file: who is killed between the two says it twice, with
//! the same beginning, and not never.
//! **Absent on purpose:** syncing the file. A power failure may take the counts of the last hour; whatever is refused after
//! it is an entry again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aseptic_model::{Digest, Event, ProjectName, Refusals, Timestamp, to_canonical};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{Home, HomeError, io_error, now};
use crate::lock_file;

/// Entries that the refusals of one user may have in an hour: more than somebody causes by mistake.
const ENTRIES_MAX: usize = 60;

/// How long refusals are counted before the counts are written.
const HOUR_MS: i64 = 3_600_000;

/// Projects and acts that the refusals of one user are told apart by in an hour.
const TOLD_APART_MAX: usize = 64;

/// Users whose refusals are counted at once.
const USERS_MAX: usize = 1_000;

/// Largest file that is read; with all of the above there is about 4 MiB in it.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Version tag of the file.
const FORMAT: &str = "aseptic.refusals/1";

/// What was refused in the last hour.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counted {
    format: String,
    /// By actor.
    users: BTreeMap<String, Hour>,
}

/// The refusals of one user.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hour {
    since: Timestamp,
    until: Timestamp,
    /// What has an entry, as the start of a digest.
    recorded: BTreeSet<String>,
    /// How many have none, by project and act.
    counts: BTreeMap<ProjectName, BTreeMap<String, u64>>,
    /// How many more, of other projects or acts.
    others: u64,
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Entry,
    Count,
}

impl Home {
    /// Writes down that an act was refused: as an entry, or as one more of those that have none.
    pub(super) fn refused(&self, project: &ProjectName, event: Event) -> Result<(), HomeError> {
        let Event::ActDenied { act, object, decision, .. } = &event else { return Ok(()) };
        let rules: BTreeSet<&str> = decision.reasons.iter().map(|reason| reason.rule.as_str()).collect();
        let what = Digest::of(&to_canonical(&(project, act, object, rules))?).to_string();
        let place = self.refusals();
        let _held = lock(&place)?;
        let mut counted = Counted::read(&place)?;
        let time = now();
        let mut events = counted.take_over(time);
        if counted.take(&self.actor, what.get(..16).unwrap_or_default(), (project, act), time) == Kept::Entry
        {
            events.push((project.clone(), event));
        }
        self.commit(events)?;
        counted.write(&place)
    }

    /// Writes the counts to the ledger whose hour is over.
    ///
    /// # Errors
    /// [`HomeError`]; they are written later then.
    pub(crate) fn record_refusals(&self) -> Result<(), HomeError> {
        let (place, time) = (self.refusals(), now());
        // Without the lock, since there are none for nearly every command.
        if !Counted::read(&place)?.users.values().any(|hour| hour.is_over(time)) {
            return Ok(());
        }
        let _held = lock(&place)?;
        let mut counted = Counted::read(&place)?;
        self.commit(counted.take_over(time))?;
        counted.write(&place)
    }

    fn refusals(&self) -> PathBuf {
        self.dir.join("refusals")
    }
}

/// Held until it is dropped, or its process is gone.
fn lock(place: &Path) -> Result<File, HomeError> {
    let path = place.with_extension("lock");
    lock_file::wait(&path, FlockOperation::LockExclusive)
        .map_err(|(step, error)| io_error(step, &path, error))
}

impl Counted {
    /// What is in the file. One that a power failure cut off has nothing.
    fn read(place: &Path) -> Result<Self, HomeError> {
        let nothing = || Self { format: FORMAT.to_owned(), users: BTreeMap::new() };
        let file = match File::open(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing()),
            other => other.map_err(|source| io_error("read", place, source))?,
        };
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(|source| io_error("read", place, source))?;
        let counted = serde_json::from_slice::<Self>(&text).ok();
        Ok(counted.filter(|counted| counted.format == FORMAT).unwrap_or_else(nothing))
    }

    /// Another file takes the place of the old one as a whole.
    fn write(&self, place: &Path) -> Result<(), HomeError> {
        if self.users.is_empty() {
            return match fs::remove_file(place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(io_error("remove", place, error))
                }
                _ => Ok(()),
            };
        }
        let new = place.with_extension("new");
        let written = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&to_canonical(self).map_err(io::Error::other)?)?;
            fs::rename(&new, place)
        };
        written().map_err(|source| io_error("write", place, source))
    }

    /// Counts a refusal, and says whether it has an entry. `what` is the same for refusals that say the same.
    fn take(
        &mut self,
        user: &str,
        what: &str,
        (project, act): (&ProjectName, &str),
        time: Timestamp,
    ) -> Kept {
        let hour = self.users.entry(user.to_owned()).or_insert_with(|| Hour::from(time));
        hour.until = time;
        if hour.recorded.len() < ENTRIES_MAX && hour.recorded.insert(what.to_owned()) {
            return Kept::Entry;
        }
        let known = hour.counts.get(project).is_some_and(|acts| acts.contains_key(act));
        let count = match known || hour.counts.values().map(BTreeMap::len).sum::<usize>() < TOLD_APART_MAX {
            true => hour.counts.entry(project.clone()).or_default().entry(act.to_owned()).or_default(),
            false => &mut hour.others,
        };
        *count = count.saturating_add(1);
        Kept::Count
    }

    /// What is to be written of users whose hour is over; they begin anew.
    fn take_over(&mut self, time: Timestamp) -> Vec<(ProjectName, Event)> {
        let is_full = self.users.len() >= USERS_MAX;
        let over = self.users.extract_if(.., |_, hour| is_full || hour.is_over(time));
        over.flat_map(|(user, hour)| hour.events(&user)).collect()
    }
}

impl Hour {
    fn from(since: Timestamp) -> Self {
        Self { since, until: since, recorded: BTreeSet::new(), counts: BTreeMap::new(), others: 0 }
    }

    /// Also where the clock went back.
    fn is_over(&self, time: Timestamp) -> bool {
        !(0..HOUR_MS).contains(&time.as_unix_ms().saturating_sub(self.since.as_unix_ms()))
    }

    /// An entry for each project. There is one before any refusal is among the others.
    fn events(self, user: &str) -> Vec<(ProjectName, Event)> {
        let Self { since, until, counts, mut others, .. } = self;
        let event = |(project, acts)| {
            let others = std::mem::take(&mut others);
            (project, Event::ActDenials(Refusals { user: user.to_owned(), since, until, acts, others }))
        };
        counts.into_iter().map(event).collect()
    }
}

#[cfg(test)]
mod tests;
