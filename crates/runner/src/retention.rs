//! Retention: for how long bytes are kept, who chose that, and what is gone.
//!
//! Choosing a class deletes nothing: the next [`crate::collect()`] does.
//!
//! **Invariant:** a class that this returned for is seen by every later collection, and none that had begun
//! before deletes what it protects: choosing waits for the end of a collection.

use std::collections::BTreeMap;

use aseptic_catalog::{DatasetVersion, ResolveError, RunFilter, RunSummary};
use aseptic_model::{
    Class, Diagnose, Diagnosis, Event as Entry, InputRef, InputRefError, ProjectName, Retained, RetainedKind,
    Retention, RunId, RunRef, Timestamp,
};
use aseptic_policy::Act;
use aseptic_store::StoreError;

use crate::dataset::{DatasetError, lock, missing, object_of};
use crate::home::{Home, HomeError};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Why a retention class could not be chosen or shown.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The text names nothing that is retained.
    #[error(transparent)]
    Object(#[from] InputRefError),
    /// A part of what is retained as a whole was named.
    #[error("`{0}` is a part of a run, which is kept or deleted as a whole")]
    Part(InputRef),
    /// There is no such dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// No run is meant.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// It has no bytes any more.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// A hold would end, and nobody says why.
    #[error("`{0}` is on hold")]
    Held(Retained),
    /// A hold is for one thing.
    #[error("`hold` cannot be the class of all {}", .0.as_str())]
    HoldAll(RetainedKind),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for RetentionError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Object(_) | Self::Part(_) => Diagnosis::new(
                Class::User,
                "retention/object",
                "name a dataset as NAME or NAME@VERSION, or a run as run:RUN",
            ),
            Self::Dataset(error) => error.diagnosis(),
            Self::Resolve(error) => error.diagnosis(),
            Self::Gone(gone) => gone.diagnosis(),
            Self::Held(_) => Diagnosis::new(
                Class::User,
                "retention/held",
                "say why the hold may end with `--reason TEXT`, which is recorded",
            ),
            Self::HoldAll(_) => Diagnosis::new(
                Class::User,
                "retention/hold-all",
                "choose `keep` for all, and `hold` for a version or run with `aseptic retention set OBJECT hold`",
            ),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<StoreError> for RetentionError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

impl From<aseptic_catalog::CatalogError> for RetentionError {
    fn from(error: aseptic_catalog::CatalogError) -> Self {
        Self::Home(error.into())
    }
}

/// Bytes that were deleted when their time was over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{object}` was deleted by retention class {class} on {}", self.day())]
pub struct Gone {
    /// What it was.
    pub object: Retained,
    /// Its class at that time.
    pub class: Retention,
    /// When.
    pub expired: Timestamp,
    /// Where it was archived last.
    pub archived: Option<String>,
}

impl Gone {
    /// The day of it, in UTC.
    #[must_use]
    pub fn day(&self) -> String {
        self.expired.to_string().chars().take_while(|c| *c != 'T').collect()
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match (&self.archived, &self.object) {
            (Some(url), _) => format!("`aseptic restore {url}` brings it back"),
            (None, Retained::Dataset { name, .. }) => {
                format!("import it again with `aseptic dataset add PATH --name {name}`")
            }
            (None, Retained::Run(run)) => {
                format!("its record is kept: `aseptic show {run}`; run it again to have its outputs")
            }
        }
    }
}

impl Diagnose for Gone {
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(Class::User, "retention/expired", self.help())
    }
}

/// How one thing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is.
    pub object: Retained,
    /// Its class.
    pub class: Retention,
    /// Whether that was chosen for it, and not for the project.
    pub own: bool,
    /// Since when its time counts; nothing for a run that goes on.
    pub since: Option<Timestamp>,
    /// When its time is over.
    pub expires: Option<Timestamp>,
    /// When it was over, and its bytes were given up.
    pub expired: Option<Timestamp>,
    /// Where it was archived last.
    pub archived: Option<String>,
}

impl Standing {
    fn new(object: Retained, own: Option<Retention>, default: Retention, since: Option<Timestamp>) -> Self {
        let class = own.unwrap_or(default);
        let expires = match (class, since) {
            (Retention::Days(days), Some(since)) => {
                since.as_unix_ms().checked_add(i64::from(days) * DAY_MS).and_then(Timestamp::from_unix_ms)
            }
            _ => None,
        };
        Self { object, class, own: own.is_some(), since, expires, expired: None, archived: None }
    }

