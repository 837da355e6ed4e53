//! Questions of whoever deletes: everything that a project has, and what it needs.

use aseptic_model::{Digest, ProjectName, RunId};

use crate::column::{get, params};
use crate::query::dataset;
use crate::{Catalog, CatalogError, DatasetVersion};

impl Catalog {
    /// Every version of every dataset, in the order of their names and versions.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn all_versions(&self, project: &ProjectName) -> Result<Vec<DatasetVersion>, CatalogError> {
        let sql = "SELECT * FROM dataset_version WHERE project = ?1 ORDER BY name, version";
        self.rows(sql, [project.as_str()], dataset)
    }

    /// The input snapshots of a run.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn inputs(&self, project: &ProjectName, run: &RunId) -> Result<Vec<Digest>, CatalogError> {
        let sql =
            "SELECT snapshot FROM run CROSS JOIN run_input USING (entry) WHERE project = ?1 AND run = ?2";
        self.rows(sql, params![project.as_str(), run.as_str()], |row| get(row, "snapshot"))
    }

    /// Objects that entries name beside datasets and runs: reports of drills, lists of what was deleted.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn kept_objects(&self, project: &ProjectName) -> Result<Vec<Digest>, CatalogError> {
        let sql = "SELECT digest FROM kept_object WHERE project = ?1";
        self.rows(sql, [project.as_str()], |row| get(row, "digest"))
    }

    /// The public key that signs attestations, as PEM; none before the first.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn attestation_key(&self) -> Result<Option<String>, CatalogError> {
        let sql = "SELECT public_key FROM attestation_key ORDER BY entry DESC LIMIT 1";
        Ok(self.rows(sql, [], |row| get(row, "public_key"))?.pop())
    }
}
