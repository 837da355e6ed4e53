//! Files that runs left, by their bytes; what a run printed is one, too.

use std::collections::BTreeSet;

use aseptic_model::{Digest, Label};

use crate::column::{Parameter, get, params};
use crate::labels::{labels_of, source};
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
            let list = list.join(", ");
            let sql = format!(
                "SELECT blake3 FROM run_output WHERE blake3 IN ({list}) AND size > 0
                 UNION SELECT blake3 FROM run_log WHERE blake3 IN ({list})"
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
        let sql = "SELECT entry FROM run_output WHERE blake3 = ?1
             UNION SELECT entry FROM run_log WHERE blake3 = ?1 ORDER BY entry LIMIT ?2";
        self.rows(sql, params![file.as_bytes(), RUNS_MAX], |row| get(row, "entry"))
    }

    /// Labels of a file where runs, of any project, left it.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn labels_of_file(&self, file: &Digest) -> Result<BTreeSet<Label>, CatalogError> {
        let mut labels = BTreeSet::new();
        for source in self.rows(LEFT_AT, params![file.as_bytes()], source)? {
            labels.extend(labels_of(&self.database, &source)?);
        }
        Ok(labels)
    }
}

const LEFT_AT: &str = "
    SELECT source.entry AS source, source.inherited AS inherited, source.labels AS labels, run_output.path AS path,
        CAST(CASE WHEN EXISTS (SELECT 1 FROM label_act WHERE label_act.entry = source.entry
            AND LENGTH(label_act.path) > 0) THEN 1 ELSE 0 END AS INTEGER) AS parts
    FROM run_output CROSS JOIN run AS source ON source.entry = run_output.entry WHERE run_output.blake3 = ?1
    UNION ALL
    SELECT source.entry AS source, source.inherited AS inherited, source.labels AS labels, CAST('' AS BLOB) AS path,
        CAST(0 AS INTEGER) AS parts
    FROM run_log CROSS JOIN run AS source ON source.entry = run_log.entry WHERE run_log.blake3 = ?1";