    pub(crate) fn of_version(version: &DatasetVersion, default: Retention) -> Self {
        let object = object_of(version);
        let since = version.restored.unwrap_or(version.added);
        let standing = Self::new(object, version.retention, default, Some(since));
        standing.and(version.expired, version.expired_class, version.archived.as_ref())
    }

    pub(crate) fn of_run(run: &RunSummary, default: Retention) -> Self {
        let ended = run.status.and(run.ended);
        let since = run.restored.filter(|_| ended.is_some()).or(ended);
        let standing = Self::new(Retained::Run(run.run.clone()), run.retention, default, since);
        standing.and(run.expired, run.expired_class, run.archived.as_ref())
    }

    fn and(
        mut self,
        expired: Option<Timestamp>,
        class: Option<Retention>,
        archived: Option<&String>,
    ) -> Self {
        self.archived = archived.cloned();
        if let Some(expired) = expired {
            // What counts is the class that it went by, whatever was chosen since.
            self.class = class.unwrap_or(self.class);
            self.expired = Some(expired);
            self.expires = None;
        }
        self
    }

    /// Whether its time is over at `now`, and it has its bytes still.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.expired.is_none() && self.expires.is_some_and(|expires| expires <= now)
    }

    /// The error of whoever needs the bytes.
    pub(crate) fn gone(&self) -> Option<Gone> {
        let expired = self.expired?;
        let Self { object, class, archived, .. } = self.clone();
        Some(Gone { object, class, expired, archived })
    }
}

/// What became of the bytes of a dataset version, if they were deleted.
#[must_use]
pub fn gone(version: &DatasetVersion) -> Option<Gone> {
    Standing::of_version(version, Retention::default()).gone()
}

/// Refuses a dataset version whose bytes were deleted.
pub(crate) fn there(version: &DatasetVersion) -> Result<(), Gone> {
    gone(version).map_or(Ok(()), Err)
}

/// Refuses a run whose bytes were deleted.
pub(crate) fn there_run(run: &RunSummary) -> Result<(), Gone> {
    Standing::of_run(run, Retention::default()).gone().map_or(Ok(()), Err)
}

/// How things stand in a project.
#[derive(Clone, Debug)]
pub struct Standings {
    /// Classes of what has none of its own.
    pub defaults: BTreeMap<RetainedKind, Retention>,
    /// What was asked for; of everything, what is not simply kept.
    pub objects: Vec<Standing>,
}

/// How `object` stands (`NAME`, `NAME@VERSION`, `run:RUN` or a run); without one, everything of the project that
/// has a class of its own, that will expire or that has expired.
///
/// # Errors
/// [`RetentionError`].
pub fn retention(
    home: &Home,
    project: &ProjectName,
    object: Option<&str>,
) -> Result<Standings, RetentionError> {
    home.allowed(project, Act::View, None)?;
    let objects = match object {
        Some(text) => {
            let named = named(home, project, text)?;
            home.allowed_on(project, Act::View, &named.object())?;
            vec![standing(home, project, &named)?]
        }
        None => {
            let simply = |standing: &Standing| {
                standing.class == Retention::Keep && !standing.own && standing.expired.is_none()
            };
            standings(home, project)?.into_iter().filter(|standing| !simply(standing)).collect()
        }
    };
    Ok(Standings { defaults: defaults(home, project)?, objects })
}

/// Chooses the class of `object`; none leaves it to the project. Durable when it returns.
///
/// # Errors
/// [`RetentionError`]; nothing was recorded.
pub fn set_retention(
    home: &mut Home,
    project: &ProjectName,
    object: &str,
    class: Option<Retention>,
    reason: Option<&str>,
) -> Result<Standings, RetentionError> {
    home.allowed(project, Act::Retain, None)?;
    let object = named(home, project, object)?;
    let store = home.store(project)?;
    let _lease = store.lease()?;
    let _lock = lock(home, project)?;
    let before = standing(home, project, &object)?;
    if let Some(gone) = before.gone() {
        return Err(gone.into());
    }
    let kind = kind_of(&object);
    let after = class.map_or_else(|| home.catalog.retention_default(project, kind), Ok)?;
    if before.class == Retention::Hold && after != Retention::Hold && reason.is_none() {
        return Err(RetentionError::Held(object));
    }
    let reason = reason.map(str::to_owned);
    home.record(project, vec![Entry::RetentionSet { object: object.clone(), class, reason }])?;
    home.catch_up()?;
    let objects = vec![standing(home, project, &object)?];
    Ok(Standings { defaults: defaults(home, project)?, objects })
}

