//! One entry: an event with when, who and where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Event;
use crate::{Digest, ProjectName, Timestamp};

/// Version tag of [`Entry`].
pub const ENTRY_FORMAT: &str = "aseptic.entry/1";

/// How many grants an entry lists: as many as surely fit.
pub const REACHED_MAX: usize = 128;

/// Most files that a `dataset.added` lists as left by runs: a quarter of what an entry can hold.
pub const LEFT_FILES_MAX: usize = 256;

/// One ledger entry; its canonical bytes are the leaf of the tree. See `docs/formats/entry.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`ENTRY_FORMAT`].
    pub format: String,
    /// When it was written, by the clock of the machine.
    pub time: Timestamp,
    /// Who did it: `user:<name>` of the operating system.
    pub actor: String,
    /// In which project.
    pub project: ProjectName,
    /// What happened.
    pub event: Event,
    /// Values that people may ask to erase, as commitments: by their place in `event.body`, such as `reason` or
    /// `metadata.owner`, where nothing is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub committed: BTreeMap<String, Digest>,
}

impl Entry {
    /// An entry of the current format.
    #[must_use]
    pub fn new(time: Timestamp, actor: String, project: ProjectName, event: Event) -> Self {
        Self { format: ENTRY_FORMAT.to_owned(), time, actor, project, event, committed: BTreeMap::new() }
    }

    /// The latest time up to this entry, where `before` is that of all before it. It begins anew where the ledger
    /// says that the clock went back.
    #[must_use]
    pub fn latest_time(&self, before: Option<Timestamp>) -> Option<Timestamp> {
        match self.event {
            Event::LedgerClockWentBack { .. } => Some(self.time),
            _ => before.max(Some(self.time)),
        }
    }
}
