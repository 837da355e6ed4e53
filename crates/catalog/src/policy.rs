//! Which policies were put in force in a project.

use aseptic_model::{Digest, ProjectName, Timestamp};

use crate::column::get;
use crate::{Catalog, CatalogError};

/// Policies that were put in force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PolicyApplied {
    /// The entry that says so.
    pub entry: u64,
    /// Digest of the policies, which are in the store.
    pub policy: Digest,
    /// The key that must sign the roles from then on.
    pub signer: Option<String>,
    /// When.
    pub time: Timestamp,
    /// Who did it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

impl Catalog {
    /// What was put in force in a project, the newest first, at most `max`.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn policies_applied(
        &self,
        project: &ProjectName,
        max: u32,
    ) -> Result<Vec<PolicyApplied>, CatalogError> {
        let sql = format!("SELECT * FROM policy_applied WHERE project = ?1 ORDER BY entry DESC LIMIT {max}");
        self.rows(&sql, [project.as_str()], |row| {
            Ok(PolicyApplied {
                entry: get(row, "entry")?,
                policy: get(row, "policy")?,
                signer: get(row, "signer")?,
                time: get(row, "time")?,
                actor: get(row, "actor")?,
                reason: get(row, "reason")?,
            })
        })
    }

    /// The key that must sign the roles of a project, once one was named. No later entry without a key takes it back.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn pinned_signer(&self, project: &ProjectName) -> Result<Option<String>, CatalogError> {
        let sql = "SELECT signer FROM policy_applied WHERE project = ?1 AND signer IS NOT NULL
                   ORDER BY entry DESC LIMIT 1";
        let found = self.rows(sql, [project.as_str()], |row| get(row, "signer"))?;
        Ok(found.into_iter().next())
    }
}
