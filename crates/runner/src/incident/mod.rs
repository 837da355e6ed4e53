//! Incidents: what something bad reached, kept as evidence that others can check without this machine.

mod bundle;
mod directory;
mod document;
mod picture;
mod report;
mod staged;
mod unproven;
mod verify;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aseptic_catalog::Incident;
use aseptic_model::{Class, Diagnose, Diagnosis, Event as Entry, IncidentId, Object, ObjectRef, ProjectName};
use aseptic_policy::Act;

pub use bundle::Exported;
pub use document::{Document, Line};
pub use verify::{Verification, verify};

use crate::attest::KeyError;
use crate::home::{Home, HomeError};
use crate::prove::ProveError;
use crate::quarantine::{
    Handled, Preview, QuarantineError, Running, current_reach, named, record_and_handle,
};

/// The type of the statement that lists the files of a bundle.
const MANIFEST_TYPE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/incident-manifest/v1");

/// Why an incident could not be opened, shown, exported or closed, or a bundle is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    /// What it is about.
    #[error(transparent)]
    Quarantine(Box<QuarantineError>),
    /// There is none of this name.
    #[error("project `{project}` has no incident `{incident}`")]
    Missing {
        /// Where it was looked for.
        project: ProjectName,
        /// What was asked for.
        incident: String,
    },
    /// It is over.
    #[error("incident `{0}` is closed")]
    Closed(IncidentId),
    /// Something has that name.
    #[error("`{0}` is already there")]
    Exists(PathBuf),
    /// The directory that somebody gave cannot be listed.
    #[error("could not list `{}`", .0.display())]
    Directory(PathBuf, #[source] std::io::Error),
    /// It would lie in the state of aseptic.
    #[error("`{0}` is in the state directory")]
    State(PathBuf),
    /// The evidence is not what was signed.
    #[error("{0}")]
    Bundle(String),
    /// The entries cannot be proven.
    #[error(transparent)]
    Prove(Box<ProveError>),
    /// The manifest cannot be signed.
    #[error(transparent)]
    Key(Box<KeyError>),
    /// A document has no JSON form.
    #[error("could not write a document")]
    Json(#[source] serde_json::Error),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for IncidentError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Quarantine(error) => error.diagnosis(),
            Self::Missing { .. } => Diagnosis::new(
                Class::User,
                "incident/missing",
                "`aseptic incident list` shows those there are",
            ),
            Self::Closed(_) => Diagnosis::new(
                Class::User,
                "incident/closed",
                "open another one; its evidence can still be exported",
            ),
            Self::Exists(_) => Diagnosis::new(
                Class::User,
                "incident/exists",
                "name another directory with `--out`; `aseptic incident export ID --out DIR` writes it at any time",
            ),
            Self::Directory(..) => Diagnosis::new(
                Class::User,
                "incident/directory",
                "name the directory that `aseptic incident open` or `export` wrote",
            ),
            Self::State(_) => Diagnosis::new(
                Class::User,
                "incident/state",
                "name a directory elsewhere: what lies in the state must not be given away",
            ),
            Self::Bundle(_) => Diagnosis::new(
                Class::Damaged,
                "incident/bundle",
                "do not rely on it: ask for the bundle again, and keep this one",
            ),
            Self::Prove(error) => error.diagnosis(),
            Self::Key(error) => error.diagnosis(),
            Self::Json(_) => {
                Diagnosis::new(Class::Internal, "incident/json", "report this: every document can be written")
            }
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<QuarantineError> for IncidentError {
    fn from(error: QuarantineError) -> Self {
        Self::Quarantine(Box::new(error))
    }
}

impl From<ProveError> for IncidentError {
    fn from(error: ProveError) -> Self {
        Self::Prove(Box::new(error))
    }
}

impl From<KeyError> for IncidentError {
    fn from(error: KeyError) -> Self {
        Self::Key(Box::new(error))
    }
}

/// What was opened.
#[derive(Debug)]
pub struct Opened {
    /// The incident.
    pub incident: IncidentId,
    /// What each object reached.
    pub previews: Vec<Preview>,
    /// What became of the runs that went on.
    pub running: Vec<Handled>,
}

/// What an incident about `objects` would reach.
///
/// # Errors
/// [`IncidentError`].
pub fn preview(
    home: &mut Home,
    project: &ProjectName,
    objects: &[ObjectRef],
) -> Result<Vec<Preview>, IncidentError> {
    home.allowed(project, Act::HandleIncident, None)?;
    home.catch_up()?;
    let objects = all(home, project, objects)?;
    objects.iter().map(|object| Ok(current_reach(home, project, object)?)).collect()
}

fn all(home: &Home, project: &ProjectName, objects: &[ObjectRef]) -> Result<BTreeSet<Object>, IncidentError> {
    let named = objects.iter().map(|object| named(home, project, object).map_err(QuarantineError::from));
    Ok(named.collect::<Result<_, _>>()?)
}

/// Puts `objects` in quarantine and opens an incident about them, in one commit, and stops the runs that go on and
/// have something of them.
///
/// # Errors
/// [`IncidentError`].
pub fn open(
    home: &mut Home,
    project: &ProjectName,
    objects: &[ObjectRef],
    reason: &str,
) -> Result<Opened, IncidentError> {
    home.allowed(project, Act::HandleIncident, None)?;
    home.catch_up()?;
    let objects = all(home, project, objects)?;
    let incident = new_id()?;
    let event = Entry::IncidentOpened {
        incident: incident.clone(),
        objects: objects.clone(),
        reason: Some(reason.to_owned()),
    };
    let objects: Vec<_> = objects.into_iter().collect();
    let (previews, running) = record_and_handle(home, project, &objects, reason, Running::Stop, vec![event])?;
    Ok(Opened { incident, previews, running })
}

fn new_id() -> Result<IncidentId, HomeError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| HomeError::Io {
        what: "read",
        path: "the kernel's random numbers".to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(IncidentId::from_random(u64::from_ne_bytes(bytes)))
}

/// Every incident of `project`, the first opened first.
///
/// # Errors
/// [`IncidentError::Home`].
pub fn list(home: &mut Home, project: &ProjectName) -> Result<Vec<Incident>, IncidentError> {
    home.allowed(project, Act::View, None)?;
    home.catch_up()?;
    Ok(home.catalog.incidents(project).map_err(HomeError::from)?)
}

/// The incident whose id is or begins with `name`; `latest` is the one opened last.
///
/// # Errors
/// [`IncidentError`].
pub fn find(home: &mut Home, project: &ProjectName, name: &str) -> Result<Incident, IncidentError> {
    let mut known = list(home, project)?;
    let missing =
        || IncidentError::Missing { project: project.clone(), incident: name.escape_debug().to_string() };
    if name == "latest" {
        return known.pop().ok_or_else(missing);
    }
    let mut meant =
        known.into_iter().filter(|one| name.len() >= 3 && one.incident.as_str().starts_with(name));
    match (meant.next(), meant.next()) {
        (Some(found), None) => Ok(found),
        _ => Err(missing()),
    }
}

/// What the objects of an incident reach now.
///
/// # Errors
/// [`IncidentError`].
pub fn reached(
    home: &Home,
    project: &ProjectName,
    incident: &Incident,
) -> Result<Vec<Preview>, IncidentError> {
    home.allowed(project, Act::View, Some(&format!("incident:{}", incident.incident)))?;
    incident.objects.iter().map(|object| Ok(current_reach(home, project, object)?)).collect()
}

/// Whether evidence can be written to `out`: nothing is there, and it is not in the state directory.
///
/// # Errors
/// [`IncidentError::Exists`] and [`IncidentError::State`].
pub fn check_place(home: &Home, out: &Path) -> Result<(), IncidentError> {
    if out.symlink_metadata().is_ok() {
        return Err(IncidentError::Exists(out.to_owned()));
    }
    let above = out.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match above.canonicalize() {
        Ok(real) if home.holds(&real) => Err(IncidentError::State(out.to_owned())),
        _ => Ok(()), // What is not there cannot be written to, and the export says so.
    }
}

/// Writes the evidence of an incident, as it is now, to the directory `out`.
///
/// # Errors
/// [`IncidentError`]; nothing is at `out` then.
pub fn export(
    home: &mut Home,
    project: &ProjectName,
    name: &str,
    out: &Path,
) -> Result<Exported, IncidentError> {
    home.allowed(project, Act::Attest, None)?;
    let incident = find(home, project, name)?;
    bundle::export(home, project, &incident, out)
}

/// Closes an incident. Its quarantine stays.
///
/// # Errors
/// [`IncidentError`].
pub fn close(
    home: &mut Home,
    project: &ProjectName,
    name: &str,
    reason: &str,
) -> Result<IncidentId, IncidentError> {
    home.allowed(project, Act::HandleIncident, None)?;
    let incident = find(home, project, name)?;
    if incident.closed.is_some() {
        return Err(IncidentError::Closed(incident.incident));
    }
    let event =
        Entry::IncidentClosed { incident: incident.incident.clone(), reason: Some(reason.to_owned()) };
    home.record(project, vec![event])?;
    Ok(incident.incident)
}
