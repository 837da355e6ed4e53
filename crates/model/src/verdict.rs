//! What a comparison of results came to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether two results are the same. Ordered: of several, the greatest is that of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every byte is the same.
    Identical,
    /// Bytes differ, and every value is the same within the tolerance.
    Equivalent,
    /// A value differs, something is missing, or what differs cannot be compared by its values.
    Different,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Identical, Self::Equivalent, Self::Different];

    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::Equivalent => "equivalent",
            Self::Different => "different",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
