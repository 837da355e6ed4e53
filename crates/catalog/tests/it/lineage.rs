//! Lineage: what came from what, and what an answer always has.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_catalog::{
    Catalog, Consumer, Direction, EdgeKind, Evidence, FilePlace, LineageGraph, LineagePage, Node, Places,
    version_is,
};
use aseptic_model::{Event, Object, RunId, Status};
use proptest::prelude::*;

use crate::server::{cases, named, on_postgresql};
use crate::world::{Job, World, artifact, dataset, digest, outputs_of, path, project};

const ALL: LineagePage = LineagePage { depth: None, skip: 0, limit: 10_000 };

fn ask(catalog: &Catalog, object: &str, direction: Direction, page: &LineagePage) -> LineageGraph {
    catalog.lineage(&project(), &object.parse().unwrap(), &[], direction, page).unwrap()
}

/// One line for each edge.
fn lines(graph: &LineageGraph) -> Vec<String> {
    let node = |node: &Node| match node {
        Node::Dataset { name, version, .. } => format!("{name}@{version}"),
        Node::Snapshot { digest } => digest.short(),
        other => other.to_string(),
    };
    let line = |edge: &aseptic_catalog::LineageEdge| match &edge.kind {
        EdgeKind::Read { input, .. } => {
            format!("{} {} -{input}-> {}", edge.hops, node(&edge.from), node(&edge.to))
        }
        kind => format!("{} {} {} {}", edge.hops, node(&edge.from), kind.as_str(), node(&edge.to)),
    };
    graph.edges.iter().map(line).collect()
}

#[test]
fn lineage_goes_both_ways() {
    let mut world = World::default();
    world.import("digits", 1);
    let train = Job {
        experiment: Some("train"),
        inputs: vec![("train", dataset("digits", 1))],
        outputs: vec![path(b"out/model.pkl"), path(b"work/log")],
    };
    let train = world.run(&train, Status::Succeeded);
    let job = Job { inputs: vec![("model", artifact(&train, Some("out")))], ..Job::default() };
    let test = world.run(&Job { outputs: vec![path(b"out/scores")], ..job }, Status::Succeeded);
    let all = Job { inputs: vec![("all", artifact(&test, None))], ..Job::default() };
    let report = world.run(&all, Status::Succeeded);
    let both = Job {
        inputs: vec![("log", artifact(&train, Some("work/log"))), ("train", dataset("digits", 1))],
        ..Job::default()
    };
    let log = world.plan(&both);
    let (_directory, catalog) = world.catalog();

    let up = ask(&catalog, &format!("run:{report}"), Direction::Up, &ALL);
    let expected = [
        format!("1 run:{test}/ -all-> run:{report}"),
        format!("1 run:{test} left run:{test}/"),
        format!("2 run:{train}/out -model-> run:{test}"),
        format!("2 run:{train} left run:{train}/out"),
        format!("3 digits@1 -train-> run:{train}"),
    ];
    assert_eq!(lines(&up), expected);

    let down = |object: &str| lines(&ask(&catalog, object, Direction::Down, &ALL));
    let out =
        [format!("1 run:{train}/out -model-> run:{test}"), format!("1 run:{train} left run:{train}/out")];
    let rest = [format!("2 run:{test}/ -all-> run:{report}"), format!("2 run:{test} left run:{test}/")];
    let logs = [
        format!("1 run:{train}/work/log -log-> run:{log}"),
        format!("1 run:{train} left run:{train}/work/log"),
    ];
    assert_eq!(down(&format!("run:{train}/out/model.pkl")), [&out[..], &rest].concat());
    assert_eq!(down(&format!("run:{train}/work/log")), logs);
    assert_eq!(down(&format!("run:{train}")), [&out[..], &logs, &rest].concat());
    assert_eq!(down(&format!("snapshot:{}", outputs_of(&train))).len(), 6);
    let of_dataset = down("dataset:digits@1");
    assert_eq!(of_dataset[0], format!("1 digits@1 -train-> run:{train}"));
    assert_eq!(of_dataset.len(), 2 + out.len() + logs.len() + rest.len());
    assert_eq!(down("dataset:digits"), of_dataset);
    let short = ask(&catalog, "dataset:digits", Direction::Down, &LineagePage { depth: Some(1), ..ALL });
    assert_eq!(lines(&short), of_dataset[..2]);

    let consumer = |run: &RunId| Consumer { run: run.clone(), input: "train".parse().unwrap() };
    let consumers = catalog.consumers(&project(), &digest("digits@1")).unwrap();
    assert_eq!(consumers, [consumer(&train), consumer(&log)]);
    let other = "other".parse().unwrap();
    let object = Object::Dataset { name: "digits".parse().unwrap(), version: None };
    let elsewhere = catalog.lineage(&other, &object, &[], Direction::Down, &ALL).unwrap();
    assert_eq!(elsewhere, LineageGraph::default());

    let json =
        serde_json::to_value(&ask(&catalog, "dataset:digits", Direction::Down, &ALL).edges[0]).unwrap();
    let expected = serde_json::json!({
        "from": "dataset:digits@1", "to": format!("run:{train}"), "kind": "read", "input": "train",
        "evidence": "observed", "opened": 0, "hops": 1,
    });
    let declared = serde_json::json!({
        "from": "dataset:digits@1", "to": format!("run:{train}"), "kind": "read", "input": "train",
        "evidence": "declared", "hops": 1,
    });
    assert!(json == expected || json == declared, "{json:#}");
}

