//! What an event is about: its stable name, its subject, its run.

use std::collections::BTreeSet;

use super::Event;
use crate::{Label, Retained, RunId};

/// ` +pii -public`.
fn changes(added: &BTreeSet<Label>, removed: &BTreeSet<Label>) -> String {
    let signs = [("+", added), ("-", removed)];
    signs
        .iter()
        .flat_map(|(sign, labels)| labels.iter().map(move |label| format!(" {sign}{label}")))
        .collect()
}

impl Event {
    /// The stable name, as in the JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DatasetAdded { .. } => "dataset.added",
            Self::DatasetLabelled { .. } => "dataset.labelled",
            Self::DatasetDescribed { .. } => "dataset.described",
            Self::DatasetShared { .. } => "dataset.shared",
            Self::ArchiveWritten { .. } => "archive.written",
            Self::ArchiveRestored { .. } => "archive.restored",
            Self::RetentionSet { .. } => "retention.set",
            Self::RetentionDefault { .. } => "retention.default",
            Self::RetentionExpired { .. } => "retention.expired",
            Self::StoreCollected { .. } => "store.collected",
            Self::RunPlanned { .. } => "run.planned",
            Self::RunDecided { .. } => "run.decided",
            Self::RunStarted { .. } => "run.started",
            Self::GrantRevoked { .. } => "grant.revoked",
            Self::RunSealed { .. } => "run.sealed",
            Self::RunDenied { .. } => "run.denied",
            Self::RunReached { .. } => "run.reached",
            Self::RunExported { .. } => "run.exported",
            Self::AttestationExported { .. } => "attestation.exported",
            Self::AttestationKey { .. } => "attestation.key",
            Self::LedgerKeyRotated { .. } => "ledger.key-rotated",
            Self::LedgerClockWentBack { .. } => "ledger.clock-went-back",
            Self::LedgerErased { .. } => "ledger.erased",
            Self::WitnessPolicy { .. } => "witness.policy",
            Self::RunStopped { .. } => "run.stopped",
            Self::RunDescribed { .. } => "run.described",
            Self::RunReused { .. } => "run.reused",
            Self::RunReplayed { .. } => "run.replayed",
            Self::QuarantineAdded { .. } => "quarantine.added",
            Self::QuarantineLifted { .. } => "quarantine.lifted",
            Self::IncidentOpened { .. } => "incident.opened",
            Self::IncidentExported { .. } => "incident.exported",
            Self::IncidentClosed { .. } => "incident.closed",
            Self::RunLabelled { .. } => "run.labelled",
            Self::PolicyApplied { .. } => "policy.applied",
            Self::ActDenied { .. } => "act.denied",
            Self::ActDenials(..) => "act.denials",
            Self::DrillCompleted { .. } => "drill.completed",
        }
    }

    /// What it is about, for a person: a run, a dataset version or a snapshot, with the outcome.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::DatasetAdded { name, version, .. } | Self::DatasetDescribed { name, version, .. } => {
                format!("{name}@{version}")
            }
            Self::DatasetLabelled { name, version, added, removed, .. } => {
                format!("{name}@{version}{}", changes(added, removed))
            }
            Self::RunLabelled { run, path, added, removed, .. } => {
                let path = path.as_ref().map(|path| format!("/{path}")).unwrap_or_default();
                format!("{run}{path}{}", changes(added, removed))
            }
            Self::PolicyApplied { policy, .. } => policy.short().to_string(),
            Self::ActDenied { act, object, .. } => {
                let object = object.as_ref().map(|object| format!(" {object}")).unwrap_or_default();
                format!("{act}{object}")
            }
            Self::ActDenials(refusals) => format!("{} of {}", refusals.count(), refusals.user),
            Self::DatasetShared { name, version, to, .. } => format!("{name}@{version} to {to}"),
            Self::ArchiveWritten { object, url, .. } => format!("{object} to {url}"),
            Self::ArchiveRestored { object, url, .. } => format!("{object} from {url}"),
            Self::RetentionSet { object, class: Some(class), .. } => format!("{object} {class}"),
            Self::RetentionSet { object, class: None, .. } => format!("{object} as the project"),
            Self::RetentionDefault { kind, class } => format!("{} {class}", kind.as_str()),
            Self::RetentionExpired { object, class, .. } => format!("{object} {class}"),
            Self::StoreCollected { objects, .. } => format!("{objects} objects"),
            Self::RunPlanned { run, plan, .. } => format!("{run} plan {}", plan.short()),
            Self::RunDecided { run, decision, .. } => format!("{run} {}", decision.outcome.as_str()),
            Self::RunStarted { run, .. }
            | Self::RunStopped { run, .. }
            | Self::RunDescribed { run, .. }
            | Self::RunReused { run, .. } => run.to_string(),
            Self::GrantRevoked { run, grant } => format!("{run} {grant}"),
            Self::RunSealed { run, status, .. } => format!("{run} {status}"),
            Self::RunExported { run, files, .. } => format!("{run} {files} files"),
            Self::RunDenied { run, attempts } => format!("{run} {} attempts", attempts.values().sum::<u64>()),
            Self::RunReached { run, grants, unlisted } => {
                format!("{run} {} grants", grants.len() as u64 + unlisted)
            }
            Self::AttestationExported { object, formats, to } => {
                let to = to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
                format!(
                    "{object}{}{to}",
                    formats.iter().map(|format| format!(" {format}")).collect::<String>()
                )
            }
            Self::AttestationKey { .. } => "key of attestations".to_owned(),
            Self::LedgerKeyRotated { after, .. } => after.clone(),
            Self::LedgerClockWentBack { milliseconds, .. } => format!("by {milliseconds} ms"),
            Self::LedgerErased { entry, places, .. } => {
                let places: Vec<_> = places.iter().map(String::as_str).collect();
                format!("entry {entry} {}", places.join(" "))
            }
            Self::WitnessPolicy { policy } => {
                let witnesses = policy.lines().filter(|line| line.starts_with("witness ")).count();
                format!("{witnesses} witnesses")
            }
            Self::RunReplayed { run, replays, verdict, .. } => format!("{run} of {replays} {verdict}"),
            Self::QuarantineAdded { object, .. } | Self::QuarantineLifted { object, .. } => {
                object.to_string()
            }
            Self::IncidentOpened { incident, objects, .. } => {
                format!("{incident}{}", objects.iter().map(|object| format!(" {object}")).collect::<String>())
            }
            Self::IncidentExported { incident, .. } | Self::IncidentClosed { incident, .. } => {
                incident.to_string()
            }
            Self::DrillCompleted { held, breached, broken, .. } => {
                format!("{held} held, {breached} breached, {broken} broken")
            }
        }
    }

    /// The dataset version it belongs to.
    #[must_use]
    pub fn dataset(&self) -> Option<Retained> {
        match self {
            Self::DatasetAdded { name, version, .. }
            | Self::DatasetLabelled { name, version, .. }
            | Self::DatasetDescribed { name, version, .. }
            | Self::DatasetShared { name, version, .. } => {
                Some(Retained::Dataset { name: name.clone(), version: *version })
            }
            Self::ArchiveWritten { object, .. }
            | Self::ArchiveRestored { object, .. }
            | Self::RetentionSet { object, .. }
            | Self::RetentionExpired { object, .. }
            | Self::AttestationExported { object, .. } => match object {
                Retained::Dataset { .. } => Some(object.clone()),
                Retained::Run(_) => None,
            },
            _ => None,
        }
    }

    /// The run it belongs to.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::RunPlanned { run, .. }
            | Self::RunDecided { run, .. }
            | Self::RunStarted { run, .. }
            | Self::GrantRevoked { run, .. }
            | Self::RunSealed { run, .. }
            | Self::RunDenied { run, .. }
            | Self::RunReached { run, .. }
            | Self::RunStopped { run, .. }
            | Self::RunDescribed { run, .. }
            | Self::RunReused { run, .. }
            | Self::RunReplayed { run, .. }
            | Self::RunLabelled { run, .. }
            | Self::RunExported { run, .. } => Some(run),
            Self::ArchiveWritten { object, .. }
            | Self::ArchiveRestored { object, .. }
            | Self::RetentionSet { object, .. }
            | Self::RetentionExpired { object, .. }
            | Self::AttestationExported { object, .. } => match object {
                Retained::Run(run) => Some(run),
                Retained::Dataset { .. } => None,
            },
            Self::DatasetAdded { .. }
            | Self::DatasetLabelled { .. }
            | Self::DatasetDescribed { .. }
            | Self::DatasetShared { .. }
            | Self::RetentionDefault { .. }
            | Self::StoreCollected { .. }
            | Self::AttestationKey { .. }
            | Self::LedgerKeyRotated { .. }
            | Self::LedgerClockWentBack { .. }
            | Self::LedgerErased { .. }
            | Self::WitnessPolicy { .. }
            | Self::QuarantineAdded { .. }
            | Self::QuarantineLifted { .. }
            | Self::IncidentOpened { .. }
            | Self::IncidentExported { .. }
            | Self::IncidentClosed { .. }
            | Self::PolicyApplied { .. }
            | Self::ActDenied { .. }
            | Self::ActDenials(..)
            | Self::DrillCompleted { .. } => None,
        }
    }
}
