//! Entries as events of the Open Cybersecurity Schema Framework.
//!
//! Source: OCSF 1.5.0, class API Activity (6003): <https://schema.ocsf.io/1.5.0/classes/api_activity>. The mapping
//! is in `docs/ledger.md`.

use aseptic_model::{Event, Outcome, Retained, Status, Verdict};
use aseptic_runner::Recorded;
use serde_json::{Value, json};

use super::{milliseconds, show};

const OCSF_VERSION: &str = "1.5.0";
const APPLICATION_ACTIVITY: u32 = 6;
const API_ACTIVITY: u32 = 6003;

/// What was done, as OCSF counts activities of this class.
#[derive(Clone, Copy)]
enum Activity {
    Create = 1,
    Read = 2,
    Update = 3,
    Delete = 4,
    Other = 99,
}

impl Activity {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Read => "Read",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Other => "Other",
        }
    }
}

/// One event. Every attribute that the class requires is there.
pub(super) fn event(recorded: &Recorded) -> Value {
    let entry = recorded.entry.as_ref();
    let event = entry.map(|entry| &entry.event);
    let activity = event.map_or(Activity::Other, activity);
    let (severity, severity_name) = event.map_or((1, "Informational"), severity);
    let (status, status_name) = match event.map(is_failure) {
        Some(true) => (2, "Failure"),
        Some(false) => (1, "Success"),
        None => (0, "Unknown"),
    };
    let operation = event.map_or("not understood", Event::kind);
    let actor = entry.map_or("unknown", |entry| entry.actor.as_str());
    let mut written = json!({
        "activity_id": activity as u32,
        "activity_name": activity.name(),
        "category_uid": APPLICATION_ACTIVITY,
        "category_name": "Application Activity",
        "class_uid": API_ACTIVITY,
        "class_name": "API Activity",
        "type_uid": API_ACTIVITY * 100 + activity as u32,
        "type_name": format!("API Activity: {}", activity.name()),
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "time": entry.map_or(0, |entry| milliseconds(entry.time)),
        "message": format!("{operation} {}", show::about(recorded).unwrap_or_default()).trim_end(),
        "actor": { "user": { "name": actor.strip_prefix("user:").unwrap_or(actor), "type_id": 1, "type": "User" } },
        "api": { "operation": operation, "service": { "name": "aseptic" } },
        "src_endpoint": { "svc_name": "aseptic" },
        "metadata": {
            "version": OCSF_VERSION,
            "uid": recorded.index.to_string(),
            "sequence": recorded.index,
            "product": {
                "name": "aseptic", "vendor_name": "aseptic", "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "unmapped": show::document(recorded),
    });
    let resources: Vec<_> = entry.iter().flat_map(|entry| resources(&entry.event)).collect();
    if !resources.is_empty() {
        written["resources"] = Value::Array(resources);
    }
    if let Some(reason) = event.and_then(Event::reason) {
        written["status_detail"] = json!(reason);
    }
    written
}

fn resources(event: &Event) -> Vec<Value> {
    let dataset = event.dataset().map(|dataset| json!({ "type": "dataset", "uid": dataset.to_string() }));
    let run = event.run().map(|run| json!({ "type": "run", "uid": Retained::Run(run.clone()).to_string() }));
    dataset.into_iter().chain(run).collect()
}

fn activity(event: &Event) -> Activity {
    match event {
        Event::DatasetAdded { .. }
        | Event::DatasetShared { .. }
        | Event::ArchiveWritten { .. }
        | Event::ArchiveRestored { .. }
        | Event::RunPlanned { .. }
        | Event::RunStarted { .. }
        | Event::AttestationKey { .. }
        | Event::QuarantineAdded { .. }
        | Event::IncidentOpened { .. } => Activity::Create,
        Event::RunReused { .. }
        | Event::IncidentExported { .. }
        | Event::RunExported { .. }
        | Event::AttestationExported { .. }
        | Event::RunReached { .. } => Activity::Read,
        Event::DatasetLabelled { .. }
        | Event::DatasetDescribed { .. }
        | Event::RunLabelled { .. }
        | Event::PolicyApplied { .. }
        | Event::RetentionSet { .. }
        | Event::RetentionDefault { .. }
        | Event::RunDecided { .. }
        | Event::RunSealed { .. }
        | Event::RunDescribed { .. }
        | Event::RunReplayed { .. }
        | Event::IncidentClosed { .. }
        | Event::LedgerKeyRotated { .. }
        | Event::WitnessPolicy { .. } => Activity::Update,
        Event::RetentionExpired { .. }
        | Event::StoreCollected { .. }
        | Event::GrantRevoked { .. }
        | Event::RunStopped { .. }
        | Event::QuarantineLifted { .. }
        | Event::LedgerErased { .. } => Activity::Delete,
        Event::RunDenied { .. }
        | Event::ActDenied { .. }
        | Event::ActDenials(..)
        | Event::LedgerClockWentBack { .. }
        | Event::DrillCompleted { .. } => Activity::Other,
    }
}

/// Denials and what weakens the record are above informational; a wall that was breached is critical.
fn severity(event: &Event) -> (u32, &'static str) {
    match event {
        Event::DrillCompleted { breached, .. } if *breached > 0 => (5, "Critical"),
        Event::QuarantineAdded { .. } | Event::IncidentOpened { .. } => (4, "High"),
        Event::QuarantineLifted { .. } => (3, "Medium"),
        Event::RunReplayed { verdict: Verdict::Different, .. } => (3, "Medium"),
        Event::RunStopped { .. } => (2, "Low"),
        Event::ActDenied { .. } | Event::ActDenials(..) | Event::PolicyApplied { .. } => (3, "Medium"),
        Event::RunDenied { .. } | Event::LedgerClockWentBack { .. } | Event::LedgerErased { .. } => {
            (3, "Medium")
        }
        Event::RunDecided { decision, .. } if decision.outcome != Outcome::Allow => (3, "Medium"),
        Event::GrantRevoked { .. }
        | Event::LedgerKeyRotated { .. }
        | Event::AttestationKey { .. }
        | Event::WitnessPolicy { .. } => (2, "Low"),
        _ => (1, "Informational"),
    }
}

fn is_failure(event: &Event) -> bool {
    match event {
        Event::RunDecided { decision, .. } => decision.outcome != Outcome::Allow,
        Event::RunSealed { status, .. } => *status != Status::Succeeded,
        Event::RunDenied { .. } | Event::ActDenied { .. } | Event::ActDenials(..) => true,
        Event::RunReplayed { verdict, .. } => *verdict == Verdict::Different,
        Event::DrillCompleted { breached, broken, .. } => breached + broken > 0,
        _ => false,
    }
}
