//! A ledger and a store in memory, and the life of a run in them.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use aseptic_catalog::{Catalog, CatalogError, Position};
use aseptic_model::*;

use crate::server::Spot;

pub(crate) fn project() -> ProjectName {
    "vision".parse().unwrap()
}

pub(crate) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub(crate) fn path(bytes: &[u8]) -> FilePath {
    FilePath::from_bytes(bytes).unwrap()
}

/// The tree of all that a run left.
pub(crate) fn outputs_of(run: &RunId) -> Digest {
    digest(&format!("outputs of {run}"))
}

pub(crate) fn dataset(name: &str, version: u32) -> Input {
    let source = InputSource::Dataset { name: name.parse().unwrap(), version };
    let snapshot = digest(&format!("{name}@{version}"));
    Input { source, snapshot, files: 1, bytes: 1, labels: BTreeSet::new() }
}

pub(crate) fn artifact(run: &RunId, path: Option<&str>) -> Input {
    let source = InputSource::Artifact { run: run.clone(), path: path.map(|path| path.parse().unwrap()) };
    let snapshot = path.map_or_else(|| outputs_of(run), |path| digest(&format!("{run}/{path}")));
    Input { source, snapshot, files: 1, bytes: 1, labels: BTreeSet::new() }
}

/// What a run is made of; the rest is the same for all.
#[derive(Clone, Default)]
pub(crate) struct Job {
    pub(crate) experiment: Option<&'static str>,
    pub(crate) inputs: Vec<(&'static str, Input)>,
    pub(crate) outputs: Vec<FilePath>,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) entries: Vec<(Position, Entry)>,
    pub(crate) objects: BTreeMap<Digest, Vec<u8>>,
    runs: u64,
}

impl World {
    pub(crate) fn push(&mut self, event: Event) {
        let index = self.entries.len() as u64 + 1;
        let time = Timestamp::from_unix_ms(1_764_000_000_000 + i64::try_from(index).unwrap()).unwrap();
        let entry = Entry::new(time, "user:ada".to_owned(), project(), event);
        self.entries.push((Position { index, offset: 19 + 400 * index }, entry));
    }

    pub(crate) fn put<T: serde::Serialize>(&mut self, value: &T) -> Digest {
        let bytes = to_canonical(value).unwrap();
        let digest = Digest::of(&bytes);
        self.objects.insert(digest, bytes);
        digest
    }

    pub(crate) fn import(&mut self, name: &str, version: u32) {
        self.push(Event::DatasetAdded {
            name: name.parse().unwrap(),
            version,
            snapshot: digest(&format!("{name}@{version}")),
            files: 3,
            bytes: u64::from(version) * 10,
            labels: BTreeSet::from(["role=train".parse().unwrap()]),
            metadata: Metadata::new(),
            retention: None,
            origin: None,
            inherited: BTreeSet::new(),
            left_by_runs: BTreeSet::new(),
        });
    }

    /// The id of another run.
    pub(crate) fn id(&mut self) -> RunId {
        self.runs += 1;
        RunId::from_random(self.runs.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 4)
    }

    pub(crate) fn plan(&mut self, job: &Job) -> RunId {
        let run = self.id();
        let plan = plan(job);
        let digest = self.put(&plan);
        self.push(Event::RunPlanned {
            run: run.clone(),
            experiment: plan.experiment,
            plan: digest,
            code: plan.code.map(|code| code.snapshot),
            inputs: plan.inputs.into_iter().map(|(name, input)| (name, input.snapshot)).collect(),
            git_commit: None,
            replays: None,
        });
        run
    }

    pub(crate) fn decide(&mut self, run: &RunId, reasons: Vec<Reason>) {
        let outcome = if reasons.is_empty() { Outcome::Allow } else { Outcome::Deny };
        let decision = Decision { outcome, reasons, unlisted: 0 };
        self.push(Event::RunDecided {
            run: run.clone(),
            plan: digest("any"),
            decision,
            policy: None,
            requests: None,
        });
    }

    pub(crate) fn seal(&mut self, run: &RunId, job: &Job, status: Status) {
        let record = self.put(&record(run, job, status));
        self.push(Event::RunSealed {
            run: run.clone(),
            status,
            record,
            outputs: outputs_of(run),
            labels: BTreeSet::from(["role=train".parse().unwrap()]),
            attestation: None,
        });
    }

