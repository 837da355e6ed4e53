//! Refusals that were counted, because entries of all of them would fill the ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What somebody was refused in a project without an entry for each time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusals {
    /// Who, as entries name actors. Somebody else may have written the entry.
    pub user: String,
    /// When counting began. Two entries with the same user and time say the same: the writer of the first was killed.
    pub since: Timestamp,
    /// When the last one was.
    pub until: Timestamp,
    /// How many, by act, such as `Declassify`.
    pub acts: BTreeMap<String, u64>,
    /// Those besides, of whatever project and act: too many to be told apart.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Refusals {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.acts.values().fold(self.others, |sum, count| sum.saturating_add(*count))
    }
}
