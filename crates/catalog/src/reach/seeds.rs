//! What is in quarantine in one project, as it is looked up on the way back; and the places of files.

use std::collections::BTreeMap;

use aseptic_model::{DatasetName, Digest, FilePath, MachineName, Object, PackageName, ProjectName, RunId};

use crate::column::{get, params};
use crate::{Catalog, CatalogError, Quarantine};

/// What is in quarantine in one project, by how it is found. A number is an index of [`Tracer::active`](super::Tracer).
#[derive(Debug, Default)]
pub(super) struct Seeds {
    pub(super) runs: BTreeMap<RunId, usize>,
    pub(super) hosts: BTreeMap<MachineName, usize>,
    pub(super) policies: BTreeMap<Digest, usize>,
    pub(super) packages: BTreeMap<PackageName, Vec<(Option<String>, usize)>>,
    pub(super) datasets: BTreeMap<DatasetName, Vec<(Option<u32>, usize)>>,
    /// Trees: those of quarantined versions too, under whatever name.
    pub(super) trees: BTreeMap<Digest, usize>,
    pub(super) artifacts: BTreeMap<RunId, Vec<(Option<FilePath>, usize)>>,
    /// Files and directories, which lie in trees.
    pub(super) placed: Vec<usize>,
}

impl Seeds {
    pub(super) fn add(
        &mut self,
        catalog: &Catalog,
        number: usize,
        project: &ProjectName,
        object: &Object,
    ) -> Result<(), CatalogError> {
        match object {
            Object::Run(run) => drop(self.runs.entry(run.clone()).or_insert(number)),
            Object::Host(host) => drop(self.hosts.entry(host.clone()).or_insert(number)),
            Object::Policy(digest) => drop(self.policies.entry(*digest).or_insert(number)),
            Object::Package { name, version } => {
                self.packages.entry(name.clone()).or_default().push((version.clone(), number));
            }
            Object::Dataset { name, version } => {
                self.datasets.entry(name.clone()).or_default().push((*version, number));
                let of = |found: &crate::DatasetVersion| version.is_none_or(|only| only == found.version);
                for found in catalog.versions(project, name)?.into_iter().filter(of) {
                    self.trees.entry(found.snapshot).or_insert(number);
                }
            }
            Object::Artifact { run, path } => {
                self.artifacts.entry(run.clone()).or_default().push((Some(path.clone()), number));
            }
            Object::Snapshot(digest) => {
                self.trees.entry(*digest).or_insert(number);
                for (run, path) in catalog.left_by(project, digest)? {
                    self.artifacts.entry(run).or_default().push((path, number));
                }
                self.placed.push(number);
            }
            Object::File(_) => self.placed.push(number),
        }
        Ok(())
    }

    pub(super) fn dataset(&self, name: &DatasetName, version: u32) -> Option<usize> {
        let known = self.datasets.get(name)?;
        known.iter().find(|(only, _)| only.is_none_or(|only| only == version)).map(|(_, number)| *number)
    }

    pub(super) fn artifact(&self, run: &RunId, path: Option<&FilePath>) -> Option<usize> {
        let known = self.artifacts.get(run)?;
        known.iter().find(|(held, _)| meet(held.as_ref(), path)).map(|(_, number)| *number)
    }
}

/// Whether a version of a package is in quarantine with `only` some, or all of them.
pub(super) fn covers(only: Option<&String>, version: &str) -> bool {
    only.is_none_or(|only| crate::version_is(only, version))
}

/// Whether two outputs of one run have something in common; nothing stands for all of them.
pub(crate) fn meet(one: Option<&FilePath>, other: Option<&FilePath>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            let (one, other) = (one.as_path(), other.as_path());
            one.starts_with(other) || other.starts_with(one)
        }
        _ => true,
    }
}

impl Catalog {
    /// Whether `quarantine`, of a file or directory, lies in `tree`, at a place that was read.
    pub(crate) fn holds(
        &self,
        quarantine: &Quarantine,
        tree: &Digest,
        read_set: Option<&Digest>,
    ) -> Result<bool, CatalogError> {
        let key = params![crate::column::int(quarantine.entry), tree.as_bytes()];
        let paths: Vec<FilePath> = self.rows(PLACES, key, |row| get(row, "path"))?;
        for path in paths {
            let Some(set) = read_set else { return Ok(true) };
            if self.was_read(set, &path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a file at `path`, or one below it, is in a set of files that were opened.
    pub(crate) fn was_read(&self, read_set: &Digest, path: &FilePath) -> Result<bool, CatalogError> {
        let (below, end) = crate::known::below(path);
        let read = self.rows(READ, params![read_set.as_bytes(), path.as_bytes(), below, end], |row| {
            get::<FilePath>(row, "path")
        })?;
        Ok(!read.is_empty())
    }

    pub(super) fn name_of(&self, entry: i64) -> Result<Option<RunId>, CatalogError> {
        Ok(self.rows("SELECT run FROM run WHERE entry = ?1", [entry], |row| get(row, "run"))?.pop())
    }

    /// The outputs of runs of `project` that are the tree `digest`.
    pub(crate) fn left_by(
        &self,
        project: &ProjectName,
        digest: &Digest,
    ) -> Result<Vec<(RunId, Option<FilePath>)>, CatalogError> {
        self.rows(LEFT_BY, params![project.as_str(), digest.as_bytes()], |row| {
            Ok((get(row, "run")?, get(row, "path")?))
        })
    }
}

const PLACES: &str = "SELECT path FROM quarantine_place WHERE quarantine = ?1 AND snapshot = ?2";
const READ: &str = "
    SELECT path FROM read_file
    WHERE read_set = ?1 AND (path = ?2 OR (path >= ?3 AND path < ?4)) LIMIT 1";
const LEFT_BY: &str = "
    SELECT run, NULL AS path FROM run INDEXED BY run_outputs WHERE project = ?1 AND outputs = ?2
    UNION SELECT source_run, source_path
          FROM run_input INDEXED BY run_input_snapshot CROSS JOIN run USING (entry)
          WHERE project = ?1 AND snapshot = ?2 AND source_run IS NOT NULL
    UNION SELECT run, path FROM given_away INDEXED BY given_away_snapshot
          WHERE project = ?1 AND snapshot = ?2 AND run IS NOT NULL";
