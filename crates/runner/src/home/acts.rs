//! May whoever uses the state do what a command does.
//!
//! **Invariant:** no entry is written that a user causes and may not cause: [`Home::record`] asks for every entry, and
//! the use cases ask before, so that nothing was done in vain.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use aseptic_catalog::DatasetVersion;
use aseptic_model::{DatasetName, Event, Label, Object, Outcome, ProjectName};
use aseptic_policy::{About, Act, Policies, Principal, Role};

use super::{Home, HomeError, io_error};
use crate::labels::label_bytes;
use crate::policy::{in_force, in_force_for_change};

/// How many people are named of those who may.
const NAMED_MAX: usize = 5;

/// Bytes of labels in the entry of a refusal, which has 32 KiB of reasons and may name a long path.
const LABELS_BYTES_MAX: usize = 8 << 10;

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
    /// Asks the policies of `project` whether the user may do `act`, on `object` if it is about one thing, with the labels
    /// that this has now. A refusal is an entry of the ledger, or counted where there are many.
    ///
    /// # Errors
    /// [`HomeError::NotAllowed`]; others when that cannot be found out, and then nothing may be done either.
    pub fn allowed(&self, project: &ProjectName, act: Act, object: Option<&str>) -> Result<(), HomeError> {
        self.allowed_with(project, act, object, None)
    }

    /// As [`Self::allowed`], for something with `labels`, whatever the catalog has.
    pub(super) fn allowed_with(
        &self,
        project: &ProjectName,
        act: Act,
        object: Option<&str>,
        labels: Option<BTreeSet<Label>>,
    ) -> Result<(), HomeError> {
        let policies = match act {
            Act::EditPolicy => in_force_for_change(self, project)?.policies,
            _ => in_force(self, project)?.policies,
        };
        let principal = self.principal(&policies)?;
        let about = match labels {
            Some(labels) => About { object: object.unwrap_or_default().to_owned(), labels },
            None => self.about(&policies, project, act, object)?,
        };
        let decision = policies.allows(&principal, act, project, &about);
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
        let (labels, unlisted_labels) = listed(about.labels);
        let (object, policy) = (object.map(str::to_owned), policies.digest());
        let act_denied =
            Event::ActDenied { act: act.to_string(), object, labels, unlisted_labels, policy, decision };
        self.refused(project, act_denied)?;
        let denied = NotAllowed { user: principal.user, act, project: project.clone(), why, help };
        Err(HomeError::NotAllowed(Box::new(denied)))
    }

    /// As [`Self::allowed`], for one object. A part of what a run left is part of the run, with labels of its own.
    ///
    /// # Errors
    /// As [`Self::allowed`].
    pub(crate) fn allowed_on(
        &self,
        project: &ProjectName,
        act: Act,
        object: &Object,
    ) -> Result<(), HomeError> {
        if let Object::Artifact { run, path } = object {
            let labels = self.catalog.labels_of_outputs(project, run, Some(path))?;
            let run = Object::Run(run.clone()).to_string();
            self.allowed_with(project, act, Some(&run), Some(labels))?;
        }
        self.allowed(project, act, Some(&object.to_string()))
    }

    /// What policies are told about an object. Its labels are only looked up where one may ask for them.
    fn about(
        &self,
        policies: &Policies,
        project: &ProjectName,
        act: Act,
        object: Option<&str>,
    ) -> Result<About, HomeError> {
        let object = object.unwrap_or_default().to_owned();
        let labels = match object.parse() {
            Ok(object) if policies.tells_apart(act) => self.labels_of(project, &object)?,
            _ => BTreeSet::new(),
        };
        Ok(About { object, labels })
    }

    /// The labels that an object has now: none where there is no such thing, or it can have none.
    fn labels_of(&self, project: &ProjectName, object: &Object) -> Result<BTreeSet<Label>, HomeError> {
        let catalog = &self.catalog;
        let of_versions = |versions: Vec<DatasetVersion>, is_meant: &dyn Fn(&DatasetVersion) -> bool| {
            versions.into_iter().filter(is_meant).flat_map(|version| version.labels).collect()
        };
        Ok(match object {
            Object::Dataset { name, version } => of_versions(catalog.versions(project, name)?, &|found| {
                version.is_none_or(|version| version == found.version)
            }),
            Object::Snapshot(digest) => {
                of_versions(catalog.all_versions(project)?, &|found| found.snapshot == *digest)
            }
            Object::File(digest) => catalog.labels_of_file(digest)?,
            Object::Run(run) => catalog.labels_of_outputs(project, run, None)?,
            Object::Artifact { run, path } => catalog.labels_of_outputs(project, run, Some(path))?,
            Object::Host(_) | Object::Package { .. } | Object::Policy(_) => BTreeSet::new(),
        })
    }

    /// Who uses it, with the roles that `policies` give.
    ///
    /// # Errors
    /// [`HomeError::Io`].
    pub(crate) fn principal(&self, policies: &Policies) -> Result<Principal, HomeError> {
        let owner = self.dir.metadata().map_err(|source| io_error("look at", &self.dir, source))?.uid();
        Ok(policies.principal(self.user(), owner == rustix::process::getuid().as_raw()))
    }

    /// Name of the user of the operating system, as roles files have it; its number where it has none.
    #[must_use]
    pub fn user(&self) -> &str {
        self.actor.strip_prefix("user:").unwrap_or(&self.actor)
    }
}

/// The first of `labels`, which the entry of a refusal has room for, and how many more there are. Data from elsewhere can
/// have thousands, and what has them must not be refused without an entry.
fn listed(labels: BTreeSet<Label>) -> (BTreeSet<Label>, Option<u64>) {
    let all = labels.len();
    let mut bytes = 0;
    let fits = |label: &Label| {
        bytes += label_bytes(label);
        bytes <= LABELS_BYTES_MAX
    };
    let listed: BTreeSet<Label> = labels.into_iter().take_while(fits).collect();
    let more = all - listed.len();
    (listed, (more > 0).then_some(more as u64))
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
        Event::LedgerClockWentBack { .. } | Event::ActDenied { .. } | Event::ActDenials(..) => &[],
    }
}

/// Labels that what `event` is about has by it, where there is no such thing before.
pub(super) fn new_labels_of(event: &Event) -> Option<BTreeSet<Label>> {
    match event {
        Event::DatasetAdded { labels, .. } => Some(labels.clone()),
        _ => None,
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
