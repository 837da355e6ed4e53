//! The fold of what is done to datasets, and of how long bytes are kept.

use std::collections::BTreeSet;

use aseptic_model::{DatasetName, Entry, Event, Label, Metadata, Retained};
use rusqlite::{OptionalExtension, ToSql, params};

use crate::CatalogError;
use crate::apply::{Fold, json};
use crate::column::int;

impl Fold<'_, '_> {
    /// Applies an event about one version of a dataset.
    pub(crate) fn dataset(&self, index: u64, entry: &Entry) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        let object = match &entry.event {
            Event::DatasetAdded {
                name,
                version,
                snapshot,
                files,
                bytes,
                labels,
                metadata,
                retention,
                origin,
            } => {
                let added = self.count(
                    "INSERT INTO dataset_version VALUES
                     (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, NULL, NULL, NULL, NULL) ON CONFLICT DO NOTHING",
                    params![
                        project,
                        name.as_str(),
                        version,
                        snapshot.as_bytes(),
                        int(*files),
                        int(*bytes),
                        json(labels)?,
                        entry.time.as_unix_ms(),
                        entry.actor,
                        json(metadata)?,
                        origin.as_ref().map(json).transpose()?,
                        retention.map(|class| class.to_string()),
                    ],
                )?;
                if added == 0 {
                    return Ok(()); // The first entry about a thing counts.
                }
                Retained::Dataset { name: name.clone(), version: *version }
            }
            Event::DatasetLabelled { name, version, added, removed, .. } => {
                self.alter(project, name, *version, "labels", |labels: &mut BTreeSet<Label>| {
                    labels.retain(|label| !removed.contains(label));
                    labels.extend(added.iter().cloned());
                })?;
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
        let stored: Option<String> = self
            .transaction
            .prepare_cached(&sql)?
            .query_row(params![project, name.as_str(), version], |row| row.get(0))
            .optional()?;
        let Some(stored) = stored else { return Ok(()) };
        let mut value: T = serde_json::from_str(&stored)
            .map_err(|_| CatalogError::unusable(format!("the {column} of {name}@{version} are damaged")))?;
        change(&mut value);
        let object = Retained::Dataset { name: name.clone(), version };
        self.update(project, &object, column, json(&value)?)
    }
}
