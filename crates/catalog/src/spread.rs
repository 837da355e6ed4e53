//! What something reaches, from it on: the runs and the dataset versions of every project. The same question as that
//! of [`Tracer`](crate::Tracer), asked from the other end, for an object that need not be in quarantine.

mod follow;

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{
    DatasetName, Digest, FilePath, Object, Origin, Place, ProjectName, REACHED_FORMAT, Reached,
    ReachedDataset, ReachedRun, RunId,
};

use crate::column::{Params, Read, Row, get, params};
use crate::reach::meet;
use crate::{Catalog, CatalogError, Quarantine, version_is};
use follow::{NOT_DENIED, REACHED, reached};

/// Where a file or a directory lies, as far as somebody looked.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The places.
    pub found: BTreeSet<Place>,
    /// Trees that could not be looked into.
    pub unseen: BTreeSet<Digest>,
}

/// Something of one project, and what came of it at once.
pub type ReachedStep = ((ProjectName, Object), (ProjectName, Object));

/// Most steps that are told; what they lead to is told of all.
const STEPS_MAX: usize = 10_000;

/// One version of one project.
type Version = (ProjectName, DatasetName, u32);

struct Spread<'c> {
    catalog: &'c Catalog,
    /// Versions that another project shared, by what they were there.
    shared: BTreeMap<Version, Vec<Version>>,
    /// Every tree that is a version.
    trees: BTreeSet<Digest>,
    runs: BTreeMap<i64, ReachedRun>,
    versions: BTreeMap<Version, Digest>,
    /// Those of them whose users all count.
    whole: BTreeSet<Version>,
    /// Runs whose outputs are to be followed.
    waiting: Vec<i64>,
    /// More runs than this need not be found, and whether there are more.
    limit: usize,
    exceeded: bool,
    /// What is being followed.
    at: (ProjectName, Object),
    steps: BTreeSet<ReachedStep>,
    steps_max: usize,
}

impl Catalog {
    /// Everything that `object` of `project` has reached, and the first steps to it. `places` are those of a file or of
    /// a directory.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn reached(
        &self,
        project: &ProjectName,
        object: &Object,
        places: Places,
    ) -> Result<(Reached, BTreeSet<ReachedStep>), CatalogError> {
        let mut spread = self.spread((project.clone(), object.clone()), usize::MAX, STEPS_MAX)?;
        spread.begin(project, object, &places.found)?;
        spread.follow()?;
        let datasets = spread
            .versions
            .into_iter()
            .map(|((project, name, version), snapshot)| ReachedDataset { project, name, version, snapshot });
        let reached = Reached {
            format: REACHED_FORMAT.to_owned(),
            object: object.clone(),
            places: places.found,
            unseen: places.unseen,
            runs: spread.runs.into_values().collect(),
            datasets: datasets.collect(),
        };
        Ok((reached, spread.steps))
    }

    /// The runs that anything of `active` has reached; nothing when they are more than `limit`.
    pub(crate) fn reached_of(
        &self,
        active: &[Quarantine],
        limit: usize,
    ) -> Result<Option<BTreeSet<i64>>, CatalogError> {
        let Some(first) = active.first() else { return Ok(Some(BTreeSet::new())) };
        let mut spread = self.spread((first.project.clone(), first.object.clone()), limit, 0)?;
        for quarantine in active {
            let sql = "SELECT snapshot, path FROM quarantine_place WHERE quarantine = ?1";
            let places = self.rows(sql, [crate::column::int(quarantine.entry)], |row| {
                Ok(Place { snapshot: get(row, "snapshot")?, path: get(row, "path")? })
            })?;
            spread.begin(&quarantine.project, &quarantine.object, &places.into_iter().collect())?;
        }
        spread.follow()?;
        Ok((!spread.exceeded).then(|| spread.runs.into_keys().collect()))
    }

    fn spread(
        &self,
        at: (ProjectName, Object),
        limit: usize,
        steps_max: usize,
    ) -> Result<Spread<'_>, CatalogError> {
        let trees =
            self.rows("SELECT DISTINCT snapshot FROM dataset_version", [], |row| get(row, "snapshot"))?;
        Ok(Spread {
            catalog: self,
            shared: self.shared()?,
            trees: trees.into_iter().collect(),
            runs: BTreeMap::new(),
            versions: BTreeMap::new(),
            whole: BTreeSet::new(),
            waiting: Vec::new(),
            limit,
            exceeded: false,
            at,
            steps: BTreeSet::new(),
            steps_max,
        })
    }

    fn shared(&self) -> Result<BTreeMap<Version, Vec<Version>>, CatalogError> {
        let sql = "SELECT project, name, version, origin FROM dataset_version
             WHERE origin IS NOT NULL ORDER BY project, name, version";
        let mut shared: BTreeMap<Version, Vec<Version>> = BTreeMap::new();
        for (version, origin) in
            self.rows(sql, [], |row| Ok((version_of(row)?, get::<Option<Origin>>(row, "origin")?)))?
        {
            let from = match origin {
                Some(Origin::Shared { project, name, version: from }) => Some((project, name, from)),
                Some(Origin::Archive { .. }) => {
                    let (project, name, number) = &version;
                    let chain = self.shares(project, name, *number)?.into_iter().nth(1);
                    chain.map(|(project, name, version, _)| (project, name, version))
                }
                None => None,
            };
            if let Some(from) = from {
                shared.entry(from).or_default().push(version);
            }
        }
        Ok(shared)
    }
}

