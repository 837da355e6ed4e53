//! Runs that never were: the same for the same number, so that any of them can be asked for.

#![expect(clippy::expect_used, reason = "what is made up here is well formed")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aseptic_catalog::Position;
use aseptic_model::*;

pub(crate) const PROJECT: &str = "vision";
pub(crate) const HOST: &str = "gpu-07";
/// Datasets, and as many earlier runs of each that later ones take artifacts from.
const DATASETS: u64 = 200;
/// Runs of the same code and environment.
const GENERATION: u64 = 100;
/// How far back the runs are that a run takes artifacts from.
const REACH: u64 = 1_000;
const OUTPUTS: u64 = 6;

pub(crate) fn run_id(number: u64) -> RunId {
    RunId::from_random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 4)
}

pub(crate) fn dataset_digest(number: u64) -> Digest {
    named("dataset", number)
}

pub(crate) fn output_digest(run: u64, output: u64) -> Digest {
    Digest::of(format!("output {run} {output}").as_bytes())
}

pub(crate) fn experiment(run: u64) -> String {
    format!("experiment-{}", run / GENERATION % 1000)
}

fn named(what: &str, number: u64) -> Digest {
    Digest::of(format!("{what} {number}").as_bytes())
}

#[derive(Default)]
pub(crate) struct Work {
    pub(crate) entries: Vec<(Position, Entry)>,
    pub(crate) objects: HashMap<Digest, Vec<u8>>,
    pub(crate) runs: u64,
    /// Of every dataset, and so of every run.
    pub(crate) labels: BTreeSet<Label>,
    index: u64,
}

impl Work {
    pub(crate) fn new(labels: usize) -> Self {
        let labels = (0..labels).map(|number| word(&format!("label-{number}"))).collect();
        Self { labels, ..Self::default() }
    }

    /// That goes on after `index` entries.
    pub(crate) fn after(index: u64) -> Self {
        Self { index, ..Self::default() }
    }

    /// A label is given to a dataset or taken off it.
    pub(crate) fn label(&mut self, number: u64, label: &Label, is_given: bool) {
        let (one, none) = (BTreeSet::from([label.clone()]), BTreeSet::new());
        let (added, removed) = if is_given { (one, none) } else { (none, one) };
        let (name, reason) = (dataset(number), Some("it was looked at again".to_owned()));
        self.push(Event::DatasetLabelled { name, version: 1, added, removed, reason });
    }

    fn push(&mut self, event: Event) {
        self.index += 1;
        let milliseconds = 1_700_000_000_000 + i64::try_from(self.index).unwrap_or(0) * 250;
        let time = Timestamp::from_unix_ms(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH);
        let entry = Entry::new(time, "user:ada".to_owned(), project(), event);
        self.entries.push((Position { index: self.index, offset: 19 + 400 * self.index }, entry));
    }

    fn put<T: serde::Serialize>(&mut self, value: &T) -> Digest {
        let bytes = to_canonical(value).expect("it has a canonical form");
        let digest = Digest::of(&bytes);
        self.objects.insert(digest, bytes);
        digest
    }

    /// The datasets.
    pub(crate) fn begin(&mut self) {
        for number in 0..DATASETS {
            self.push(Event::DatasetAdded {
                name: dataset(number),
                version: 1,
                snapshot: dataset_digest(number),
                files: 1000,
                bytes: 1 << 30,
                labels: self.labels.clone(),
                metadata: Metadata::new(),
                retention: None,
                origin: None,
                inherited: BTreeSet::new(),
                left_by_runs: BTreeSet::new(),
            });
        }
    }

    /// A whole run.
    pub(crate) fn run(&mut self) {
        let number = self.runs;
        self.runs += 1;
        let run = run_id(number);
        let plan = plan(number, &self.labels);
        let digest = self.put(&plan);
        self.push(Event::RunPlanned {
            run: run.clone(),
            experiment: plan.experiment.clone(),
            plan: digest,
            code: plan.code.as_ref().map(|code| code.snapshot),
            inputs: plan.inputs.iter().map(|(name, input)| (name.clone(), input.snapshot)).collect(),
            git_commit: None,
            replays: None,
        });
        let decision = Decision { outcome: Outcome::Allow, reasons: Vec::new(), unlisted: 0 };
        let policy = Some(named("policy", 0));
        self.push(Event::RunDecided { run: run.clone(), plan: digest, decision, policy, requests: None });
        self.push(Event::RunStarted { run: run.clone(), mounted: BTreeMap::new(), host: Some(word(HOST)) });
        let record = record(&run, number, plan, digest, &self.labels);
        let status = record.status;
        let labels = record.labels.clone();
        let record = self.put(&record);
        self.push(Event::RunSealed {
            run,
            status,
            record,
            outputs: named("outputs", number),
            labels,
            attestation: Some(named("attestation", number)),
        });
    }
}

fn word<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("it is well formed")
}

fn project() -> ProjectName {
    word(PROJECT)
}

pub(crate) fn dataset(number: u64) -> DatasetName {
    word(&format!("dataset-{number}"))
}

