//! What a bundle of evidence says, as data: `incident.json` and the lines of `timeline.jsonl`.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{
    Committed, DatasetName, Digest, Entry, Event, ExperimentName, FilePath, IncidentId, MachineName, Object,
    ProjectName, RunId, Status, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Version tag of [`Document`].
pub(super) const SCHEMA: &str = "aseptic.incident/1";

/// Most steps of a document: more are no picture.
pub(super) const STEPS_MAX: usize = 1_000;

/// Most files of outputs that a document lists.
pub(super) const ARTIFACTS_MAX: usize = 100_000;

/// What is known of an incident. Neither commands nor parameters nor variables of runs are in it, since people put
/// secrets there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `aseptic.incident/1`.
    pub schema: String,
    /// The incident.
    pub incident: IncidentId,
    /// Its project.
    pub project: ProjectName,
    /// Name of the ledger.
    pub ledger: String,
    /// Number of entries that the ledger had.
    pub entries: u64,
    /// What it is about.
    pub objects: BTreeSet<Object>,
    /// Runs that were reached, the first planned first.
    pub runs: Vec<Run>,
    /// Dataset versions that were reached.
    pub datasets: Vec<Dataset>,
    /// Files that these runs left.
    pub artifacts: Vec<Artifact>,
    /// How many more they left.
    pub artifacts_unlisted: u64,
    /// Machines that these runs ran on.
    pub hosts: BTreeSet<MachineName>,
    /// Everybody who did something of the timeline.
    pub actors: BTreeSet<String>,
    /// Entries that say what was given away.
    pub given_away: BTreeSet<u64>,
    /// How one thing came of another, as far as the picture shows it.
    pub steps: BTreeSet<Step>,
    /// Trees that could not be looked into, so that what had them may not be listed.
    pub unseen: BTreeSet<Digest>,
}

/// Something that came of another thing, in one step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it came of.
    pub from: Thing,
    /// What came of it.
    pub to: Thing,
}

/// An object of a project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thing {
    /// The project.
    pub project: ProjectName,
    /// The object.
    pub object: Object,
}

/// One run that was reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its project.
    pub project: ProjectName,
    /// The run.
    pub run: RunId,
    /// Its experiment.
    pub experiment: Option<ExperimentName>,
    /// When it was planned.
    pub planned: Timestamp,
    /// Who started it.
    pub actor: String,
    /// How it ended; nothing while it goes on.
    pub status: Option<Status>,
    /// The machine.
    pub host: Option<MachineName>,
    /// The tree of its outputs.
    pub outputs: Option<Digest>,
    /// Digest of its signed statements, which are in the bundle.
    pub statements: Option<Digest>,
}

/// One dataset version that was reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub name: DatasetName,
    /// Its version.
    pub version: u32,
    /// Its tree.
    pub snapshot: Digest,
}

/// One file that a run left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// The run.
    pub run: RunId,
    /// Its path.
    pub path: FilePath,
    /// Its size in bytes.
    pub size: u64,
    /// Its BLAKE3.
    pub blake3: Digest,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// One entry of the ledger, as a person reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its index.
    pub entry: u64,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub actor: String,
    /// In which project.
    pub project: ProjectName,
    /// What kind of thing.
    #[serde(rename = "type")]
    pub kind: String,
    /// What about.
    pub about: String,
    /// What was written there that could be erased, and was not.
    pub values: BTreeMap<String, String>,
    /// What was written there and is not known: it was erased, or is missing.
    pub not_known: BTreeSet<String>,
}

impl Line {
    /// The line of an entry as it was signed; `openings` are by commitment.
    pub(super) fn of(index: u64, entry: &Entry, openings: &BTreeMap<Digest, Committed>) -> Self {
        let (mut values, mut not_known) = (BTreeMap::new(), BTreeSet::new());
        for (place, commitment) in &entry.committed {
            match openings.get(commitment) {
                Some(known) => drop(values.insert(place.clone(), known.value.clone())),
                None => drop(not_known.insert(place.clone())),
            }
        }
        Self {
            entry: index,
            time: entry.time,
            actor: entry.actor.clone(),
            project: entry.project.clone(),
            kind: entry.event.kind().to_owned(),
            about: entry.event.subject(),
            values,
            not_known,
        }
    }
}

/// Whether an entry belongs to the evidence: it is about the incident, its objects, or what they reached; or it has
/// the key that signed.
pub(super) fn belongs(entry: &Entry, document: &Document) -> bool {
    let here = entry.project == document.project;
    match &entry.event {
        Event::QuarantineAdded { object, .. } | Event::QuarantineLifted { object, .. } => {
            return here && document.objects.contains(object);
        }
        Event::IncidentOpened { incident, .. }
        | Event::IncidentExported { incident, .. }
        | Event::IncidentClosed { incident, .. } => return here && *incident == document.incident,
        Event::AttestationKey { .. } => return true,
        _ => {}
    }
    if let Some(run) = entry.event.run() {
        return document.runs.iter().any(|known| known.project == entry.project && known.run == *run)
            || here && document.objects.iter().any(|object| is_of(object, run));
    }
    match entry.event.dataset() {
        Some(aseptic_model::Retained::Dataset { name, version }) => document
            .datasets
            .iter()
            .any(|known| known.project == entry.project && known.name == name && known.version == version),
        _ => false,
    }
}

/// Whether `object` is an output of `run`, which itself is not reached then.
fn is_of(object: &Object, run: &RunId) -> bool {
    matches!(object, Object::Artifact { run: of, .. } if of == run)
}
