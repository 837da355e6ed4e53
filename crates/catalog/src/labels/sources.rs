//! Where the labels of something came from, back to whoever gave them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aseptic_model::{DatasetName, FilePath, Label, Object, ProjectName, RunId, Timestamp};
use serde::Serialize;

use super::act::{Act, act, deciding, labels_at};
use super::graph::{Source, labels_of, sources_of};
use super::{Kept, kept};
use crate::column::{Read, Row, get};
use crate::{Catalog, CatalogError};

/// Most sources of one label, and most acts that took labels off, in one answer.
pub const SOURCES_MAX: usize = 100;

/// Most runs and versions that one answer goes over.
const NODES_MAX: usize = 10_000;

/// A label was given here, and came from here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelSource {
    /// The label.
    pub label: Label,
    /// The project of the source.
    pub project: ProjectName,
    /// To what it was given: a version, a run, or an output of a run.
    pub object: Object,
    /// The type of the entry that gave it: of a run that was planned it is in its spec.
    pub event: String,
    /// Index of that entry.
    pub entry: u64,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub actor: String,
    /// Through what it came, from the source on.
    pub path: Vec<Object>,
}

/// A label was taken off here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TakenOff {
    /// The label.
    pub label: Label,
    /// The project.
    pub project: ProjectName,
    /// Off what.
    pub object: Object,
    /// Index of the entry that says so.
    pub entry: u64,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub actor: String,
    /// Why; nothing when that was erased.
    pub reason: Option<String>,
}

/// The labels of one thing, and where they came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LabelSources {
    /// What it has.
    pub labels: BTreeSet<Label>,
    /// The nearest sources of each on every way that it came, at most [`SOURCES_MAX`] for each.
    pub sources: Vec<LabelSource>,
    /// What was taken off it, or off something that it came from, the nearest first.
    pub taken_off: Vec<TakenOff>,
    /// Whether there is more than that.
    pub truncated: bool,
}

impl Catalog {
    /// Where the labels of a version, of a run or of an output came from; nothing where there is no such thing.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn label_sources(
        &self,
        project: &ProjectName,
        object: &Object,
    ) -> Result<Option<LabelSources>, CatalogError> {
        let Some(key) = self.label_node(project, object)? else { return Ok(None) };
        let path = match object {
            Object::Artifact { path, .. } => Some(path.clone()),
            _ => None,
        };
        let mut search = Search { catalog: self, nodes: BTreeMap::new(), found: LabelSources::default() };
        let Some(node) = search.node(key)? else { return Ok(None) };
        let labels = labels_at(&node.kept.inherited, &node.acts(), path.as_ref());
        for label in &labels {
            search.follow(label, (key, path.clone()))?;
        }
        search.found.labels = labels;
        search.taken_off((key, path))?;
        Ok(Some(search.found))
    }
}

/// A place: a node, and what of it.
type At = (i64, Option<FilePath>);

/// What is known of a node.
struct Known {
    project: ProjectName,
    object: Object,
    kept: Kept,
    acts: Vec<Told>,
    sources: Vec<Source>,
}

/// An act, with who, when and why.
struct Told {
    act: Act,
    event: String,
    time: Timestamp,
    actor: String,
    reason: Option<String>,
}

impl Known {
    fn acts(&self) -> Vec<Act> {
        self.acts.iter().map(|told| told.act.clone()).collect()
    }

    /// What the node is at `path`.
    fn at(&self, path: Option<&FilePath>) -> Object {
        match (&self.object, path) {
            (Object::Run(run), Some(path)) => Object::Artifact { run: run.clone(), path: path.clone() },
            (object, _) => object.clone(),
        }
    }

    fn told(&self, act: &Act) -> Option<&Told> {
        self.acts.iter().find(|told| told.act == *act)
    }
}

struct Search<'c> {
    catalog: &'c Catalog,
    nodes: BTreeMap<i64, Rc<Known>>,
    found: LabelSources,
}

