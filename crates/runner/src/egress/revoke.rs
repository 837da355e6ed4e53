//! Revocation: a grant of a running run is taken back.
//!
//! The ledger has it first. Then the supervisor of the run is asked, and passes it to the gateway, which cuts the
//! connections.

use std::io;

use aseptic_model::{Class, Diagnose, Diagnosis, Event, Grant, Plan, ProjectName, RunId, RunRef};
use aseptic_policy::Act;

use crate::desk::{Answer, Wish, ask};
use crate::home::{Home, HomeError};
use crate::results::{ResultError, summary};

/// Why a grant could not be revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// No run is meant, or it is over.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// It is over, or its network is.
    #[error("run `{0}` is over, or its network is")]
    Over(RunId),
    /// It has other grants.
    #[error("run `{run}` has no grant `{grant}`")]
    NoGrant {
        /// The run.
        run: RunId,
        /// What was to be revoked.
        grant: Grant,
        /// What it has.
        has: Vec<String>,
    },
    /// Its supervisor does not answer. The revocation is in the ledger all the same.
    #[error("the supervisor of run `{run}` did not answer")]
    Silent {
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

impl Diagnose for RevokeError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Result(error) => error.diagnosis(),
            Self::Over(_) => Diagnosis::new(
                Class::User,
                "revoke/over",
                "nothing is left to revoke; `aseptic show RUN` lists what it reached",
            ),
            Self::NoGrant { has, .. } if has.is_empty() => {
                Diagnosis::new(Class::User, "revoke/no-grant", "it has no network")
            }
            Self::NoGrant { has, .. } => {
                Diagnosis::new(Class::User, "revoke/no-grant", format!("it has {}", has.join(", ")))
            }
            Self::Silent { .. } => {
                Diagnosis::new(Class::Host, "revoke/silent", "end the run with `aseptic stop --kill RUN`")
            }
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// Takes `grant` back from a run that goes on. Returns how many connections were cut, when they are.
///
/// # Errors
/// [`RevokeError`].
pub fn revoke(
    home: &mut Home,
    project: &ProjectName,
    run: &RunRef,
    grant: &Grant,
) -> Result<(RunId, u32), RevokeError> {
    home.allowed(project, Act::Revoke, None)?;
    let summary = summary(home, project, run)?;
    let run = summary.run;
    if summary.record.is_some() || summary.status.is_some() {
        return Err(RevokeError::Over(run));
    }
    let plan: Plan = home.object(project, &summary.plan)?;
    // A plan may have it twice: with the check of names and without.
    let is_meant = |has: &&Grant| has.host == grant.host && has.port == grant.port;
    let meant: Vec<&Grant> = plan.network.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let has = plan.network.iter().map(ToString::to_string).collect();
        return Err(RevokeError::NoGrant { run, grant: grant.clone(), has });
    }
    let event = |grant: &&Grant| Event::GrantRevoked { run: run.clone(), grant: (*grant).clone() };
    home.record(project, meant.iter().map(event).collect())?;
    let directory = home.run_dir(project, &run);
    let mut cut = 0_u32;
    for grant in meant {
        match ask(&directory, &Wish::Revoke(grant.clone())).and_then(|mut waiting| waiting.answer()) {
            Ok(Answer::Done(connections)) => cut = cut.saturating_add(connections),
            Ok(Answer::Unknown | Answer::Ended) => return Err(RevokeError::Over(run)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Err(RevokeError::Over(run));
            }
            Err(source) => return Err(RevokeError::Silent { run, source }),
        }
    }
    Ok((run, cut))
}
