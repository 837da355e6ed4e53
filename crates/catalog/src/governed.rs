//! The fold of what is done to datasets, and of how long bytes are kept.

use aseptic_model::{DatasetName, Digest, Entry, Event, Metadata, Retained};
use rusqlite::ToSql;

use crate::CatalogError;
use crate::apply::{Fold, json};
use crate::column::{get, int, params};

/// Most places where runs left the bytes of one file of a version, the oldest first: they are the nearest to where it
/// came from, and nobody can put others before them.
const FILE_SOURCES_MAX: i64 = 100;

impl Fold<'_> {
    /// Applies an event about one version of a dataset.
    pub(crate) fn dataset(&mut self, index: u64, entry: &Entry) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        let object = match &entry.event {
            Event::DatasetAdded {
                name,
                version,
                snapshot,
                files,
                bytes,
                metadata,
                retention,
                origin,
                left_by_runs,
                ..
            } => {
                let added = self.count(
                    "INSERT INTO dataset_version VALUES
                     (?1, ?2, ?3, ?4, ?5, ?6, '[]', ?7, ?8, ?9, ?10, ?11, NULL, NULL, NULL, NULL, ?12, '[]')
                     ON CONFLICT DO NOTHING",
                    params![
                        project,
                        name.as_str(),
                        version,
                        snapshot.as_bytes(),
                        int(*files),
                        int(*bytes),
                        entry.time.as_unix_ms(),
                        entry.actor,
                        json(metadata)?,
                        origin.as_ref().map(json).transpose()?,
                        retention.map(|class| class.to_string()),
                        int(index),
                    ],
                )?;
                if added == 0 {
                    return Ok(()); // The first entry about a thing counts.
                }
                // Where all of it came from says more than where files of the same bytes are too.
                if *files > 0 && self.made_from(project, name, *version, snapshot)? == 0 {
                    for digest in left_by_runs {
                        self.made_with(project, name, *version, digest)?;
                    }
                }
                self.labels_of_version(index, entry)?;
                Retained::Dataset { name: name.clone(), version: *version }
            }
            Event::DatasetLabelled { name, version, .. } => {
                self.labelled(index, entry)?;
                Retained::Dataset { name: name.clone(), version: *version }
            }
            Event::DatasetDescribed { name, version, set, unset } => {
                self.alter(project, name, *version, "metadata", |metadata: &mut Metadata| {
                    metadata.retain(|key, _| !unset.contains(key));
                    metadata.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
                })?;
                Retained::Dataset { name: name.clone(), version: *version }
            }
            Event::DatasetShared { name, version, .. } => {
                Retained::Dataset { name: name.clone(), version: *version }
            }
            _ => return Ok(()),
        };
        self.change(index, entry, &object)
    }

    /// Keeps which runs left the bytes of a version before it was added: all that one left, or a part that some run
    /// had as an input or somebody exported. A tree without files is no trace of anything.
    fn made_from(
        &self,
        project: &str,
        name: &DatasetName,
        version: u32,
        snapshot: &Digest,
    ) -> Result<u64, CatalogError> {
        let all: &[u8] = &[];
        self.count(
            "INSERT INTO dataset_source
             SELECT ?1, ?2, ?3, entry, ?5 FROM run WHERE project = ?1 AND outputs = ?4
             UNION SELECT ?1, ?2, ?3, source.entry, COALESCE(run_input.source_path, ?5)
             FROM run_input CROSS JOIN run AS source
                 ON source.project = ?1 AND source.run = run_input.source_run
             WHERE run_input.snapshot = ?4
             UNION SELECT ?1, ?2, ?3, run.entry, COALESCE(given_away.path, ?5)
             FROM given_away INDEXED BY given_away_snapshot
             CROSS JOIN run ON run.project = given_away.project AND run.run = given_away.run
             WHERE given_away.snapshot = ?4 AND given_away.project = ?1",
            params![project, name.as_str(), version, snapshot.as_bytes(), all],
        )
    }

    /// Keeps which runs of any project left one file of a version, or printed it: then it came from all of the run.
    fn made_with(
        &self,
        project: &str,
        name: &DatasetName,
        version: u32,
        digest: &Digest,
    ) -> Result<(), CatalogError> {
        self.execute(
            "INSERT INTO dataset_source
             SELECT ?1, ?2, ?3, left_file.entry, left_file.path FROM (
                 SELECT entry, path FROM run_output WHERE blake3 = ?4
                 UNION SELECT entry, CAST('' AS BLOB) FROM run_log WHERE blake3 = ?4
             ) AS left_file
             ORDER BY left_file.entry, left_file.path LIMIT ?5 ON CONFLICT DO NOTHING",
            params![project, name.as_str(), version, digest.as_bytes(), FILE_SOURCES_MAX],
        )
    }

    /// Applies an event about how long bytes are kept, and where.
    pub(crate) fn kept(&self, index: u64, entry: &Entry) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        let time = entry.time.as_unix_ms();
        match &entry.event {
            Event::ArchiveWritten { object, url, .. } => {
                self.update(project, object, "archived", url)?;
                self.change(index, entry, object)
            }
            Event::ArchiveRestored { object, .. } => {
                self.update(project, object, "expired", None::<i64>)?;
                self.update(project, object, "expired_class", None::<String>)?;
                self.update(project, object, "restored", time)?;
                self.change(index, entry, object)
            }
            Event::RetentionSet { object, class, .. } => {
                self.update(project, object, "retention", class.map(|class| class.to_string()))?;
                self.change(index, entry, object)
            }
            Event::RetentionExpired { object, class, .. } => {
                self.update(project, object, "expired", time)?;
                self.update(project, object, "expired_class", class.to_string())?;
                self.change(index, entry, object)
            }
            Event::RetentionDefault { kind, class } => self.execute(
                "INSERT INTO retention_default VALUES (?1, ?2, ?3)
                 ON CONFLICT (project, kind) DO UPDATE SET class = excluded.class",
                params![project, kind.as_str(), class.to_string()],
            ),
            _ => Ok(()),
        }
    }

    /// Keeps the event itself for the history of a dataset version.
    pub(crate) fn change(&self, index: u64, entry: &Entry, object: &Retained) -> Result<(), CatalogError> {
        let Retained::Dataset { name, version } = object else { return Ok(()) };
        self.execute(
            "INSERT INTO dataset_change SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
             WHERE EXISTS (SELECT 1 FROM dataset_version WHERE project = ?1 AND name = ?2 AND version = ?3)",
            params![
                entry.project.as_str(),
                name.as_str(),
                version,
                int(index),
                entry.time.as_unix_ms(),
                entry.actor,
                json(&entry.event)?
            ],
        )
    }

    /// Sets one column of what is retained; nothing happens if there is no such thing.
    pub(crate) fn update(
        &self,
        project: &str,
        object: &Retained,
        column: &'static str,
        value: impl ToSql,
    ) -> Result<(), CatalogError> {
        match object {
            Retained::Dataset { name, version } => self.execute(
                &format!(
                    "UPDATE dataset_version SET {column} = ?4 WHERE project = ?1 AND name = ?2 AND version = ?3"
                ),
                params![project, name.as_str(), version, value],
            ),
            Retained::Run(run) => self.execute(
                &format!("UPDATE run SET {column} = ?3 WHERE project = ?1 AND run = ?2"),
                params![project, run.as_str(), value],
            ),
        }
    }

    /// Reads one JSON column of a dataset version, changes it and writes it back.
    fn alter<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        project: &str,
        name: &DatasetName,
        version: u32,
        column: &'static str,
        change: impl FnOnce(&mut T),
    ) -> Result<(), CatalogError> {
        let sql =
            format!("SELECT {column} FROM dataset_version WHERE project = ?1 AND name = ?2 AND version = ?3");
        let key = params![project, name.as_str(), version];
        let stored: Option<String> = self.database.first(&sql, key, |row| get(row, column))?;
        let Some(stored) = stored else { return Ok(()) };
        let mut value: T = serde_json::from_str(&stored)
            .map_err(|_| CatalogError::unusable(format!("the {column} of {name}@{version} are damaged")))?;
        change(&mut value);
        let object = Retained::Dataset { name: name.clone(), version };
        self.update(project, &object, column, json(&value)?)
    }
}
