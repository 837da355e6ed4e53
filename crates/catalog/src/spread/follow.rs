//! From runs on to whoever had something of them: many runs in one statement.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Digest, FilePath, ReachedRun};

use super::{Spread, Version, run_of, version_of};
use crate::CatalogError;
use crate::batch::Batch;
use crate::column::{Read, Row, get, int, params};
use crate::reach::meet;

impl Spread<'_> {
    /// Whoever had something of the runs that are reached, and so on, one step of all of them after the other.
    pub(super) fn follow(&mut self) -> Result<(), CatalogError> {
        while !self.waiting.is_empty() {
            let runs = std::mem::take(&mut self.waiting);
            for some in runs.chunks(STEP) {
                if self.exceeded {
                    return Ok(());
                }
                self.onwards(some)?;
            }
        }
        Ok(())
    }

    /// Whoever had something of `runs`, directly or as a version that is a tree that one of them left.
    fn onwards(&mut self, runs: &[i64]) -> Result<(), CatalogError> {
        let mut users: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        let mut left: BTreeSet<(i64, Digest)> = BTreeSet::new();
        for run in runs {
            let outputs = self.runs.get(run).and_then(|reached| reached.outputs);
            left.extend(outputs.filter(|tree| self.trees.contains(tree)).map(|tree| (*run, tree)));
        }
        let trees = &self.trees;
        let mut keep = |run: i64, tree: Digest| {
            if trees.contains(&tree) {
                left.insert((run, tree));
            }
        };
        self.catalog.each_of(
            &Batch { sql: USERS, before: &[] },
            runs,
            |row| Ok((get(row, "source")?, get(row, "entry")?, get(row, "tree")?)),
            |(source, user, tree): (i64, i64, Digest)| {
                users.entry(source).or_default().insert(user);
                keep(source, tree);
                true
            },
        )?;
        self.catalog.each_of(
            &Batch { sql: EXPORTS, before: &[] },
            runs,
            |row| Ok((get(row, "source")?, get(row, "tree")?)),
            |(source, tree)| {
                keep(source, tree);
                true
            },
        )?;
        let mut made = Vec::new();
        self.catalog.each_of(
            &Batch { sql: MADE, before: &[] },
            runs,
            |row| Ok((get(row, "source")?, version_of(row)?, get(row, "tree")?)),
            |version: (i64, Version, Digest)| {
                made.push(version);
                true
            },
        )?;
        self.add_all(&users.values().flatten().copied().collect())?;
        for (source, users) in users {
            self.go_to(source);
            for user in users.iter().filter_map(|user| self.runs.get(user)).map(run_of).collect::<Vec<_>>() {
                self.step(user);
            }
        }
        for (run, tree) in left {
            self.go_to(run);
            for version in self.versions_of(&tree, u64::try_from(run).ok())? {
                self.version(version, tree, None)?;
            }
        }
        for (run, version, tree) in made {
            self.go_to(run);
            self.version(version, tree, None)?;
        }
        Ok(())
    }

    /// Versions with a file that the run `entry` left, where it meets `path`.
    pub(super) fn made_with(&mut self, entry: u64, path: Option<&FilePath>) -> Result<(), CatalogError> {
        let found = self.catalog.rows(MADE_WITH, params![int(entry)], |row| {
            Ok((version_of(row)?, get(row, "snapshot")?, get::<Option<FilePath>>(row, "path")?))
        })?;
        for (version, tree, held) in found {
            if meet(path, held.as_ref()) {
                self.version(version, tree, None)?;
            }
        }
        Ok(())
    }

    /// What is found from here on came of this run.
    fn go_to(&mut self, entry: i64) {
        if let Some(run) = self.runs.get(&entry) {
            self.at = run_of(run);
        }
    }

    /// Those of `users` that are not known yet.
    pub(super) fn add_all(&mut self, users: &BTreeSet<i64>) -> Result<(), CatalogError> {
        let new: Vec<i64> = users.iter().copied().filter(|entry| !self.runs.contains_key(entry)).collect();
        let sql = format!("{REACHED} WHERE entry IN ({{entries}}) AND {NOT_DENIED}");
        let catalog = self.catalog;
        catalog
            .each_of(&Batch { sql: &sql, before: &[] }, &new, reached, |(entry, run)| self.keep(entry, run))
    }

    /// Whether more are wanted.
    pub(super) fn keep(&mut self, entry: i64, run: ReachedRun) -> bool {
        if self.runs.insert(entry, run).is_none() {
            self.waiting.push(entry);
        }
        self.exceeded |= self.runs.len() > self.limit;
        !self.exceeded
    }
}

pub(super) fn reached(row: &Row<'_>) -> Read<(i64, ReachedRun)> {
    let run =
        ReachedRun { project: get(row, "project")?, run: get(row, "run")?, outputs: get(row, "outputs")? };
    Ok((get(row, "entry")?, run))
}

/// Runs whose users are looked for at once.
const STEP: usize = 4096;

pub(super) const REACHED: &str = "SELECT entry, project, run, outputs FROM run";
/// What was denied never was anything, nor what waits for approval.
pub(super) const NOT_DENIED: &str = "(status IS NULL OR status NOT IN ('denied', 'needs-approval'))";
const USERS: &str = "
    SELECT source.entry AS source, run_input.entry AS entry, run_input.snapshot AS tree
    FROM run AS source
    CROSS JOIN run_input INDEXED BY run_input_source ON run_input.source_run = source.run
    CROSS JOIN run AS user_run ON user_run.entry = run_input.entry AND user_run.project = source.project
    WHERE source.entry IN ({entries})";
const EXPORTS: &str = "
    SELECT source.entry AS source, given_away.snapshot AS tree
    FROM run AS source
    CROSS JOIN given_away INDEXED BY given_away_run ON given_away.run = source.run
    WHERE source.entry IN ({entries}) AND given_away.project = source.project
        AND given_away.snapshot IS NOT NULL";
const MADE: &str = "
    SELECT made.entry AS source, made.project, made.name, made.version, dataset_version.snapshot AS tree
    FROM dataset_source AS made INDEXED BY dataset_source_entry
    CROSS JOIN dataset_version ON dataset_version.project = made.project
        AND dataset_version.name = made.name AND dataset_version.version = made.version
    WHERE made.entry IN ({entries})";
const MADE_WITH: &str = "
    SELECT made.project, made.name, made.version, dataset_version.snapshot,
        CASE WHEN LENGTH(made.path) > 0 THEN made.path END AS path
    FROM dataset_source AS made INDEXED BY dataset_source_entry
    CROSS JOIN dataset_version ON dataset_version.project = made.project
        AND dataset_version.name = made.name AND dataset_version.version = made.version
    WHERE made.entry = ?1 ORDER BY 1, 2, 3, 5";
