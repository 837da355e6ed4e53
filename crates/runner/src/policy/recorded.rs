//! What was asked about a run, and decided: from the ledger and the store, as it was then.

use aseptic_ledger::read_from;
use aseptic_model::{
    Class, Decision, Diagnose, Diagnosis, Digest, Entry, Event, ProjectName, RunId, from_canonical,
};
use aseptic_policy::{PolicyError, Question};
use aseptic_store::StoreError;

use super::files::PolicyFilesError;
use crate::home::{Home, HomeError};
use crate::results::ResultError;

/// Entries between the plan of a run and its decision: both are in one commit.
const BETWEEN_MAX: usize = 8;

/// Why policies could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum PolicyUseError {
    /// No run is meant.
    #[error(transparent)]
    Run(#[from] ResultError),
    /// Nobody kept what was asked about the run.
    #[error("what was asked about run `{run}` was not kept: an earlier version decided")]
    NoQuestion {
        /// The run.
        run: RunId,
    },
    /// The same question has another answer than the ledger says.
    #[error(
        "run `{run}` was decided otherwise than its policies say: the ledger has `{recorded}`, they say `{again}`"
    )]
    Differs {
        /// The run.
        run: RunId,
        /// The outcome in the ledger.
        recorded: &'static str,
        /// The outcome of its question and its policies.
        again: &'static str,
    },
    /// Policies that are in the store cannot be understood.
    #[error("the policies {} cannot be used any more", digest.short())]
    Unusable {
        /// Their digest.
        digest: Digest,
        /// Why.
        #[source]
        source: Box<PolicyError>,
    },
    /// A directory of policies.
    #[error(transparent)]
    Files(#[from] PolicyFilesError),
    /// Its policies.
    #[error(transparent)]
    Policies(#[from] PolicyError),
    /// There is no such policy.
    #[error("no policy has the id `{id}`")]
    NoPolicy {
        /// What was asked for.
        id: String,
        /// The one with the nearest name.
        nearest: Option<String>,
    },
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for PolicyUseError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Run(error) => error.diagnosis(),
            Self::NoQuestion { run } => Diagnosis::new(
                Class::User,
                "policy/no-question",
                format!("`aseptic show {run}` has the decision that was recorded"),
            ),
            Self::Differs { .. } => Diagnosis::new(
                Class::Damaged,
                "policy/differs",
                "keep the state directory as evidence, and compare with the version of aseptic that decided",
            ),
            Self::Unusable { .. } => Diagnosis::new(
                Class::Damaged,
                "policy/unusable",
                "use the version of aseptic that put them in force, or put others in force with `aseptic policy apply`",
            ),
            Self::Files(error) => error.diagnosis(),
            Self::Policies(error) => {
                let inner = error.diagnosis();
                Diagnosis {
                    help: format!("{}; `aseptic policy check` shows every place", inner.help),
                    ..inner
                }
            }
            Self::NoPolicy { nearest: Some(nearest), .. } => {
                Diagnosis::new(Class::User, "policy/no-policy", format!("did you mean `{nearest}`?"))
            }
            Self::NoPolicy { .. } => {
                Diagnosis::new(Class::User, "policy/no-policy", "`aseptic policy show` lists every id")
            }
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<StoreError> for PolicyUseError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

/// What was recorded of the decision on a run.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) decision: Decision,
    /// Digest of the policies, and what was asked of them; none of runs that earlier versions decided.
    pub(crate) asked: Option<(Digest, Question)>,
}

/// The decision on `run` as it was recorded; nothing while it is not decided.
///
/// # Errors
/// [`HomeError`].
pub(crate) fn recorded(
    home: &Home,
    project: &ProjectName,
    run: &RunId,
) -> Result<Option<Recorded>, HomeError> {
    let Some(planned) = home.catalog.run_entry(project, run)? else { return Ok(None) };
    for entry in read_from(&home.ledger_dir(), planned)?.take(BETWEEN_MAX) {
        let Ok(Entry { event: Event::RunDecided { run: decided, decision, policy, requests, .. }, .. }) =
            from_canonical(&entry?.bytes)
        else {
            continue;
        };
        if decided != *run {
            continue;
        }
        let asked = match policy.zip(requests) {
            Some((policy, requests)) => Some((policy, home.object(project, &requests)?)),
            None => None,
        };
        return Ok(Some(Recorded { decision, asked }));
    }
    Ok(None)
}
