//! Replay: a run once more, from what the ledger has of it, and what differs.
//!
//! **Invariant:** it starts from the recorded plan, whose digests are looked up and checked first. What is gone or
//! damaged is named, and nothing starts; so is what is not as it was, unless that may differ.
//! **Invariant:** a verdict is recorded after the report that it names, and only for a replay that came to its end.

mod given;
mod prepare;

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroU32;

use aseptic_model::{
    Class, Diagnose, Diagnosis, Digest, Event as Entry, FilePath, ProjectName, REPLAY_REPORT_SCHEMA,
    ReplayReport, RunId, RunRecord, RunRef, Status, Tolerance, Verdict, to_canonical,
};
use aseptic_policy::Act;

use crate::effects::effects;
use crate::environment::{EnvironmentChange, EnvironmentError};
use crate::home::{Home, HomeError};
use crate::observer::{Observer, Signals};
use crate::request::Request;
use crate::results::ResultError;
use crate::run::{RunError, Steps, carry_out};

use self::given::Given;
use self::prepare::{Prepared, prepare};

/// What is to be repeated, and how.
#[derive(Clone, Debug)]
pub struct ReplayRequest {
    /// The run.
    pub run: RunRef,
    /// How often.
    pub times: NonZeroU32,
    /// Within what numbers count as equal.
    pub tolerance: Tolerance,
    /// What comes of a replay that differs.
    pub after_difference: AfterDifference,
    /// Whether the environment and the machine may be others, and terminal input may be missing.
    pub changes: Changes,
    /// What is in no plan: a proxy of the site, and whether attempts are seen.
    pub request: Request,
}

/// What comes of a replay that differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterDifference {
    /// No other follows.
    #[default]
    Stop,
    /// The next.
    GoOn,
}

/// What may be other than it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Changes {
    /// Nothing of what the plan has.
    #[default]
    Refused,
    /// Environment, machine and terminal input. The report names what is.
    Allowed,
}

/// Why a run was not repeated.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No run is meant, or it has nothing that can be repeated.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// Bytes that it needs are gone or damaged.
    #[error("run `{run}` cannot be repeated: {}", .missing.join("; "))]
    Missing {
        /// The run.
        run: RunId,
        /// Each thing that it needs, and what is the matter with it.
        missing: Vec<String>,
        /// What brings the first back.
        help: String,
        /// Whether it is damaged and not gone.
        damaged: bool,
    },
    /// What it ran on is not there any more as it was.
    #[error("run `{run}` would not run on what it ran on")]
    Changed {
        /// The run.
        run: RunId,
        /// Each difference.
        changes: Vec<EnvironmentChange>,
    },
    /// Its Python environment cannot be used.
    #[error("the Python environment of run `{run}` cannot be used")]
    Environment {
        /// The run.
        run: RunId,
        /// Why.
        #[source]
        source: EnvironmentError,
    },
    /// What it was given on standard input is not kept.
    #[error("run `{run}` was given {what} on standard input")]
    Input {
        /// The run.
        run: RunId,
        /// What.
        what: &'static str,
    },
    /// The user stopped it. Replays that were over are recorded.
    #[error("the replay was interrupted")]
    Interrupted,
    /// A replay did not come to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for ReplayError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Result(error) => error.diagnosis(),
            Self::Missing { help, damaged: true, .. } => {
                Diagnosis::new(Class::Damaged, "replay/damaged", help.clone())
            }
            Self::Missing { help, .. } => Diagnosis::new(Class::User, "replay/missing", help.clone()),
            Self::Changed { .. } => Diagnosis::new(
                Class::User,
                "replay/changed",
                "put it back as it was, or pass `--allow-changed`: the report names what differs",
            ),
            Self::Environment { source, .. } => Diagnosis::new(
                Class::User,
                "replay/environment",
                format!("{}; it must be where it was", source.diagnosis().help),
            ),
            Self::Input { .. } => Diagnosis::new(
                Class::User,
                "replay/input",
                "pass `--allow-changed` to repeat it with what is kept of it",
            ),
            Self::Interrupted => Diagnosis::new(
                Class::Interrupted,
                "replay/interrupted",
                "start it again; nothing is left half done",
            ),
            Self::Run(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<aseptic_store::StoreError> for ReplayError {
    fn from(error: aseptic_store::StoreError) -> Self {
        Self::Home(error.into())
    }
}

/// What came of repeating a run.
#[derive(Debug)]
pub struct Replayed {
    /// The run that was repeated.
    pub run: RunId,
    /// How often it was to be repeated.
    pub wanted: u32,
    /// Each replay with its report; none of one that was denied.
    pub replays: Vec<(RunRecord, Option<ReplayReport>)>,
    /// Outputs that not every run left with the same bytes, the first included.
    pub varying: BTreeSet<FilePath>,
}

impl Replayed {
    /// The worst verdict; nothing if no replay ran.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.reports().map(|report| report.verdict).max()
    }

    /// The reports of the replays that ran.
    pub fn reports(&self) -> impl Iterator<Item = &ReplayReport> {
        self.replays.iter().filter_map(|(_, report)| report.as_ref())
    }

    /// Whether every one of several replays left the same bytes as the first run.
    #[must_use]
    pub fn is_deterministic(&self) -> bool {
        self.verdict() == Some(Verdict::Identical) && self.reports().count() == self.replays.len()
    }
}

