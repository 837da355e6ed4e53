//! From one level of runs to the next, as edges.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use aseptic_model::{DatasetName, Digest, FilePath, InputName, Object, Origin, ProjectName, RunId};
use rusqlite::ToSql;

use super::node::{EdgeKind, Evidence, LineageEdge, Node};
use super::{Direction, EDGES_MAX, FilePlace, LineageGraph, LineagePage};
use crate::batch::Batch;
use crate::column::{Read as Answer, Row, get};
use crate::{Catalog, CatalogError};

impl Catalog {
    /// What came from `object`, or what it came from, breadth first: one page of it.
    ///
    /// `places` are where the file or directory `object` lies in datasets. Versions of a package are those that
    /// [`version_is`](crate::version_is) says.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn lineage(
        &self,
        project: &ProjectName,
        object: &Object,
        places: &[FilePlace],
        direction: Direction,
        page: &LineagePage,
    ) -> Result<LineageGraph, CatalogError> {
        let mut walk = Walk::new(self, project, direction, page);
        let mut level = walk.first(object, places)?;
        while !level.is_empty() && !walk.full && page.depth.is_none_or(|depth| walk.hops < depth) {
            walk.hops += 1;
            level = match direction {
                Direction::Up => walk.up(&level)?,
                Direction::Down => walk.down(&level)?,
            };
        }
        walk.finish()
    }
}

/// A question that is being answered.
pub(super) struct Walk<'c> {
    pub(super) catalog: &'c Catalog,
    pub(super) project: &'c ProjectName,
    pub(super) direction: Direction,
    page: LineagePage,
    /// Steps so far.
    pub(super) hops: u32,
    /// Whether there are more edges than were asked for.
    pub(super) full: bool,
    /// Runs that were in a level already.
    expanded: BTreeSet<i64>,
    /// What was an edge already, those of pages before included.
    known: HashSet<Digest>,
    edges: Vec<LineageEdge>,
    /// By place in `edges`: the files that were opened.
    read_sets: BTreeMap<usize, Digest>,
    /// The digest that an output goes by: a file alone has another as an input than among the outputs.
    pub(super) names: BTreeMap<String, Digest>,
    /// Of the runs in `edges`.
    pub(super) entries: BTreeMap<RunId, i64>,
}

/// One input of one run.
pub(super) struct Read {
    pub(super) entry: i64,
    pub(super) run: RunId,
    pub(super) input: InputName,
    pub(super) source: Node,
    /// Of the run that left it.
    pub(super) source_entry: Option<i64>,
    pub(super) read_set: Option<Digest>,
}

impl Read {
    pub(super) fn from_row(row: &Row<'_>) -> Answer<Self> {
        let digest = get(row, "snapshot")?;
        let source = match (get(row, "dataset")?, get(row, "source_run")?) {
            (Some(name), _) => Node::Dataset { name, version: get(row, "version")?, digest },
            (None, Some(run)) => Node::Artifact { run, path: get(row, "source_path")?, digest },
            (None, None) => Node::Snapshot { digest },
        };
        Ok(Self {
            entry: get(row, "entry")?,
            run: get(row, "run")?,
            input: get(row, "name")?,
            source,
            source_entry: get(row, "source_entry")?,
            read_set: get(row, "read_set")?,
        })
    }
}

/// A dataset that is the bytes of what a run left.
pub(super) struct Made {
    pub(super) entry: i64,
    pub(super) run: RunId,
    pub(super) path: Option<FilePath>,
    pub(super) name: DatasetName,
    pub(super) version: u32,
    pub(super) snapshot: Digest,
    /// Of the output, where that is a file.
    pub(super) file: Option<Digest>,
}

impl Made {
    pub(super) fn from_row(row: &Row<'_>) -> Answer<Self> {
        Ok(Self {
            entry: get(row, "entry")?,
            run: get(row, "run")?,
            path: get(row, "path")?,
            name: get(row, "name")?,
            version: get(row, "version")?,
            snapshot: get(row, "snapshot")?,
            file: get(row, "file")?,
        })
    }
}

