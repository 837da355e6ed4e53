//! Putting the policies of a directory in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aseptic_model::{Digest, Event as Entry, Object, Outcome, ProjectName};
use aseptic_policy::{About, Act, Policies, PolicyDocument, Principal, Problem, Role, Severity, check};

use super::files::{FileProblem, directory_beside, shown};
use super::roles::not_replaced;
use super::{
    Direction, POLICY_DIRECTORY, PolicyDiff, PolicyFilesError, in_force, in_force_for_change, read_policies,
    verify_roles,
};
use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer};
use crate::quarantine::{QuarantineError, alone};

/// What came of putting policies in force.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Digest of what decides from now on.
    pub policy: Digest,
    /// Digest of what decided before.
    pub before: Digest,
    /// Whether these are others; nothing was written if not.
    pub changed: bool,
    /// The key that must sign the roles from now on.
    pub signer: Option<String>,
}

/// Puts what `directory` says in force for `project`.
///
/// Whoever may do that by the policies before may do it; nothing changes when these decide already. What decided before
/// stays in the store, and decisions of then can be made again.
///
/// # Errors
/// [`PolicyFilesError`]; nothing has changed, unless the ledger has the entry: then the catalog could not be written, and
/// follows with the next command.
pub fn apply(
    home: &mut Home,
    project: &ProjectName,
    directory: &Path,
    reason: Option<String>,
) -> Result<Applied, PolicyFilesError> {
    let document = read_policies(directory)?;
    apply_document(home, project, directory, document, reason)
}

fn apply_document(
    home: &mut Home,
    project: &ProjectName,
    directory: &Path,
    document: PolicyDocument,
    reason: Option<String>,
) -> Result<Applied, PolicyFilesError> {
    let policies = checked(home, document, directory)?;
    // No plan is decided meanwhile by what is about to be replaced, and nobody else pins a key.
    let _alone = alone(home).map_err(|error| match error {
        QuarantineError::Home(error) => PolicyFilesError::Home(error),
        _ => PolicyFilesError::Busy,
    })?;
    home.catch_up()?;
    let now = in_force_for_change(home, project)?;
    let pinned = home.catalog.pinned_signer(project).map_err(HomeError::from)?;
    let (policy, before) = (policies.digest(), now.policies.digest());
    if policy == before {
        return Ok(Applied { policy, before, changed: false, signer: pinned });
    }
    may_apply(home, project, directory)?;
    let signer = verify_roles(policies.document(), project, pinned.as_deref())?;
    not_replaced(home, project, policies.document())?;
    leave_somebody(home, project, &policies, directory)?;
    let store = home.store(project)?;
    let lease = store.lease().map_err(HomeError::from)?;
    let bytes = policies.document().to_bytes().map_err(HomeError::from)?;
    store.put_bytes(&lease, &bytes).map_err(HomeError::from)?;
    let before_applied = now.applied.map(|applied| applied.policy);
    let entry = Entry::PolicyApplied { policy, before: before_applied, signer: signer.clone(), reason };
    home.record(project, vec![entry])?;
    home.catch_up()?;
    Ok(Applied { policy, before, changed: true, signer })
}

/// The policies of `document`, if every file of it can be used and nothing is the matter with any.
fn checked(
    home: &Home,
    document: PolicyDocument,
    directory: &Path,
) -> Result<Arc<Policies>, PolicyFilesError> {
    let wrong =
        |error, document| PolicyFilesError::Policy(Box::new(FileProblem::new(error, document, directory)));
    let policies = home.parsed.get(document.clone()).map_err(|error| match error {
        HomeError::Policy(error) => wrong(error, &document),
        other => other.into(),
    });
    // A policy that the schema does not fit may forbid nothing of what its author thinks.
    let problems = check(&document).into_iter().filter(|problem| problem.severity == Severity::Error);
    let problems: Vec<_> = problems.collect();
    match problems.first().cloned() {
        Some(problem) => Err(wrong(with_others(problem, problems.len()).into(), &document)),
        None => policies,
    }
}

/// The first of so many problems.
fn with_others(problem: Problem, problems: usize) -> Problem {
    let help = match problems {
        0 | 1 => problem.help,
        more => format!("{}; `aseptic policy check` shows all {more} errors", problem.help),
    };
    Problem { help, ..problem }
}

