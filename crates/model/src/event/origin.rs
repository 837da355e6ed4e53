//! Where a dataset version comes from.

use serde::{Deserialize, Serialize};

use crate::{DatasetName, Digest, ProjectName};

/// Where a dataset version comes from, if not from files of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Origin {
    /// Another project gave it.
    Shared {
        /// That project.
        project: ProjectName,
        /// Its name there.
        name: DatasetName,
        /// Its version there.
        version: u32,
    },
    /// It was read from an archive that another ledger knows.
    Archive {
        /// Where that is.
        url: String,
        /// BLAKE3 of the list of what is there.
        manifest: Digest,
    },
}