impl Search<'_> {
    /// Goes back from `from` on every way that has `label`, to where it was given.
    fn follow(&mut self, label: &Label, from: At) -> Result<(), CatalogError> {
        let mut seen = BTreeSet::from([from.clone()]);
        let mut visited: Vec<(At, Option<usize>)> = vec![(from, None)];
        let (mut next, mut sources) = (0, 0);
        while let Some((at, _)) = visited.get(next).cloned() {
            let Some(node) = self.node(at.0)? else { break };
            let acts = node.acts();
            for given in givers(&acts, label, at.1.as_ref()) {
                if sources == SOURCES_MAX {
                    self.found.truncated = true;
                    return Ok(());
                }
                let Some(told) = node.told(given) else { continue };
                let source = LabelSource {
                    label: label.clone(),
                    project: node.project.clone(),
                    object: node.at(given.path.as_ref()),
                    event: told.event.clone(),
                    entry: u64::try_from(given.entry).unwrap_or_default(),
                    time: told.time,
                    actor: told.actor.clone(),
                    path: self.way(&visited, next)?,
                };
                self.found.sources.push(source);
                sources += 1;
            }
            if deciding(&acts, label, at.1.as_ref()).is_none() {
                for source in &node.sources {
                    let place = (source.key, source.path.clone());
                    if labels_of(&self.catalog.database, source)?.contains(label)
                        && seen.insert(place.clone())
                    {
                        visited.push((place, Some(next)));
                    }
                }
            }
            next += 1;
        }
        Ok(())
    }

    /// What lies between a place that was visited and where the search began.
    fn way(&mut self, visited: &[(At, Option<usize>)], place: usize) -> Result<Vec<Object>, CatalogError> {
        let mut way = Vec::new();
        let mut here = visited.get(place).and_then(|(_, next)| *next);
        while let Some((at, next)) = here.and_then(|place| visited.get(place)) {
            if let (Some(_), Some(node)) = (next, self.node(at.0)?) {
                way.push(node.at(at.1.as_ref()));
            }
            here = *next;
        }
        Ok(way)
    }

    /// What was taken off `from` and everything that it came from.
    fn taken_off(&mut self, from: At) -> Result<(), CatalogError> {
        let mut seen = BTreeSet::from([from.clone()]);
        let mut waiting = std::collections::VecDeque::from([from]);
        while let Some(at) = waiting.pop_front() {
            let Some(node) = self.node(at.0)? else { break };
            let acts = node.acts();
            let labels: BTreeSet<&Label> = acts.iter().map(|act| &act.label).collect();
            for label in labels {
                let Some(off) = deciding(&acts, label, at.1.as_ref()).filter(|act| !act.given) else {
                    continue;
                };
                let Some(told) = node.told(off) else { continue };
                let taken = TakenOff {
                    label: label.clone(),
                    project: node.project.clone(),
                    object: node.at(off.path.as_ref()),
                    entry: u64::try_from(off.entry).unwrap_or_default(),
                    time: told.time,
                    actor: told.actor.clone(),
                    reason: told.reason.clone(),
                };
                if self.found.taken_off.len() == SOURCES_MAX {
                    self.found.truncated = true;
                    return Ok(());
                }
                if !self.found.taken_off.contains(&taken) {
                    self.found.taken_off.push(taken);
                }
            }
            for source in &node.sources {
                let place = (source.key, source.path.clone());
                if seen.insert(place.clone()) {
                    waiting.push_back(place);
                }
            }
        }
        Ok(())
    }

    /// A node, looked up once; nothing when there are too many, which the answer says.
    fn node(&mut self, key: i64) -> Result<Option<Rc<Known>>, CatalogError> {
        if let Some(known) = self.nodes.get(&key) {
            return Ok(Some(Rc::clone(known)));
        }
        if self.nodes.len() == NODES_MAX {
            self.found.truncated = true;
            return Ok(None);
        }
        let catalog = self.catalog;
        let sql = "SELECT project, run, inherited, labels FROM run WHERE entry = ?1";
        let run = catalog.rows(sql, [key], |row| named(row, Object::Run(get::<RunId>(row, "run")?)))?.pop();
        let found = match run {
            Some(run) => Some(run),
            None => {
                let sql =
                    "SELECT project, name, version, inherited, labels FROM dataset_version WHERE entry = ?1";
                catalog.rows(sql, [key], |row| named(row, version(row)?))?.pop()
            }
        };
        let Some((project, object, kept)) = found else { return Ok(None) };
        let mut sources = sources_of(&catalog.database, &[key])?.remove(&key).unwrap_or_default();
        sources.sort_by(|(a, from), (b, other)| (a, from.key, &from.path).cmp(&(b, other.key, &other.path)));
        let sources = sources.into_iter().map(|(_, source)| source).collect();
        let sql = "SELECT label, path, given, act, event, time, actor, reason FROM label_act
             WHERE entry = ?1 ORDER BY label, path";
        let acts = catalog.rows(sql, [key], |row| {
            Ok(Told {
                act: act(row)?,
                event: get(row, "event")?,
                time: get(row, "time")?,
                actor: get(row, "actor")?,
                reason: get(row, "reason")?,
            })
        })?;
        let known = Rc::new(Known { project, object, kept, acts, sources });
        self.nodes.insert(key, Rc::clone(&known));
        Ok(Some(known))
    }
}

/// The acts that gave `label` to what lies at `path`, or to a part of it.
fn givers<'a>(acts: &'a [Act], label: &Label, path: Option<&FilePath>) -> Vec<&'a Act> {
    if let Some(act) = deciding(acts, label, path).filter(|act| act.given) {
        return vec![act];
    }
    let inside = |act: &&Act| match (&act.path, path) {
        (Some(part), Some(path)) => part.as_path().starts_with(path.as_path()),
        (Some(_), None) => true,
        (None, _) => false,
    };
    let parts = acts.iter().filter(|act| act.label == *label && act.given).filter(inside);
    parts.filter(|part| deciding(acts, label, part.path.as_ref()).is_some_and(|act| act.given)).collect()
}

fn named(row: &Row<'_>, object: Object) -> Read<(ProjectName, Object, Kept)> {
    Ok((get(row, "project")?, object, kept(row)?))
}

fn version(row: &Row<'_>) -> Read<Object> {
    Ok(Object::Dataset { name: get::<DatasetName>(row, "name")?, version: Some(get(row, "version")?) })
}
