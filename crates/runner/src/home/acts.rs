//! May whoever uses the state do what a command does.
//!
//! **Invariant:** no entry is written that a user causes and may not cause: [`Home::record`] asks for every entry, and
//! the use cases ask before, so that nothing was done in vain.

use std::os::unix::fs::MetadataExt as _;

use aseptic_model::{DatasetName, Event, Object, Outcome, ProjectName};
use aseptic_policy::{Act, Policies, Principal, Role};

use super::{Home, HomeError, io_error, now};
use crate::policy::{in_force, in_force_for_change};

/// How many people are named of those who may.
const NAMED_MAX: usize = 5;

/// Nobody with the roles of a user may do what they want.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` may not `{act}` in the project `{project}`: {why}", user.escape_debug())]
pub struct NotAllowed {
    /// Who.
    pub user: String,
    /// What.
    pub act: Act,
    /// Where.
    pub project: ProjectName,
    /// Why not: what the user is, or the words of the policy.
    pub why: String,
    /// Who may.
    pub help: String,
}

impl Home {
    /// Asks the policies of `project` whether the user may do `act`, on `object` if it is about one thing. A refusal is
    /// an entry of the ledger, the first of each process.
    ///
    /// # Errors
    /// [`HomeError::NotAllowed`]; others when that cannot be found out, and then nothing may be done either.
    pub fn allowed(&self, project: &ProjectName, act: Act, object: Option<&str>) -> Result<(), HomeError> {
        let policies = match act {
            Act::EditPolicy => in_force_for_change(self, project)?.policies,
            _ => in_force(self, project)?.policies,
        };
        let principal = self.principal(&policies)?;
        let decision = policies.allows(&principal, act, project, object);
        if decision.outcome == Outcome::Allow {
            return Ok(());
        }
        let mut why = decision.reasons.first().map_or("", |reason| &reason.message).to_owned();
        let mut help = decision.reasons.first().map_or("", |reason| &reason.advice).to_owned();
        if decision.reasons.iter().all(|reason| reason.rule == "policy/default-deny") {
            (why, help) = (has(&principal), who_may(&policies, act, project));
        }
        if decision.outcome == Outcome::NeedsApproval {
            why += ", and this needs an approval";
        }
        if !self.denied.replace(true) {
            let object = object.map(str::to_owned);
            let event =
                Event::ActDenied { act: act.to_string(), object, policy: policies.digest(), decision };
            let time = now();
            let mut events: Vec<_> = self.clock_went_back(time)?.into_iter().collect();
            events.push(event);
            let events = events.into_iter().map(|event| (project.clone(), event)).collect();
            self.write(time, events, |ledger, entries| ledger.append(entries).map(drop))?;
        }
        let denied = NotAllowed { user: principal.user, act, project: project.clone(), why, help };
        Err(HomeError::NotAllowed(Box::new(denied)))
    }

    /// Who uses it, with the roles that `policies` give. Without a roles file whoever owns the state directory is its
    /// owner, and nobody else is anything: the administrator of the machine too.
    ///
    /// # Errors
    /// [`HomeError::Io`].
    pub(crate) fn principal(&self, policies: &Policies) -> Result<Principal, HomeError> {
        let user = self.user();
        if let Some(roles) = policies.roles() {
            return Ok(roles.principal(user));
        }
        let owner = self.dir.metadata().map_err(|source| io_error("look at", &self.dir, source))?.uid();
        let is_owner = owner == rustix::process::getuid().as_raw();
        let roles = is_owner.then_some(Role::Owner).into_iter().collect();
        Ok(Principal { user: user.to_owned(), roles, ..Principal::default() })
    }

    /// Name of the user of the operating system, as roles files have it; its number where it has none.
    #[must_use]
    pub fn user(&self) -> &str {
        self.actor.strip_prefix("user:").unwrap_or(&self.actor)
    }
}

/// What the user is, as a reason.
fn has(principal: &Principal) -> String {
    let roles: Vec<&str> = principal.roles.iter().map(|role| role.as_str()).collect();
    match roles.as_slice() {
        [] => "this user has no role there".to_owned(),
        roles => format!("this user is {} there", roles.join(" and ")),
    }
}

/// The roles that may do `act`, and who has them.
fn who_may(policies: &Policies, act: Act, project: &ProjectName) -> String {
    let Some(roles) = policies.roles() else {
        return "the owner of the state directory may do everything; use a state directory of your own with \
                `--home DIR`"
            .to_owned();
    };
    let may = |role: &Role| policies.acts_of(*role, project).any(|one| one == act);
    let may: Vec<Role> = Role::GIVEN.into_iter().filter(may).collect();
    let mut people: Vec<&str> = may.iter().flat_map(|role| roles.holders(*role)).collect();
    people.sort_unstable();
    people.dedup();
    let more = people.len().saturating_sub(NAMED_MAX);
    people.truncate(NAMED_MAX);
    let people: Vec<String> = people.iter().map(|user| user.escape_debug().to_string()).collect();
    let names: Vec<&str> = may.iter().map(|role| role.as_str()).collect();
    let names = match names.len() == Role::GIVEN.len() {
        true => "whoever has a role may".to_owned(),
        false => format!("whoever is {} may", names.join(" or ")),
    };
    match people.as_slice() {
        _ if may.is_empty() => "no role may do this".to_owned(),
        [] => format!("{names}, and nobody is that"),
        people if more == 0 => format!("{names}: {}", people.join(", ")),
        people => format!("{names}: {} and {more} more", people.join(", ")),
    }
}