/// Whether somebody could put others in force after `policies`: what nobody can change again is a mistake.
fn leave_somebody(
    home: &Home,
    project: &ProjectName,
    policies: &Policies,
    directory: &Path,
) -> Result<(), PolicyFilesError> {
    let authors = match policies.roles() {
        Some(roles) => {
            roles.holders(Role::PolicyAuthor).into_iter().map(|user| roles.principal(user)).collect()
        }
        None => vec![home.principal(policies)?],
    };
    // As the act is asked about without an object, and about policies.
    let object = Object::Policy(policies.digest()).to_string();
    let may = |principal: &Principal| {
        let allows = |about: About| policies.allows(principal, Act::EditPolicy, project, &about).outcome;
        [About::default(), About::object(&object)].into_iter().all(|about| allows(about) == Outcome::Allow)
    };
    match authors.iter().any(may) {
        true => Ok(()),
        false => Err(PolicyFilesError::Last { directory: shown(directory) }),
    }
}

/// Whether the user may put policies in force, by those that are in force.
fn may_apply(home: &Home, project: &ProjectName, directory: &Path) -> Result<(), PolicyFilesError> {
    match home.allowed(project, Act::EditPolicy, None) {
        Err(HomeError::NotAllowed { .. }) => {}
        other => return Ok(other?),
    }
    let directory = shown(directory);
    Err(PolicyFilesError::Denied {
        what: format!(
            "`{directory}` is not in force for the project `{project}`, and you may not change that"
        ),
        help: format!(
            "`aseptic policy diff in-force {directory}` shows what differs; a `policy-author` may put it in force with \
             `aseptic policy apply {directory}`"
        ),
    })
}

/// What is told about policies that a run does not put in force.
fn widens(directory: &Path) -> PolicyFilesError {
    let directory = shown(directory);
    PolicyFilesError::Denied {
        what: format!(
            "`{directory}` may allow more than the policies in force, and no run puts such in force"
        ),
        help: format!(
            "`aseptic policy diff in-force {directory}` shows what differs; if it is meant, \
             `aseptic policy apply {directory} --reason TEXT` puts it in force"
        ),
    }
}

/// Policies beside a spec that are others than those in force.
#[derive(Clone, Debug)]
pub(crate) struct Unapplied {
    /// Where they lie, as shown to a person.
    directory: PathBuf,
    document: PolicyDocument,
}

/// The policies by which a run is planned that begins at `spec` (its path, and how it is shown): those beside it, or those in force where there are none
/// or the same. A directory without a file that decides counts as none.
///
/// # Errors
/// [`PolicyFilesError`]: nothing is planned then.
pub(crate) fn beside(
    home: &Home,
    project: &ProjectName,
    spec: Option<(PathBuf, PathBuf)>,
) -> Result<(Arc<Policies>, Option<Unapplied>), PolicyFilesError> {
    let now = in_force(home, project)?;
    let Some((spec, shown)) = spec else { return Ok((now.policies, None)) };
    let Some(found) = directory_beside(&spec)? else { return Ok((now.policies, None)) };
    let document = read_policies(&found)?;
    let directory = shown.with_file_name(POLICY_DIRECTORY);
    let is_empty = !document.files.keys().any(|path| path.starts_with("policy/"));
    if is_empty || document == *now.policies.document() {
        return Ok((now.policies, None));
    }
    let policies = checked(home, document.clone(), &directory)?;
    Ok((policies, Some(Unapplied { directory, document })))
}

impl Unapplied {
    /// Where they lie, as shown to a person.
    pub(crate) fn shown(&self) -> String {
        shown(&self.directory)
    }
}

/// Puts policies that lie beside a spec in force, so that a run may be decided by them. Only those that take from what is
/// allowed: whoever writes a spec can write policies beside it, and a run in somebody's directory must not give away
/// what the project keeps.
///
/// # Errors
/// [`PolicyFilesError`]: nothing has changed, and nothing may start.
pub(crate) fn bring_in_force(
    home: &mut Home,
    project: &ProjectName,
    unapplied: &Unapplied,
    observer: &mut dyn Observer,
) -> Result<(), PolicyFilesError> {
    let Unapplied { directory, document } = unapplied;
    may_apply(home, project, directory)?;
    let before = in_force(home, project)?.policies;
    let after = checked(home, document.clone(), directory)?;
    if !matches!(PolicyDiff::of(&before, &after).direction, Direction::Narrows | Direction::Neither) {
        return Err(widens(directory));
    }
    let reason = "a run began beside them".to_owned();
    let applied = apply_document(home, project, directory, document.clone(), Some(reason))?;
    if applied.changed {
        let (now, before) = (applied.policy.short(), applied.before.short());
        let note =
            format!("`{}` is in force from now on: policies {now} instead of {before}", unapplied.shown());
        observer.event(Event::Note(&note));
    }
    Ok(())
}
