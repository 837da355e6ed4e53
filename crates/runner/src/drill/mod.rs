//! Drill: attacks on sealed runs of this machine, by a red team that is part of the program.
//!
//! Each attempt of `aseptic-drill` is made in a sealed run, started as a user starts one, and once more
//! without walls. The verdicts, what was seen from outside included, are the report.
//!
//! **Invariant:** the runs of a drill have a state directory of their own; the user's is not in reach even
//! of a breach, and of it only the ledger and one store are written to, at the end.

mod go;
mod place;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use aseptic_drill::{Attempt, Family, Observed, Outcome, families, judge};
use aseptic_model::{Class, Diagnose, Diagnosis, Digest, Event as Entry, ProjectName, to_canonical};
use aseptic_policy::Act;
use serde::Serialize;

use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer};
use place::Place;

/// Version tag of [`DrillReport`].
pub(crate) const DRILL_SCHEMA: &str = "aseptic.drill/1";

/// What to drill.
#[derive(Debug)]
pub struct DrillRequest<'a> {
    /// The program of `aseptic`, to be started for the runs and in them.
    pub program: PathBuf,
    /// Families by name; all of them when there is none.
    pub families: Vec<String>,
    /// Whether the attempts are made in sealed runs, or, to try the drill itself, without walls.
    pub walls: Walls,
    /// Set from outside when the drill should stop.
    pub stop: &'a AtomicBool,
}

/// Where the attempts are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walls {
    /// In sealed runs.
    Sealed,
    /// Where the twins are: every attempt must then be reported as a breach.
    None,
}

/// What came of a drill. Its JSON is `aseptic.drill/1`; see `docs/drill.md`.
#[derive(Clone, Debug, Serialize)]
pub struct DrillReport {
    /// `aseptic.drill/1`.
    pub schema: &'static str,
    /// Version of aseptic.
    pub version: &'static str,
    /// Kernel release.
    pub kernel: String,
    /// Whether root drilled, whose walls are weaker.
    pub root: bool,
    /// Walls that this host cannot make and that the runs went without.
    pub accepted: Vec<String>,
    /// How many attempts held.
    pub held: u32,
    /// How many got through.
    pub breached: u32,
    /// How many prove nothing.
    pub broken: u32,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Every attempt, in the order of the table.
    pub attempts: Vec<AttemptReport>,
}

/// What came of one attempt.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptReport {
    /// Its name.
    pub name: &'static str,
    /// Its family.
    pub family: &'static str,
    /// The wall that should hold.
    pub wall: &'static str,
    /// What it does.
    pub what: &'static str,
    /// The verdict.
    pub result: Outcome,
    /// What happened.
    pub detail: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// There is no such family.
    #[error("there is no family `{0}` of attempts")]
    Family(String),
    /// The place for the drill, or its victims.
    #[error("could not prepare the drill: {what}")]
    Prepare {
        /// What failed.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was asked to stop.
    #[error("the drill was interrupted")]
    Interrupted,
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for DrillError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Family(_) => {
                let names: Vec<_> = families().iter().map(|family| family.name).collect();
                Diagnosis::new(Class::User, "drill/family", format!("it has {}", names.join(", ")))
            }
            Self::Prepare { .. } => {
                Diagnosis::new(Class::Host, "drill/prepare", "see what `aseptic doctor` says of this machine")
            }
            Self::Interrupted => {
                Diagnosis::new(Class::Host, "drill/interrupted", "nothing is left of it; start it again")
            }
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl DrillError {
    fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Prepare { what, source }
    }
}