fn inputs(number: u64, labels: &BTreeSet<Label>) -> BTreeMap<InputName, Input> {
    let input = |source, snapshot| Input { source, snapshot, files: 1, bytes: 1, labels: labels.clone() };
    let of = number % DATASETS;
    let source = InputSource::Dataset { name: dataset(of), version: 1 };
    let mut all = BTreeMap::from([(word("train"), input(source, dataset_digest(of)))]);
    for (place, name) in ["base", "teacher", "vocabulary"].into_iter().enumerate() {
        let back = 1 + (number.wrapping_mul(0x9e37_79b9) >> (8 * place)) % REACH;
        if let Some(earlier) = number.checked_sub(back) {
            let source = InputSource::Artifact { run: run_id(earlier), path: Some(word("out/0.bin")) };
            all.insert(word(name), input(source, named("artifact", earlier)));
        }
    }
    all
}

fn environment(number: u64) -> Environment {
    let generation = number / GENERATION;
    let packages = (0..30).map(|package| Package {
        name: format!("package-{package}"),
        version: format!("1.{}.{}", generation % 7, (generation + package) % 11),
        record: Some(named("package", package)),
    });
    let python = Python {
        prefix: "/home/ada/venv".to_owned(),
        base_prefix: "/usr".to_owned(),
        version: "3.11.7".to_owned(),
        interpreter: named("interpreter", 0),
        packages: packages.collect(),
    };
    let host = Host { kernel: "6.1".to_owned(), architecture: "x86_64".to_owned(), cpu: "any".to_owned() };
    Environment { python: Some(python), variables: BTreeMap::new(), host }
}

fn plan(number: u64, labels: &BTreeSet<Label>) -> Plan {
    let params = [
        ("lr", serde_json::Value::from(1.0 / (1 + number % 1000) as f64)),
        ("seed", number.into()),
        ("layers", (number % 12).into()),
        ("optimizer", "adam".into()),
        ("batch", 64.into()),
    ];
    Plan {
        experiment: Some(word(&experiment(number))),
        params: params.map(|(name, value)| (name.to_owned(), value)).into(),
        code: Some(Code {
            snapshot: named("code", number / GENERATION),
            files: 20,
            bytes: 90_000,
            git_commit: Some(format!("{:040x}", number / GENERATION)),
            labels: BTreeSet::new(),
        }),
        environment: environment(number),
        inputs: inputs(number, labels),
        ..Plan::bare(project(), ["python", "train.py", "--epochs", "10"].map(str::to_owned).to_vec())
    }
}

fn metrics(number: u64) -> Metrics {
    let series = ["accuracy", "loss", "val/accuracy", "val/loss"].map(|name| {
        let last = (number % 997) as f64 / 997.0;
        let summary = MetricSummary {
            count: 1000,
            not_finite: 0,
            last: Some(last),
            min: Some(last / 2.0),
            max: Some(last),
            last_step: Some(1000),
            shape: Vec::new(),
        };
        (name.to_owned(), summary)
    });
    Metrics {
        file: word("out/metrics.jsonl"),
        lines: 4000,
        unreadable: 0,
        unread_bytes: 0,
        series: series.into(),
    }
}

fn record(run: &RunId, number: u64, plan: Plan, digest: Digest, labels: &BTreeSet<Label>) -> RunRecord {
    let output = |place| Output {
        path: word(&format!("out/{place}.bin")),
        size: 1 << 20,
        blake3: output_digest(number, place),
        sha256: format!("{:064x}", number * OUTPUTS + place),
    };
    let planned = Timestamp::from_unix_ms(1_700_000_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
    let files = (0..8).map(|file| word(&format!("part-{}-{file}.parquet", number % DATASETS)));
    let read = BTreeMap::from([(word("train"), files.collect())]);
    RunRecord {
        links: Vec::new(),
        schema: RUN_SCHEMA.to_owned(),
        run: run.clone(),
        project: plan.project,
        experiment: plan.experiment,
        command: plan.command,
        params: plan.params,
        plan: digest,
        decision: Decision { outcome: Outcome::Allow, reasons: Vec::new(), unlisted: 0 },
        status: if number.is_multiple_of(50) { Status::Failed } else { Status::Succeeded },
        reason: None,
        exit_code: Some(0),
        signal: None,
        planned,
        ended: planned,
        duration_ms: 60_250.5,
        overhead_ms: BTreeMap::new(),
        code: plan.code,
        environment: plan.environment,
        inputs: plan.inputs,
        lineage: Lineage { complete: true, read, ..Lineage::default() },
        outputs: (0..OUTPUTS).map(output).collect(),
        outputs_snapshot: Some(named("outputs", number)),
        deleted: Vec::new(),
        skipped: Vec::new(),
        labels: labels.clone(),
        denied: Vec::new(),
        observed: None,
        told: Vec::new(),
        egress: None,
        logs: Logs { stdout: None, stderr: None, stdin: None },
        limits: Limits::default(),
        walls: Vec::new(),
        usage: None,
        host: Some(word(HOST)),
        policy: Some(named("policy", 0)),
        replays: None,
        metrics: Some(metrics(number)),
        system: None,
        inventory: Some(named("inventory", number / GENERATION)),
    }
}
