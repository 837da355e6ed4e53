//! From a node whose labels change on to everything that came of it.
//!
//! Nodes are looked at in portions, those with the earliest entries first, each portion with a fixed number of
//! statements.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aseptic_model::{InputName, Label};

use super::Kept;
use super::act::{Act, labels_at};
use super::graph::{Node, SourcesOf, acts_of, children_of, nodes, sources_of};
use crate::apply::{Fold, json};
use crate::batch::{Batch, FEW, TOGETHER};
use crate::database::Database;
use crate::{CatalogError, indexes};

/// What the inputs of a run bring.
#[derive(Debug, Default)]
pub(super) struct InputLabels {
    pub(super) labels: BTreeSet<Label>,
    /// Inputs that are a node which was there before the run.
    pub(super) known: BTreeSet<InputName>,
}

/// The labels of a node before and now.
pub(super) struct Change {
    pub(super) is_run: bool,
    pub(super) before: Kept,
    pub(super) now: Kept,
}

impl Fold<'_> {
    /// Works out the labels of the node `key` anew, and those of everything that came of it.
    ///
    /// A node that was looked at before something that it came from has changed is looked at again. What came of a node
    /// has a later entry, and a label of a node changes at most once, since a change only gives it or only takes it off.
    pub(super) fn flow(&mut self, key: i64) -> Result<(), CatalogError> {
        let mut waiting = BTreeSet::from([key]);
        let at_once = at_once(self.database);
        while !waiting.is_empty() {
            let portion: Vec<i64> = std::iter::from_fn(|| waiting.pop_first()).take(at_once).collect();
            let changed = self.look_at(&portion, key)?;
            self.keep_labels(&changed)?;
            self.children(&changed, &portion, &mut waiting)?;
        }
        Ok(())
    }

    /// What is new of the nodes `portion`, which are in the order of their entries. `first` is among what changed in any
    /// case: acts are new only there.
    fn look_at(&self, portion: &[i64], first: i64) -> Result<BTreeMap<i64, Change>, CatalogError> {
        let mut nodes = nodes(self.database, portion)?;
        let sources = sources_of(self.database, portion)?;
        let acts = acts_of(self.database, &with_acts(portion, &sources))?;
        let mut changed: BTreeMap<i64, Change> = BTreeMap::new();
        for key in portion {
            let Some(Node { is_run, kept: before }) = nodes.remove(key) else { continue };
            let inherited = {
                let sources = sources.get(key).into_iter().flatten();
                let brought = sources.map(|(_, source)| {
                    let kept = changed.get(&source.key).map_or(&source.kept, |change| &change.now);
                    source.labels(kept, &acts)
                });
                let brought: Vec<_> = brought.collect();
                let inherited: BTreeSet<&Label> = brought.iter().flat_map(|labels| labels.iter()).collect();
                if *key != first && inherited.iter().copied().eq(before.inherited.iter()) {
                    continue;
                }
                inherited.into_iter().cloned().collect()
            };
            let now = with_own(inherited, acts.get(key).map_or(&[], Vec::as_slice));
            changed.insert(*key, Change { is_run, before, now });
        }
        Ok(changed)
    }

    /// Keeps the labels of a node that nothing came of yet.
    pub(super) fn settle(&self, key: i64, inherited: BTreeSet<Label>) -> Result<(), CatalogError> {
        let Some(Node { is_run, kept: before }) = nodes(self.database, &[key])?.remove(&key) else {
            return Ok(());
        };
        let acts = acts_of(self.database, &[key])?.remove(&key).unwrap_or_default();
        let now = with_own(inherited, &acts);
        self.keep_labels(&BTreeMap::from([(key, Change { is_run, before, now })]))
    }

    /// Adds what has something of what changed to what is still to be done. What is of the same portion was looked at
    /// after that.
    fn children(
        &mut self,
        changed: &BTreeMap<i64, Change>,
        portion: &[i64],
        waiting: &mut BTreeSet<i64>,
    ) -> Result<(), CatalogError> {
        if !self.follows_labels {
            indexes::need(self.database, &["run_input_dataset", "run_input_source"])?;
            self.follows_labels = true;
        }
        let changed: Vec<i64> = changed.keys().copied().collect();
        children_of(self.database, &changed, |child| {
            if portion.binary_search(&child.key).is_err() {
                waiting.insert(child.key);
            }
            true
        })
    }

    /// Writes down what changed, each value once for all that have it.
    pub(super) fn keep_labels(&self, changed: &BTreeMap<i64, Change>) -> Result<(), CatalogError> {
        let mut values: BTreeMap<(bool, &Kept), Vec<i64>> = BTreeMap::new();
        let mut gained: BTreeMap<&Label, Vec<i64>> = BTreeMap::new();
        let mut lost: BTreeMap<&Label, Vec<i64>> = BTreeMap::new();
        for (key, Change { is_run, before, now }) in
            changed.iter().filter(|(_, change)| change.before != change.now)
        {
            values.entry((*is_run, now)).or_default().push(*key);
            if *is_run {
                now.labels
                    .difference(&before.labels)
                    .for_each(|label| gained.entry(label).or_default().push(*key));
                before
                    .labels
                    .difference(&now.labels)
                    .for_each(|label| lost.entry(label).or_default().push(*key));
            }
        }
        for ((is_run, now), keys) in values {
            let sql = match is_run {
                true => "UPDATE run SET inherited = ?1, labels = ?2 WHERE entry IN ({entries})",
                false => "UPDATE dataset_version SET inherited = ?1, labels = ?2 WHERE entry IN ({entries})",
            };
            let before: [&dyn rusqlite::ToSql; 2] = [&json(&*now.inherited)?, &json(&*now.labels)?];
            self.database.execute_of(&Batch { sql, before: &before }, &keys)?;
        }
        for (label, keys) in lost {
            let sql = "DELETE FROM run_label WHERE label = ?1 AND entry IN ({entries})";
            self.database.execute_of(&Batch { sql, before: &[&label.as_str()] }, &keys)?;
        }
        for (label, keys) in gained {
            let sql = "INSERT INTO run_label SELECT ?1, entry FROM run WHERE entry IN ({entries})
                ON CONFLICT DO NOTHING";
            self.database.execute_of(&Batch { sql, before: &[&label.as_str()] }, &keys)?;
        }
        Ok(())
    }

    /// What a node has from what it came from, as that is now.
    pub(super) fn inherited_by(&self, key: i64) -> Result<InputLabels, CatalogError> {
        let sources = sources_of(self.database, &[key])?;
        let acts = acts_of(self.database, &with_acts(&[], &sources))?;
        let mut found = InputLabels::default();
        for (name, source) in sources.into_values().flatten() {
            found.labels.extend(source.labels(&source.kept, &acts).iter().cloned());
            found.known.extend(name);
        }
        Ok(found)
    }
}

/// Nodes in a portion. On a server each statement is a way there and back. In a file it is none, and in small portions
/// fewer nodes are looked at before everything that they came from.
fn at_once(database: &Database) -> usize {
    match database {
        Database::Sqlite(_) => FEW,
        Database::Server(_) => TOGETHER,
    }
}

/// The labels of a node that has `inherited`, and of its own what `acts` say.
fn with_own(inherited: BTreeSet<Label>, acts: &[Act]) -> Kept {
    let inherited = Rc::new(inherited);
    let labels = match acts {
        [] => Rc::clone(&inherited),
        acts => Rc::new(labels_at(&inherited, acts, None)),
    };
    Kept { inherited, labels }
}

/// The nodes whose acts are needed to know the labels of `portion`.
fn with_acts(portion: &[i64], sources: &SourcesOf) -> Vec<i64> {
    let sources = sources.values().flatten().filter(|(_, source)| source.needs_acts());
    let keys: BTreeSet<i64> = portion.iter().copied().chain(sources.map(|(_, source)| source.key)).collect();
    keys.into_iter().collect()
}