/// A run whose record says what it opened; nothing says that this is not known.
fn run_that_opened(world: &mut World, job: &Job, opened: Option<&[&str]>) -> RunId {
    let run = world.plan(job);
    let mut record = crate::world::record(&run, job, Status::Succeeded);
    record.lineage.complete = opened.is_some();
    for name in job.inputs.iter().map(|(name, _)| name.parse().unwrap()) {
        let files = opened.unwrap_or_default().iter().map(|file| file.parse().unwrap()).collect();
        record.lineage.read.insert(name, files);
    }
    let record = world.put(&record);
    world.push(Event::RunSealed {
        run: run.clone(),
        status: Status::Succeeded,
        record,
        outputs: outputs_of(&run),
        labels: BTreeSet::new(),
        attestation: None,
    });
    run
}

#[test]
fn a_file_that_was_not_opened_was_not_read() {
    let mut world = World::default();
    world.import("digits", 1);
    let job = Job { inputs: vec![("d", dataset("digits", 1))], ..Job::default() };
    let first = run_that_opened(&mut world, &job, Some(&["train.csv", "sub/a"]));
    let second = run_that_opened(&mut world, &job, Some(&["test.csv"]));
    let third = run_that_opened(&mut world, &job, None);
    let (_directory, catalog) = world.catalog();
    let readers = |file: &str| {
        let place = FilePlace {
            name: "digits".parse().unwrap(),
            version: 1,
            snapshot: digest("digits@1"),
            path: file.parse().unwrap(),
        };
        let object = Object::File(digest(file));
        let graph = catalog.lineage(&project(), &object, &[place], Direction::Down, &ALL).unwrap();
        let read = |edge: &aseptic_catalog::LineageEdge| match (&edge.to, &edge.kind) {
            (Node::Run { run }, EdgeKind::Read { evidence, opened, .. }) => {
                Some((run.clone(), *evidence, *opened))
            }
            _ => None,
        };
        graph.edges.iter().filter_map(read).collect::<Vec<_>>()
    };
    let unknown = (third, Evidence::Declared, None);
    assert_eq!(readers("train.csv"), [(first.clone(), Evidence::Observed, Some(2)), unknown.clone()]);
    assert_eq!(readers("test.csv"), [(second, Evidence::Observed, Some(1)), unknown.clone()]);
    assert_eq!(readers("sub"), [(first, Evidence::Observed, Some(2)), unknown.clone()], "a directory");
    assert_eq!(readers("su"), [unknown], "no other name is meant");
}

