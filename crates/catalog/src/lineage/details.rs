//! What is worth knowing of each node of an answer.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{
    ExperimentName, FilePath, Label, MachineName, Object, ProjectName, RunId, RunName, Status, Timestamp,
};
use rusqlite::ToSql;
use serde::Serialize;

use super::node::Node;
use crate::batch::Batch;
use crate::column::get;
use crate::query::summary;
use crate::{Catalog, CatalogError, RunSummary};

/// Outputs of a run that are listed.
const OUTPUTS_SHOWN: i64 = 5;

/// A node, and what is known of it. What does not apply is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeDetails {
    /// It, in its text form.
    pub id: Node,
    /// One word: `run`, `dataset`, `artifact`, `snapshot`, `file`, `host`, `package`, `policy`, `elsewhere`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Digest of a tree, a file or rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<aseptic_model::Digest>,
    /// Labels of a dataset version, or of the outputs of a run.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<Label>,
    /// Whether it is in quarantine itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub quarantined: bool,
    /// What in quarantine reaches it; for who asks, since it takes a question of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached_by: Option<Object>,
    /// Files in a dataset version, or that a run left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Size of a dataset version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether its bytes were deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// More of a run.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunDetails>,
}

/// More of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunDetails {
    /// Its experiment.
    pub experiment: Option<ExperimentName>,
    /// The name that a person gave it.
    pub name: Option<RunName>,
    /// How it ended; nothing while it has not.
    pub status: Option<Status>,
    /// When it was planned.
    pub planned: Timestamp,
    /// The machine that it ran on.
    pub host: Option<MachineName>,
    /// The run that it repeats, if it is a replay.
    pub replays: Option<RunId>,
    /// Whether every file that it opened is known.
    pub complete: Option<bool>,
    /// The first files that it left.
    pub outputs: Vec<FilePath>,
}

impl Catalog {
    /// What is known of `nodes`, in their order. `entries` says which entries planned the runs among them.
    pub(super) fn node_details(
        &self,
        project: &ProjectName,
        nodes: Vec<Node>,
        entries: &BTreeMap<RunId, i64>,
    ) -> Result<Vec<NodeDetails>, CatalogError> {
        let of_run = |node: &Node| match node {
            Node::Run { run } => entries.get(run).copied(),
            _ => None,
        };
        let wanted: Vec<i64> = nodes.iter().filter_map(of_run).collect();
        let mut runs: BTreeMap<RunId, RunSummary> = BTreeMap::new();
        let mut files: BTreeMap<i64, u64> = BTreeMap::new();
        let before: [&dyn ToSql; 1] = [&project.as_str()];
        let of_runs = "SELECT * FROM run WHERE entry IN ({entries}) AND project = ?1";
        self.each_of(&Batch { sql: of_runs, before: &before }, &wanted, summary, |run| {
            runs.insert(run.run.clone(), run);
            true
        })?;
        let count =
            "SELECT entry, COUNT(*) AS files FROM run_output WHERE entry IN ({entries}) GROUP BY entry";
        self.each_of(
            &Batch { sql: count, before: &[] },
            &wanted,
            |row| Ok((get(row, "entry")?, get(row, "files")?)),
            |(entry, count)| {
                files.insert(entry, count);
                true
            },
        )?;
        let quarantined = self.quarantined_objects(project)?;
        let mut details = Vec::with_capacity(nodes.len());
        for node in nodes {
            let mut found = NodeDetails {
                kind: node.kind(),
                digest: node.digest().copied(),
                labels: BTreeSet::new(),
                quarantined: is_in(&quarantined, &node),
                reached_by: None,
                files: None,
                bytes: None,
                expired: false,
                run: None,
                id: node,
            };
            match &found.id {
                Node::Run { run } => {
                    if let (Some(summary), Some(entry)) = (runs.get(run), entries.get(run)) {
                        found.files = summary.record.map(|_| files.get(entry).copied().unwrap_or(0));
                        found.labels = summary.labels.clone();
                        found.expired = summary.expired.is_some();
                        found.run = Some(self.run_details(summary, *entry)?);
                    }
                }
                Node::Dataset { name, version, .. } => {
                    if let Some(dataset) = self.dataset_version(project, name, Some(*version))? {
                        found.files = Some(dataset.files);
                        found.bytes = Some(dataset.bytes);
                        found.expired = dataset.expired.is_some();
                        found.labels = dataset.labels;
                    }
                }
                _ => {}
            }
            details.push(found);
        }
        Ok(details)
    }

    /// What is known of one node.
    ///
    /// # Errors
    /// [`CatalogError`]: the catalog could not be read.
    pub fn node(&self, project: &ProjectName, node: Node) -> Result<Option<NodeDetails>, CatalogError> {
        let mut entries = BTreeMap::new();
        if let Node::Run { run } = &node
            && let Some(entry) = self.run_entry(project, run)?
        {
            entries.insert(run.clone(), i64::try_from(entry).unwrap_or(i64::MAX));
        }
        Ok(self.node_details(project, vec![node], &entries)?.pop())
    }

    fn run_details(&self, run: &RunSummary, entry: i64) -> Result<RunDetails, CatalogError> {
        let sql = "SELECT path FROM run_output WHERE entry = ?1 ORDER BY path LIMIT ?2";
        Ok(RunDetails {
            experiment: run.experiment.clone(),
            name: run.name.clone(),
            status: run.status,
            planned: run.planned,
            host: run.host.clone(),
            replays: run.replays.clone(),
            complete: run.complete,
            outputs: self.rows(sql, [entry, OUTPUTS_SHOWN], |row| get(row, "path"))?,
        })
    }

    fn quarantined_objects(&self, project: &ProjectName) -> Result<BTreeSet<Object>, CatalogError> {
        let sql = "SELECT object FROM quarantine WHERE project = ?1 AND lifted IS NULL";
        Ok(self.rows(sql, [project.as_str()], |row| get(row, "object"))?.into_iter().collect())
    }
}

/// Whether a node is in quarantine: by its name, by its digest, or with every version of it.
fn is_in(quarantined: &BTreeSet<Object>, node: &Node) -> bool {
    let any = match node {
        Node::Dataset { name, .. } => Some(Object::Dataset { name: name.clone(), version: None }),
        Node::Package { name, .. } => Some(Object::Package { name: name.clone(), version: None }),
        _ => None,
    };
    let digest = node.digest().into_iter().flat_map(|digest| match node {
        Node::Policy { .. } => vec![],
        _ => vec![Object::Snapshot(*digest), Object::File(*digest)],
    });
    node.object().into_iter().chain(any).chain(digest).any(|object| quarantined.contains(&object))
}