impl<'c> Walk<'c> {
    fn new(catalog: &'c Catalog, project: &'c ProjectName, direction: Direction, page: &LineagePage) -> Self {
        Self {
            catalog,
            project,
            direction,
            page: LineagePage { limit: page.limit.min(EDGES_MAX.saturating_sub(page.skip)), ..*page },
            hops: 0,
            full: false,
            expanded: BTreeSet::new(),
            known: HashSet::new(),
            edges: Vec::new(),
            read_sets: BTreeMap::new(),
            names: BTreeMap::new(),
            entries: BTreeMap::new(),
        }
    }

    /// Adds an edge unless it is there; whether there is room for another.
    pub(super) fn push(&mut self, from: Node, to: Node, kind: EdgeKind) -> bool {
        let (word, about) = match &kind {
            EdgeKind::Read { input, .. } => ("read", input.to_string()),
            EdgeKind::Part { path } => ("part", path.to_string()),
            other => (other.as_str(), String::new()),
        };
        let key = Digest::of(format!("{from}\n{to}\n{word}\n{about}").as_bytes());
        if self.known.contains(&key) {
            return true;
        }
        if self.known.len() >= self.page.skip + self.page.limit {
            self.full = true;
            return false;
        }
        self.known.insert(key);
        if self.known.len() > self.page.skip {
            let (from, to) = (self.named(from), self.named(to));
            self.edges.push(LineageEdge { from, to, kind, hops: self.hops.max(1) });
        }
        true
    }

    /// An output always by the same digest, so that it is one node.
    fn named(&mut self, node: Node) -> Node {
        let text = node.to_string();
        match node {
            Node::Artifact { run, path, digest } => {
                let digest = *self.names.entry(text).or_insert(digest);
                Node::Artifact { run, path, digest }
            }
            other => other,
        }
    }

    /// The edges of one input: of the run that had it, and of the one that left it.
    pub(super) fn read(&mut self, read: &Read, path: Option<&FilePath>) -> bool {
        self.entries.insert(read.run.clone(), read.entry);
        let evidence = if read.read_set.is_some() { Evidence::Observed } else { Evidence::Declared };
        let kind = EdgeKind::Read { input: read.input.clone(), evidence, opened: None, path: path.cloned() };
        let before = self.edges.len();
        let mut room = self.push(read.source.clone(), Node::Run { run: read.run.clone() }, kind);
        if let Some(set) = read.read_set.filter(|_| self.edges.len() > before) {
            self.read_sets.insert(before, set);
        }
        if let (true, Node::Artifact { run, .. }) = (room, &read.source) {
            if let Some(entry) = read.source_entry {
                self.entries.insert(run.clone(), entry);
            }
            room = self.push(Node::Run { run: run.clone() }, read.source.clone(), EdgeKind::Left);
        }
        room
    }

    /// The edges of a dataset that is the bytes of what a run left.
    pub(super) fn made(&mut self, made: Made) -> bool {
        let Made { entry, run, path, name, version, snapshot: digest, file } = made;
        self.entries.insert(run.clone(), entry);
        let artifact = Node::Artifact { run: run.clone(), path, digest: file.unwrap_or(digest) };
        self.push(Node::Run { run }, artifact.clone(), EdgeKind::Left)
            && self.push(artifact, Node::Dataset { name, version, digest }, EdgeKind::Became)
    }

    /// Whether `entry` is a run that no level had yet.
    pub(super) fn expand(&mut self, entry: i64) -> bool {
        self.expanded.insert(entry)
    }

    fn down(&mut self, level: &[i64]) -> Result<Vec<i64>, CatalogError> {
        let mut next = Vec::new();
        self.each(READERS, level, Read::from_row, |walk, read| {
            let room = walk.read(&read, None);
            if walk.expand(read.entry) {
                next.push(read.entry);
            }
            room
        })?;
        self.each(MADE, level, Made::from_row, Self::made)?;
        self.each(READERS_OF_MADE, level, Read::from_row, |walk, read| {
            let room = walk.read(&read, None);
            if walk.expand(read.entry) {
                next.push(read.entry);
            }
            room
        })?;
        Ok(next)
    }

