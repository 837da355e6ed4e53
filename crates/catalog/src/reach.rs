//! Whether something in quarantine reaches a run, a dataset version or a plan: from there back to where it came
//! from, at each question. Nothing is marked, so what ends later is reached too, and lifting restores exactly.
//!
//! A run is reached when something of it is in quarantine itself, or when an input of it came from a run that is
//! reached: directly, or as a dataset version whose tree is one that the run left. A version that another project
//! shared is what it is there.

mod known;
mod left;
mod seeds;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aseptic_model::{
    DatasetName, Digest, FilePath, Input, InputSource, MachineName, Object, PackageName, ProjectName, RunId,
};
use serde::Serialize;

use crate::column::{get, params};
use crate::{Catalog, CatalogError, Quarantine};
use left::Left;
pub(crate) use seeds::meet;
use seeds::{Seeds, covers};

/// Longest chain of projects that shared a version one after the other.
const SHARES_MAX: usize = 64;

/// What in quarantine reaches something, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reach {
    /// The project where it is in quarantine.
    pub project: ProjectName,
    /// What is in quarantine.
    pub object: Object,
    /// Why; nothing when that was erased.
    pub reason: Option<String>,
    /// Through what it came, from the object on: runs, and dataset versions that were made of what runs left.
    pub path: Vec<Object>,
}

/// Answers questions about one state of the catalog.
#[derive(Debug)]
pub struct Tracer<'c> {
    catalog: &'c Catalog,
    active: Vec<Quarantine>,
    seeds: BTreeMap<ProjectName, Seeds>,
    /// Runs that nothing reaches.
    clean: BTreeSet<i64>,
    /// Every run that is reached, unless they are too many; looked up at the first question.
    reached: Option<Option<BTreeSet<i64>>>,
    /// Whoever left a tree, which many runs had.
    left: RefCell<BTreeMap<(Digest, i64), Rc<Left>>>,
}

/// One input of a run or of a plan.
struct Had {
    snapshot: Digest,
    dataset: Option<(DatasetName, u32)>,
    source: Option<(RunId, Option<FilePath>)>,
    read_set: Option<Digest>,
}

/// What one step back leads to.
enum Step {
    Found(usize, Vec<Object>),
    Runs(Vec<(i64, Option<Object>)>),
}

/// A run on the way back.
struct Visited {
    entry: i64,
    /// Where it was come from, and the dataset version between.
    next: Option<usize>,
    via: Option<Object>,
}

impl Catalog {
    /// What answers whether quarantine reaches something.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn tracer(&self) -> Result<Tracer<'_>, CatalogError> {
        let active = self.active()?;
        let mut seeds: BTreeMap<ProjectName, Seeds> = BTreeMap::new();
        for (number, quarantine) in active.iter().enumerate() {
            let seeds = seeds.entry(quarantine.project.clone()).or_default();
            seeds.add(self, number, &quarantine.project, &quarantine.object)?;
        }
        let (clean, left) = (BTreeSet::new(), RefCell::default());
        Ok(Tracer { catalog: self, active, seeds, clean, reached: None, left })
    }
}

