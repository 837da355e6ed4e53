//! The report on a project: a summary, a risk assessment and a table of controls with evidence, from the ledger, the
//! catalog and the policies in force.
//!
//! **Invariant:** a position of the ledger has one report. No clock is read: what is overdue is so at the last entry.
//! **Invariant:** everything in it came from people and jobs, and is escaped in each form.
//! **Absent on purpose:** saying that anything is in order. It says what is enforced and where that can be checked.

mod controls;
mod document;
mod html;
mod markdown;
mod page;
mod risk;
mod summary;
mod tally;
#[cfg(test)]
mod tests;

use aseptic_catalog::CatalogError;
use aseptic_ledger::{Checkpoint, Position, Verified, VerifyError, read, verify, verify_since};
use aseptic_model::{Class, Diagnose, Diagnosis, Entry, ProjectName, Timestamp, from_canonical};
use aseptic_policy::Act;

pub use document::{
    ActLine, ActorLine, Control, DatasetLine, DeniedLine, DrillLine, Drills, Enforcement, Evidence,
    ExperimentLine, FindingLine, HoldoutLine, IncidentLine, LedgerPosition, Listed, PROJECT_REPORT_SCHEMA,
    PoliciesLine, ProjectReport, QuarantineLine, ReachedLine, RiskAssessment, RiskLine, Span, Summary,
    Witnesses,
};
pub use html::html;
pub use markdown::markdown;

use crate::home::{Home, HomeError};
use crate::witness::WitnessingError;
use tally::Tally;

/// Most lines of one list: what a person may read. How many more there are is said.
const LISTED_MAX: usize = 200;

/// A drill that is older, in days, is overdue.
pub const DRILL_DAYS: u32 = 30;

/// How often the report is begun again because others go on writing.
const TRIES: usize = 5;

/// How many entries are counted between two looks at whether to go on.
const STRIDE: u64 = 4_096;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The ledger is not what was written, so nothing that it says is evidence.
    #[error(transparent)]
    Ledger(#[from] VerifyError),
    /// What witnesses have of it is not it.
    #[error(transparent)]
    Witness(#[from] WitnessingError),
    /// The ledger has nothing of the project.
    #[error("the ledger has no entry of project `{0}`")]
    Empty(ProjectName),
    /// Others went on writing all the time.
    #[error("entries were added while the report was made, {TRIES} times")]
    Busy,
    /// It was asked to stop.
    #[error("the report was interrupted")]
    Interrupted,
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for ReportError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Ledger(error) => error.diagnosis(),
            Self::Witness(error) => error.diagnosis(),
            Self::Empty(_) => Diagnosis::new(
                Class::User,
                "report/empty",
                "check the name; `--project` and the spec give it",
            ),
            Self::Busy => {
                Diagnosis::new(Class::Host, "report/busy", "try again when fewer runs start and end")
            }
            Self::Interrupted => Diagnosis::new(Class::Interrupted, "report/interrupted", "start it again"),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<CatalogError> for ReportError {
    fn from(error: CatalogError) -> Self {
        Self::Home(error.into())
    }
}

/// The report on `project` as the ledger is now. Runs and entries before `since` are not counted. `go_on` is told how
/// much is done, of how much, and says whether to go on.
///
/// Verifies the whole ledger and reads it once; of the newest 2,000 decided runs it reads what was asked. Memory does
/// not grow with the number of runs.
///
/// # Errors
/// [`ReportError`]. A ledger that is damaged has no report.
pub fn project_report(
    home: &mut Home,
    project: &ProjectName,
    since: Option<Timestamp>,
    go_on: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<ProjectReport, ReportError> {
    home.allowed(project, Act::View, None)?;
    let dir = home.ledger_dir();
    let mut verified = verify(&dir, None)?;
    for _ in 0..TRIES {
        home.catch_up()?;
        if home.catalog.applied()?.map_or(0, |at| at.index) != verified.entries {
            verified = again(home, &verified)?;
            continue;
        }
        let report = at(home, project, since, &verified, go_on)?;
        // The catalog is shared: whoever wrote meanwhile may have changed what was asked of it.
        if home.catalog.applied()?.map_or(0, |at| at.index) == verified.entries {
            return Ok(report);
        }
        verified = again(home, &verified)?;
    }
    Err(ReportError::Busy)
}

/// Verifies what came since.
fn again(home: &Home, before: &Verified) -> Result<Verified, ReportError> {
    let dir = home.ledger_dir();
    Ok(match &before.checkpoint {
        Some(checkpoint) => verify_since(&dir, checkpoint)?,
        None => verify(&dir, None)?,
    })
}

/// The report at the position that was verified.
fn at(
    home: &Home,
    project: &ProjectName,
    since: Option<Timestamp>,
    verified: &Verified,
    go_on: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<ProjectReport, ReportError> {
    let tally = count(home, project, since, verified.entries, go_on)?;
    if !tally.has_project {
        return Err(ReportError::Empty(project.clone()));
    }
    let mut report = ProjectReport {
        schema: PROJECT_REPORT_SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        project: project.clone(),
        position: LedgerPosition {
            ledger: home.origin(),
            entries: verified.entries,
            root: verified.root.to_string(),
            key: verified.verifier.id(),
            last_entry: tally.last_entry,
        },
        since,
        verified: vec![format!(
            "that the {} entries of the ledger are as they were written, all of them signed by key {}",
            verified.entries,
            verified.verifier.id()
        )],
        not_verified: Vec::new(),
        summary: summary::summary(home, project, since, verified, &tally)?,
        risk: risk::assess(home, project, &tally, go_on)?,
        controls: Vec::new(),
    };
    report.not_verified = summary::not_verified(&report);
    report.controls = controls::controls(&report, &tally);
    Ok(report)
}

/// Goes over the first `entries` entries.
fn count(
    home: &Home,
    project: &ProjectName,
    since: Option<Timestamp>,
    entries: u64,
    go_on: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Tally, ReportError> {
    let mut tally = Tally::default();
    for entry in read(&home.ledger_dir(), Position::START).map_err(HomeError::from)? {
        let entry = entry.map_err(HomeError::from)?;
        if entry.index >= entries {
            break;
        }
        if entry.index.is_multiple_of(STRIDE) && !go_on(entry.index, entries) {
            return Err(ReportError::Interrupted);
        }
        let parsed: Option<Entry> = from_canonical(&entry.bytes).ok();
        tally.add(entry.index, parsed.as_ref(), project, since);
    }
    Ok(tally)
}

/// A checkpoint that says what was verified, where there is one.
fn checkpoint(verified: &Verified) -> Option<&Checkpoint> {
    verified.checkpoint.as_ref()
}