    fn up(&mut self, level: &[i64]) -> Result<Vec<i64>, CatalogError> {
        let mut next = Vec::new();
        self.each(INPUTS, level, Read::from_row, |walk, read| {
            let room = walk.read(&read, None);
            if let Some(source) = read.source_entry
                && walk.expand(source)
            {
                next.push(source);
            }
            room
        })?;
        self.each(MAKERS, level, Made::from_row, |walk, made| {
            let entry = made.entry;
            let room = walk.made(made);
            if walk.expand(entry) {
                next.push(entry);
            }
            room
        })?;
        self.each(GIVEN, level, given, |walk, (origin, to)| walk.given(origin, to))?;
        Ok(next)
    }

    /// The edge from a dataset of another project, if `origin` is one.
    pub(super) fn given(&mut self, origin: Option<Origin>, to: Node) -> bool {
        match origin {
            Some(Origin::Shared { project, name, version }) => {
                let from = Node::Elsewhere { project, name, version: Some(version) };
                self.push(from, to, EdgeKind::Shared)
            }
            Some(Origin::Archive { .. }) | None => true,
        }
    }

    fn each<T>(
        &mut self,
        sql: &str,
        level: &[i64],
        read: fn(&Row<'_>) -> Answer<T>,
        mut take: impl FnMut(&mut Self, T) -> bool,
    ) -> Result<(), CatalogError> {
        if self.full {
            return Ok(());
        }
        let project = self.project.as_str();
        let batch = Batch { sql, before: &[&project as &dyn ToSql] };
        let catalog = self.catalog;
        catalog.each_of(&batch, level, read, |row| take(self, row))
    }

    fn finish(mut self) -> Result<LineageGraph, CatalogError> {
        let mut counts: HashMap<Digest, u64> = HashMap::new();
        for (index, set) in &self.read_sets {
            let count = match counts.get(set) {
                Some(count) => *count,
                None => {
                    let sql = "SELECT COUNT(*) AS files FROM read_file WHERE read_set = ?1";
                    let rows = self.catalog.rows(sql, [set.as_bytes()], |row| get(row, "files"))?;
                    let count = rows.into_iter().next().unwrap_or_default();
                    counts.insert(*set, count);
                    count
                }
            };
            if let Some(LineageEdge { kind: EdgeKind::Read { opened, .. }, .. }) = self.edges.get_mut(*index)
            {
                *opened = Some(count);
            }
        }
        let mut seen = BTreeSet::new();
        let ends: Vec<Node> = self
            .edges
            .iter()
            .flat_map(|edge| [&edge.from, &edge.to])
            .filter(|node| seen.insert((*node).clone()))
            .cloned()
            .collect();
        let nodes = self.catalog.node_details(self.project, ends, &self.entries)?;
        let end = self.page.skip + self.edges.len();
        let next = (self.full && end < EDGES_MAX).then_some(end);
        Ok(LineageGraph { nodes, edges: self.edges, next, truncated: self.full })
    }
}

/// A dataset version and where it comes from.
fn given(row: &Row<'_>) -> Answer<(Option<Origin>, Node)> {
    let dataset = Node::Dataset {
        name: get(row, "name")?,
        version: get(row, "version")?,
        digest: get(row, "snapshot")?,
    };
    Ok((get(row, "origin")?, dataset))
}

// Without statistics SQLite would walk a whole project: `INDEXED BY` and `CROSS JOIN` say where to begin.
const READERS: &str = "
    SELECT source.entry AS source_entry, reader.run, run_input.* FROM run AS source
    CROSS JOIN run_input INDEXED BY run_input_source ON run_input.source_run = source.run
    CROSS JOIN run AS reader ON reader.entry = run_input.entry
    WHERE source.entry IN ({entries}) AND source.project = ?1 AND reader.project = ?1
    ORDER BY source.entry, run_input.entry, run_input.name";
const READERS_OF_MADE: &str = "
    SELECT NULL AS source_entry, reader.run, run_input.*
    FROM dataset_source INDEXED BY dataset_source_entry
    CROSS JOIN dataset_version ON dataset_version.project = dataset_source.project
        AND dataset_version.name = dataset_source.name AND dataset_version.version = dataset_source.version
    CROSS JOIN run_input INDEXED BY run_input_snapshot ON run_input.snapshot = dataset_version.snapshot
    CROSS JOIN run AS reader ON reader.entry = run_input.entry
    WHERE dataset_source.entry IN ({entries}) AND dataset_source.project = ?1 AND reader.project = ?1
        AND reader.entry > dataset_source.entry
    ORDER BY dataset_source.entry, dataset_source.name, dataset_source.version, run_input.entry, run_input.name";
const MADE: &str = "
    SELECT dataset_source.entry, run.run, dataset_source.name, dataset_source.version, dataset_version.snapshot,
        CASE WHEN LENGTH(dataset_source.path) > 0 THEN dataset_source.path END AS path,
        (SELECT blake3 FROM run_output WHERE run_output.entry = dataset_source.entry
            AND run_output.path = dataset_source.path) AS file
    FROM dataset_source INDEXED BY dataset_source_entry
    CROSS JOIN dataset_version ON dataset_version.project = dataset_source.project
        AND dataset_version.name = dataset_source.name AND dataset_version.version = dataset_source.version
    CROSS JOIN run ON run.entry = dataset_source.entry
    WHERE dataset_source.entry IN ({entries}) AND dataset_source.project = ?1
    ORDER BY dataset_source.entry, dataset_source.name, dataset_source.version, dataset_source.path";
const INPUTS: &str = "
    SELECT source.entry AS source_entry, reader.run, run_input.* FROM run AS reader
    CROSS JOIN run_input ON run_input.entry = reader.entry
    LEFT JOIN run AS source ON source.project = ?1 AND source.run = run_input.source_run
    WHERE reader.entry IN ({entries}) AND reader.project = ?1
    ORDER BY reader.entry, run_input.name";
const MAKERS: &str = "
    SELECT dataset_source.entry, run.run, dataset_source.name, dataset_source.version, dataset_version.snapshot,
        CASE WHEN LENGTH(dataset_source.path) > 0 THEN dataset_source.path END AS path,
        (SELECT blake3 FROM run_output WHERE run_output.entry = dataset_source.entry
            AND run_output.path = dataset_source.path) AS file
    FROM run AS reader
    CROSS JOIN run_input ON run_input.entry = reader.entry
    CROSS JOIN dataset_version INDEXED BY dataset_version_snapshot ON dataset_version.snapshot = run_input.snapshot
    CROSS JOIN dataset_source ON dataset_source.project = dataset_version.project
        AND dataset_source.name = dataset_version.name AND dataset_source.version = dataset_version.version
    CROSS JOIN run ON run.entry = dataset_source.entry AND run.project = ?1
    WHERE reader.entry IN ({entries}) AND reader.project = ?1 AND dataset_version.project = ?1
        AND reader.entry > dataset_source.entry
    ORDER BY reader.entry, dataset_source.name, dataset_source.version, dataset_source.entry, dataset_source.path";
const GIVEN: &str = "
    SELECT dataset_version.name, dataset_version.version, dataset_version.snapshot, dataset_version.origin
    FROM run AS reader
    CROSS JOIN run_input ON run_input.entry = reader.entry
    CROSS JOIN dataset_version ON dataset_version.project = ?1
        AND dataset_version.name = run_input.dataset AND dataset_version.version = run_input.version
    WHERE reader.entry IN ({entries}) AND reader.project = ?1 AND dataset_version.origin IS NOT NULL
    ORDER BY reader.entry, run_input.name";