/// Repeats a run, and compares what comes of it with what came of it then.
///
/// `catch` is called once everything is there and intact: from then on signals are the jobs', and one that ends a
/// job ends the replay. Must be called from the thread that outlives the jobs, as [`crate::run()`].
///
/// # Errors
/// [`ReplayError`]. Replays that came to their end before it stay recorded.
pub fn replay<S: Signals>(
    home: &mut Home,
    project: &ProjectName,
    wanted: &ReplayRequest,
    catch: impl FnOnce() -> io::Result<S>,
    observer: &mut dyn Observer,
) -> Result<Replayed, ReplayError> {
    home.allowed(project, Act::View, None)?;
    let prepared = prepare(home, project, wanted, observer)?;
    let mut signals = catch().map_err(RunError::Signals)?;
    let mut done = Replayed {
        run: prepared.record.run.clone(),
        wanted: wanted.times.get(),
        replays: Vec::new(),
        varying: BTreeSet::new(),
    };
    for _ in 0..wanted.times.get() {
        let (request, input) = prepared.streams(home, &wanted.request)?;
        let planned = prepared.planned(home)?;
        let mut given = Given { observer, input };
        let replay = carry_out(home, planned, &request, Steps::new(), &mut signals, &mut given)?;
        if !replay.status.has_started() {
            done.replays.push((replay, None));
            break;
        }
        if replay.status == Status::Aborted {
            return Err(ReplayError::Interrupted);
        }
        let mut interrupted = || signals.take().into_iter().any(ends);
        let Some(report) = report(home, &prepared, &replay, wanted.tolerance, &mut interrupted)? else {
            return Err(ReplayError::Interrupted);
        };
        let verdict = report.verdict;
        done.varying.extend(report.effects.outputs.iter().map(|output| output.path.clone()));
        done.replays.push((replay, Some(report)));
        if verdict == Verdict::Different && wanted.after_difference == AfterDifference::Stop {
            break;
        }
    }
    Ok(done)
}

/// Whether a signal asks this process to end: HUP, INT, QUIT, TERM.
fn ends(signal: i32) -> bool {
    matches!(signal, 1 | 2 | 3 | 15)
}

/// Compares a replay and records what came of it; nothing when that was interrupted.
fn report(
    home: &mut Home,
    prepared: &Prepared,
    replay: &RunRecord,
    tolerance: Tolerance,
    interrupted: &mut dyn FnMut() -> bool,
) -> Result<Option<ReplayReport>, ReplayError> {
    let original = &prepared.record;
    let store = home.store(&replay.project)?;
    let lease = store.lease()?; // What is deleted while it is read would look damaged.
    let Some(effects) = effects(home, original, replay, tolerance, interrupted)? else { return Ok(None) };
    let report = ReplayReport {
        schema: REPLAY_REPORT_SCHEMA.to_owned(),
        project: replay.project.clone(),
        run: replay.run.clone(),
        replays: original.run.clone(),
        verdict: effects.verdict,
        tolerance,
        changed: prepared.changed.clone(),
        remarks: prepared.remarks.clone(),
        effects,
    };
    let bytes = to_canonical(&report).map_err(HomeError::from)?;
    let digest: Digest = store.put_bytes(&lease, &bytes)?;
    let entry = Entry::RunReplayed {
        run: report.run.clone(),
        replays: report.replays.clone(),
        verdict: report.verdict,
        report: digest,
    };
    home.record(&report.project, vec![entry])?;
    Ok(Some(report))
}
