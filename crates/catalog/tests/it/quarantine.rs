//! Quarantine is closed under descent: in any graph, what descends from something in quarantine is reached and
//! nothing else is, and lifting restores exactly.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_catalog::{Catalog, Places};
use aseptic_model::*;
use proptest::prelude::*;

use crate::server::{cases, named, on_postgresql};
use crate::world::{Job, World, artifact, digest, outputs_of, path, project, record};

const PATHS: [&str; 3] = ["out", "out/a", "out/b"];

/// What one step of a history does; numbers are taken modulo what is there.
#[derive(Clone, Debug)]
enum Step {
    Import { with_file: bool },
    Reimport { run: usize },
    Run { inputs: Vec<(usize, usize)>, host: usize, rules: usize, complete: bool, opens: bool },
}

#[derive(Clone, Debug)]
enum Chosen {
    Version(usize),
    Every(usize),
    Snapshot(usize),
    Run(usize),
    Artifact(usize, usize),
    Host(usize),
    Policy(usize),
    File,
}

fn some_step() -> impl Strategy<Value = Step> {
    let some_inputs = prop::collection::vec((0_usize..40, 0_usize..5), 0..4);
    prop_oneof![
        1 => any::<bool>().prop_map(|with_file| Step::Import { with_file }),
        1 => (0_usize..40).prop_map(|run| Step::Reimport { run }),
        4 => (some_inputs, 0_usize..3, 0_usize..2, any::<bool>(), any::<bool>()).prop_map(
            |(inputs, host, rules, complete, opens)| Step::Run { inputs, host, rules, complete, opens }
        ),
    ]
}

fn some_object() -> impl Strategy<Value = Chosen> {
    let some = || 0_usize..40;
    prop_oneof![
        some().prop_map(Chosen::Version),
        some().prop_map(Chosen::Every),
        some().prop_map(Chosen::Snapshot),
        some().prop_map(Chosen::Run),
        (some(), 0_usize..3).prop_map(|(run, path)| Chosen::Artifact(run, path)),
        (0_usize..3).prop_map(Chosen::Host),
        (0_usize..2).prop_map(Chosen::Policy),
        Just(Chosen::File),
    ]
}

/// A version of a dataset: its name is that of its number, and its version is 1.
struct Version {
    snapshot: Digest,
    made_of: Option<usize>,
    with_file: bool,
}

#[derive(Clone, Copy)]
enum Had {
    Version(usize),
    Output(usize, Option<usize>),
}

struct Run {
    id: RunId,
    inputs: Vec<Had>,
    host: usize,
    rules: usize,
    complete: bool,
    opens: bool,
}

/// A history, and the ledger of it.
#[derive(Default)]
struct History {
    world: World,
    versions: Vec<Version>,
    runs: Vec<Run>,
}

fn name(version: usize) -> DatasetName {
    format!("d{version}").parse().unwrap()
}

fn host(number: usize) -> MachineName {
    format!("host-{number}").parse().unwrap()
}

fn rules(number: usize) -> Digest {
    digest(&format!("rules {number}"))
}

fn output(at: usize) -> FilePath {
    PATHS[at].parse().unwrap()
}

impl History {
    fn of(steps: &[Step]) -> Self {
        let mut this = Self::default();
        this.import(digest("first"), None, true);
        for step in steps {
            match step {
                Step::Import { with_file } => {
                    let tree = digest(&format!("tree {}", this.versions.len()));
                    this.import(tree, None, *with_file);
                }
                Step::Reimport { run } if !this.runs.is_empty() => {
                    let run = run % this.runs.len();
                    this.import(outputs_of(&this.runs[run].id), Some(run), false);
                }
                Step::Reimport { .. } => {}
                Step::Run { inputs, host, rules, complete, opens } => {
                    let had = inputs.iter().map(|(what, how)| this.choose(*what, *how)).collect();
                    this.run(had, *host, *rules, *complete, *opens);
                }
            }
        }
        this
    }

    fn choose(&self, what: usize, how: usize) -> Had {
        let count = self.versions.len() + self.runs.len();
        match what % count {
            version if version < self.versions.len() => Had::Version(version),
            run => Had::Output(run - self.versions.len(), (how > 0).then(|| (how - 1) % PATHS.len())),
        }
    }

    fn import(&mut self, snapshot: Digest, made_of: Option<usize>, with_file: bool) {
        self.world.push(Event::DatasetAdded {
            name: name(self.versions.len()),
            version: 1,
            snapshot,
            files: 1,
            bytes: 1,
            labels: BTreeSet::new(),
            metadata: Metadata::new(),
            retention: None,
            origin: None,
            inherited: BTreeSet::new(),
            left_by_runs: BTreeSet::new(),
        });
        self.versions.push(Version { snapshot, made_of, with_file });
    }

