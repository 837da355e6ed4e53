//! What has which labels, and what came of something.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{FilePath, Label, Object, ProjectName, RunId};

use super::act::{deciding, labels_at, path};
use super::flow::{USERS_OF_RUN, USERS_OF_VERSION, VERSIONS_OF_RUN, acts_of};
use super::kept;
use crate::column::{Read, Row, get, params};
use crate::lineage::Batch;
use crate::reach::meet;
use crate::{Catalog, CatalogError};

/// Most runs and versions that are counted: what bounds the memory of one question.
const DESCENDANTS_MAX: usize = 1_000_000;

/// Everything that came of something: runs and versions of datasets, of any project.
#[derive(Clone, Debug, Default)]
pub struct Descendants {
    runs: Vec<i64>,
    versions: Vec<i64>,
    /// Whether there are more.
    pub truncated: bool,
}

impl Descendants {
    /// Adds what came of something else; what came of both is counted once.
    pub fn extend(&mut self, other: Self) {
        self.truncated |= other.truncated;
        for (mine, others) in [(&mut self.runs, other.runs), (&mut self.versions, other.versions)] {
            mine.extend(others);
            mine.sort_unstable();
            mine.dedup();
        }
    }
}

/// How many have a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct LabelCount {
    /// Runs, those that go on or were denied among them.
    pub runs: usize,
    /// Versions of datasets.
    pub versions: usize,
}

