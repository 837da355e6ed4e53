//! From a node whose labels change on to everything that came of it.

use std::collections::BTreeSet;

use aseptic_model::{FilePath, InputName, Label};

use super::act::{ACTS, Act, act, labels_at, path};
use super::{Kept, kept};
use crate::apply::{Fold, json};
use crate::column::{Read, Row, get, params};
use crate::database::Database;
use crate::{CatalogError, indexes};

/// What the inputs of a run bring.
#[derive(Debug, Default)]
pub(super) struct InputLabels {
    pub(super) labels: BTreeSet<Label>,
    /// Inputs that are a node which was there before the run.
    pub(super) known: BTreeSet<InputName>,
}

/// A node on the way.
enum Node {
    Run { project: String, run: String, kept: Kept },
    Version { project: String, name: String, version: u32, kept: Kept },
}

impl Fold<'_> {
    /// Works out the labels of the node `key` anew, and those of everything that came of it.
    ///
    /// Whatever came of a node has a later entry, so the one with the earliest entry is next and is done for good.
    pub(super) fn flow(&mut self, key: i64) -> Result<(), CatalogError> {
        let mut waiting = BTreeSet::from([key]);
        while let Some(next) = waiting.pop_first() {
            let Some(node) = self.node(next)? else { continue };
            let inherited = match &node {
                Node::Run { project, .. } => self.inherited_by_run(next, project)?.labels,
                Node::Version { .. } => self.inherited_by_version(next)?,
            };
            let (Node::Run { kept, .. } | Node::Version { kept, .. }) = &node;
            // Acts are new only where it began.
            if next != key && inherited == kept.inherited {
                continue;
            }
            self.settle_from(next, &node, inherited)?;
            self.children(next, &node, &mut waiting)?;
        }
        Ok(())
    }

    /// Keeps the labels of a node that nothing came of yet.
    pub(super) fn settle(&mut self, key: i64, inherited: BTreeSet<Label>) -> Result<(), CatalogError> {
        match self.node(key)? {
            Some(node) => self.settle_from(key, &node, inherited),
            None => Ok(()),
        }
    }

    fn settle_from(&self, key: i64, node: &Node, inherited: BTreeSet<Label>) -> Result<(), CatalogError> {
        let labels = labels_at(&inherited, &acts_of(self.database, key)?, None);
        let now = Kept { inherited, labels };
        match node {
            Node::Run { kept, .. } => self.keep_of_run(key, kept, &now),
            Node::Version { kept, .. } if now == *kept => Ok(()),
            Node::Version { .. } => self.execute(
                "UPDATE dataset_version SET inherited = ?2, labels = ?3 WHERE entry = ?1",
                params![key, json(&now.inherited)?, json(&now.labels)?],
            ),
        }
    }

    /// Keeps the labels of a run, which had others `before`.
    pub(super) fn keep_of_run(&self, key: i64, before: &Kept, now: &Kept) -> Result<(), CatalogError> {
        if now == before {
            return Ok(());
        }
        self.execute(
            "UPDATE run SET inherited = ?2, labels = ?3 WHERE entry = ?1",
            params![key, json(&now.inherited)?, json(&now.labels)?],
        )?;
        for label in before.labels.difference(&now.labels) {
            let sql = "DELETE FROM run_label WHERE label = ?1 AND entry = ?2";
            self.execute(sql, params![label.as_str(), key])?;
        }
        for label in now.labels.difference(&before.labels) {
            let sql = "INSERT INTO run_label VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            self.execute(sql, params![label.as_str(), key])?;
        }
        Ok(())
    }

    fn node(&self, key: i64) -> Result<Option<Node>, CatalogError> {
        let sql = "SELECT project, run, inherited, labels FROM run WHERE entry = ?1";
        let run = self.database.first(sql, [key], |row| {
            Ok(Node::Run { project: get(row, "project")?, run: get(row, "run")?, kept: kept(row)? })
        })?;
        if run.is_some() {
            return Ok(run);
        }
        let sql = "SELECT project, name, version, inherited, labels FROM dataset_version WHERE entry = ?1";
        self.database.first(sql, [key], |row| {
            Ok(Node::Version {
                project: get(row, "project")?,
                name: get(row, "name")?,
                version: get(row, "version")?,
                kept: kept(row)?,
            })
        })
    }

    /// What a run has from its inputs, as they are now. A source that came after the run is none.
    pub(super) fn inherited_by_run(&self, key: i64, project: &str) -> Result<InputLabels, CatalogError> {
        let mut found = InputLabels::default();
        for (name, source) in self
            .database
            .rows(INPUTS, params![key, project], |row| Ok((get::<InputName>(row, "name")?, source(row)?)))?
        {
            found.labels.extend(labels_of(self.database, &source)?);
            found.known.insert(name);
        }
        Ok(found)
    }

    /// What a version has from the runs that left its bytes.
    pub(super) fn inherited_by_version(&self, key: i64) -> Result<BTreeSet<Label>, CatalogError> {
        let mut found = BTreeSet::new();
        for source in self.database.rows(SOURCES, [key], source)? {
            found.extend(labels_of(self.database, &source)?);
        }
        Ok(found)
    }

    /// Adds what has something of a node to what is still to be done.
    fn children(&mut self, key: i64, node: &Node, waiting: &mut BTreeSet<i64>) -> Result<(), CatalogError> {
        if !self.follows_labels {
            indexes::need(self.database, &["run_input_dataset", "run_input_source"])?;
            self.follows_labels = true;
        }
        let mut add = |row: &Row<'_>| {
            waiting.insert(get(row, "entry")?);
            Ok(())
        };
        match node {
            Node::Run { project, run, .. } => {
                self.database.each(USERS_OF_RUN, params![run, project, key], &mut add)?;
                self.database.each(VERSIONS_OF_RUN, params![key], &mut add)
            }
            Node::Version { project, name, version, .. } => {
                self.database.each(USERS_OF_VERSION, params![name, version, project, key], &mut add)
            }
        }
    }
}