impl Tracer<'_> {
    /// Whether nothing is in quarantine at all.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// The files and directories that are in quarantine in `project`, or where `input` was shared from.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn sought(
        &self,
        project: &ProjectName,
        input: Option<&Input>,
    ) -> Result<Vec<(Digest, Reach)>, CatalogError> {
        let mut owners = BTreeSet::from([project.clone()]);
        if let Some(InputSource::Dataset { name, version }) = input.map(|input| &input.source) {
            let chain = self.catalog.shares(project, name, *version)?;
            owners.extend(chain.into_iter().map(|(owner, ..)| owner));
        }
        let placed = owners.iter().filter_map(|owner| self.seeds.get(owner)).flat_map(|seeds| &seeds.placed);
        let sought = placed.filter_map(|number| match self.active.get(*number)?.object {
            Object::File(digest) | Object::Snapshot(digest) => {
                Some((digest, self.reach(*number, Vec::new())?))
            }
            _ => None,
        });
        Ok(sought.collect())
    }

    /// What reaches a run that was planned.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn run(&mut self, project: &ProjectName, run: &RunId) -> Result<Option<Reach>, CatalogError> {
        if self.is_idle() {
            return Ok(None);
        }
        match self.catalog.run_entry(project, run)? {
            None => Ok(None),
            Some(entry) => {
                let mut found = self.back(vec![(crate::column::int(entry), None)])?;
                if let Some(reach) = &mut found {
                    reach.path.pop(); // It itself.
                }
                Ok(found)
            }
        }
    }

    /// What reaches outputs of a run: all of them, or those at `path`.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn outputs(
        &mut self,
        project: &ProjectName,
        run: &RunId,
        path: Option<&FilePath>,
    ) -> Result<Option<Reach>, CatalogError> {
        let own = self.seeds.get(project).and_then(|seeds| seeds.artifact(run, path));
        match own {
            Some(number) => Ok(self.reach(number, Vec::new())),
            None => self.run(project, run),
        }
    }

    /// What reaches a version of a dataset.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn version(
        &mut self,
        project: &ProjectName,
        version: &crate::DatasetVersion,
    ) -> Result<Option<Reach>, CatalogError> {
        self.had(
            project,
            &Had {
                snapshot: version.snapshot,
                dataset: Some((version.name.clone(), version.version)),
                source: None,
                read_set: None,
            },
        )
    }

    /// What reaches an input of a plan. It counts as read whole.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn input(&mut self, project: &ProjectName, input: &Input) -> Result<Option<Reach>, CatalogError> {
        let (dataset, source) = match &input.source {
            InputSource::Dataset { name, version } => (Some((name.clone(), *version)), None),
            InputSource::Artifact { run, path } => (None, Some((run.clone(), path.clone()))),
        };
        self.had(project, &Had { snapshot: input.snapshot, dataset, source, read_set: None })
    }

    /// What reaches a tree that is code.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn code(&self, project: &ProjectName, tree: &Digest) -> Result<Option<Reach>, CatalogError> {
        let found = self.tree(project, tree, None)?;
        Ok(found.and_then(|number| self.reach(number, Vec::new())))
    }

    /// What is in quarantine of a package.
    #[must_use]
    pub fn package(&self, project: &ProjectName, name: &str, version: &str) -> Option<Reach> {
        let known = self.seeds.get(project)?.packages.get(&PackageName::normalised(name)?)?;
        let found = known.iter().find(|(only, _)| covers(only.as_ref(), version));
        found.and_then(|(_, number)| self.reach(*number, Vec::new()))
    }

    /// Whether a host is in quarantine.
    #[must_use]
    pub fn host(&self, project: &ProjectName, host: &MachineName) -> Option<Reach> {
        self.reach(*self.seeds.get(project)?.hosts.get(host)?, Vec::new())
    }

    /// Whether rules are in quarantine.
    #[must_use]
    pub fn policy(&self, project: &ProjectName, policy: &Digest) -> Option<Reach> {
        self.reach(*self.seeds.get(project)?.policies.get(policy)?, Vec::new())
    }

    fn reach(&self, number: usize, path: Vec<Object>) -> Option<Reach> {
        let quarantine = self.active.get(number)?;
        Some(Reach {
            project: quarantine.project.clone(),
            object: quarantine.object.clone(),
            reason: quarantine.reason.clone(),
            path,
        })
    }

    fn had(&mut self, project: &ProjectName, had: &Had) -> Result<Option<Reach>, CatalogError> {
        if self.is_idle() {
            return Ok(None);
        }
        match self.step(project, had)? {
            Step::Found(number, path) => Ok(self.reach(number, path)),
            Step::Runs(runs) => self.back(runs),
        }
    }

    /// From runs back to what they came from, the nearest first.
    fn back(&mut self, from: Vec<(i64, Option<Object>)>) -> Result<Option<Reach>, CatalogError> {
        let mut seen: BTreeSet<i64> = BTreeSet::new();
        let mut visited: Vec<Visited> = Vec::new();
        let mut waiting: Vec<(i64, Option<usize>, Option<Object>)> =
            from.into_iter().map(|(entry, via)| (entry, None, via)).collect();
        let mut at = 0;
        loop {
            for (entry, next, via) in std::mem::take(&mut waiting) {
                if !self.clean.contains(&entry) && seen.insert(entry) && self.may_be(entry, next.is_none())? {
                    visited.push(Visited { entry, next, via });
                }
            }
            let Some(entry) = visited.get(at).map(|visited| visited.entry) else { break };
            match self.of_run(entry)? {
                Step::Found(number, mut path) => {
                    let mut here = visited.get(at);
                    while let Some(visit) = here {
                        path.extend(self.catalog.name_of(visit.entry)?.map(Object::Run));
                        path.extend(visit.via.clone());
                        here = visit.next.and_then(|next| visited.get(next));
                    }
                    return Ok(self.reach(number, path));
                }
                Step::Runs(runs) => {
                    waiting.extend(runs.into_iter().map(|(entry, via)| (entry, Some(at), via)));
                }
            }
            at += 1;
        }
        self.clean.extend(seen);
        Ok(None)
    }

    /// One run: what of it is in quarantine, or the runs that it had something of.
    fn of_run(&self, entry: i64) -> Result<Step, CatalogError> {
        let rows = self.catalog.rows(RUN, [entry], |row| {
            Ok((
                get::<ProjectName>(row, "project")?,
                get::<RunId>(row, "run")?,
                get::<Option<MachineName>>(row, "host")?,
                get::<Option<Digest>>(row, "policy")?,
                get::<Option<Digest>>(row, "environment")?,
                get::<Option<Digest>>(row, "code")?,
            ))
        })?;
        let Some((project, run, host, policy, environment, code)) = rows.into_iter().next() else {
            return Ok(Step::Runs(Vec::new()));
        };
        if let Some(seeds) = self.seeds.get(&project) {
            let found = seeds.runs.get(&run);
            let found = found.or_else(|| seeds.hosts.get(host.as_ref()?));
            let found = found.or_else(|| seeds.policies.get(policy.as_ref()?)).copied();
            let found = match (found, environment) {
                (None, Some(environment)) => self.environment(seeds, &environment)?,
                (found, _) => found,
            };
            let found = match (found, code) {
                (None, Some(code)) => self.tree(&project, &code, None)?,
                (found, _) => found,
            };
            if let Some(number) = found {
                return Ok(Step::Found(number, Vec::new()));
            }
        }
        let inputs = self.catalog.had(entry)?;
        let mut next = Vec::new();
        for had in &inputs {
            match self.step(&project, had)? {
                Step::Runs(runs) => next.extend(runs),
                found @ Step::Found(..) => return Ok(found),
            }
        }
        Ok(Step::Runs(next))
    }

    /// One input: what of it is in quarantine, or the runs that it is of.
    fn step(&self, project: &ProjectName, had: &Had) -> Result<Step, CatalogError> {
        if let Some(number) = self.tree(project, &had.snapshot, had.read_set.as_ref())? {
            return Ok(Step::Found(number, Vec::new()));
        }
        let mut runs = Vec::new();
        if let Some((run, path)) = &had.source {
            let own = self.seeds.get(project).and_then(|seeds| seeds.artifact(run, path.as_ref()));
            if let Some(number) = own {
                return Ok(Step::Found(number, Vec::new()));
            }
            let entry = self.catalog.run_entry(project, run)?;
            runs.extend(entry.map(|entry| (crate::column::int(entry), None)));
        }
        let Some((name, version)) = &had.dataset else { return Ok(Step::Runs(runs)) };
        for (owner, name, version, added) in self.catalog.shares(project, name, *version)? {
            let via = Object::Dataset { name: name.clone(), version: Some(version) };
            let seeds = self.seeds.get(&owner);
            if let Some(number) = seeds.and_then(|seeds| seeds.dataset(&name, version)) {
                return Ok(Step::Found(number, Vec::new()));
            }
            if owner != *project
                && let Some(number) = self.tree(&owner, &had.snapshot, had.read_set.as_ref())?
            {
                return Ok(Step::Found(number, vec![via]));
            }
            for (entry, path) in self.left(&had.snapshot, added, (&owner, &name, version))?.iter() {
                if let Some(number) = self.left_in_quarantine(*entry, path.as_ref())? {
                    return Ok(Step::Found(number, vec![via]));
                }
                runs.push((*entry, Some(via.clone())));
            }
        }
        Ok(Step::Runs(runs))
    }

    /// What is in quarantine of a tree: it, or something in it that was read, where that is known.
    fn tree(
        &self,
        project: &ProjectName,
        tree: &Digest,
        read_set: Option<&Digest>,
    ) -> Result<Option<usize>, CatalogError> {
        let Some(seeds) = self.seeds.get(project) else { return Ok(None) };
        if let Some(number) = seeds.trees.get(tree) {
            return Ok(Some(*number));
        }
        for number in &seeds.placed {
            let Some(quarantine) = self.active.get(*number) else { continue };
            if self.catalog.holds(quarantine, tree, read_set)? {
                return Ok(Some(*number));
            }
        }
        Ok(None)
    }

    fn environment(&self, seeds: &Seeds, environment: &Digest) -> Result<Option<usize>, CatalogError> {
        for (name, known) in &seeds.packages {
            let versions: Vec<String> =
                self.catalog.rows(PACKAGE, params![environment.as_bytes(), name.as_str()], |row| {
                    get(row, "version")
                })?;
            for (only, number) in known {
                if versions.iter().any(|version| covers(only.as_ref(), version)) {
                    return Ok(Some(*number));
                }
            }
        }
        Ok(None)
    }
}

const RUN: &str = "SELECT project, run, host, policy, environment, code FROM run WHERE entry = ?1";
const PACKAGE: &str = "SELECT version FROM environment_package WHERE environment = ?1 AND name = ?2";