impl Catalog {
    /// The labels of what a run left, or of what lies at one path of it. Empty where there is no such run.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn labels_of_outputs(
        &self,
        project: &ProjectName,
        run: &RunId,
        path: Option<&FilePath>,
    ) -> Result<BTreeSet<Label>, CatalogError> {
        let sql = "SELECT entry, inherited, labels FROM run WHERE project = ?1 AND run = ?2";
        let found = self
            .rows(sql, [project.as_str(), run.as_str()], |row| Ok((get::<i64>(row, "entry")?, kept(row)?)))?;
        let Some((key, kept)) = found.into_iter().next() else { return Ok(BTreeSet::new()) };
        match path {
            None => Ok(kept.labels),
            Some(_) => Ok(labels_at(&kept.inherited, &acts_of(&self.database, key)?, path)),
        }
    }

    /// The labels that were given to a version, to what a run left or to an output itself, and not taken off since: it
    /// has them whatever becomes of what it came from.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn labels_given(
        &self,
        project: &ProjectName,
        object: &Object,
    ) -> Result<BTreeSet<Label>, CatalogError> {
        let Some(key) = self.label_node(project, object)? else { return Ok(BTreeSet::new()) };
        let path = match object {
            Object::Artifact { path, .. } => Some(path),
            _ => None,
        };
        let acts = acts_of(&self.database, key)?;
        let given = |label: &&Label| deciding(&acts, label, path).is_some_and(|act| act.given);
        Ok(acts.iter().map(|act| &act.label).filter(given).cloned().collect())
    }

    /// Everything that came of a version, of a run or of an output; nothing of anything else.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn came_of(&self, project: &ProjectName, object: &Object) -> Result<Descendants, CatalogError> {
        let mut found = Descendants::default();
        let Some(key) = self.label_node(project, object)? else { return Ok(found) };
        let part = match object {
            Object::Artifact { path, .. } => Some(path),
            _ => None,
        };
        let mut seen = BTreeSet::from([key]);
        let mut waiting = BTreeSet::from([key]);
        while let Some(next) = waiting.pop_first() {
            let part = part.filter(|_| next == key);
            for child in self.label_children(next, part)? {
                if seen.insert(child.key()) {
                    waiting.insert(child.key());
                    match child {
                        Child::Run(key) => found.runs.push(key),
                        Child::Version(key) => found.versions.push(key),
                    }
                }
            }
            if seen.len() > DESCENDANTS_MAX {
                found.truncated = true;
                break;
            }
        }
        Ok(found)
    }

    /// How many of `found` have each of `labels` now.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn labelled_among(
        &self,
        found: &Descendants,
        labels: &BTreeSet<Label>,
    ) -> Result<BTreeMap<Label, LabelCount>, CatalogError> {
        let mut counts: BTreeMap<Label, LabelCount> =
            labels.iter().map(|label| (label.clone(), LabelCount::default())).collect();
        for (label, count) in &mut counts {
            let mut runs = BTreeSet::new();
            let batch = Batch {
                sql: "SELECT entry FROM run_label WHERE label = ?1 AND entry IN ({runs})",
                before: &[&label.as_str()],
            };
            self.each_of(
                &batch,
                &found.runs,
                |row| get::<i64>(row, "entry"),
                |entry| {
                    runs.insert(entry);
                    true
                },
            )?;
            count.runs = runs.len();
        }
        let mut versions = BTreeMap::new();
        let sql = "SELECT entry, labels FROM dataset_version WHERE entry IN ({runs})";
        let read =
            |row: &Row<'_>| -> Read<(i64, BTreeSet<Label>)> { Ok((get(row, "entry")?, get(row, "labels")?)) };
        self.each_of(&Batch { sql, before: &[] }, &found.versions, read, |(entry, has)| {
            versions.insert(entry, has.intersection(labels).cloned().collect::<BTreeSet<_>>());
            true
        })?;
        for label in versions.into_values().flatten() {
            counts.entry(label).or_default().versions += 1;
        }
        Ok(counts)
    }

    /// The entry that made the node that something is, or lies in.
    pub(super) fn label_node(
        &self,
        project: &ProjectName,
        object: &Object,
    ) -> Result<Option<i64>, CatalogError> {
        let rows = match object {
            Object::Run(run) | Object::Artifact { run, .. } => self.rows(
                "SELECT entry FROM run WHERE project = ?1 AND run = ?2",
                [project.as_str(), run.as_str()],
                |row| get(row, "entry"),
            )?,
            Object::Dataset { name, version: Some(version) } => self.rows(
                "SELECT entry FROM dataset_version WHERE project = ?1 AND name = ?2 AND version = ?3",
                params![project.as_str(), name.as_str(), version],
                |row| get(row, "entry"),
            )?,
            _ => Vec::new(),
        };
        Ok(rows.into_iter().next())
    }

    /// What has something of a node at once; of a run only what lies at `part`, where there is one.
    fn label_children(&self, key: i64, part: Option<&FilePath>) -> Result<Vec<Child>, CatalogError> {
        let sql = "SELECT project, run FROM run WHERE entry = ?1";
        let run: Option<(String, String)> =
            self.rows(sql, [key], |row| Ok((get(row, "project")?, get(row, "run")?)))?.pop();
        let mut found = Vec::new();
        if let Some((project, run)) = run {
            let mut take = |row: &Row<'_>, child: fn(i64) -> Child| -> Read<()> {
                if meet(part, path(row)?.as_ref()) {
                    found.push(child(get(row, "entry")?));
                }
                Ok(())
            };
            self.database.each(USERS_OF_RUN, params![run, project, key], |row| take(row, Child::Run))?;
            self.database.each(VERSIONS_OF_RUN, params![key], |row| take(row, Child::Version))?;
            return Ok(found);
        }
        let sql = "SELECT project, name, version FROM dataset_version WHERE entry = ?1";
        let version: Option<(String, String, u32)> = self
            .rows(sql, [key], |row| Ok((get(row, "project")?, get(row, "name")?, get(row, "version")?)))?
            .pop();
        let Some((project, name, version)) = version else { return Ok(found) };
        let users = params![name, version, project, key];
        self.database.each(USERS_OF_VERSION, users, |row| {
            found.push(Child::Run(get(row, "entry")?));
            Ok(())
        })?;
        Ok(found)
    }
}

/// What has something of a node.
#[derive(Clone, Copy)]
enum Child {
    Run(i64),
    Version(i64),
}

impl Child {
    fn key(self) -> i64 {
        match self {
            Self::Run(key) | Self::Version(key) => key,
        }
    }
}
