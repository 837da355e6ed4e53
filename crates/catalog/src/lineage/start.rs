//! From what was asked about to the first level of runs.

use aseptic_model::{DatasetName, Digest, FilePath, Object, RunId};
use rusqlite::ToSql;

use super::node::{EdgeKind, Node};
use super::walk::{Made, Read, Walk};
use super::{Direction, FilePlace};
use crate::CatalogError;
use crate::column::{get, params};
use crate::known::{below, version_is};

impl Walk<'_> {
    /// The edges from `object` to the first runs, and those runs.
    pub(super) fn first(&mut self, object: &Object, places: &[FilePlace]) -> Result<Vec<i64>, CatalogError> {
        let mut level = Vec::new();
        match object {
            Object::Run(run) => level.extend(self.entry(run)?),
            Object::Artifact { run, path } => {
                if let Some(digest) = self.catalog.output_digest(self.project, run, path)? {
                    self.names.insert(format!("run:{run}/{path}"), digest);
                }
                self.artifact(run, Some(path), None, &mut level)?;
                if self.direction == Direction::Down {
                    self.exported(run, path, places, &mut level)?;
                }
            }
            Object::Dataset { name, version } => {
                let versions = match version {
                    Some(version) => vec![*version],
                    None => {
                        let versions = self.catalog.versions(self.project, name)?;
                        versions.iter().rev().map(|version| version.version).collect()
                    }
                };
                for version in versions {
                    self.dataset(name, version, &mut level)?;
                }
            }
            Object::Snapshot(digest) | Object::File(digest) => {
                self.digest(object, digest, places, &mut level)?;
            }
            Object::Host(host) => {
                let node = Node::Host { host: host.clone() };
                self.runs_with(BY_HOST, &[&host.as_str()], &node, &EdgeKind::Ran, &mut level)?;
            }
            Object::Policy(digest) => {
                let node = Node::Policy { digest: *digest };
                self.runs_with(BY_POLICY, &[digest.as_bytes()], &node, &EdgeKind::Decided, &mut level)?;
            }
            Object::Package { name, version } => {
                let versions = self.catalog.package_versions(name)?;
                let meant = |known: &String| version.as_ref().is_none_or(|wanted| version_is(wanted, known));
                for version in versions.into_iter().filter(meant) {
                    let node = Node::Package { name: name.clone(), version: version.clone() };
                    let key = (name.as_str(), version.as_str());
                    for found in
                        self.catalog.rows(ENVIRONMENTS, key, |row| get::<Digest>(row, "environment"))?
                    {
                        self.runs_with(
                            BY_ENVIRONMENT,
                            &[found.as_bytes()],
                            &node,
                            &EdgeKind::Used,
                            &mut level,
                        )?;
                    }
                }
            }
        }
        Ok(level)
    }

    /// Index of the entry that planned `run`, the first time that it is asked for.
    fn entry(&mut self, run: &RunId) -> Result<Option<i64>, CatalogError> {
        let entry = self.catalog.run_entry(self.project, run)?.and_then(|entry| i64::try_from(entry).ok());
        let Some(entry) = entry else { return Ok(None) };
        self.entries.insert(run.clone(), entry);
        Ok(self.expand(entry).then_some(entry))
    }

    /// An output of a run; all of them without a path. `digest` is what it is known by.
    fn artifact(
        &mut self,
        run: &RunId,
        path: Option<&FilePath>,
        digest: Option<&Digest>,
        level: &mut Vec<i64>,
    ) -> Result<(), CatalogError> {
        self.hops = 1;
        match self.direction {
            Direction::Up => {
                let digest = match (digest, path) {
                    (Some(digest), _) => Some(*digest),
                    (None, Some(path)) => self.catalog.output_digest(self.project, run, path)?,
                    (None, None) => None,
                };
                if let Some(digest) = digest {
                    let artifact = Node::Artifact { run: run.clone(), path: path.cloned(), digest };
                    self.push(Node::Run { run: run.clone() }, artifact, EdgeKind::Left);
                }
                // Who left it is no step away.
                self.hops = 0;
                level.extend(self.entry(run)?);
                Ok(())
            }
            Direction::Down => {
                let key = params![self.project.as_str(), run.as_str()];
                self.readers(READERS_OF_RUN, key, level, |read| match (&read.source, path) {
                    (Node::Artifact { path: taken, .. }, Some(path)) => overlap(taken.as_ref(), path),
                    _ => Some(None),
                })?;
                self.made_of(run, path, level)
            }
        }
    }

    /// Datasets that hold the bytes of an output.
    fn exported(
        &mut self,
        run: &RunId,
        path: &FilePath,
        places: &[FilePlace],
        level: &mut Vec<i64>,
    ) -> Result<(), CatalogError> {
        let Some(digest) = self.catalog.output_digest(self.project, run, path)? else { return Ok(()) };
        let planned = self.catalog.run_entry(self.project, run)?;
        for place in places {
            // What was there before the run did not come from it.
            if self.catalog.added_by(self.project, &place.name, place.version)? < planned {
                continue;
            }
            let artifact = Node::Artifact { run: run.clone(), path: Some(path.clone()), digest };
            self.push(artifact, place.dataset(), EdgeKind::Part { path: place.path.clone() });
            self.readers_of_place(place, level)?;
        }
        Ok(())
    }

    /// Datasets that are the bytes of what `run` left, and who read them.
    fn made_of(
        &mut self,
        run: &RunId,
        path: Option<&FilePath>,
        level: &mut Vec<i64>,
    ) -> Result<(), CatalogError> {
        let key = params![self.project.as_str(), run.as_str()];
        for made in self.catalog.rows(MADE_OF_RUN, key, Made::from_row)? {
            let meets = path.is_none_or(|path| overlap(made.path.as_ref(), path).is_some());
            let (name, version) = (made.name.clone(), made.version);
            if meets && self.made(made) {
                self.dataset(&name, version, level)?;
            }
        }
        Ok(())
    }

    fn dataset(
        &mut self,
        name: &DatasetName,
        version: u32,
        level: &mut Vec<i64>,
    ) -> Result<(), CatalogError> {
        let Some(found) = self.catalog.dataset_version(self.project, name, Some(version))? else {
            return Ok(());
        };
        self.hops = 1;
        let node = Node::Dataset { name: found.name.clone(), version, digest: found.snapshot };
        match self.direction {
            Direction::Up => {
                self.given(found.origin, node);
                let key = params![self.project.as_str(), name.as_str(), version];
                for made in self.catalog.rows(MAKERS_OF_DATASET, key, Made::from_row)? {
                    let entry = made.entry;
                    if !self.made(made) {
                        break;
                    }
                    if self.expand(entry) {
                        level.push(entry);
                    }
                }
            }
            Direction::Down => {
                self.same(&node, &found.snapshot)?;
                let key = params![self.project.as_str(), found.snapshot.as_bytes()];
                self.readers(READERS_OF_SNAPSHOT, key, level, |_| Some(None))?;
                self.given_away(name, version, &node)?;
            }
        }
        Ok(())
    }

    /// Other datasets that are the same bytes.
    fn same(&mut self, node: &Node, snapshot: &Digest) -> Result<(), CatalogError> {
        let key = params![self.project.as_str(), snapshot.as_bytes()];
        let others = self.catalog.rows(SAME, key, |row| {
            Ok(Node::Dataset { name: get(row, "name")?, version: get(row, "version")?, digest: *snapshot })
        })?;
        for other in others {
            if other != *node && !self.push(node.clone(), other, EdgeKind::Same) {
                break;
            }
        }
        Ok(())
    }

    /// The projects that a version was given to.
    fn given_away(&mut self, name: &DatasetName, version: u32, node: &Node) -> Result<(), CatalogError> {
        for change in self.catalog.dataset_changes(self.project, name)? {
            if let aseptic_model::Event::DatasetShared { to, .. } = change.event
                && change.version == version
            {
                let to = Node::Elsewhere { project: to, name: name.clone(), version: None };
                self.push(node.clone(), to, EdgeKind::Shared);
            }
        }
        Ok(())
    }

    /// A file or a tree, wherever it lies.
    fn digest(
        &mut self,
        object: &Object,
        digest: &Digest,
        places: &[FilePlace],
        level: &mut Vec<i64>,
    ) -> Result<(), CatalogError> {
        let node = match object {
            Object::File(_) => Node::File { digest: *digest },
            _ => Node::Snapshot { digest: *digest },
        };
        for place in places {
            self.hops = 1;
            self.push(node.clone(), place.dataset(), EdgeKind::Part { path: place.path.clone() });
            self.readers_of_place(place, level)?;
        }
        for producer in self.catalog.producers(self.project, digest)? {
            match producer {
                Node::Dataset { name, version, .. } => self.dataset(&name, version, level)?,
                Node::Artifact { run, path, .. } => {
                    self.artifact(&run, path.as_ref(), Some(digest), level)?;
                }
                _ => {}
            }
        }
        if self.direction == Direction::Down && matches!(object, Object::Snapshot(_)) {
            self.hops = 1;
            let key = params![self.project.as_str(), digest.as_bytes()];
            self.readers(READERS_OF_SNAPSHOT, key, level, |_| Some(None))?;
            self.runs_with(BY_CODE, &[digest.as_bytes()], &node, &EdgeKind::Code, level)?;
        }
        Ok(())
    }

    /// Runs that opened the file at a place, or any below it, and those of which that is not known.
    fn readers_of_place(&mut self, place: &FilePlace, level: &mut Vec<i64>) -> Result<(), CatalogError> {
        match self.direction {
            Direction::Up => self.dataset(&place.name, place.version, level),
            Direction::Down => {
                let (below, end) = below(&place.path);
                let path = place.path.as_bytes();
                let key = params![self.project.as_str(), place.snapshot.as_bytes(), path, below, end];
                self.readers(READERS_OF_PLACE, key, level, |_| Some(Some(place.path.clone())))
            }
        }
    }

    /// The edges of every input that `sql` finds and `meets` takes, which may say what of it is meant.
    fn readers(
        &mut self,
        sql: &str,
        key: &[&dyn ToSql],
        level: &mut Vec<i64>,
        meets: impl Fn(&Read) -> Option<Option<FilePath>>,
    ) -> Result<(), CatalogError> {
        let catalog = self.catalog;
        let mut failed = None;
        catalog.each(sql, key, Read::from_row, |read| {
            let Some(path) = meets(&read) else { return true };
            if let (Some(path), Some(set)) = (&path, &read.read_set) {
                match catalog.set_has(set, path) {
                    Ok(true) => {}
                    Ok(false) => return true, // It did not open it.
                    Err(error) => {
                        failed = Some(error);
                        return false;
                    }
                }
            }
            let room = self.read(&read, path.as_ref());
            if room && self.expand(read.entry) {
                level.push(read.entry);
            }
            room
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// An edge from `node` to every run that `sql` finds.
    fn runs_with(
        &mut self,
        sql: &str,
        key: &[&dyn ToSql],
        node: &Node,
        kind: &EdgeKind,
        level: &mut Vec<i64>,
    ) -> Result<(), CatalogError> {
        if self.direction == Direction::Up {
            return Ok(()); // It comes from nothing that is recorded.
        }
        self.hops = 1;
        let project = self.project.as_str();
        let mut parameters: Vec<&dyn ToSql> = vec![&project];
        parameters.extend(key);
        let catalog = self.catalog;
        let read = |row: &crate::column::Row<'_>| Ok((get::<i64>(row, "entry")?, get::<RunId>(row, "run")?));
        catalog.each(sql, parameters.as_slice(), read, |(entry, run)| {
            self.entries.insert(run.clone(), entry);
            let room = self.push(node.clone(), Node::Run { run }, kind.clone());
            if room && self.expand(entry) {
                level.push(entry);
            }
            room
        })
    }
}

/// Whether an input that was taken from `taken` of a run has something of the output `path` of it; and what, as a
/// path in that input, where it is not all of the input.
#[expect(clippy::option_option, reason = "nothing in common, all of it, or a part of it")]
fn overlap(taken: Option<&FilePath>, path: &FilePath) -> Option<Option<FilePath>> {
    let Some(taken) = taken else { return Some(Some(path.clone())) };
    if taken.as_path().starts_with(path.as_path()) {
        return Some(None);
    }
    let rest = path.as_path().strip_prefix(taken.as_path()).ok()?;
    let rest = FilePath::from_bytes(std::os::unix::ffi::OsStrExt::as_bytes(rest.as_os_str())).ok()?;
    Some(Some(rest))
}

// Without statistics SQLite would walk a whole project: `INDEXED BY` and `CROSS JOIN` say where to begin.
const READERS_OF_RUN: &str = "
    SELECT source.entry AS source_entry, reader.run, run_input.* FROM run AS source
    CROSS JOIN run_input INDEXED BY run_input_source ON run_input.source_run = source.run
    CROSS JOIN run AS reader ON reader.entry = run_input.entry
    WHERE source.project = ?1 AND source.run = ?2 AND reader.project = ?1
    ORDER BY run_input.entry, run_input.name";
const READERS_OF_SNAPSHOT: &str = "
    SELECT source.entry AS source_entry, reader.run, run_input.*
    FROM run_input INDEXED BY run_input_snapshot
    CROSS JOIN run AS reader ON reader.entry = run_input.entry
    LEFT JOIN run AS source ON source.project = ?1 AND source.run = run_input.source_run
    WHERE run_input.snapshot = ?2 AND reader.project = ?1
    ORDER BY run_input.entry, run_input.name";
const READERS_OF_PLACE: &str = "
    SELECT source.entry AS source_entry, reader.run, run_input.*
    FROM run_input INDEXED BY run_input_snapshot
    CROSS JOIN run AS reader ON reader.entry = run_input.entry
    LEFT JOIN run AS source ON source.project = ?1 AND source.run = run_input.source_run
    WHERE run_input.snapshot = ?2 AND reader.project = ?1 AND (run_input.read_set IS NULL
        OR EXISTS (SELECT 1 FROM read_file WHERE read_file.read_set = run_input.read_set AND path = ?3)
        OR EXISTS (SELECT 1 FROM read_file WHERE read_file.read_set = run_input.read_set
                   AND path >= ?4 AND path < ?5))
    ORDER BY run_input.entry, run_input.name";
const SAME: &str = "
    SELECT name, version FROM dataset_version INDEXED BY dataset_version_snapshot
    WHERE snapshot = ?2 AND project = ?1 ORDER BY name, version";
const MADE_OF_RUN: &str = "
    SELECT dataset_source.entry, run.run, dataset_source.name, dataset_source.version, dataset_version.snapshot,
        CASE WHEN LENGTH(dataset_source.path) > 0 THEN dataset_source.path END AS path,
        (SELECT blake3 FROM run_output WHERE run_output.entry = dataset_source.entry
            AND run_output.path = dataset_source.path) AS file
    FROM run
    CROSS JOIN dataset_source INDEXED BY dataset_source_entry ON dataset_source.entry = run.entry
    CROSS JOIN dataset_version ON dataset_version.project = dataset_source.project
        AND dataset_version.name = dataset_source.name AND dataset_version.version = dataset_source.version
    WHERE run.project = ?1 AND run.run = ?2 AND dataset_source.project = ?1
    ORDER BY dataset_source.name, dataset_source.version, dataset_source.path";
const MAKERS_OF_DATASET: &str = "
    SELECT dataset_source.entry, run.run, dataset_source.name, dataset_source.version, dataset_version.snapshot,
        CASE WHEN LENGTH(dataset_source.path) > 0 THEN dataset_source.path END AS path,
        (SELECT blake3 FROM run_output WHERE run_output.entry = dataset_source.entry
            AND run_output.path = dataset_source.path) AS file
    FROM dataset_source
    CROSS JOIN dataset_version ON dataset_version.project = dataset_source.project
        AND dataset_version.name = dataset_source.name AND dataset_version.version = dataset_source.version
    CROSS JOIN run ON run.entry = dataset_source.entry AND run.project = ?1
    WHERE dataset_source.project = ?1 AND dataset_source.name = ?2 AND dataset_source.version = ?3
    ORDER BY dataset_source.entry, dataset_source.path";
const BY_HOST: &str = "
    SELECT entry, run FROM run INDEXED BY run_host WHERE host = ?2 AND project = ?1 ORDER BY entry";
const BY_POLICY: &str = "
    SELECT entry, run FROM run INDEXED BY run_policy WHERE policy = ?2 AND project = ?1 ORDER BY entry";
const BY_CODE: &str = "
    SELECT entry, run FROM run INDEXED BY run_code WHERE code = ?2 AND project = ?1 ORDER BY entry";
const ENVIRONMENTS: &str = "
    SELECT environment FROM environment_package WHERE name = ?1 AND version = ?2 ORDER BY environment";
const BY_ENVIRONMENT: &str = "
    SELECT entry, run FROM run INDEXED BY run_environment WHERE environment = ?2 AND project = ?1 ORDER BY entry";
