//! How often a project has let a run at some data.
//!
//! A copy that a run left, and what is made of that, is the same data: whoever looks at it looks at the other, too. So
//! what counts is everything that came of one source, as far as it is held out.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{DatasetName, Digest, FilePath, Label, ProjectName, RunId};

use crate::column::{get, params};
use crate::labels::path;
use crate::{Catalog, CatalogError};

/// Runs that are counted. Nobody permits so many.
const RUNS_MAX: usize = 10_000;

/// Something that may be held out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldOut {
    /// Every version of a dataset, and this one.
    Dataset {
        /// Its name.
        name: DatasetName,
        /// The tree.
        snapshot: Digest,
    },
    /// What a run left.
    Run(RunId),
}

impl Catalog {
    /// How many runs of `project` were allowed to read the data of `snapshot`, or what `of` is: every version of the
    /// dataset, and every version of a dataset that has a version of these bytes, whatever a run called them; and, where
    /// `is_held_out` says so of its labels, whatever that came from or came of it, or of `also`, which has a part of the
    /// same data. Runs that go on count, and those that were allowed and never started. At most 10,000 are counted.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn evaluations(
        &self,
        project: &ProjectName,
        of: &HeldOut,
        snapshot: &Digest,
        also: BTreeSet<HeldOut>,
        is_held_out: &dyn Fn(&BTreeSet<Label>) -> bool,
    ) -> Result<u64, CatalogError> {
        let family = Family { catalog: self, project, is_held_out };
        let mut runs: BTreeMap<i64, RunId> = self.readers(project, None, snapshot)?.into_iter().collect();
        let mut known = family.sources(of)?;
        known.extend(also);
        let mut waiting: Vec<HeldOut> = known.iter().cloned().collect();
        waiting.extend(runs.values().cloned().map(HeldOut::Run));
        while let Some(next) = waiting.pop() {
            for (entry, run) in family.readers(&next)? {
                if runs.len() == RUNS_MAX {
                    return Ok(RUNS_MAX as u64);
                }
                if runs.insert(entry, run.clone()).is_none() {
                    waiting.push(HeldOut::Run(run));
                }
            }
            for made in family.made_of(&next)? {
                if known.insert(made.clone()) {
                    waiting.push(made);
                }
            }
        }
        Ok(runs.len() as u64)
    }

    /// Runs of `project` that were allowed to read these bytes or this dataset.
    fn readers(
        &self,
        project: &ProjectName,
        name: Option<&DatasetName>,
        snapshot: &Digest,
    ) -> Result<Vec<(i64, RunId)>, CatalogError> {
        // Each part of the union has an index of its own; CROSS keeps SQLite from going through all runs.
        let sql = "WITH names AS (
                 SELECT name FROM dataset_version WHERE snapshot = ?3 AND project = ?1
                 UNION SELECT CAST(?2 AS TEXT) WHERE ?2 IS NOT NULL
             ), trees AS (
                 SELECT snapshot FROM dataset_version WHERE project = ?1 AND name IN (SELECT name FROM names)
             ), reads AS (
                 SELECT entry FROM run_input WHERE snapshot = ?3
                 UNION SELECT entry FROM run_input WHERE snapshot IN (SELECT snapshot FROM trees)
                 UNION SELECT entry FROM run_input WHERE dataset IN (SELECT name FROM names)
             )
             SELECT run.entry AS entry, run.run AS run FROM reads CROSS JOIN run ON run.entry = reads.entry
             WHERE run.project = ?1 AND (run.status IS NULL OR run.status NOT IN ('denied', 'needs-approval'))";
        let name = name.map(DatasetName::as_str);
        self.rows(sql, params![project.as_str(), name, snapshot.as_bytes()], |row| {
            Ok((get(row, "entry")?, get(row, "run")?))
        })
    }
}

/// What came of the same data, as far as it is held out.
struct Family<'c> {
    catalog: &'c Catalog,
    project: &'c ProjectName,
    is_held_out: &'c dyn Fn(&BTreeSet<Label>) -> bool,
}

