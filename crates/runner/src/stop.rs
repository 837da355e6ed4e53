//! Stop: a running run is asked to end, by somebody else than its terminal.
//!
//! The ledger has it first. Then the supervisor of the run is asked; it asks the job to end, kills it after the grace
//! period, and seals the run. A supervisor that does not answer, since it is stopped or busy, finds the request when
//! it goes on. Its jail can be killed without it: by the first process of the jail, which is named by its number
//! and the time of its start, and held before it is looked at, so that no other process is ever signalled.

use std::io;
use std::path::Path;
use std::time::Duration;

use aseptic_model::{Class, Diagnose, Diagnosis, Event, Limits, Plan, ProjectName, RunId, RunRef, Status};
use aseptic_policy::Act;

use crate::desk::{Waiting, Wish, ask};
use crate::home::{Home, HomeError};
use crate::results::{ResultError, summary};
use crate::run_dir::{is_jail_gone, kill_jail};

/// How long to wait for the end beyond the grace period: killing takes no time, storing outputs does.
const END_WITHIN: Duration = Duration::from_secs(30);

/// What to do about a run whose supervisor does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insist {
    /// Leave it, and say so.
    No,
    /// Kill its jail; also when its job takes longer than half a minute, whatever its grace period is.
    Kill,
}

/// How far stopping a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is sealed.
    Sealed(Status),
    /// No process of its job is left; it is being sealed, or the next command does that.
    Over,
    /// It was asked, and goes on: its supervisor did not answer, or its job did not end in time.
    Unanswered,
}

/// One run that was asked to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedRun {
    /// Its project.
    pub project: ProjectName,
    /// The run.
    pub run: RunId,
    /// How far it came.
    pub ending: Ending,
}

/// Why nothing was stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// No run is meant.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// It is over.
    #[error("run `{0}` is over")]
    Over(RunId),
    /// Its supervisor does not answer.
    #[error(
        "run `{run}` was asked to stop and goes on: its supervisor did not answer, or its job did not end in time"
    )]
    Silent {
        /// The run.
        run: RunId,
    },
    /// Its jail could not be killed.
    #[error("could not kill the jail of run `{run}`")]
    Kill {
        /// The run.
        run: RunId,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for StopError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Result(error) => error.diagnosis(),
            Self::Over(_) => {
                Diagnosis::new(Class::User, "stop/over", "`aseptic runs` shows which runs go on")
            }
            Self::Silent { .. } => Diagnosis::new(
                Class::Host,
                "stop/silent",
                "its `aseptic run` may be stopped or busy; `aseptic stop --kill RUN` ends its job without it",
            ),
            Self::Kill { .. } => Diagnosis::new(
                Class::Host,
                "stop/kill",
                "stop it as the user who started it, or end its `aseptic run` with KILL: the jail ends with it",
            ),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// Asks `runs` to end, and waits until they have. What was asked is recorded before.
///
/// # Errors
/// [`StopError`]: nothing was recorded or asked when it is about a run that is not there or is over.
pub fn stop(
    home: &mut Home,
    project: &ProjectName,
    runs: &[RunRef],
    reason: Option<&str>,
    insist: Insist,
) -> Result<Vec<StoppedRun>, StopError> {
    home.allowed(project, Act::Stop, None)?;
    let mut meant = Vec::new();
    for run in runs {
        let summary = summary(home, project, run)?;
        if summary.status.is_some() {
            return Err(StopError::Over(summary.run));
        }
        if !meant.contains(&(project.clone(), summary.run.clone())) {
            meant.push((project.clone(), summary.run));
        }
    }
    stop_all(home, &meant, reason, insist)
}

/// As [`stop`], for runs of any project that were going on a moment ago.
pub(crate) fn stop_all(
    home: &mut Home,
    runs: &[(ProjectName, RunId)],
    reason: Option<&str>,
    insist: Insist,
) -> Result<Vec<StoppedRun>, StopError> {
    let event = |run: &RunId| Event::RunStopped { run: run.clone(), reason: reason.map(str::to_owned) };
    home.record_in(runs.iter().map(|(project, run)| (project.clone(), event(run))).collect())?;
    let who = home.actor().to_owned();
    // All of them are asked before one is waited for.
    let asked: Vec<_> = runs
        .iter()
        .map(|(project, run)| {
            let path = home.run_dir(project, run);
            let waiting = ask(&path, &Wish::Stop(who.clone()));
            (project.clone(), run.clone(), path, waiting)
        })
        .collect();
    let mut graces = Vec::new();
    for (project, run) in runs {
        graces.push(grace(home, project, run)?);
    }
    let mut stopped = Vec::new();
    for ((project, run, path, waiting), grace) in asked.into_iter().zip(graces) {
        let within = match insist {
            Insist::No => grace,
            Insist::Kill => grace.min(END_WITHIN),
        };
        let ending = ended(&run, &path, waiting, (insist, within + END_WITHIN))?;
        stopped.push(StoppedRun { project, run, ending });
    }
    home.catch_up()?;
    for one in &mut stopped {
        let known = home.catalog.run(&one.project, &one.run).map_err(HomeError::from)?;
        if let Some(status) = known.and_then(|run| run.status) {
            one.ending = Ending::Sealed(status);
        }
    }
    Ok(stopped)
}

fn ended(
    run: &RunId,
    path: &Path,
    waiting: io::Result<Waiting>,
    (insist, within): (Insist, Duration),
) -> Result<Ending, StopError> {
    let heard = waiting.and_then(|mut waiting| waiting.answer().map(|_| waiting));
    let silent = match heard {
        Ok(mut waiting) => !(waiting.until_over(within) || is_jail_gone(path)),
        // Nobody is there any more, or it ended before it took the request.
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::UnexpectedEof
        ),
    };
    if silent && insist == Insist::Kill {
        kill_jail(path).map_err(|source| StopError::Kill { run: run.clone(), source })?;
        return Ok(Ending::Over);
    }
    Ok(if silent { Ending::Unanswered } else { Ending::Over })
}

/// How long the job of a run may take after it was asked to end.
fn grace(home: &Home, project: &ProjectName, run: &RunId) -> Result<Duration, HomeError> {
    let known = home.catalog.run(project, run)?;
    let plan: Option<Plan> = known.map(|run| home.object(project, &run.plan)).transpose()?;
    let milliseconds = plan.map_or(Limits::GRACE_MS, |plan| plan.limits.grace_ms);
    Ok(Duration::from_millis(milliseconds))
}
