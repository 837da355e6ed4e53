//! What has which labels, and what came of something.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aseptic_model::{FilePath, Label, Object, ProjectName, RunId};

use super::act::{deciding, labels_at};
use super::graph::{acts_of, children_of};
use super::kept;
use crate::batch::Batch;
use crate::column::{Read, Row, get, params};
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
            None => Ok(Rc::unwrap_or_clone(kept.labels)),
            Some(_) => {
                let acts = acts_of(&self.database, &[key])?.remove(&key).unwrap_or_default();
                Ok(labels_at(&kept.inherited, &acts, path))
            }
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
        let acts = acts_of(&self.database, &[key])?.remove(&key).unwrap_or_default();
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
        let mut generation = vec![key];
        while !generation.is_empty() && !found.truncated {
            let mut next = Vec::new();
            children_of(&self.database, &generation, |child| {
                // Of a node on the way, all that came of it counts.
                let counts = child.of != key || meet(part, child.path.as_ref());
                if counts && seen.insert(child.key) {
                    next.push(child.key);
                    if child.is_run { &mut found.runs } else { &mut found.versions }.push(child.key);
                    found.truncated = seen.len() > DESCENDANTS_MAX;
                }
                !found.truncated
            })?;
            generation = next;
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
                sql: "SELECT entry FROM run_label WHERE label = ?1 AND entry IN ({entries})",
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
        let sql = "SELECT entry, labels FROM dataset_version WHERE entry IN ({entries})";
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
}