    fn input(&self, had: Had) -> Input {
        match had {
            Had::Version(version) => Input {
                source: InputSource::Dataset { name: name(version), version: 1 },
                snapshot: self.versions[version].snapshot,
                files: 1,
                bytes: 1,
                labels: BTreeSet::new(),
            },
            Had::Output(run, path) => artifact(&self.runs[run].id, path.map(|at| PATHS[at])),
        }
    }

    fn run(&mut self, inputs: Vec<Had>, on: usize, by: usize, complete: bool, opens: bool) {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let named = NAMES.into_iter().zip(&inputs).map(|(name, had)| (name, self.input(*had)));
        let job = Job { experiment: None, inputs: named.collect(), outputs: Vec::new() };
        let id = self.world.plan(&job);
        let decision = Decision { outcome: Outcome::Allow, reasons: Vec::new(), unlisted: 0 };
        let plan = digest("any");
        self.world.push(Event::RunDecided {
            run: id.clone(),
            plan,
            decision,
            policy: Some(rules(by)),
            requests: None,
        });
        let mounted = BTreeMap::new();
        self.world.push(Event::RunStarted { run: id.clone(), mounted, host: Some(host(on)) });
        let mut record = record(&id, &job, Status::Succeeded);
        let read = job.inputs.iter().filter(|_| opens);
        record.lineage = Lineage {
            complete,
            incomplete_because: None,
            read: read.map(|(name, _)| (name.parse().unwrap(), BTreeSet::from([path(b"x.csv")]))).collect(),
        };
        let record = self.world.put(&record);
        self.world.push(Event::RunSealed {
            run: id.clone(),
            status: Status::Succeeded,
            record,
            outputs: outputs_of(&id),
            labels: BTreeSet::new(),
            attestation: None,
        });
        self.runs.push(Run { id, inputs, host: on, rules: by, complete, opens });
    }

    fn object(&self, chosen: &Chosen) -> Option<Object> {
        let version = |at: &usize| at % self.versions.len();
        let run = |at: &usize| Some(self.runs.get(at % self.runs.len().max(1))?.id.clone());
        Some(match chosen {
            Chosen::Version(at) => Object::Dataset { name: name(version(at)), version: Some(1) },
            Chosen::Every(at) => Object::Dataset { name: name(version(at)), version: None },
            Chosen::Snapshot(at) => Object::Snapshot(self.versions[version(at)].snapshot),
            Chosen::Run(at) => Object::Run(run(at)?),
            Chosen::Artifact(at, path) => Object::Artifact { run: run(at)?, path: output(*path) },
            Chosen::Host(at) => Object::Host(host(*at)),
            Chosen::Policy(at) => Object::Policy(rules(*at)),
            Chosen::File => Object::File(digest("file")),
        })
    }

    fn places(&self, object: &Object) -> Places {
        let Object::File(_) = object else { return Places::default() };
        let holds = self.versions.iter().filter(|version| version.with_file);
        let found = holds.map(|version| Place { snapshot: version.snapshot, path: path(b"x.csv") });
        Places { found: found.collect(), unseen: BTreeSet::new() }
    }

