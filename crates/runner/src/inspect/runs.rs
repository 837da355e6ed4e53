//! Which runs had which environment.

use aseptic_catalog::EnvironmentUse;
use aseptic_model::{Digest, Plan, ProjectName, RunId, Timestamp};
use aseptic_policy::Act;

use super::InspectError;
use crate::home::Home;

/// One environment, and the runs that had it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EnvironmentRuns {
    /// Digest of its inventory; nothing of runs that have none.
    pub inventory: Option<Digest>,
    /// Digest of its Python environment as plans have it; nothing of runs without one.
    pub environment: Option<Digest>,
    /// Version of Python.
    pub python: Option<String>,
    /// Number of packages of Python.
    pub packages: usize,
    /// Kernel of the last run.
    pub kernel: String,
    /// How many runs had it.
    pub runs: u64,
    /// The first of them.
    pub first: RunId,
    /// The last of them.
    pub last: RunId,
    /// When the last was planned.
    pub last_planned: Timestamp,
}

/// Environments of a project, the last used first, and at most `limit`.
///
/// # Errors
/// [`InspectError::Home`].
pub fn environment_runs(
    home: &Home,
    project: &ProjectName,
    limit: usize,
) -> Result<Vec<EnvironmentRuns>, InspectError> {
    home.allowed(project, Act::View, None)?;
    let row = |used: EnvironmentUse| {
        let EnvironmentUse { inventory, environment, runs, first, last } = used;
        let plan: Plan = home.object(project, &last.plan)?;
        let python = plan.environment.python;
        Ok(EnvironmentRuns {
            inventory,
            environment,
            packages: python.as_ref().map_or(0, |python| python.packages.len()),
            python: python.map(|python| python.version),
            kernel: plan.environment.host.kernel,
            runs,
            first,
            last: last.run,
            last_planned: last.planned,
        })
    };
    home.catalog.environments(project, limit)?.into_iter().map(row).collect()
}