/// Chooses the class of everything of this kind that has none of its own. Durable when it returns.
///
/// # Errors
/// [`RetentionError`]; nothing was recorded.
pub fn set_default_retention(
    home: &mut Home,
    project: &ProjectName,
    kind: RetainedKind,
    class: Retention,
) -> Result<Standings, RetentionError> {
    home.allowed(project, Act::Retain, None)?;
    if class == Retention::Hold {
        return Err(RetentionError::HoldAll(kind));
    }
    let store = home.store(project)?;
    let _lease = store.lease()?;
    home.record(project, vec![Entry::RetentionDefault { kind, class }])?;
    home.catch_up()?;
    Ok(Standings { defaults: defaults(home, project)?, objects: Vec::new() })
}

/// Everything of a project: versions of datasets, then runs, the oldest first.
pub(crate) fn standings(home: &Home, project: &ProjectName) -> Result<Vec<Standing>, HomeError> {
    let [datasets, runs] = defaults_of(home, project)?;
    let versions = home.catalog.all_versions(project)?;
    let mut standings: Vec<_> =
        versions.iter().map(|version| Standing::of_version(version, datasets)).collect();
    let all = home.catalog.runs(project, usize::MAX, &RunFilter::default())?;
    standings.extend(all.iter().rev().map(|run| Standing::of_run(run, runs)));
    Ok(standings)
}

/// The classes of datasets and of runs that have none of their own.
pub(crate) fn defaults_of(home: &Home, project: &ProjectName) -> Result<[Retention; 2], HomeError> {
    let of = |kind| home.catalog.retention_default(project, kind);
    Ok([of(RetainedKind::Datasets)?, of(RetainedKind::Runs)?])
}

fn defaults(home: &Home, project: &ProjectName) -> Result<BTreeMap<RetainedKind, Retention>, RetentionError> {
    let [datasets, runs] = defaults_of(home, project)?;
    Ok(BTreeMap::from([(RetainedKind::Datasets, datasets), (RetainedKind::Runs, runs)]))
}

fn kind_of(object: &Retained) -> RetainedKind {
    match object {
        Retained::Dataset { .. } => RetainedKind::Datasets,
        Retained::Run(_) => RetainedKind::Runs,
    }
}

fn standing(home: &Home, project: &ProjectName, object: &Retained) -> Result<Standing, RetentionError> {
    let [datasets, runs] = defaults_of(home, project)?;
    match object {
        Retained::Dataset { name, version } => {
            let reference = InputRef::Dataset { name: name.clone(), version: Some(*version) };
            let found = crate::dataset::find(home, project, &reference)?;
            Ok(Standing::of_version(&found, datasets))
        }
        Retained::Run(run) => Ok(Standing::of_run(&summary(home, project, run)?, runs)),
    }
}

fn summary(home: &Home, project: &ProjectName, run: &RunId) -> Result<RunSummary, RetentionError> {
    let found = home.catalog.run(project, run)?;
    found.ok_or_else(|| match run.as_str().parse::<RunRef>() {
        Ok(reference) => ResolveError::NotFound { reference, experiments: Vec::new() }.into(),
        Err(_) => ResolveError::NoRuns.into(),
    })
}

/// What `text` names: the newest version of a dataset where it gives none; a run may stand without `run:` where no
/// dataset has its name.
fn named(home: &Home, project: &ProjectName, text: &str) -> Result<Retained, RetentionError> {
    let reference: InputRef = text.parse()?;
    match &reference {
        InputRef::Artifact { path: Some(_), .. } => Err(RetentionError::Part(reference)),
        InputRef::Artifact { run, path: None } => Ok(Retained::Run(home.catalog.resolve_run(project, run)?)),
        InputRef::Dataset { name, version } => {
            if let Some(found) = home.catalog.dataset_version(project, name, *version)? {
                return Ok(Retained::Dataset { name: found.name, version: found.version });
            }
            match text.parse::<RunRef>().map(|run| home.catalog.resolve_run(project, &run)) {
                Ok(Ok(run)) => Ok(Retained::Run(run)),
                _ => Err(missing(home, project, &reference).into()),
            }
        }
    }
}
