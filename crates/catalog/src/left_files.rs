//! Files that runs left, by their bytes.

use std::collections::BTreeSet;

use aseptic_model::{Digest, Label};

use crate::column::{Parameter, get, params};
use crate::{Catalog, CatalogError};

/// Digests of one question.
const TOGETHER: usize = 256;

/// Most runs that are looked at for one file, the oldest first.
const RUNS_MAX: i64 = 100;

impl Catalog {
    /// Those of `files` that a run of any project left, empty ones excepted: their bytes say nothing.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn left_by_runs(&self, files: &BTreeSet<Digest>) -> Result<BTreeSet<Digest>, CatalogError> {
        let mut found = BTreeSet::new();
        let all: Vec<&Digest> = files.iter().collect();
        for some in all.chunks(TOGETHER) {
            // A list that is too short repeats its last digest, which changes no answer.
            let padded = (0..TOGETHER).filter_map(|at| some.get(at).or(some.last()));
            let key: Vec<_> = padded.map(|digest| Parameter::Blob(digest.as_bytes().to_vec())).collect();
            let list: Vec<_> = (1..=TOGETHER).map(|number| format!("?{number}")).collect();
            let sql = format!(
                "SELECT DISTINCT blake3 FROM run_output WHERE blake3 IN ({}) AND size > 0",
                list.join(", ")
            );
            found.extend(self.rows(&sql, key.as_slice(), |row| get::<Digest>(row, "blake3"))?);
        }
        Ok(found)
    }

    /// The runs that left a file, as the entries that planned them, the first 100.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn runs_that_left(&self, file: &Digest) -> Result<Vec<i64>, CatalogError> {
        let sql = "SELECT DISTINCT entry FROM run_output WHERE blake3 = ?1 ORDER BY entry LIMIT ?2";
        self.rows(sql, params![file.as_bytes(), RUNS_MAX], |row| get(row, "entry"))
    }

    /// Labels of the outputs of the runs, of any project, that left a file.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn labels_of_file(&self, file: &Digest) -> Result<BTreeSet<Label>, CatalogError> {
        let sql = "SELECT DISTINCT run.labels FROM run_output JOIN run ON run.entry = run_output.entry
             WHERE run_output.blake3 = ?1";
        let labels = self.rows(sql, params![file.as_bytes()], |row| get::<BTreeSet<Label>>(row, "labels"))?;
        Ok(labels.into_iter().flatten().collect())
    }
}