#[test]
fn a_dataset_that_is_what_a_run_left_comes_from_it() {
    let mut world = World::default();
    let before = world.run(&Job::default(), Status::Succeeded);
    let add = |world: &mut World, name: &str, files: u64, snapshot| {
        world.push(Event::DatasetAdded {
            name: name.parse().unwrap(),
            version: 1,
            snapshot,
            files,
            bytes: 1,
            labels: BTreeSet::new(),
            metadata: aseptic_model::Metadata::new(),
            retention: None,
            origin: None,
            inherited: BTreeSet::new(),
            left_by_runs: BTreeSet::new(),
        });
    };
    add(&mut world, "again", 1, outputs_of(&before));
    add(&mut world, "empty", 0, outputs_of(&before));
    let mut input = dataset("again", 1);
    input.snapshot = outputs_of(&before);
    let after = world.run(&Job { inputs: vec![("d", input)], ..Job::default() }, Status::Succeeded);
    let (_directory, catalog) = world.catalog();
    let left = format!("1 run:{before} left run:{before}/");
    let became = format!("1 run:{before}/ became again@1");
    let read = format!("1 again@1 -d-> run:{after}");
    assert_eq!(
        lines(&ask(&catalog, &format!("run:{before}"), Direction::Down, &ALL)),
        [left.clone(), became.clone(), read.clone()]
    );
    assert_eq!(
        lines(&ask(&catalog, &format!("run:{after}"), Direction::Up, &ALL)),
        [read, left.clone(), became.clone()]
    );
    assert_eq!(lines(&ask(&catalog, "dataset:again@1", Direction::Up, &ALL)), [left, became]);
    assert_eq!(ask(&catalog, "dataset:empty@1", Direction::Up, &ALL).edges, []);
}

#[test]
fn versions_of_packages_are_meant_by_components() {
    for (wanted, version, meant) in [
        ("1.26", "1.26", true),
        ("1.26", "1.26.4", true),
        ("1.26", "1.26+cu121", true),
        ("1.26", "1.26-1", true),
        ("1.26", "1.260", false),
        ("1.26", "1.26rc1", false),
        ("1.26", "1.2", false),
        ("1.26.4", "1.26", false),
    ] {
        assert_eq!(version_is(wanted, version), meant, "{wanted} {version}");
    }
}

#[test]
fn a_cycle_of_forged_plans_ends() {
    let mut world = World::default();
    let (first, second) =
        ("000000000001".parse::<RunId>().unwrap(), "000000000002".parse::<RunId>().unwrap());
    for (run, source) in [(&first, &second), (&second, &first)] {
        let input = artifact(source, None);
        let plan = crate::world::plan(&Job { inputs: vec![("in", input.clone())], ..Job::default() });
        let plan = world.put(&plan);
        world.push(Event::RunPlanned {
            run: run.clone(),
            experiment: None,
            plan,
            code: None,
            inputs: BTreeMap::from([("in".parse().unwrap(), input.snapshot)]),
            git_commit: None,
            replays: None,
        });
    }
    let (_directory, catalog) = world.catalog();
    for object in [format!("run:{first}"), format!("snapshot:{}", outputs_of(&first))] {
        for direction in [Direction::Up, Direction::Down] {
            assert_eq!(ask(&catalog, &object, direction, &ALL).edges.len(), 4, "{object} {direction:?}");
        }
    }
}

/// A history: each run reads datasets and runs before it, and some outputs become datasets.
fn history(reads: &[Vec<u8>]) -> (World, Vec<RunId>) {
    let mut world = World::default();
    world.import("digits", 1);
    let mut runs: Vec<RunId> = Vec::new();
    for (number, sources) in reads.iter().enumerate() {
        let names = ["a", "b", "c", "d"];
        let input = |source: &u8| match runs.get(usize::from(*source)) {
            // A whole run that became a dataset is read as that now and then.
            Some(run) if source % 5 == 2 => {
                let mut input = dataset(&format!("of-{source}"), 1);
                input.snapshot = outputs_of(run);
                input
            }
            Some(run) => artifact(run, source.is_multiple_of(3).then_some("out")),
            None => dataset("digits", 1),
        };
        let inputs = names.into_iter().zip(sources.iter().map(input)).collect();
        let run = world.run(&Job { inputs, ..Job::default() }, Status::Succeeded);
        if number % 5 == 2 {
            world.push(Event::DatasetAdded {
                name: format!("of-{number}").parse().unwrap(),
                version: 1,
                snapshot: outputs_of(&run),
                files: 1,
                bytes: 1,
                labels: BTreeSet::new(),
                metadata: aseptic_model::Metadata::new(),
                retention: None,
                origin: None,
                inherited: BTreeSet::new(),
                left_by_runs: BTreeSet::new(),
            });
        }
        runs.push(run);
    }
    (world, runs)
}

