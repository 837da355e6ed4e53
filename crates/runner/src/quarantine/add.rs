//! Putting something in quarantine: what it reaches is looked up, then the ledger has it, then runs that go on are
//! stopped or told.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_catalog::{GivenAway, Quarantine, ReachedStep};
use aseptic_model::{
    Class, Diagnose, Diagnosis, Event as Entry, ExperimentName, Object, ObjectRef, ProjectName, Reached,
    ReachedRun, RunId, Status, Timestamp, to_canonical,
};
use aseptic_policy::Act;

use super::{alone, places};
use crate::desk::{Wish, ask};
use crate::home::{Home, HomeError};
use crate::objects::{Purpose, resolve};
use crate::results::ResultError;
use crate::stop::{Insist, StopError, StoppedRun, stop_all};

/// Why quarantine was not changed.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// Nothing is meant.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// It is there already.
    #[error("`{0}` is in quarantine already")]
    Already(Object),
    /// It is not there.
    #[error("`{0}` is not in quarantine")]
    Not(Object),
    /// A plan is being decided, and its process does not go on.
    #[error("another process has been deciding a plan for 30 s")]
    Busy,
    /// Runs that go on could not be stopped.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for QuarantineError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Result(error) => error.diagnosis(),
            Self::Already(_) => Diagnosis::new(
                Class::User,
                "quarantine/already",
                "`aseptic quarantine show OBJECT` says since when, by whom and why",
            ),
            Self::Not(_) => Diagnosis::new(
                Class::User,
                "quarantine/not",
                "`aseptic quarantine list` shows what is; what only descends from it is lifted with it",
            ),
            Self::Busy => Diagnosis::new(
                Class::Host,
                "quarantine/busy",
                "look for a stopped `aseptic run` (state T in `ps`), continue or kill it, and try again",
            ),
            Self::Stop(error) => {
                let inner = error.diagnosis();
                Diagnosis { help: format!("{}; the quarantine itself stands", inner.help), ..inner }
            }
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// A run that something reaches.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PreviewedRun {
    /// Its project.
    pub project: ProjectName,
    /// The run.
    pub run: RunId,
    /// Its experiment.
    pub experiment: Option<ExperimentName>,
    /// How it ended; nothing while it goes on.
    pub status: Option<Status>,
    /// When it was planned.
    pub planned: Timestamp,
    /// Who started it.
    pub actor: String,
    /// How many files it left.
    pub artifacts: u64,
}

/// What something reaches, before it is put in quarantine.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What is meant.
    pub object: Object,
    /// All that it reaches.
    pub reached: Reached,
    /// The first steps to it.
    pub steps: BTreeSet<ReachedStep>,
    /// The runs of it, the first planned first.
    pub runs: Vec<PreviewedRun>,
    /// What of all that was given away.
    pub given_away: Vec<GivenAway>,
}

impl Preview {
    /// The runs that go on.
    pub fn running(&self) -> impl Iterator<Item = &PreviewedRun> {
        self.runs.iter().filter(|run| run.status.is_none())
    }

    /// How many files the runs left.
    #[must_use]
    pub fn artifacts(&self) -> u64 {
        self.runs.iter().map(|run| run.artifacts).sum()
    }
}

/// What to do about runs that go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// They are stopped; where a supervisor does not answer, the jail is killed.
    Stop,
    /// Whoever started them is told, and their records keep it.
    Flag,
}

/// What became of a run that went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It was stopped, so far.
    Stopped(StoppedRun),
    /// It goes on, and was told.
    Told(ProjectName, RunId),
    /// It goes on, and nobody answered there.
    Unheard(ProjectName, RunId),
}

/// What was put in quarantine.
#[derive(Debug)]
pub struct Added {
    /// What it reached.
    pub preview: Preview,
    /// What became of the runs that went on.
    pub running: Vec<Handled>,
}

/// The object that `reference` names.
pub(crate) fn named(
    home: &Home,
    project: &ProjectName,
    reference: &ObjectRef,
) -> Result<Object, ResultError> {
    Ok(resolve(home, project, reference, Purpose::Act)?.object)
}