fn dataset((_, name, version): &Version) -> Object {
    Object::Dataset { name: name.clone(), version: Some(*version) }
}

fn run_of(reached: &ReachedRun) -> (ProjectName, Object) {
    (reached.project.clone(), Object::Run(reached.run.clone()))
}

fn version_of(row: &Row<'_>) -> Read<Version> {
    Ok((get(row, "project")?, get(row, "name")?, get(row, "version")?))
}

impl Spread<'_> {
    fn begin(
        &mut self,
        project: &ProjectName,
        object: &Object,
        places: &BTreeSet<Place>,
    ) -> Result<(), CatalogError> {
        let of = project.as_str();
        match object {
            Object::Run(run) => self.add("WHERE project = ?1 AND run = ?2", params![of, run.as_str()]),
            Object::Host(host) => self.add("WHERE project = ?1 AND host = ?2", params![of, host.as_str()]),
            Object::Policy(digest) => {
                self.add("WHERE project = ?1 AND policy = ?2", params![of, digest.as_bytes()])
            }
            Object::Package { name, version } => {
                let meant = |known: &String| version.as_ref().is_none_or(|only| version_is(only, known));
                for version in self.catalog.package_versions(name)?.iter().filter(|known| meant(known)) {
                    self.add(
                        "WHERE project = ?1 AND environment IN (SELECT environment FROM environment_package
                            WHERE name = ?2 AND version = ?3)",
                        params![of, name.as_str(), version],
                    )?;
                }
                Ok(())
            }
            Object::Dataset { name, version } => {
                let meant = |found: &crate::DatasetVersion| version.is_none_or(|only| only == found.version);
                for found in self.catalog.versions(project, name)?.into_iter().filter(meant) {
                    self.version((project.clone(), name.clone(), found.version), found.snapshot, None)?;
                    self.tree(project, &found.snapshot)?;
                }
                Ok(())
            }
            Object::Artifact { run, path } => self.artifact(project, run, Some(path)),
            Object::Snapshot(digest) => {
                self.tree(project, digest)?;
                for (run, path) in self.catalog.left_by(project, digest)? {
                    self.artifact(project, &run, path.as_ref())?;
                }
                self.placed(project, places)
            }
            Object::File(_) => self.placed(project, places),
        }
    }

    /// Whoever had a whole tree.
    fn tree(&mut self, project: &ProjectName, tree: &Digest) -> Result<(), CatalogError> {
        self.add(
            "WHERE project = ?1 AND (code = ?2 OR entry IN (SELECT entry FROM run_input WHERE snapshot = ?2))",
            params![project.as_str(), tree.as_bytes()],
        )?;
        for version in self.versions_of(tree, None)?.into_iter().filter(|(of, _, _)| of == project) {
            self.version(version, *tree, None)?;
        }
        Ok(())
    }

    /// Whoever had a file or directory, and read it where that is known.
    fn placed(&mut self, project: &ProjectName, places: &BTreeSet<Place>) -> Result<(), CatalogError> {
        for Place { snapshot, path } in places {
            self.add("WHERE project = ?1 AND code = ?2", params![project.as_str(), snapshot.as_bytes()])?;
            self.had(
                "run.project = ?1 AND run_input.snapshot = ?2",
                params![project.as_str(), snapshot.as_bytes()],
                |catalog, _, read_set| read_set.map_or(Ok(true), |set| catalog.was_read(&set, path)),
            )?;
            for version in self.versions_of(snapshot, None)?.into_iter().filter(|(of, _, _)| of == project) {
                self.version(version, *snapshot, Some(path))?;
            }
        }
        Ok(())
    }

    /// Whoever had an output of a run, or a part of it.
    fn artifact(
        &mut self,
        project: &ProjectName,
        run: &RunId,
        path: Option<&FilePath>,
    ) -> Result<(), CatalogError> {
        self.had(
            "run.project = ?1 AND run_input.source_run = ?2",
            params![project.as_str(), run.as_str()],
            |_, taken, _| Ok(meet(path, taken.as_ref())),
        )?;
        if let Some(entry) = self.catalog.run_entry(project, run)? {
            let sql = "SELECT outputs AS tree, NULL AS path FROM run WHERE entry = ?1";
            self.imported(sql, params![crate::column::int(entry)], entry, path)?;
            self.imported(TAKEN, params![project.as_str(), run.as_str()], entry, path)?;
            self.imported(GIVEN, params![project.as_str(), run.as_str()], entry, path)?;
            self.made_with(entry, path)?;
        }
        Ok(())
    }

    /// Versions that are a tree of the run `entry`, where it meets `path`.
    fn imported(
        &mut self,
        sql: &str,
        key: impl Params,
        entry: u64,
        path: Option<&FilePath>,
    ) -> Result<(), CatalogError> {
        let trees: Vec<(Option<Digest>, Option<FilePath>)> =
            self.catalog.rows(sql, key, |row| Ok((get(row, "tree")?, get(row, "path")?)))?;
        for (tree, held) in trees {
            let Some(tree) = tree.filter(|_| meet(path, held.as_ref())) else { continue };
            for version in self.versions_of(&tree, Some(entry))? {
                self.version(version, tree, None)?;
            }
        }
        Ok(())
    }

    /// The versions that are `tree`; with an entry, those that were added after it.
    fn versions_of(&self, tree: &Digest, after: Option<u64>) -> Result<Vec<Version>, CatalogError> {
        let found = self.catalog.rows(
            "SELECT project, name, version FROM dataset_version INDEXED BY dataset_version_snapshot
             WHERE snapshot = ?1 ORDER BY project, name, version",
            [tree.as_bytes()],
            version_of,
        )?;
        let Some(after) = after else { return Ok(found) };
        let mut later = Vec::new();
        for version in found {
            let (project, name, number) = &version;
            let chain = self.catalog.shares(project, name, *number)?;
            if chain.first().is_some_and(|(.., added)| *added > crate::column::int(after)) {
                later.push(version);
            }
        }
        Ok(later)
    }

    /// A version, those that it was shared as, and whoever had one of them; with a path, and read what is there.
    fn version(
        &mut self,
        version: Version,
        snapshot: Digest,
        path: Option<&FilePath>,
    ) -> Result<(), CatalogError> {
        let before = self.at.clone();
        let mut open = vec![(before.clone(), version)];
        let mut seen = BTreeSet::new();
        while let Some((from, version)) = open.pop() {
            let known = path.is_none() && !self.whole.insert(version.clone());
            if known || !seen.insert(version.clone()) {
                continue;
            }
            self.at = from;
            self.step((version.0.clone(), dataset(&version)));
            self.at = (version.0.clone(), dataset(&version));
            self.had(
                "run.project = ?1 AND run_input.dataset = ?2 AND run_input.version = ?3",
                params![version.0.as_str(), version.1.as_str(), version.2],
                |catalog, _, read_set| match (path, read_set) {
                    (Some(path), Some(set)) => catalog.was_read(&set, path),
                    _ => Ok(true),
                },
            )?;
            let shared = self.shared.get(&version).into_iter().flatten().cloned();
            open.extend(shared.map(|there| (self.at.clone(), there)));
            self.versions.insert(version, snapshot);
        }
        self.at = before;
        Ok(())
    }

    fn step(&mut self, to: (ProjectName, Object)) {
        if self.steps.len() < self.steps_max && self.at != to {
            self.steps.insert((self.at.clone(), to));
        }
    }

    fn had(
        &mut self,
        condition: &str,
        key: impl Params,
        counts: impl Fn(&Catalog, &Option<FilePath>, Option<Digest>) -> Result<bool, CatalogError>,
    ) -> Result<(), CatalogError> {
        let sql = format!(
            "SELECT run.entry, source_path, read_set FROM run_input JOIN run ON run.entry = run_input.entry
             WHERE {condition}"
        );
        let mut found = Vec::new();
        let (catalog, limit) = (self.catalog, self.limit);
        catalog.database.until(&sql, key, |row| {
            found.push((get::<i64>(row, "entry")?, get(row, "source_path")?, get(row, "read_set")?));
            Ok(found.len() <= limit)
        })?;
        self.exceeded |= found.len() > self.limit;
        let mut users = BTreeSet::new();
        for (entry, taken, read_set) in found {
            let wanted = self.steps.len() < self.steps_max || !self.runs.contains_key(&entry);
            if wanted && counts(self.catalog, &taken, read_set)? {
                users.insert(entry);
            }
        }
        self.add_all(&users)?;
        for user in users.iter().filter_map(|entry| self.runs.get(entry)).map(run_of).collect::<Vec<_>>() {
            self.step(user);
        }
        Ok(())
    }

    /// Runs that are reached.
    fn add(&mut self, condition: &str, key: impl Params) -> Result<(), CatalogError> {
        let sql = format!("{REACHED} {condition} AND {NOT_DENIED}");
        let catalog = self.catalog;
        catalog.database.until(&sql, key, |row| {
            let (entry, run) = reached(row)?;
            self.step(run_of(&run));
            Ok(self.keep(entry, run))
        })
    }
}

const TAKEN: &str = "
    SELECT snapshot AS tree, source_path AS path
    FROM run_input INDEXED BY run_input_source CROSS JOIN run USING (entry)
    WHERE project = ?1 AND source_run = ?2";
const GIVEN: &str = "
    SELECT snapshot AS tree, path FROM given_away WHERE project = ?1 AND run = ?2 AND snapshot IS NOT NULL";