/// Makes every attempt of the wanted families and judges it; records the report for `project`.
///
/// Takes some ten seconds and the room of two copies of the program in the state directory, which are
/// given back. Needs no root.
///
/// # Errors
/// [`DrillError`]. Nothing of the drill is left.
pub fn drill(
    home: &mut Home,
    project: &ProjectName,
    request: &DrillRequest<'_>,
    observer: &mut dyn Observer,
) -> Result<DrillReport, DrillError> {
    home.allowed(project, Act::Drill, None)?;
    let started = Instant::now();
    let wanted = drill_families(&request.families)?;
    let all: Vec<&Attempt> = wanted.iter().flat_map(|family| family.attempts).collect();
    let place = Place::make(home.dir(), &request.program)?;
    let (twins, jailed) = attempts(&place, &all, request, observer)?;
    place.verify_ledger()?;
    drop(place);
    let mut report = DrillReport {
        schema: DRILL_SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        root: rustix::process::getuid().is_root(),
        accepted: place::accepted(),
        held: 0,
        breached: 0,
        broken: 0,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        attempts: Vec::new(),
    };
    let names = wanted.iter().flat_map(|family| family.attempts.iter().map(|attempt| (family.name, attempt)));
    for (((family, attempt), twin), jailed) in names.zip(&twins).zip(&jailed) {
        let (result, detail) = judge(attempt, twin, jailed);
        match result {
            Outcome::Held => report.held += 1,
            Outcome::Breached => report.breached += 1,
            Outcome::Broken => report.broken += 1,
        }
        let Attempt { name, wall, what, .. } = *attempt;
        report.attempts.push(AttemptReport { name, family, wall, what, result, detail });
    }
    if request.walls == Walls::Sealed {
        record(home, project, &report)?;
    }
    Ok(report)
}

/// The families of these names; all of them when there is none.
///
/// # Errors
/// [`DrillError::Family`].
pub fn drill_families(names: &[String]) -> Result<Vec<&'static Family>, DrillError> {
    if let Some(unknown) = names.iter().find(|name| families().iter().all(|family| family.name != **name)) {
        return Err(DrillError::Family(unknown.chars().take(80).flat_map(char::escape_debug).collect()));
    }
    Ok(families()
        .iter()
        .filter(|family| names.is_empty() || names.iter().any(|n| n == family.name))
        .collect())
}

/// All attempts and their twins. Attempts are made one after another, so that whatever is found changed
/// outside is the doing of one; twins, which cannot meet anything, beside them.
fn attempts(
    place: &Place,
    all: &[&Attempt],
    request: &DrillRequest<'_>,
    observer: &mut dyn Observer,
) -> Result<(Vec<Observed>, Vec<Observed>), DrillError> {
    let twins = || -> Result<Vec<Observed>, DrillError> {
        all.iter().map(|attempt| go::twin(place, attempt, request.stop)).collect()
    };
    thread::scope(|scope| {
        let beside = scope.spawn(twins);
        let jailed =
            if request.walls == Walls::None { twins() } else { in_runs(place, all, request.stop, observer) };
        if jailed.is_err() {
            request.stop.store(true, Ordering::Relaxed); // The twins need not go on.
        }
        let twins = beside.join().unwrap_or(Err(DrillError::Interrupted));
        let jailed = jailed?;
        Ok((twins?, jailed))
    })
}

fn in_runs(
    place: &Place,
    all: &[&Attempt],
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Vec<Observed>, DrillError> {
    let mut observed = Vec::with_capacity(all.len());
    let mut stand = place.stand()?;
    for (done, attempt) in all.iter().enumerate() {
        observer.event(Event::Drill { attempt: attempt.name, done, total: all.len() });
        let seen = go::jailed(place, &mut stand, attempt, stop)?;
        let changed = seen.changed.is_some();
        observed.push(seen);
        if changed {
            // Everything anew, so that one breach is not taken for another.
            drop(stand);
            place.restore()?;
            stand = place.stand()?;
        }
    }
    Ok(observed)
}

fn record(home: &mut Home, project: &ProjectName, report: &DrillReport) -> Result<(), DrillError> {
    let bytes = to_canonical(report).map_err(HomeError::from)?;
    let store = home.store(project)?;
    let lease = store.lease().map_err(HomeError::from)?;
    store.put_bytes(&lease, &bytes).map_err(HomeError::from)?;
    let DrillReport { held, breached, broken, .. } = *report;
    home.record(project, vec![Entry::DrillCompleted { held, breached, broken, report: Digest::of(&bytes) }])?;
    Ok(())
}

/// Plays the part of a process of the drill; see [`aseptic_drill::part`].
///
/// # Errors
/// The part could not be played.
pub fn drill_part(words: &[std::ffi::OsString]) -> io::Result<()> {
    aseptic_drill::part(words)
}

/// A directory that a drill may use, below the state directory `home`.
fn directory(home: &Path) -> PathBuf {
    home.join("drill")
}