impl Family<'_> {
    /// `of`, and everything held out that it came from.
    fn sources(&self, of: &HeldOut) -> Result<BTreeSet<HeldOut>, CatalogError> {
        let mut found = BTreeSet::from([of.clone()]);
        let mut waiting = vec![of.clone()];
        while let Some(next) = waiting.pop().filter(|_| found.len() < RUNS_MAX) {
            let above = match &next {
                HeldOut::Dataset { name, .. } => self.left_by(name)?,
                HeldOut::Run(run) => self.inputs(run)?,
            };
            for source in above {
                if found.insert(source.clone()) {
                    waiting.push(source);
                }
            }
        }
        Ok(found)
    }

    /// Runs whose outputs became versions of a dataset.
    fn left_by(&self, name: &DatasetName) -> Result<Vec<HeldOut>, CatalogError> {
        let sql = "SELECT run.run AS run, dataset_source.path AS path FROM dataset_source
             CROSS JOIN run ON run.entry = dataset_source.entry
             WHERE dataset_source.project = ?1 AND dataset_source.name = ?2 AND run.project = ?1";
        let rows = self.catalog.rows(sql, [self.project.as_str(), name.as_str()], |row| {
            Ok((get::<RunId>(row, "run")?, path(row)?))
        })?;
        let mut found = Vec::new();
        for (run, path) in rows {
            if self.is_output_held_out(&run, path.as_ref())? {
                found.push(HeldOut::Run(run));
            }
        }
        Ok(found)
    }

    fn inputs(&self, run: &RunId) -> Result<Vec<HeldOut>, CatalogError> {
        let sql = "SELECT run_input.dataset AS dataset, run_input.version AS version, run_input.snapshot AS snapshot,
                 run_input.source_run AS source_run, COALESCE(run_input.source_path, CAST('' AS BLOB)) AS path
             FROM run CROSS JOIN run_input ON run_input.entry = run.entry WHERE run.project = ?1 AND run.run = ?2";
        let rows = self.catalog.rows(sql, [self.project.as_str(), run.as_str()], |row| {
            let dataset: Option<DatasetName> = get(row, "dataset")?;
            let version: Option<u32> = get(row, "version")?;
            let source: Option<RunId> = get(row, "source_run")?;
            Ok((dataset.zip(version), get::<Digest>(row, "snapshot")?, source, path(row)?))
        })?;
        let mut found = Vec::new();
        for (dataset, snapshot, source, path) in rows {
            if let Some((name, version)) = dataset {
                let version = self.catalog.dataset_version(self.project, &name, Some(version))?;
                if version.is_some_and(|version| (self.is_held_out)(&version.labels)) {
                    found.push(HeldOut::Dataset { name, snapshot });
                }
            } else if let Some(run) = source
                && self.is_output_held_out(&run, path.as_ref())?
            {
                found.push(HeldOut::Run(run));
            }
        }
        Ok(found)
    }

    fn readers(&self, of: &HeldOut) -> Result<Vec<(i64, RunId)>, CatalogError> {
        let run = match of {
            HeldOut::Dataset { name, snapshot } => {
                return self.catalog.readers(self.project, Some(name), snapshot);
            }
            HeldOut::Run(run) => run,
        };
        let sql = "SELECT reader.entry AS entry, reader.run AS run,
                 COALESCE(run_input.source_path, CAST('' AS BLOB)) AS path
             FROM run_input CROSS JOIN run AS reader ON reader.entry = run_input.entry
             WHERE run_input.source_run = ?2 AND reader.project = ?1
                 AND (reader.status IS NULL OR reader.status NOT IN ('denied', 'needs-approval'))";
        let rows = self.catalog.rows(sql, [self.project.as_str(), run.as_str()], |row| {
            Ok((get(row, "entry")?, get(row, "run")?, path(row)?))
        })?;
        let mut found = Vec::new();
        for (entry, reader, path) in rows {
            if self.is_output_held_out(run, path.as_ref())? {
                found.push((entry, reader));
            }
        }
        Ok(found)
    }

    /// Versions that are held out and were made of what a run left.
    fn made_of(&self, of: &HeldOut) -> Result<Vec<HeldOut>, CatalogError> {
        let HeldOut::Run(run) = of else { return Ok(Vec::new()) };
        let sql = "SELECT version.name AS name, version.snapshot AS snapshot, version.labels AS labels
             FROM run CROSS JOIN dataset_source ON dataset_source.entry = run.entry
             CROSS JOIN dataset_version AS version ON version.project = dataset_source.project
                 AND version.name = dataset_source.name AND version.version = dataset_source.version
             WHERE run.project = ?1 AND run.run = ?2 AND version.project = ?1";
        let rows = self.catalog.rows(sql, [self.project.as_str(), run.as_str()], |row| {
            let labels: BTreeSet<Label> = get(row, "labels")?;
            Ok((HeldOut::Dataset { name: get(row, "name")?, snapshot: get(row, "snapshot")? }, labels))
        })?;
        Ok(rows.into_iter().filter(|(_, labels)| (self.is_held_out)(labels)).map(|(made, _)| made).collect())
    }

    fn is_output_held_out(&self, run: &RunId, path: Option<&FilePath>) -> Result<bool, CatalogError> {
        Ok((self.is_held_out)(&self.catalog.labels_of_outputs(self.project, run, path)?))
    }
}
