//! What a digest is of, as far as entries and records say.

use aseptic_model::{DatasetName, Digest, FilePath, PackageName, ProjectName, RunId};

use crate::column::{get, params};
use crate::{Catalog, CatalogError};

/// What one digest names in a project. Nothing here says that it names nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownDigest {
    /// A tree: of a dataset version, of code, of outputs, or an input.
    pub tree: bool,
    /// A file that a run left.
    pub file: bool,
    /// Rules that decided runs.
    pub policy: bool,
}

impl Catalog {
    /// What `digest` names in `project`. A file inside a dataset, which only the store knows, is not found.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn known_digest(&self, project: &ProjectName, digest: &Digest) -> Result<KnownDigest, CatalogError> {
        let known = self.rows(KNOWN, params![project.as_str(), digest.as_bytes()], |row| {
            Ok(KnownDigest { tree: get(row, "tree")?, file: get(row, "file")?, policy: get(row, "policy")? })
        })?;
        Ok(known.into_iter().next().unwrap_or_default())
    }

    /// Whether `run` left a file at `path`, or any below it.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn has_output(
        &self,
        project: &ProjectName,
        run: &RunId,
        path: &FilePath,
    ) -> Result<bool, CatalogError> {
        let (below, end) = below(path);
        let key = params![project.as_str(), run.as_str(), path.as_bytes(), below, end];
        let found = self.rows(HAS_OUTPUT, key, |row| get::<i64>(row, "entry"))?;
        Ok(!found.is_empty())
    }

    /// The digest of an output, if it is a file.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn output_digest(
        &self,
        project: &ProjectName,
        run: &RunId,
        path: &FilePath,
    ) -> Result<Option<Digest>, CatalogError> {
        let key = params![project.as_str(), run.as_str(), path.as_bytes()];
        Ok(self.rows(OUTPUT, key, |row| get(row, "blake3"))?.into_iter().next())
    }

    /// Index of the ledger entry that added a version of a dataset.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn added_by(
        &self,
        project: &ProjectName,
        name: &DatasetName,
        version: u32,
    ) -> Result<Option<u64>, CatalogError> {
        let sql = "SELECT MIN(entry) AS entry FROM dataset_change
                   WHERE project = ?1 AND name = ?2 AND version = ?3";
        let rows =
            self.rows(sql, params![project.as_str(), name.as_str(), version], |row| get(row, "entry"))?;
        Ok(rows.into_iter().next().flatten())
    }

    /// Whether a set of opened files has `path`, or any below it.
    pub(crate) fn set_has(&self, set: &Digest, path: &FilePath) -> Result<bool, CatalogError> {
        let (below, end) = below(path);
        let key = params![set.as_bytes(), path.as_bytes(), below, end];
        Ok(!self.rows(SET_HAS, key, |row| get::<Digest>(row, "read_set"))?.is_empty())
    }

    /// Every version of a package that an environment of any run had, as text in byte order.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn package_versions(&self, name: &PackageName) -> Result<Vec<String>, CatalogError> {
        let sql = "SELECT DISTINCT version FROM environment_package WHERE name = ?1 ORDER BY version";
        self.rows(sql, [name.as_str()], |row| get(row, "version"))
    }
}

/// Whether a package of `version` is meant by `wanted`: the same version, or one that goes on after it with `.`, `-`
/// or `+`. So `1.26` means 1.26 and 1.26.4, and neither 1.2 nor 1.260 nor 1.26rc1.
#[must_use]
pub fn version_is(wanted: &str, version: &str) -> bool {
    match version.strip_prefix(wanted) {
        Some(rest) => rest.is_empty() || rest.starts_with(['.', '-', '+']),
        None => false,
    }
}

/// From the first path below the directory `path` to the one after the last, in byte order.
pub(crate) fn below(path: &FilePath) -> (Vec<u8>, Vec<u8>) {
    let with = |last: u8| [path.as_bytes(), &[last]].concat();
    (with(b'/'), with(b'/' + 1))
}

const KNOWN: &str = "
    SELECT CASE WHEN
        EXISTS (SELECT 1 FROM dataset_version INDEXED BY dataset_version_snapshot
                WHERE snapshot = ?2 AND project = ?1)
        OR EXISTS (SELECT 1 FROM run INDEXED BY run_outputs WHERE outputs = ?2 AND project = ?1)
        OR EXISTS (SELECT 1 FROM run INDEXED BY run_code WHERE code = ?2 AND project = ?1)
        OR EXISTS (SELECT 1 FROM run_input INDEXED BY run_input_snapshot CROSS JOIN run USING (entry)
                   WHERE snapshot = ?2 AND project = ?1) THEN 1 ELSE 0 END AS tree,
    CASE WHEN
        EXISTS (SELECT 1 FROM run_output INDEXED BY run_output_blake3 CROSS JOIN run USING (entry)
                WHERE blake3 = ?2 AND project = ?1) THEN 1 ELSE 0 END AS file,
    CASE WHEN
        EXISTS (SELECT 1 FROM run INDEXED BY run_policy WHERE policy = ?2 AND project = ?1)
        THEN 1 ELSE 0 END AS policy";

const HAS_OUTPUT: &str = "
    SELECT entry FROM run CROSS JOIN run_output USING (entry)
    WHERE project = ?1 AND run = ?2
        AND (path = ?3 OR (path >= ?4 AND path < ?5)) LIMIT 1";

const OUTPUT: &str = "
    SELECT run_output.blake3 FROM run CROSS JOIN run_output USING (entry)
    WHERE project = ?1 AND run = ?2 AND path = ?3";

const SET_HAS: &str = "
    SELECT read_set FROM read_file
    WHERE read_set = ?1 AND (path = ?2 OR (path >= ?3 AND path < ?4)) LIMIT 1";
