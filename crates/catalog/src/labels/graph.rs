//! What a node came from and what came of it, for many nodes in one statement.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aseptic_model::{FilePath, InputName, Label};

use super::act::{ACTS, Act, act, labels_at, path};
use super::{Kept, kept};
use crate::CatalogError;
use crate::batch::Batch;
use crate::column::{Column as _, Read, Row, get};
use crate::database::Database;

/// Where something came from, with what is needed to know its labels there.
pub(crate) struct Source {
    pub(super) key: i64,
    pub(super) path: Option<FilePath>,
    /// Whether single outputs of it have acts of their own.
    pub(super) parts: bool,
    pub(super) kept: Kept,
}

impl Source {
    /// The labels of it where it was taken from. `acts` has those of a source which [`Self::needs_acts`].
    pub(super) fn labels<'a>(&self, kept: &'a Kept, acts: &ActsOf) -> Cow<'a, BTreeSet<Label>> {
        match &self.path {
            Some(path) if self.parts => {
                let acts = acts.get(&self.key).map_or(&[][..], Vec::as_slice);
                Cow::Owned(labels_at(&kept.inherited, acts, Some(path)))
            }
            // Without acts about parts all parts have what the whole has.
            _ => Cow::Borrowed(&kept.labels),
        }
    }

    pub(super) fn needs_acts(&self) -> bool {
        self.parts && self.path.is_some()
    }
}

pub(crate) fn source(row: &Row<'_>) -> Read<Source> {
    source_of(row, kept(row)?)
}

fn source_of(row: &Row<'_>, kept: Kept) -> Read<Source> {
    Ok(Source { key: get(row, "source")?, path: path(row)?, parts: get(row, "parts")?, kept })
}

/// The labels of a source where it was taken from, looked up.
pub(crate) fn labels_of(database: &Database, source: &Source) -> Result<BTreeSet<Label>, CatalogError> {
    let acts = if source.needs_acts() { acts_of(database, &[source.key])? } else { ActsOf::new() };
    Ok(source.labels(&source.kept, &acts).into_owned())
}

/// Sets of labels by their text: of many nodes few have others, and each text is read once.
#[derive(Default)]
struct Sets(BTreeMap<Vec<u8>, Rc<BTreeSet<Label>>>);

impl Sets {
    fn kept(&mut self, row: &Row<'_>) -> Read<Kept> {
        Ok(Kept { inherited: self.set(row, "inherited")?, labels: self.set(row, "labels")? })
    }

    fn set(&mut self, row: &Row<'_>, column: &str) -> Read<Rc<BTreeSet<Label>>> {
        row.get(column, |value| {
            let text = value.as_bytes()?;
            if let Some(known) = self.0.get(text) {
                return Ok(Rc::clone(known));
            }
            let set = Rc::new(BTreeSet::read(value)?);
            self.0.insert(text.to_vec(), Rc::clone(&set));
            Ok(set)
        })
    }
}

/// A run or a version of a dataset.
pub(super) struct Node {
    pub(super) is_run: bool,
    pub(super) kept: Kept,
}

/// Those of `keys` that are nodes.
pub(super) fn nodes(database: &Database, keys: &[i64]) -> Result<BTreeMap<i64, Node>, CatalogError> {
    let mut found = BTreeMap::new();
    let mut sets = Sets::default();
    database.until_of(&Batch { sql: NODES, before: &[] }, keys, |row| {
        found.insert(get(row, "entry")?, Node { is_run: get(row, "is_run")?, kept: sets.kept(row)? });
        Ok(true)
    })?;
    Ok(found)
}

/// The acts about nodes.
pub(super) type ActsOf = BTreeMap<i64, Vec<Act>>;

pub(super) fn acts_of(database: &Database, keys: &[i64]) -> Result<ActsOf, CatalogError> {
    let mut found = ActsOf::new();
    database.until_of(&Batch { sql: ACTS, before: &[] }, keys, |row| {
        found.entry(get(row, "entry")?).or_default().push(act(row)?);
        Ok(true)
    })?;
    Ok(found)
}

/// What nodes came from, in no order; each source of a run with the name of the input. A source that came after a run is
/// none of it.
pub(super) type SourcesOf = BTreeMap<i64, Vec<(Option<InputName>, Source)>>;

pub(super) fn sources_of(database: &Database, keys: &[i64]) -> Result<SourcesOf, CatalogError> {
    let mut found = SourcesOf::new();
    let mut sets = Sets::default();
    database.until_of(&Batch { sql: SOURCES, before: &[] }, keys, |row| {
        let source = source_of(row, sets.kept(row)?)?;
        found.entry(get(row, "node")?).or_default().push((get(row, "name")?, source));
        Ok(true)
    })?;
    Ok(found)
}