/// What somebody who causes `event` does; nothing where aseptic writes it of itself, or where a plan was decided.
pub(super) fn acts_of(event: &Event) -> &'static [Act] {
    match event {
        Event::DatasetAdded { .. } => &[Act::AddDataset],
        Event::DatasetLabelled { added, removed, .. } | Event::RunLabelled { added, removed, .. } => {
            match (added.is_empty(), removed.is_empty()) {
                (_, true) => &[Act::Label],
                (true, false) => &[Act::Declassify],
                (false, false) => &[Act::Label, Act::Declassify],
            }
        }
        Event::DatasetDescribed { .. } => &[Act::Describe],
        Event::DatasetShared { .. } => &[Act::Share],
        Event::ArchiveWritten { .. } => &[Act::Archive],
        Event::ArchiveRestored { .. } => &[Act::Restore],
        Event::RetentionSet { .. } | Event::RetentionDefault { .. } => &[Act::Retain],
        Event::RetentionExpired { .. } | Event::StoreCollected { .. } => &[Act::Collect],
        Event::RunStopped { .. } => &[Act::Stop],
        Event::GrantRevoked { .. } => &[Act::Revoke],
        Event::RunExported { .. } => &[Act::Export],
        Event::AttestationExported { .. } | Event::IncidentExported { .. } => &[Act::Attest],
        // The first key is made when the first run is sealed, whoever started it.
        Event::AttestationKey { reason: None, .. } => &[],
        Event::AttestationKey { reason: Some(_), .. }
        | Event::LedgerKeyRotated { .. }
        | Event::WitnessPolicy { .. } => &[Act::ManageKeys],
        Event::LedgerErased { .. } => &[Act::Erase],
        Event::RunDescribed { .. } => &[Act::Annotate],
        Event::QuarantineAdded { .. } => &[Act::Quarantine],
        Event::QuarantineLifted { .. } => &[Act::LiftQuarantine],
        Event::IncidentOpened { .. } | Event::IncidentClosed { .. } => &[Act::HandleIncident],
        Event::PolicyApplied { .. } => &[Act::EditPolicy],
        Event::DrillCompleted { .. } => &[Act::Drill],
        // Plans are decided, and what follows them is their end.
        Event::RunPlanned { .. }
        | Event::RunDecided { .. }
        | Event::RunStarted { .. }
        | Event::RunSealed { .. }
        | Event::RunDenied { .. }
        | Event::RunReached { .. }
        | Event::RunReused { .. }
        | Event::RunReplayed { .. } => &[],
        Event::LedgerClockWentBack { .. } | Event::ActDenied { .. } => &[],
    }
}

/// What `event` is about, as policies are told: objects as an [`Object`] is written. `None` is the project as a whole,
/// so that there is always one to ask about.
pub(super) fn objects_of(event: &Event) -> Vec<Option<String>> {
    let dataset = |name: &DatasetName, version: u32| {
        vec![Some(Object::Dataset { name: name.clone(), version: Some(version) }.to_string())]
    };
    match event {
        Event::DatasetAdded { name, version, .. }
        | Event::DatasetLabelled { name, version, .. }
        | Event::DatasetDescribed { name, version, .. }
        | Event::DatasetShared { name, version, .. } => dataset(name, *version),
        Event::ArchiveWritten { object, .. }
        | Event::ArchiveRestored { object, .. }
        | Event::RetentionSet { object, .. }
        | Event::RetentionExpired { object, .. }
        | Event::AttestationExported { object, .. } => vec![Some(object.object().to_string())],
        Event::RunStopped { run, .. }
        | Event::GrantRevoked { run, .. }
        | Event::RunDescribed { run, .. }
        | Event::RunExported { run, path: None, .. }
        | Event::RunLabelled { run, path: None, .. } => vec![Some(Object::Run(run.clone()).to_string())],
        Event::RunExported { run, path: Some(path), .. }
        | Event::RunLabelled { run, path: Some(path), .. } => {
            vec![Some(Object::Artifact { run: run.clone(), path: path.clone() }.to_string())]
        }
        Event::QuarantineAdded { object, .. } | Event::QuarantineLifted { object, .. } => {
            vec![Some(object.to_string())]
        }
        Event::IncidentOpened { objects, .. } => {
            objects.iter().map(|object| Some(object.to_string())).collect()
        }
        Event::IncidentExported { incident, .. } | Event::IncidentClosed { incident, .. } => {
            vec![Some(format!("incident:{incident}"))]
        }
        Event::PolicyApplied { policy, .. } => vec![Some(Object::Policy(*policy).to_string())],
        _ => vec![None],
    }
}