/// Where something came from, with what is needed to know its labels there.
pub(crate) struct Source {
    pub(super) key: i64,
    pub(super) path: Option<FilePath>,
    /// Whether single outputs of it have acts of their own.
    pub(super) parts: bool,
    pub(super) kept: Kept,
}

pub(crate) fn source(row: &Row<'_>) -> Read<Source> {
    Ok(Source { key: get(row, "source")?, path: path(row)?, parts: get(row, "parts")?, kept: kept(row)? })
}

pub(super) fn acts_of(database: &Database, key: i64) -> Result<Vec<Act>, CatalogError> {
    database.rows(ACTS, [key], act)
}

/// The labels of a source where it was taken from.
pub(crate) fn labels_of(database: &Database, source: &Source) -> Result<BTreeSet<Label>, CatalogError> {
    match &source.path {
        Some(path) if source.parts => {
            Ok(labels_at(&source.kept.inherited, &acts_of(database, source.key)?, Some(path)))
        }
        // Without acts about parts all parts have what the whole has.
        _ => Ok(source.kept.labels.clone()),
    }
}

// An order for SQLite, from the one run on to its sources. Nothing of the two halves can be the same.
pub(super) const INPUTS: &str = "
    SELECT run_input.name AS name, source.entry AS source, source.inherited AS inherited, source.labels AS labels,
        CAST('' AS BLOB) AS path, CAST(0 AS INTEGER) AS parts
    FROM run_input CROSS JOIN dataset_version AS source ON source.project = ?2
        AND source.name = run_input.dataset AND source.version = run_input.version
    WHERE run_input.entry = ?1 AND source.entry < ?1
    UNION ALL
    SELECT run_input.name AS name, source.entry AS source, source.inherited AS inherited, source.labels AS labels,
        COALESCE(run_input.source_path, CAST('' AS BLOB)) AS path,
        CAST(CASE WHEN EXISTS (SELECT 1 FROM label_act WHERE label_act.entry = source.entry
            AND LENGTH(label_act.path) > 0) THEN 1 ELSE 0 END AS INTEGER) AS parts
    FROM run_input CROSS JOIN run AS source ON source.project = ?2 AND source.run = run_input.source_run
    WHERE run_input.entry = ?1 AND source.entry < ?1
    ORDER BY 1";
pub(super) const SOURCES: &str = "
    SELECT source.entry AS source, source.inherited AS inherited, source.labels AS labels,
        dataset_source.path AS path,
        CAST(CASE WHEN EXISTS (SELECT 1 FROM label_act WHERE label_act.entry = source.entry
            AND LENGTH(label_act.path) > 0) THEN 1 ELSE 0 END AS INTEGER) AS parts
    FROM dataset_version CROSS JOIN dataset_source ON dataset_source.project = dataset_version.project
        AND dataset_source.name = dataset_version.name AND dataset_source.version = dataset_version.version
    CROSS JOIN run AS source ON source.entry = dataset_source.entry
    WHERE dataset_version.entry = ?1 ORDER BY 1, 4";
pub(super) const USERS_OF_RUN: &str = "
    SELECT run_input.entry AS entry, COALESCE(run_input.source_path, CAST('' AS BLOB)) AS path
    FROM run_input INDEXED BY run_input_source
    CROSS JOIN run AS user_run ON user_run.entry = run_input.entry
    WHERE run_input.source_run = ?1 AND user_run.project = ?2 AND user_run.entry > ?3";
pub(super) const VERSIONS_OF_RUN: &str = "
    SELECT dataset_version.entry AS entry, dataset_source.path AS path
    FROM dataset_source INDEXED BY dataset_source_entry
    CROSS JOIN dataset_version ON dataset_version.project = dataset_source.project
        AND dataset_version.name = dataset_source.name AND dataset_version.version = dataset_source.version
    WHERE dataset_source.entry = ?1";
pub(super) const USERS_OF_VERSION: &str = "
    SELECT run_input.entry AS entry, CAST('' AS BLOB) AS path FROM run_input INDEXED BY run_input_dataset
    CROSS JOIN run AS user_run ON user_run.entry = run_input.entry
    WHERE run_input.dataset = ?1 AND run_input.version = ?2 AND user_run.project = ?3 AND user_run.entry > ?4";
