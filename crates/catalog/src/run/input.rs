//! The inputs of a run. The record mostly says what the plan said, and then nothing is written.

use std::collections::BTreeMap;

use aseptic_model::{DatasetName, Digest, FilePath, InputName, InputSource, RunId};

use crate::CatalogError;
use crate::apply::Fold;
use crate::column::{get, params};

/// An input as the catalog has it.
pub(super) struct Known {
    snapshot: Digest,
    dataset: Option<DatasetName>,
    version: Option<u32>,
    run: Option<RunId>,
    path: Option<FilePath>,
}

impl Known {
    pub(super) fn is(&self, snapshot: &Digest, source: &InputSource) -> bool {
        let (dataset, version, run, path) = match source {
            InputSource::Dataset { name, version } => (Some(name), Some(*version), None, None),
            InputSource::Artifact { run, path } => (None, None, Some(run), path.as_ref()),
        };
        self.snapshot == *snapshot
            && self.dataset.as_ref() == dataset
            && self.version == version
            && self.run.as_ref() == run
            && self.path.as_ref() == path
    }
}

impl Fold<'_> {
    /// Writes down an input.
    ///
    /// The snapshot is the entry's, which is signed; the source is what the plan says of it.
    pub(super) fn input(
        &self,
        key: i64,
        name: &InputName,
        snapshot: &Digest,
        source: Option<&InputSource>,
    ) -> Result<(), CatalogError> {
        let (dataset, artifact) = match source {
            Some(InputSource::Dataset { name, version }) => (Some((name, version)), None),
            Some(InputSource::Artifact { run, path }) => (None, Some((run, path))),
            None => (None, None),
        };
        self.execute(
            "INSERT INTO run_input VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)
             ON CONFLICT (entry, name) DO UPDATE SET snapshot = excluded.snapshot, dataset = excluded.dataset,
                 version = excluded.version, source_run = excluded.source_run, source_path = excluded.source_path
             WHERE run_input.snapshot <> excluded.snapshot OR run_input.dataset IS DISTINCT FROM excluded.dataset
                 OR run_input.version IS DISTINCT FROM excluded.version
                 OR run_input.source_run IS DISTINCT FROM excluded.source_run
                 OR run_input.source_path IS DISTINCT FROM excluded.source_path",
            params![
                key,
                name.as_str(),
                snapshot.as_bytes(),
                dataset.map(|(name, _)| name.as_str()),
                dataset.map(|(_, version)| version),
                artifact.map(|(run, _)| run.as_str()),
                artifact.and_then(|(_, path)| path.as_ref()).map(|path| path.as_bytes())
            ],
        )
    }

    /// The inputs of a run as its plan had them.
    pub(super) fn inputs(&self, key: i64) -> Result<BTreeMap<InputName, Known>, CatalogError> {
        let sql = "SELECT name, snapshot, dataset, version, source_run, source_path FROM run_input
             WHERE entry = ?1 ORDER BY name";
        let rows = self.database.rows(sql, [key], |row| {
            let known = Known {
                snapshot: get(row, "snapshot")?,
                dataset: get(row, "dataset")?,
                version: get(row, "version")?,
                run: get(row, "source_run")?,
                path: get(row, "source_path")?,
            };
            Ok((get(row, "name")?, known))
        })?;
        Ok(rows.into_iter().collect())
    }
}
