//! Datasets and runs with labels, and what a plain reading of all that was said about them gives.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_catalog::Catalog;
use aseptic_model::*;

use crate::world::{Job, World, artifact, dataset, digest, outputs_of, path, plan, project, record};

pub(super) const LABELS: [&str; 4] = ["pii", "eu", "secret", "holdout"];
/// Places in what a run left, the whole first.
pub(super) const PLACES: [&str; 6] = ["", "out", "out/a", "out/m", "out/m/x", "work"];
pub(super) const FILES: [&str; 3] = ["out/a", "out/m/x", "work/z"];

pub(super) fn set(labels: &[&str]) -> BTreeSet<Label> {
    labels.iter().map(|label| label.parse().unwrap()).collect()
}

pub(super) fn place(at: &str) -> Option<FilePath> {
    (!at.is_empty()).then(|| path(at.as_bytes()))
}

/// What a node is, as the entries say.
#[derive(Clone, Debug)]
pub(super) enum What {
    Version(DatasetName, u32),
    Run(RunId),
}

/// A node, with everything that was ever said about it, in order.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) what: What,
    pub(super) sources: Vec<(usize, &'static str)>,
    pub(super) acts: Vec<(Label, &'static str, bool)>,
}

#[derive(Default)]
pub(super) struct Story {
    pub(super) world: World,
    pub(super) nodes: Vec<Plain>,
    versions: BTreeMap<&'static str, u32>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A dataset: of new bytes, of all that a run left, or with one file of it.
    Import { name: usize, labels: Vec<&'static str>, from: Option<(usize, Option<usize>)> },
    /// A run with inputs: a node and, of a run, a place; its own labels, those that only the seal says, and whether it
    /// names a version that is not there yet.
    Run {
        inputs: Vec<(usize, usize)>,
        own: Vec<&'static str>,
        sealed: Vec<&'static str>,
        ghost: Option<(usize, Vec<&'static str>)>,
    },
    /// Labels that are given and taken off.
    Label { node: usize, at: usize, added: Vec<&'static str>, removed: Vec<&'static str> },
}

pub(super) const NAMES: [&str; 3] = ["rows", "scans", "scores"];

impl Story {
    pub(super) fn tell(&mut self, step: &Step) {
        match step {
            Step::Import { name, labels, from } => self.import(NAMES[*name], labels, *from),
            Step::Run { inputs, own, sealed, ghost } => self.run(inputs, own, sealed, ghost.as_ref()),
            Step::Label { node, at, added, removed } => self.label(*node, PLACES[*at], added, removed),
        }
    }

    pub(super) fn import(
        &mut self,
        name: &'static str,
        labels: &[&'static str],
        from: Option<(usize, Option<usize>)>,
    ) {
        let version = self.versions.get(name).copied().unwrap_or(0) + 1;
        self.versions.insert(name, version);
        let from =
            from.filter(|_| !self.nodes.is_empty()).map(|(node, file)| (node % self.nodes.len(), file));
        let run = from.and_then(|(node, file)| match &self.nodes[node].what {
            What::Run(run) => Some((node, run.clone(), file)),
            What::Version(..) => None,
        });
        let mut snapshot = digest(&format!("{name}@{version}"));
        let (mut sources, mut left_by_runs) = (Vec::new(), BTreeSet::new());
        match run {
            Some((node, run, None)) => {
                snapshot = outputs_of(&run);
                sources.push((node, ""));
            }
            Some((node, run, Some(file))) => {
                left_by_runs.insert(Digest::of(format!("{run}/{}", FILES[file]).as_bytes()));
                sources.push((node, FILES[file]));
            }
            None => {}
        }
        // As the importer says it: what the runs bring is inherited, the rest is its own.
        let own = set(labels);
        let brought: BTreeSet<Label> = sources
            .iter()
            .flat_map(|(node, at)| self.labels(*node, at))
            .filter(|l| !own.contains(l))
            .collect();
        self.world.push(Event::DatasetAdded {
            name: name.parse().unwrap(),
            version,
            snapshot,
            files: 3,
            bytes: 3,
            labels: own.union(&brought).cloned().collect(),
            inherited: brought,
            metadata: Metadata::new(),
            retention: None,
            origin: None,
            left_by_runs,
        });
        let acts = own.into_iter().map(|label| (label, "", true)).collect();
        self.nodes.push(Plain { what: What::Version(name.parse().unwrap(), version), sources, acts });
    }

    pub(super) fn run(
        &mut self,
        inputs: &[(usize, usize)],
        own: &[&'static str],
        sealed: &[&'static str],
        ghost: Option<&(usize, Vec<&'static str>)>,
    ) {
        let mut job = Job { outputs: FILES.map(|file| path(file.as_bytes())).to_vec(), ..Job::default() };
        let (mut sources, mut acts) = (Vec::new(), Vec::new());
        let known = if self.nodes.is_empty() { &[][..] } else { inputs };
        for (number, (node, at)) in known.iter().enumerate() {
            let (node, at) = (node % self.nodes.len(), PLACES[*at]);
            let mut input = match &self.nodes[node].what {
                What::Version(name, version) => dataset(name.as_str(), *version),
                What::Run(run) => artifact(run, (!at.is_empty()).then_some(at)),
            };
            let at = if matches!(self.nodes[node].what, What::Run(_)) { at } else { "" };
            input.labels = self.labels(node, at);
            sources.push((node, at));
            job.inputs.push((["i0", "i1", "i2"][number], input));
        }
        if let Some((name, labels)) = ghost {
            let name = NAMES[*name];
            let mut input = dataset(name, self.versions.get(name).copied().unwrap_or(0) + 1);
            input.labels = set(labels);
            acts.extend(input.labels.iter().map(|label| (label.clone(), "", true)));
            job.inputs.push(("ghost", input));
        }
        let mut made = plan(&job);
        made.labels = set(own);
        acts.extend(made.labels.iter().map(|label| (label.clone(), "", true)));
        let run = self.world.id();
        let digest = self.world.put(&made);
        self.world.push(Event::RunPlanned {
            run: run.clone(),
            experiment: None,
            plan: digest,
            code: None,
            inputs: made.inputs.iter().map(|(name, input)| (name.clone(), input.snapshot)).collect(),
            git_commit: None,
            replays: None,
        });
        self.world.decide(&run, Vec::new());
        self.nodes.push(Plain { what: What::Run(run.clone()), sources, acts });
        let me = self.nodes.len() - 1;
        let before = self.labels(me, "");
        let extra: BTreeSet<Label> = set(sealed).difference(&before).cloned().collect();
        let record = self.world.put(&record(&run, &job, Status::Succeeded));
        self.world.push(Event::RunSealed {
            run: run.clone(),
            status: Status::Succeeded,
            record,
            outputs: outputs_of(&run),
            labels: before.union(&extra).cloned().collect(),
            attestation: None,
        });
        self.nodes[me].acts.extend(extra.into_iter().map(|label| (label, "", true)));
    }

    pub(super) fn label(
        &mut self,
        node: usize,
        at: &'static str,
        added: &[&'static str],
        removed: &[&'static str],
    ) {
        if self.nodes.is_empty() {
            return;
        }
        let node = node % self.nodes.len();
        let (added, removed, reason) = (set(added), set(removed), Some("because".to_owned()));
        let (event, at) = match self.nodes[node].what.clone() {
            What::Version(name, version) => {
                let (added, removed) = (added.clone(), removed.clone());
                (Event::DatasetLabelled { name, version, added, removed, reason }, "")
            }
            What::Run(run) => {
                let (added, removed) = (added.clone(), removed.clone());
                (Event::RunLabelled { run, path: place(at), added, removed, reason }, at)
            }
        };
        self.world.push(event);
        let acts = &mut self.nodes[node].acts;
        acts.extend(removed.into_iter().map(|label| (label, at, false)));
        acts.extend(added.into_iter().map(|label| (label, at, true)));
    }

    /// The labels of a node at a place, by nothing but what was said: a place has what any file in it has, and a file
    /// has what was last said of it or of a directory above, and without that what its node came from has.
    fn labels(&self, node: usize, at: &str) -> BTreeSet<Label> {
        set(&LABELS).into_iter().filter(|label| self.has(node, at, label)).collect()
    }

    pub(super) fn has(&self, node: usize, at: &str, label: &Label) -> bool {
        let plain = &self.nodes[node];
        let inside = |above: &str, path: &str| {
            above.is_empty() || path == above || path.starts_with(&format!("{above}/"))
        };
        // A file next to all others in each directory that anything was said of, and in the one that is asked about.
        let files = plain.acts.iter().map(|(_, at, _)| *at).filter(|path| inside(at, path)).chain([at]);
        files.map(|directory| format!("{directory}/file")).any(|file| {
            let said = plain.acts.iter().rev().find(|(of, above, _)| of == label && inside(above, &file));
            match said {
                Some((.., given)) => *given,
                None => plain.sources.iter().any(|(source, at)| self.has(*source, at, label)),
            }
        })
    }

    pub(super) fn check(&self, catalog: &Catalog) {
        for (number, node) in self.nodes.iter().enumerate() {
            match &node.what {
                What::Version(name, version) => {
                    let found = catalog.dataset_version(&project(), name, Some(*version)).unwrap().unwrap();
                    assert_eq!(found.labels, self.labels(number, ""), "{name}@{version}");
                }
                What::Run(run) => {
                    assert_eq!(
                        catalog.run(&project(), run).unwrap().unwrap().labels,
                        self.labels(number, "")
                    );
                    for at in PLACES {
                        let found = catalog.labels_of_outputs(&project(), run, place(at).as_ref()).unwrap();
                        assert_eq!(found, self.labels(number, at), "{run} at `{at}`");
                    }
                }
            }
            // Nothing is lost on the way but what was taken off here.
            let off: BTreeSet<&Label> =
                node.acts.iter().filter(|(.., given)| !given).map(|(label, ..)| label).collect();
            let from: BTreeSet<Label> =
                node.sources.iter().flat_map(|(source, at)| self.labels(*source, at)).collect();
            let has = self.labels(number, "");
            assert!(from.iter().all(|label| has.contains(label) || off.contains(label)));
        }
    }
}
