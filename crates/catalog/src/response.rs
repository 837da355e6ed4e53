//! The fold of what people do when something is wrong: quarantine and incidents.

use aseptic_model::{Digest, Entry, Event, REACHED_FORMAT, Retained};

use crate::CatalogError;
use crate::ahead::Named;
use crate::apply::{Fold, json};
use crate::column::{int, params};

impl Fold<'_> {
    /// Quarantine of one object. What is in quarantine already stays as it was.
    pub(crate) fn quarantine(&mut self, index: u64, entry: &Entry, named: Named) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        let time = entry.time.as_unix_ms();
        match &entry.event {
            Event::QuarantineAdded { object, reason, runs, reached } => {
                let list = match named {
                    Named::Reached(list) => Some(list.and_then(|list| match list.format.as_str() {
                        REACHED_FORMAT if list.object == *object => Ok(list),
                        _ => Err("it is the list of something else, or of another version".to_owned()),
                    })),
                    _ => None,
                };
                if let Some(reached) = reached {
                    self.keep(project, reached)?;
                }
                let unreadable = list.as_ref().and_then(|list| list.as_ref().err());
                let new = self.count(
                    "INSERT INTO quarantine
                     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL, NULL, NULL, ?9 WHERE NOT EXISTS (
                         SELECT 1 FROM quarantine WHERE project = ?2 AND object = ?3 AND lifted IS NULL)",
                    params![
                        int(index),
                        project,
                        object.to_string(),
                        reason,
                        time,
                        entry.actor,
                        int(*runs),
                        reached.as_ref().map(Digest::as_bytes),
                        unreadable
                    ],
                )?;
                let places = list.and_then(Result::ok).map(|list| list.places).unwrap_or_default();
                for place in places.iter().filter(|_| new > 0) {
                    self.execute(
                        "INSERT INTO quarantine_place VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                        params![int(index), place.snapshot.as_bytes(), place.path.as_bytes()],
                    )?;
                }
                Ok(())
            }
            Event::QuarantineLifted { object, reason } => self.execute(
                "UPDATE quarantine SET lifted = ?3, lifted_by = ?4, lifted_because = ?5
                 WHERE project = ?1 AND object = ?2 AND lifted IS NULL",
                params![project, object.to_string(), time, entry.actor, reason],
            ),
            _ => Ok(()),
        }
    }

    /// What left the hands of aseptic: it may come back as a dataset, and an incident asks who got it.
    pub(crate) fn given_away(&self, index: u64, entry: &Entry) -> Result<(), CatalogError> {
        let (object, snapshot, path) = match &entry.event {
            Event::RunExported { run, snapshot, path, .. } => {
                (Retained::Run(run.clone()), Some(snapshot), path.as_ref())
            }
            Event::DatasetShared { name, version, snapshot, .. } => {
                (Retained::Dataset { name: name.clone(), version: *version }, Some(snapshot), None)
            }
            Event::ArchiveWritten { object, .. } | Event::AttestationExported { object, .. } => {
                (object.clone(), None, None)
            }
            _ => return Ok(()),
        };
        let (run, dataset) = match &object {
            Retained::Run(run) => (Some(run.as_str()), None),
            Retained::Dataset { name, version } => (None, Some((name.as_str(), *version))),
        };
        self.execute(
            "INSERT INTO given_away VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                int(index),
                entry.project.as_str(),
                run,
                dataset.map(|(name, _)| name),
                dataset.map(|(_, version)| version),
                entry.time.as_unix_ms(),
                entry.actor,
                snapshot.map(Digest::as_bytes),
                path.map(aseptic_model::FilePath::as_bytes),
                json(&entry.event)?
            ],
        )
    }

    pub(crate) fn incident(&self, index: u64, entry: &Entry) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        let time = entry.time.as_unix_ms();
        match &entry.event {
            Event::IncidentOpened { incident, objects, reason } => self.execute(
                "INSERT INTO incident VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, NULL, NULL)
                 ON CONFLICT DO NOTHING",
                params![project, incident.as_str(), int(index), json(objects)?, reason, time, entry.actor],
            ),
            Event::IncidentClosed { incident, reason } => self.execute(
                "UPDATE incident SET closed = ?3, closed_by = ?4, closed_because = ?5
                 WHERE project = ?1 AND incident = ?2 AND closed IS NULL",
                params![project, incident.as_str(), time, entry.actor, reason],
            ),
            _ => Ok(()),
        }
    }
}