/// What has something of a node at once.
pub(super) struct Child {
    pub(super) of: i64,
    pub(super) key: i64,
    pub(super) is_run: bool,
    /// What of the node it has; nothing for all.
    pub(super) path: Option<FilePath>,
}

/// Calls `with` for every child of any of `keys`, while it gives true.
pub(super) fn children_of(
    database: &Database,
    keys: &[i64],
    mut with: impl FnMut(Child) -> bool,
) -> Result<(), CatalogError> {
    database.until_of(&Batch { sql: CHILDREN, before: &[] }, keys, |row| {
        let (of, key, is_run) = (get(row, "node")?, get(row, "entry")?, get(row, "is_run")?);
        Ok(with(Child { of, key, is_run, path: path(row)? }))
    })
}

const NODES: &str = "
    SELECT entry, inherited, labels, CAST(1 AS INTEGER) AS is_run FROM run WHERE entry IN ({entries})
    UNION ALL
    SELECT entry, inherited, labels, CAST(0 AS INTEGER) AS is_run FROM dataset_version
    WHERE entry IN ({entries})";

// The joins are in an order for SQLite, from the nodes on. An input is a version or of a run, never both, and no row of one
// part can be that of the other.
const SOURCES: &str = "
    SELECT node.entry AS node, run_input.name AS name, COALESCE(version.entry, source.entry) AS source,
        COALESCE(version.inherited, source.inherited) AS inherited, COALESCE(version.labels, source.labels) AS labels,
        COALESCE(run_input.source_path, CAST('' AS BLOB)) AS path,
        CAST(CASE WHEN EXISTS (SELECT 1 FROM label_act WHERE label_act.entry = source.entry
            AND LENGTH(label_act.path) > 0) THEN 1 ELSE 0 END AS INTEGER) AS parts
    FROM run AS node CROSS JOIN run_input ON run_input.entry = node.entry
    LEFT JOIN dataset_version AS version ON version.project = node.project
        AND version.name = run_input.dataset AND version.version = run_input.version AND version.entry < node.entry
    LEFT JOIN run AS source ON source.project = node.project AND source.run = run_input.source_run
        AND source.entry < node.entry
    WHERE node.entry IN ({entries}) AND (version.entry IS NOT NULL OR source.entry IS NOT NULL)
    UNION ALL
    SELECT node.entry AS node, CAST(NULL AS TEXT) AS name, source.entry AS source, source.inherited AS inherited,
        source.labels AS labels, dataset_source.path AS path,
        CAST(CASE WHEN EXISTS (SELECT 1 FROM label_act WHERE label_act.entry = source.entry
            AND LENGTH(label_act.path) > 0) THEN 1 ELSE 0 END AS INTEGER) AS parts
    FROM dataset_version AS node CROSS JOIN dataset_source ON dataset_source.project = node.project
        AND dataset_source.name = node.name AND dataset_source.version = node.version
    CROSS JOIN run AS source ON source.entry = dataset_source.entry
    WHERE node.entry IN ({entries})";
const CHILDREN: &str = "
    SELECT node.entry AS node, user_run.entry AS entry, COALESCE(run_input.source_path, CAST('' AS BLOB)) AS path,
        CAST(1 AS INTEGER) AS is_run
    FROM run AS node CROSS JOIN run_input INDEXED BY run_input_source ON run_input.source_run = node.run
    CROSS JOIN run AS user_run ON user_run.entry = run_input.entry
    WHERE node.entry IN ({entries}) AND user_run.project = node.project AND user_run.entry > node.entry
    UNION ALL
    SELECT dataset_source.entry AS node, version.entry AS entry, dataset_source.path AS path,
        CAST(0 AS INTEGER) AS is_run
    FROM dataset_source INDEXED BY dataset_source_entry
    CROSS JOIN dataset_version AS version ON version.project = dataset_source.project
        AND version.name = dataset_source.name AND version.version = dataset_source.version
    WHERE dataset_source.entry IN ({entries})
    UNION ALL
    SELECT node.entry AS node, user_run.entry AS entry, CAST('' AS BLOB) AS path, CAST(1 AS INTEGER) AS is_run
    FROM dataset_version AS node
    CROSS JOIN run_input INDEXED BY run_input_dataset ON run_input.dataset = node.name
        AND run_input.version = node.version
    CROSS JOIN run AS user_run ON user_run.entry = run_input.entry
    WHERE node.entry IN ({entries}) AND user_run.project = node.project AND user_run.entry > node.entry";
