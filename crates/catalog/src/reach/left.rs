//! Where a tree came from: the runs that left it, and the project that shared it.

use aseptic_model::{DatasetName, Digest, FilePath, Origin, ProjectName, RunId};

use super::{Had, SHARES_MAX};
use crate::column::{Row, get, params};
use crate::{Catalog, CatalogError};

/// Runs, and which output of each.
pub(super) type Left = Vec<(i64, Option<FilePath>)>;

impl Catalog {
    /// The inputs of a run.
    pub(super) fn had(&self, entry: i64) -> Result<Vec<Had>, CatalogError> {
        self.rows(INPUTS, [entry], |row| {
            let dataset: Option<DatasetName> = get(row, "dataset")?;
            let source: Option<RunId> = get(row, "source_run")?;
            Ok(Had {
                snapshot: get(row, "snapshot")?,
                dataset: match dataset {
                    Some(name) => Some((name, get(row, "version")?)),
                    None => None,
                },
                source: match source {
                    Some(run) => Some((run, get(row, "source_path")?)),
                    None => None,
                },
                read_set: get(row, "read_set")?,
            })
        })
    }

    /// What runs left before the entry `before` of the version that is `snapshot`, all of it or a file of it: the run,
    /// and which output.
    pub(super) fn left(
        &self,
        snapshot: &Digest,
        before: i64,
        (project, name, version): (&ProjectName, &DatasetName, u32),
    ) -> Result<Left, CatalogError> {
        let read = |row: &Row<'_>| Ok((get(row, "entry")?, get(row, "path")?));
        let mut left = self.rows(LEFT, params![snapshot.as_bytes(), before], read)?;
        left.extend(self.rows(SOURCES, params![project.as_str(), name.as_str(), version], read)?);
        Ok(left)
    }

    /// The version and where it was shared from, one after the other, each with the entry that added it.
    pub(crate) fn shares(
        &self,
        project: &ProjectName,
        name: &DatasetName,
        version: u32,
    ) -> Result<Vec<(ProjectName, DatasetName, u32, i64)>, CatalogError> {
        let mut chain = Vec::new();
        let mut next = Some((project.clone(), name.clone(), version));
        while let Some((project, name, version)) = next.take()
            && chain.len() < SHARES_MAX
        {
            let key = params![project.as_str(), name.as_str(), version];
            let found = self.rows(ADDED, key, |row| {
                let origin: Option<Origin> = get(row, "origin")?;
                Ok((origin, get::<Digest>(row, "snapshot")?, get::<i64>(row, "entry")?))
            })?;
            let Some((origin, snapshot, entry)) = found.into_iter().next() else { break };
            chain.push((project, name, version, entry));
            next = match origin {
                Some(Origin::Shared { project, name, version }) => Some((project, name, version)),
                Some(Origin::Archive { .. }) => self.archived(&snapshot, entry)?,
                None => None,
            };
        }
        Ok(chain)
    }

    /// The version of this ledger that was given away first as `snapshot`, before the entry `before`: what comes back
    /// from an archive is that one, whoever carried it.
    pub(crate) fn archived(
        &self,
        snapshot: &Digest,
        before: i64,
    ) -> Result<Option<(ProjectName, DatasetName, u32)>, CatalogError> {
        let found = self.rows(ARCHIVED, params![snapshot.as_bytes(), before], |row| {
            Ok((get(row, "project")?, get(row, "name")?, get(row, "version")?))
        })?;
        Ok(found.into_iter().next())
    }
}

/// The trees that runs left, as far as the catalog knows them: whole, as an input of others, and exported.
const LEFT: &str = "
    SELECT entry, NULL AS path FROM run INDEXED BY run_outputs WHERE outputs = ?1 AND entry < ?2
    UNION SELECT source.entry, run_input.source_path
          FROM run_input INDEXED BY run_input_snapshot CROSS JOIN run AS reader ON reader.entry = run_input.entry
          CROSS JOIN run AS source ON source.project = reader.project AND source.run = run_input.source_run
          WHERE run_input.snapshot = ?1 AND run_input.source_run IS NOT NULL AND source.entry < ?2
    UNION SELECT run.entry, given_away.path
          FROM given_away INDEXED BY given_away_snapshot
          CROSS JOIN run ON run.project = given_away.project AND run.run = given_away.run
          WHERE given_away.snapshot = ?1 AND run.entry < ?2
    ORDER BY 1, 2 NULLS FIRST";

const SOURCES: &str = "
    SELECT entry, CASE WHEN LENGTH(path) > 0 THEN path END AS path FROM dataset_source
    WHERE project = ?1 AND name = ?2 AND version = ?3 ORDER BY entry, path";

const ARCHIVED: &str = "
    SELECT this.project, this.name, this.version
    FROM dataset_version AS this INDEXED BY dataset_version_snapshot
    CROSS JOIN given_away AS given
        ON given.project = this.project AND given.dataset = this.name AND given.version = this.version
    WHERE this.snapshot = ?1 AND given.entry < ?2 ORDER BY given.entry LIMIT 1";

const ADDED: &str = "
    SELECT origin, snapshot, (SELECT MIN(entry) FROM dataset_change AS change
                    WHERE change.project = this.project AND change.name = this.name
                        AND change.version = this.version) AS entry
    FROM dataset_version AS this WHERE project = ?1 AND name = ?2 AND version = ?3";

const INPUTS: &str = "
    SELECT snapshot, dataset, version, source_run, source_path, read_set FROM run_input
    WHERE entry = ?1 ORDER BY name";