    /// The runs that `object` reaches, from the definition: what a run had, in the order of time.
    fn reached_by(&self, object: &Object) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        for (at, run) in self.runs.iter().enumerate() {
            let itself = match object {
                Object::Run(id) => *id == run.id,
                Object::Host(name) => *name == host(run.host),
                Object::Policy(digest) => *digest == rules(run.rules),
                _ => false,
            };
            let read = !run.complete || run.opens;
            if itself || run.inputs.iter().any(|had| self.is_reached(*had, object, read, &reached)) {
                reached.insert(at);
            }
        }
        reached
    }

    fn is_reached(&self, had: Had, object: &Object, read: bool, runs: &BTreeSet<usize>) -> bool {
        let snapshot = self.input(had).snapshot;
        let quarantined = |tree: &Digest| match object {
            Object::Snapshot(digest) => digest == tree,
            Object::Dataset { name: other, .. } => self
                .versions
                .iter()
                .enumerate()
                .any(|(at, known)| name(at) == *other && known.snapshot == *tree),
            _ => false,
        };
        if quarantined(&snapshot) {
            return true;
        }
        match had {
            Had::Version(version) => {
                let version = &self.versions[version];
                let file = matches!(object, Object::File(_)) && version.with_file && read;
                let part = |run: &usize| matches!(object, Object::Artifact { run: id, .. } if *id == self.runs[*run].id);
                file || version.made_of.as_ref().is_some_and(|run| runs.contains(run) || part(run))
            }
            Had::Output(run, taken) => {
                let id = &self.runs[run].id;
                let meets = |held: &FilePath| {
                    let Some(taken) = taken else { return true };
                    let taken = output(taken);
                    taken.as_path().starts_with(held.as_path()) || held.as_path().starts_with(taken.as_path())
                };
                let part = matches!(object, Object::Artifact { run, path } if run == id && meets(path));
                let all = matches!(object, Object::Snapshot(digest) if *digest == outputs_of(id));
                part || all || runs.contains(&run)
            }
        }
    }

    /// Every input that a new plan can have, and whether it is denied with these in quarantine.
    fn inputs(&self) -> Vec<Had> {
        let versions = (0..self.versions.len()).map(Had::Version);
        let outputs = (0..self.runs.len())
            .flat_map(|run| [None, Some(0), Some(1), Some(2)].map(|path| Had::Output(run, path)));
        versions.chain(outputs).collect()
    }

    fn compare(&self, catalog: &Catalog, objects: &[Object]) -> Result<(), TestCaseError> {
        let reached: Vec<_> = objects.iter().map(|object| self.reached_by(object)).collect();
        let mut tracer = catalog.tracer().unwrap();
        for (at, run) in self.runs.iter().enumerate() {
            let found = tracer.run(&project(), &run.id).unwrap();
            prop_assert_eq!(found.is_some(), reached.iter().any(|runs| runs.contains(&at)), "run {}", at);
        }
        for had in self.inputs() {
            let denied =
                objects.iter().zip(&reached).any(|(object, runs)| self.is_reached(had, object, true, runs));
            let found = tracer.input(&project(), &self.input(had)).unwrap();
            prop_assert_eq!(found.is_some(), denied, "{:?}", self.input(had));
            if let Some(found) = found {
                prop_assert!(objects.contains(&found.object), "{:?}", found);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(64), ..ProptestConfig::default() })]

    #[test]
    fn closed_under_descent_and_lifted_exactly(
        steps in prop::collection::vec(some_step(), 0..24),
        chosen in prop::collection::vec(some_object(), 1..4),
    ) {
        let mut history = History::of(&steps);
        let (_directory, mut catalog) = history.world.catalog();
        history.compare(&catalog, &[])?;
        let mut objects: Vec<_> = chosen.iter().filter_map(|chosen| history.object(chosen)).collect();
        objects.sort();
        objects.dedup();
        for (count, object) in objects.iter().enumerate() {
            let (list, _) = catalog.reached(&project(), object, history.places(object)).unwrap();
            let down: BTreeSet<_> = list.runs.iter().map(|run| run.run.clone()).collect();
            let up = history.reached_by(object).into_iter().map(|at| history.runs[at].id.clone()).collect();
            prop_assert_eq!(down, up, "{}", object);
            let runs = list.runs.len() as u64;
            let reached = Some(history.world.put(&list));
            let reason = Some("bad".to_owned());
            history.world.push(Event::QuarantineAdded { object: object.clone(), reason, runs, reached });
            history.world.apply(&mut catalog).unwrap();
            history.compare(&catalog, &objects[..=count])?;
        }
        while let Some(object) = objects.pop() {
            history.world.push(Event::QuarantineLifted { object, reason: Some("good".to_owned()) });
            history.world.apply(&mut catalog).unwrap();
            history.compare(&catalog, &objects)?;
        }
    }
}

#[test]
fn a_run_that_ends_later_is_reached_and_a_shared_version_too() {
    let mut history = History::of(&[]);
    let object = Object::Dataset { name: name(0), version: Some(1) };
    let reason = Some("bad".to_owned());
    history.world.push(Event::QuarantineAdded { object, reason, runs: 0, reached: None });
    history.run(vec![Had::Version(0)], 0, 0, true, false);
    let mut shared = history.world.entries.pop().unwrap();
    let (after, _) = shared;
    let origin = Origin::Shared { project: project(), name: name(0), version: 1 };
    shared.1.event = Event::DatasetAdded {
        name: "copy".parse().unwrap(),
        version: 1,
        snapshot: history.versions[0].snapshot,
        files: 1,
        bytes: 1,
        labels: BTreeSet::new(),
        metadata: Metadata::new(),
        retention: None,
        origin: Some(origin),
        inherited: BTreeSet::new(),
        left_by_runs: BTreeSet::new(),
    };
    let other: ProjectName = "other".parse().unwrap();
    shared.1.project = other.clone();
    history.world.entries.push((after, shared.1));
    let (_directory, catalog) = history.world.catalog();
    let mut tracer = catalog.tracer().unwrap();
    assert!(tracer.run(&project(), &history.runs[0].id).unwrap().is_some());
    let copy = catalog.dataset_version(&other, &"copy".parse().unwrap(), None).unwrap().unwrap();
    let found = tracer.version(&other, &copy).unwrap().unwrap();
    assert_eq!(found.project, project());
}

#[test]
fn the_same_on_postgresql() {
    let tests = named![
        closed_under_descent_and_lifted_exactly,
        a_run_that_ends_later_is_reached_and_a_shared_version_too,
    ];
    on_postgresql(include_str!("quarantine.rs"), tests, &[]);
}