/// What `reference` reaches now.
///
/// # Errors
/// [`QuarantineError`].
pub fn preview(
    home: &mut Home,
    project: &ProjectName,
    reference: &ObjectRef,
) -> Result<Preview, QuarantineError> {
    home.allowed(project, Act::View, None)?;
    home.catch_up()?;
    // Whoever may put it in quarantine may name what nobody shows them.
    let purpose = if home.may(project, Act::Quarantine)? { Purpose::Act } else { Purpose::Look };
    let object = resolve(home, project, reference, purpose)?.object;
    Ok(current_reach(home, project, &object)?)
}

/// What `object` reaches now. The catalog must be up to date.
pub(crate) fn current_reach(
    home: &Home,
    project: &ProjectName,
    object: &Object,
) -> Result<Preview, HomeError> {
    let places = places::places(home, project, object)?;
    let (reached, steps) = home.catalog.reached(project, object, places)?;
    let mut runs = Vec::new();
    let mut given_away = Vec::new();
    for ReachedRun { project, run, .. } in &reached.runs {
        given_away.extend(home.catalog.given_away_of_run(project, run)?);
        let Some(summary) = home.catalog.run(project, run)? else { continue };
        let artifacts = home.catalog.output_count(project, run)?;
        runs.push(PreviewedRun {
            project: project.clone(),
            run: run.clone(),
            experiment: summary.experiment,
            status: summary.status,
            planned: summary.planned,
            actor: summary.actor,
            artifacts,
        });
    }
    for dataset in &reached.datasets {
        given_away.extend(home.catalog.given_away_of_dataset(
            &dataset.project,
            &dataset.name,
            dataset.version,
        )?);
    }
    if let Object::Artifact { run, .. } = object {
        given_away.extend(home.catalog.given_away_of_run(project, run)?);
    }
    runs.sort_by(|one, other| (one.planned, &one.run).cmp(&(other.planned, &other.run)));
    given_away.sort_by_key(|given| given.entry);
    given_away.dedup_by_key(|given| given.entry);
    Ok(Preview { object: object.clone(), reached, steps, runs, given_away })
}

/// Puts an object in quarantine, durable, and then handles the runs that go on and that it reaches; only that if it is
/// there already.
///
/// # Errors
/// [`QuarantineError`]. After [`QuarantineError::Stop`] the quarantine stands.
pub fn add(
    home: &mut Home,
    project: &ProjectName,
    reference: &ObjectRef,
    reason: &str,
    running: Running,
) -> Result<Added, QuarantineError> {
    home.allowed(project, Act::Quarantine, None)?;
    home.catch_up()?;
    let object = named(home, project, reference)?;
    if current(home, project, &object)?.is_some() {
        // Whoever put it there may have been killed before the runs that go on were stopped, or only told them.
        let handled = handle(home, std::slice::from_ref(&object), reason, running)?;
        if handled.is_empty() {
            return Err(QuarantineError::Already(object));
        }
        return Ok(Added { preview: current_reach(home, project, &object)?, running: handled });
    }
    let (mut previews, running) =
        record_and_handle(home, project, std::slice::from_ref(&object), reason, running, Vec::new())?;
    let preview = previews.pop().ok_or(QuarantineError::Already(object))?;
    Ok(Added { preview, running })
}

/// Puts those of `objects` in quarantine that are not there yet, in one commit that ends with `also`, and handles the
/// runs that go on.
pub(crate) fn record_and_handle(
    home: &mut Home,
    project: &ProjectName,
    objects: &[Object],
    reason: &str,
    running: Running,
    also: Vec<Entry>,
) -> Result<(Vec<Preview>, Vec<Handled>), QuarantineError> {
    let store = home.store(project)?;
    let lease = store.lease().map_err(HomeError::from)?;
    let held = alone(home)?;
    home.catch_up()?;
    let mut previews = Vec::new();
    let mut events = Vec::new();
    for object in objects {
        let preview = current_reach(home, project, object)?;
        if current(home, project, object)?.is_none() {
            let bytes = to_canonical(&preview.reached).map_err(HomeError::from)?;
            events.push(Entry::QuarantineAdded {
                object: object.clone(),
                reason: Some(reason.to_owned()),
                runs: preview.reached.runs.len() as u64,
                reached: Some(store.put_bytes(&lease, &bytes).map_err(HomeError::from)?),
            });
        }
        previews.push(preview);
    }
    events.extend(also);
    home.record(project, events)?;
    drop((held, lease));
    let handled = handle(home, objects, reason, running)?;
    Ok((previews, handled))
}