    /// A whole run.
    pub(crate) fn run(&mut self, job: &Job, status: Status) -> RunId {
        let run = self.plan(job);
        self.decide(&run, Vec::new());
        self.push(Event::RunStarted { run: run.clone(), mounted: BTreeMap::new(), host: None });
        self.seal(&run, job, status);
        run
    }

    pub(crate) fn apply(&self, catalog: &mut Catalog) -> Result<u64, CatalogError> {
        self.apply_some(catalog, 0..self.entries.len())
    }

    pub(crate) fn apply_some(
        &self,
        catalog: &mut Catalog,
        range: std::ops::Range<usize>,
    ) -> Result<u64, CatalogError> {
        let fetch = |_: &ProjectName, digest: &Digest| -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
            self.objects.get(digest).cloned().ok_or_else(|| "the store does not have it".into())
        };
        catalog.apply(self.entries[range].iter().cloned(), &fetch)
    }

    /// A catalog of everything so far.
    pub(crate) fn catalog(&self) -> (Spot, Catalog) {
        let spot = Spot::new();
        let mut catalog = spot.open();
        assert_eq!(self.apply(&mut catalog).unwrap(), self.entries.len() as u64);
        (spot, catalog)
    }
}

fn environment() -> Environment {
    let host = Host { kernel: "6.1".to_owned(), architecture: "x86_64".to_owned(), cpu: "any".to_owned() };
    Environment { python: None, variables: BTreeMap::new(), host }
}

fn code() -> Code {
    Code {
        snapshot: digest("code"),
        files: 2,
        bytes: 9,
        git_commit: Some("c0ffee".to_owned()),
        labels: BTreeSet::new(),
    }
}

fn params() -> BTreeMap<String, serde_json::Value> {
    BTreeMap::from([("lr".to_owned(), 0.1.into()), ("layers".to_owned(), vec![64, 10].into())])
}

fn inputs(job: &Job) -> BTreeMap<InputName, Input> {
    job.inputs.iter().map(|(name, input)| (name.parse().unwrap(), input.clone())).collect()
}

pub(crate) fn plan(job: &Job) -> Plan {
    Plan {
        experiment: job.experiment.map(|name| name.parse().unwrap()),
        params: params(),
        code: Some(code()),
        environment: environment(),
        inputs: inputs(job),
        ..Plan::bare(project(), vec!["python".to_owned(), "train.py".to_owned()])
    }
}

pub(crate) fn record(run: &RunId, job: &Job, status: Status) -> RunRecord {
    let output = |path: &FilePath| Output {
        path: path.clone(),
        size: 7,
        blake3: Digest::of(&[run.as_str().as_bytes(), b"/", path.as_bytes()].concat()),
        sha256: "00".repeat(32),
    };
    RunRecord {
        links: Vec::new(),
        schema: RUN_SCHEMA.to_owned(),
        run: run.clone(),
        project: project(),
        experiment: job.experiment.map(|name| name.parse().unwrap()),
        command: vec!["python".to_owned(), "train.py".to_owned()],
        params: params(),
        plan: Digest::of(&to_canonical(&plan(job)).unwrap()),
        decision: Decision { outcome: Outcome::Allow, reasons: Vec::new(), unlisted: 0 },
        status,
        reason: None,
        exit_code: Some(0),
        signal: None,
        planned: Timestamp::from_unix_ms(1_764_000_000_000).unwrap(),
        ended: Timestamp::from_unix_ms(1_764_000_060_500).unwrap(),
        duration_ms: 60_250.5,
        overhead_ms: BTreeMap::new(),
        code: Some(code()),
        environment: environment(),
        inputs: inputs(job),
        lineage: Lineage::default(),
        outputs: job.outputs.iter().map(output).collect(),
        outputs_snapshot: Some(outputs_of(run)),
        deleted: Vec::new(),
        skipped: Vec::new(),
        labels: BTreeSet::new(),
        denied: Vec::new(),
        told: Vec::new(),
        observed: None,
        egress: None,
        logs: Logs { stdout: None, stderr: None, stdin: None },
        limits: Limits::default(),
        walls: Vec::new(),
        usage: None,
        host: None,
        policy: None,
        replays: None,
        metrics: None,
        system: None,
        inventory: None,
    }
}
