//! The policies of a project as a document: everything that decides, by its digest.

use std::collections::BTreeMap;

use aseptic_model::{CanonicalError, Digest, to_canonical};
use serde::{Deserialize, Serialize};

/// Version tag of [`PolicyDocument`] on disk.
pub const POLICY_FORMAT: &str = "aseptic.policies/1";

/// The shipped files.
pub(crate) const BASE: [(&str, &str); 10] = [
    ("base/holdout.cedar", include_str!("../../base/holdout.cedar")),
    ("base/labels.cedar", include_str!("../../base/labels.cedar")),
    ("base/network.cedar", include_str!("../../base/network.cedar")),
    ("base/pinned.cedar", include_str!("../../base/pinned.cedar")),
    ("base/quarantine.cedar", include_str!("../../base/quarantine.cedar")),
    ("base/roles.cedar", include_str!("../../base/roles.cedar")),
    ("base/run.cedar", include_str!("../../base/run.cedar")),
    ("base/templates.cedar", include_str!("../../base/templates.cedar")),
    ("base/schema.cedarschema", include_str!("../../base/schema.cedarschema")),
    ("base/walls.cedar", include_str!("../../base/walls.cedar")),
];

/// Every file that decides: the shipped ones (`base/…`) and those of the project (`policy/…`: policies,
/// `settings.toml`, `roles.toml`, `roles.sig`; no tests).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// [`POLICY_FORMAT`].
    pub format: String,
    /// Text by path.
    pub files: BTreeMap<String, String>,
}

impl PolicyDocument {
    /// The shipped policies with the files of a project, whose paths begin with `policy/`.
    #[must_use]
    pub fn new(project: BTreeMap<String, String>) -> Self {
        let mut files = project;
        files.retain(|path, _| path.starts_with("policy/"));
        files.extend(BASE.map(|(path, text)| (path.to_owned(), text.to_owned())));
        Self { format: POLICY_FORMAT.to_owned(), files }
    }

    /// Whether its shipped files are those of this version.
    pub(crate) fn has_this_base(&self) -> bool {
        let own = self.files.iter().filter(|(path, _)| !path.starts_with("policy/"));
        own.count() == BASE.len()
            && BASE.iter().all(|(path, text)| self.files.get(*path).is_some_and(|own| own == text))
    }

    /// Its canonical bytes, whose digest names it.
    ///
    /// # Errors
    /// [`CanonicalError`], which none has.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        to_canonical(self)
    }

    /// Digest of its canonical bytes.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        self.to_bytes().map(|bytes| Digest::of(&bytes))
    }
}