/// Runs of every project that go on and that something in quarantine reaches now.
fn handle(
    home: &mut Home,
    objects: &[Object],
    reason: &str,
    running: Running,
) -> Result<Vec<Handled>, QuarantineError> {
    home.catch_up()?;
    let mut reached = Vec::new();
    {
        let mut tracer = home.catalog.tracer().map_err(HomeError::from)?;
        for (project, run) in home.catalog.unfinished().map_err(HomeError::from)? {
            let found = tracer.run(&project, &run).map_err(HomeError::from)?;
            if let Some(found) = found.filter(|found| objects.contains(&found.object)) {
                reached.push((project, run, found.object));
            }
        }
    }
    if running == Running::Stop {
        let runs: Vec<_> = reached.into_iter().map(|(project, run, _)| (project, run)).collect();
        let stopped = stop_all(home, &runs, Some(reason), Insist::Kill)?;
        return Ok(stopped.into_iter().map(Handled::Stopped).collect());
    }
    let mut handled = Vec::new();
    for (project, run, object) in reached {
        let what = format!("{object} was put in quarantine, and this run has something of it");
        let path = home.run_dir(&project, &run);
        let heard = ask(&path, &Wish::Tell(what)).and_then(|mut waiting| waiting.answer());
        handled.push(match heard {
            Ok(_) => Handled::Told(project, run),
            Err(_) => Handled::Unheard(project, run),
        });
    }
    Ok(handled)
}

fn current(home: &Home, project: &ProjectName, object: &Object) -> Result<Option<Quarantine>, HomeError> {
    let all = home.catalog.quarantines(project)?;
    Ok(all.into_iter().find(|one| one.object == *object && one.lifted.is_none()))
}

/// What is in quarantine in `project`, or was.
///
/// # Errors
/// [`QuarantineError::Home`].
pub fn list(home: &Home, project: &ProjectName) -> Result<Vec<Quarantine>, QuarantineError> {
    home.allowed(project, Act::View, None)?;
    Ok(home.catalog.quarantines(project).map_err(HomeError::from)?)
}

/// The quarantines of one object, the last first, and what it reaches now.
///
/// # Errors
/// [`QuarantineError`].
pub fn show(
    home: &mut Home,
    project: &ProjectName,
    reference: &ObjectRef,
) -> Result<(Vec<Quarantine>, Preview), QuarantineError> {
    home.allowed(project, Act::View, None)?;
    home.catch_up()?;
    let object = resolve(home, project, reference, Purpose::Look)?.object;
    home.allowed_on(project, Act::View, &object)?;
    let preview = current_reach(home, project, &object)?;
    let mut known = list(home, project)?;
    known.retain(|one| one.object == preview.object);
    known.reverse();
    if known.is_empty() {
        return Err(QuarantineError::Not(preview.object));
    }
    Ok((known, preview))
}

/// Takes an object out of quarantine. What descends from it is free again, unless something else reaches it.
///
/// # Errors
/// [`QuarantineError`].
pub fn lift(
    home: &mut Home,
    project: &ProjectName,
    reference: &ObjectRef,
    reason: &str,
) -> Result<Object, QuarantineError> {
    home.allowed(project, Act::LiftQuarantine, None)?;
    home.catch_up()?;
    let object = named(home, project, reference)?;
    if current(home, project, &object)?.is_none() {
        return Err(QuarantineError::Not(object));
    }
    let event = Entry::QuarantineLifted { object: object.clone(), reason: Some(reason.to_owned()) };
    home.record(project, vec![event])?;
    Ok(object)
}

/// All that several objects reach, each thing once.
pub(crate) fn union(
    previews: Vec<Preview>,
) -> (Vec<PreviewedRun>, BTreeSet<aseptic_model::ReachedDataset>, Vec<GivenAway>) {
    let mut runs = BTreeMap::new();
    let mut datasets = BTreeSet::new();
    let mut given = BTreeMap::new();
    for preview in previews {
        let keyed = |run: PreviewedRun| ((run.planned, run.project.clone(), run.run.clone()), run);
        runs.extend(preview.runs.into_iter().map(keyed));
        datasets.extend(preview.reached.datasets);
        given.extend(preview.given_away.into_iter().map(|one| (one.entry, one)));
    }
    (runs.into_values().collect(), datasets, given.into_values().collect())
}