fn runs_in(graph: &LineageGraph) -> BTreeSet<RunId> {
    let run = |node: &Node| match node {
        Node::Run { run } => Some(run.clone()),
        _ => None,
    };
    graph.edges.iter().flat_map(|edge| [run(&edge.from), run(&edge.to)]).flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(48), ..ProptestConfig::default() })]

    #[test]
    fn what_is_down_of_something_has_it_up(reads in proptest::collection::vec(
        proptest::collection::vec(0_u8..14, 0..4), 1..14))
    {
        let (world, runs) = history(&reads);
        let (_directory, catalog) = world.catalog();
        let all = |run: &RunId, direction| {
            let mut runs = runs_in(&ask(&catalog, &format!("run:{run}"), direction, &ALL));
            runs.remove(run);
            runs
        };
        let down: BTreeMap<_, _> = runs.iter().map(|run| (run, all(run, Direction::Down))).collect();
        let up: BTreeMap<_, _> = runs.iter().map(|run| (run, all(run, Direction::Up))).collect();
        for run in &runs {
            for other in &down[run] {
                prop_assert!(up[other].contains(run), "{other} came from {run}");
                prop_assert!(down[other].is_subset(&down[run]), "down is closed");
            }
            for other in &up[run] {
                prop_assert!(down[other].contains(run), "{run} came from {other}");
            }
            // What quarantine would reach is the same.
            let object = Object::Run(run.clone());
            let reached = catalog.reached(&project(), &object, Places::default()).unwrap().0.runs;
            let mut reached: BTreeSet<_> = reached.into_iter().map(|reached| reached.run).collect();
            reached.remove(run);
            prop_assert_eq!(&reached, &down[run]);
        }
    }

    #[test]
    fn pages_are_the_whole(reads in proptest::collection::vec(
        proptest::collection::vec(0_u8..14, 0..4), 1..14), limit in 1_usize..6)
    {
        let (world, runs) = history(&reads);
        let (_directory, catalog) = world.catalog();
        for (object, direction) in [
            ("dataset:digits".to_owned(), Direction::Down),
            (format!("run:{}", runs.last().unwrap()), Direction::Up),
        ] {
            let whole = ask(&catalog, &object, direction, &ALL);
            prop_assert!(!whole.truncated);
            let (mut edges, mut skip) = (Vec::new(), Some(0));
            while let Some(from) = skip {
                let page = ask(&catalog, &object, direction, &LineagePage { depth: None, skip: from, limit });
                prop_assert!(page.edges.len() <= limit && page.truncated == page.next.is_some());
                edges.extend(page.edges);
                skip = page.next;
            }
            let plain = |edges: &[aseptic_catalog::LineageEdge]| -> Vec<_> {
                edges.iter().map(|edge| (edge.from.clone(), edge.to.clone(), edge.hops)).collect()
            };
            prop_assert_eq!(plain(&edges), plain(&whole.edges));
        }
    }

    #[test]
    fn the_order_of_what_is_independent_changes_nothing(swap in proptest::collection::vec(any::<bool>(), 4)) {
        // Four pairs of runs that know nothing of each other, in either order.
        let edges = |swap: &[bool]| -> BTreeSet<(String, String)> {
            let mut world = World::default();
            world.import("digits", 1);
            let plan = crate::world::plan(&Job {
                inputs: vec![("d", dataset("digits", 1))],
                ..Job::default()
            });
            let plan = world.put(&plan);
            for (pair, swap) in swap.iter().enumerate() {
                let mut ids = [format!("00000000000{}", 2 * pair), format!("00000000000{}", 2 * pair + 1)];
                if *swap {
                    ids.reverse();
                }
                for id in ids {
                    world.push(Event::RunPlanned {
                        run: id.parse().unwrap(),
                        experiment: None,
                        plan,
                        code: None,
                        inputs: BTreeMap::from([("d".parse().unwrap(), digest("digits@1"))]),
                        git_commit: None,
                        replays: None,
                    });
                }
            }
            let (_directory, catalog) = world.catalog();
            let graph = ask(&catalog, "dataset:digits", Direction::Down, &ALL);
            graph.edges.iter().map(|edge| (edge.from.to_string(), edge.to.to_string())).collect()
        };
        prop_assert_eq!(edges(&swap), edges(&[false; 4]));
    }
}

#[test]
fn the_same_on_postgresql() {
    let tests = named![
        lineage_goes_both_ways,
        a_file_that_was_not_opened_was_not_read,
        a_dataset_that_is_what_a_run_left_comes_from_it,
        a_cycle_of_forged_plans_ends,
        what_is_down_of_something_has_it_up,
        pages_are_the_whole,
        the_order_of_what_is_independent_changes_nothing,
    ];
    on_postgresql(include_str!("lineage.rs"), tests, &["versions_of_packages_are_meant_by_components"]);
}
