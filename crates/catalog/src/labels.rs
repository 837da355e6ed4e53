//! Labels flow: what something has of its own, what it has from everything that it came from, and what was taken off it.
//!
//! A version of a dataset and a run with all that it left are *nodes*, by the entry that made them. A node came from
//! nodes of earlier entries only, so a change reaches whatever came of it in the order of their entries, each once, and
//! what comes out depends on nothing but the entries. Every decision about a label is an *act*: of the acts about a
//! label and a place, the last one counts, and where there is none, the label is there if it is inherited.
//!
//! **Invariant:** what is kept of a node is what these rules give for all entries so far; nothing is worked out when a
//! question is asked, except for single outputs of a run that have acts of their own.
//! **Absent on purpose:** code, which has no labels, and versions that another project shared: the two know nothing of
//! each other afterwards.

mod act;
mod ask;
mod flow;
mod graph;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aseptic_model::{DatasetName, Entry, Event, FilePath, Input, InputName, Label};

pub(crate) use act::path;
pub use ask::{Descendants, LabelCount};
pub use sources::{LabelSource, LabelSources, SOURCES_MAX, TakenOff};

use crate::CatalogError;
use crate::apply::Fold;
use crate::column::{Read, Row, get, int, params};
use flow::{Change, InputLabels};
pub(crate) use graph::{labels_of, source};

/// What is kept of the labels of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    /// From what it came from.
    inherited: Rc<BTreeSet<Label>>,
    /// What it has.
    labels: Rc<BTreeSet<Label>>,
}

fn kept(row: &Row<'_>) -> Read<Kept> {
    Ok(Kept { inherited: Rc::new(get(row, "inherited")?), labels: Rc::new(get(row, "labels")?) })
}

impl Fold<'_> {
    /// Labels of a version that was just added: its own, and those of the runs that its bytes came from.
    ///
    /// What the entry says to be inherited and no run brings, since there are more of them than are kept, is its own.
    pub(crate) fn labels_of_version(&mut self, index: u64, entry: &Entry) -> Result<(), CatalogError> {
        let Event::DatasetAdded { labels, inherited, .. } = &entry.event else { return Ok(()) };
        let key = int(index);
        let brought = self.inherited_by(key)?.labels;
        let own: BTreeSet<_> =
            labels.iter().filter(|label| !(inherited.contains(*label) && brought.contains(*label))).collect();
        self.acts(key, index, entry, None, &own.into_iter().cloned().collect(), true)?;
        self.settle(key, brought)
    }

    /// Labels of a run that was just planned: its own, and those of its inputs. An input that is nothing known has the
    /// labels that the plan says.
    pub(crate) fn labels_of_plan(
        &mut self,
        index: u64,
        entry: &Entry,
        own: &BTreeSet<Label>,
        inputs: &BTreeMap<InputName, Input>,
    ) -> Result<(), CatalogError> {
        let key = int(index);
        let may_bring = self.any_labels()? || inputs.values().any(|input| !input.labels.is_empty());
        let brought = match may_bring && !inputs.is_empty() {
            true => self.inherited_by(key)?,
            false => InputLabels::default(),
        };
        let unknown = inputs.iter().filter(|(name, _)| !brought.known.contains(*name));
        let own = own.iter().chain(unknown.flat_map(|(_, input)| &input.labels)).cloned().collect();
        self.acts(key, index, entry, None, &own, true)?;
        // Nothing was taken off it yet.
        let labels = Rc::new(own.union(&brought.labels).cloned().collect());
        let now = Kept { inherited: Rc::new(brought.labels), labels };
        self.keep_labels(&BTreeMap::from([(key, Change { is_run: true, before: Kept::default(), now })]))
    }

    /// Labels of a run that was just sealed: those that the entry says and no input explains are its own.
    pub(crate) fn labels_of_seal(
        &mut self,
        key: i64,
        index: u64,
        entry: &Entry,
        inputs: &BTreeMap<InputName, Input>,
    ) -> Result<(), CatalogError> {
        let Event::RunSealed { labels, .. } = &entry.event else { return Ok(()) };
        if labels.is_empty() {
            return Ok(());
        }
        let Some(before) = self.kept_of_run(key)? else { return Ok(()) };
        if labels.is_subset(&before.labels) {
            return Ok(());
        }
        let brought = self.inherited_by(key)?;
        let known = inputs.iter().filter(|(name, _)| brought.known.contains(*name));
        let explained: BTreeSet<_> = known.flat_map(|(_, input)| &input.labels).collect();
        let own = labels
            .iter()
            .filter(|label| !before.labels.contains(*label) && !explained.contains(*label))
            .cloned()
            .collect();
        self.acts(key, index, entry, None, &own, true)?;
        self.flow(key)
    }

    /// The record of a run says other inputs than its plan.
    pub(crate) fn labels_of_inputs(&mut self, key: i64) -> Result<(), CatalogError> {
        self.flow(key)
    }

    /// Labels that somebody gave or took off.
    pub(crate) fn labelled(&mut self, index: u64, entry: &Entry) -> Result<(), CatalogError> {
        let project = entry.project.as_str();
        let (key, path, added, removed) = match &entry.event {
            Event::DatasetLabelled { name, version, added, removed, .. } => {
                (self.version_entry(project, name, *version)?, None, added, removed)
            }
            Event::RunLabelled { run, path, added, removed, .. } => {
                (self.run_entry(project, run.as_str())?, path.as_ref(), added, removed)
            }
            _ => return Ok(()),
        };
        let Some(key) = key else { return Ok(()) };
        self.acts(key, index, entry, path, removed, false)?;
        self.acts(key, index, entry, path, added, true)?; // A label that is in both is there.
        self.flow(key)
    }

    /// The entry that added a version; nothing if none did.
    fn version_entry(
        &self,
        project: &str,
        name: &DatasetName,
        version: u32,
    ) -> Result<Option<i64>, CatalogError> {
        let sql = "SELECT entry FROM dataset_version WHERE project = ?1 AND name = ?2 AND version = ?3";
        self.database.first(sql, params![project, name.as_str(), version], |row| get(row, "entry"))
    }

    fn kept_of_run(&self, key: i64) -> Result<Option<Kept>, CatalogError> {
        self.database.first("SELECT inherited, labels FROM run WHERE entry = ?1", [key], kept)
    }

    /// Whether anybody ever gave a label to anything: without an act there is none.
    fn any_labels(&mut self) -> Result<bool, CatalogError> {
        if self.any_labels.is_none() {
            let sql = "SELECT EXISTS (SELECT 1 FROM label_act) AS known";
            self.any_labels = self.database.first(sql, [], |row| get(row, "known"))?;
        }
        Ok(self.any_labels == Some(true))
    }

    /// Writes down that labels were given to a node or taken off it; earlier acts about the same are over.
    fn acts(
        &mut self,
        key: i64,
        index: u64,
        entry: &Entry,
        path: Option<&FilePath>,
        labels: &BTreeSet<Label>,
        given: bool,
    ) -> Result<(), CatalogError> {
        let path = path.map_or(&[][..], FilePath::as_bytes);
        for label in labels {
            self.any_labels = Some(true);
            self.execute(
                "DELETE FROM label_act WHERE entry = ?1 AND label = ?2 AND path = ?3",
                params![key, label.as_str(), path],
            )?;
            self.execute(
                "INSERT INTO label_act VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    key,
                    label.as_str(),
                    path,
                    i64::from(given),
                    int(index),
                    entry.event.kind(),
                    entry.time.as_unix_ms(),
                    entry.actor,
                    entry.event.reason()
                ],
            )?;
        }
        Ok(())
    }
}
