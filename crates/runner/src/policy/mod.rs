//! Which policies decide for a project: the shipped ones, and those of the project as they were put in force last.
//!
//! **Invariant:** what decides is in the ledger before it decides. A directory `policy/` beside a spec changes nothing
//! until an entry `policy.applied` names what it says, and whoever starts from elsewhere has the same policies.
//! **Absent on purpose:** what the policies mean, which `aseptic-policy` knows.

mod apply;
mod diff;
mod directory;
mod explain;
mod files;
mod recorded;
mod roles;
mod show;
mod suggest;
mod test;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aseptic_catalog::PolicyApplied;
use aseptic_model::{Digest, ProjectName};
use aseptic_policy::{Policies, PolicyDocument, PolicyError};

use crate::home::{Home, HomeError};

pub use apply::{Applied, apply};
pub(crate) use apply::{Unapplied, beside, bring_in_force};
pub use aseptic_policy::{
    CASES_FORMAT, Difference, Explained, Listed, Problem, Question, Risk, Role, Severity, Spoke,
};
pub use diff::{
    Direction, FileChange, How, PolicyDiff, PolicyRef, PolicyRefError, RuleChange, RunEffect, SettingChange,
    diff,
};
pub use directory::PolicyFiles;
pub use explain::{ExplainedRun, Noted, explain, explain_plan, noted};
pub(crate) use files::decides;
pub use files::{POLICY_DIRECTORY, PolicyFilesError, read_policies};
pub use recorded::PolicyUseError;
pub use roles::{
    RolesChecked, RolesError, RolesShown, RolesSigned, UserRoles, check_roles, create_signing_key,
    show_roles, sign_roles, verify_roles,
};
pub use show::{ShownPolicies, Standing, show};
pub use suggest::{SuggestError, Suggestion, Suggestions, suggest};
pub use test::{CaseReport, TestReport, test};

/// Policies that were parsed, by their digest: a process parses each set once.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    by_digest: RefCell<HashMap<Digest, Arc<Policies>>>,
    /// Those that decide, by what was put in force.
    in_force: RefCell<HashMap<Option<Digest>, Arc<Policies>>>,
}

impl Parsed {
    /// The policies of `document`.
    ///
    /// # Errors
    /// [`HomeError::Policy`]: a file of it cannot be understood.
    pub(crate) fn get(&self, document: PolicyDocument) -> Result<Arc<Policies>, HomeError> {
        let digest = document.digest()?;
        if let Some(known) = self.by_digest.borrow().get(&digest) {
            return Ok(Arc::clone(known));
        }
        let policies = Arc::new(Policies::parse_named(document, digest)?);
        self.by_digest.borrow_mut().insert(digest, Arc::clone(&policies));
        Ok(policies)
    }
}

/// The policies that decide for a project now.
#[derive(Clone, Debug)]
pub struct InForce {
    /// What decides: the shipped policies of this version, with the files of the project.
    pub policies: Arc<Policies>,
    /// The entry that put the files of the project in force; none where only the shipped policies decide. Its digest is
    /// another one than that of `policies` where an earlier version of aseptic wrote it.
    pub applied: Option<PolicyApplied>,
}

/// The policies that decide for `project`, as the catalog has it.
///
/// # Errors
/// [`HomeError`]: nothing is decided then. What is in force is never passed over because it cannot be read.
pub fn in_force(home: &Home, project: &ProjectName) -> Result<InForce, HomeError> {
    let applied = home.catalog.policies_applied(project, 1)?.into_iter().next();
    let digest = applied.as_ref().map(|applied| applied.policy);
    let known = home.parsed.in_force.borrow().get(&digest).cloned();
    if let Some(policies) = known {
        return Ok(InForce { policies, applied });
    }
    let files = files_of(home, project, applied.as_ref())?;
    let policies = home.parsed.get(PolicyDocument::new(files)).map_err(unusable)?;
    home.parsed.in_force.borrow_mut().insert(digest, Arc::clone(&policies));
    Ok(InForce { policies, applied })
}

/// The files that an entry put in force, by path.
fn files_of(
    home: &Home,
    project: &ProjectName,
    applied: Option<&PolicyApplied>,
) -> Result<BTreeMap<String, String>, HomeError> {
    match applied {
        None => Ok(BTreeMap::new()),
        Some(applied) => Ok(home.object::<PolicyDocument>(project, &applied.policy)?.files),
    }
}

/// What is in force was fit when it was put in force, so another version did.
fn unusable(error: HomeError) -> HomeError {
    let HomeError::Policy(PolicyError::File { path, line, column, message, help }) = error else {
        return error;
    };
    let help = format!("{help}; put the corrected directory in force with `aseptic policy apply`");
    PolicyError::File { path, line, column, message, help }.into()
}

/// As [`in_force`], to decide who may put others in force: where this version cannot understand the policies that an
/// earlier one put in force, their roles with the shipped policies. Otherwise nobody could correct them.
///
/// # Errors
/// As [`in_force`].
pub(crate) fn in_force_for_change(home: &Home, project: &ProjectName) -> Result<InForce, HomeError> {
    let found = in_force(home, project);
    let Err(HomeError::Policy(_)) = found else { return found };
    let applied = home.catalog.policies_applied(project, 1)?.into_iter().next();
    if applied.is_none() {
        return found;
    }
    let mut files = files_of(home, project, applied.as_ref())?;
    files.retain(|path, _| path == "policy/roles.toml");
    let policies = home.parsed.get(PolicyDocument::new(files)).map_err(unusable)?;
    Ok(InForce { policies, applied })
}
