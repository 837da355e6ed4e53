//! How often a project has let a run at some data.

use std::collections::BTreeSet;

use aseptic_catalog::{Catalog, HeldOut};
use aseptic_model::{Digest, Reason, RunId, Status};

use crate::server::{named, on_postgresql};
use crate::world::{Job, World, artifact, dataset, digest, project};

fn of(input: aseptic_model::Input) -> Job {
    Job { inputs: vec![("test", input)], ..Job::default() }
}

fn count(catalog: &Catalog, name: &str, snapshot: &Digest) -> u64 {
    let of = match name {
        "" => HeldOut::Run(RunId::from_random(0)), // Which is not there: by the bytes alone.
        name => HeldOut::Dataset { name: name.parse().unwrap(), snapshot: *snapshot },
    };
    catalog.evaluations(&project(), &of, snapshot, BTreeSet::new(), &|_| true).unwrap()
}

#[test]
fn what_was_allowed_counts_however_it_ended() {
    let mut world = World::default();
    world.import("digits", 1);
    let job = of(dataset("digits", 1));
    world.run(&job, Status::Succeeded);
    world.run(&job, Status::Failed);
    world.run(&job, Status::Aborted);
    let goes_on = world.plan(&job);
    world.decide(&goes_on, Vec::new());
    let denied = world.plan(&job);
    world.decide(&denied, vec![Reason::default()]);
    world.run(&Job::default(), Status::Succeeded);
    let twice =
        Job { inputs: vec![("a", dataset("digits", 1)), ("b", dataset("digits", 1))], ..Job::default() };
    world.run(&twice, Status::Succeeded);
    let (_directory, catalog) = world.catalog();
    assert_eq!(count(&catalog, "digits", &digest("digits@1")), 5);
    assert_eq!(count(&catalog, "", &digest("digits@1")), 5);
    assert_eq!(count(&catalog, "faces", &digest("faces@1")), 0);
    let of = HeldOut::Dataset { name: "digits".parse().unwrap(), snapshot: digest("digits@1") };
    assert_eq!(
        catalog
            .evaluations(&"other".parse().unwrap(), &of, &digest("digits@1"), BTreeSet::new(), &|_| true)
            .unwrap(),
        0
    );
}

#[test]
fn other_versions_and_other_names_are_the_same_data() {
    let mut world = World::default();
    for (name, version) in [("digits", 1), ("digits", 2), ("faces", 1)] {
        world.import(name, version);
    }
    let mut copy = dataset("copy", 1);
    copy.snapshot = digest("digits@1");
    world.push(aseptic_model::Event::DatasetAdded {
        name: "copy".parse().unwrap(),
        version: 1,
        snapshot: digest("digits@1"),
        files: 3,
        bytes: 10,
        labels: BTreeSet::new(),
        metadata: aseptic_model::Metadata::new(),
        retention: None,
        origin: None,
        inherited: BTreeSet::new(),
        left_by_runs: BTreeSet::new(),
    });
    for input in [dataset("digits", 1), dataset("digits", 2), copy, dataset("faces", 1)] {
        world.run(&of(input), Status::Succeeded);
    }
    let (_directory, catalog) = world.catalog();
    for (name, snapshot) in
        [("digits", "digits@1"), ("digits", "digits@2"), ("copy", "digits@1"), ("digits", "new")]
    {
        assert_eq!(count(&catalog, name, &digest(snapshot)), 3, "{name} {snapshot}");
    }
    assert_eq!(count(&catalog, "", &digest("digits@1")), 3);
    assert_eq!(count(&catalog, "faces", &digest("faces@1")), 1);
}

#[test]
fn outputs_count_by_their_bytes() {
    let mut world = World::default();
    let run = world.run(&Job::default(), Status::Succeeded);
    let input = artifact(&run, Some("out/metrics.jsonl"));
    let snapshot = input.snapshot;
    world.run(&of(input), Status::Succeeded);
    let (_directory, catalog) = world.catalog();
    assert_eq!(count(&catalog, "", &snapshot), 1);
}

#[test]
fn copies_are_the_same_data() {
    let mut world = World::default();
    for name in ["digits", "faces"] {
        world.import(name, 1);
    }
    let copy = world.run(&of(dataset("digits", 1)), Status::Succeeded);
    let again = world.run(&of(artifact(&copy, Some("out/a"))), Status::Succeeded);
    world.run(&of(artifact(&again, None)), Status::Succeeded);
    world.run(&of(dataset("faces", 1)), Status::Succeeded);
    let (_directory, catalog) = world.catalog();
    let all = |of: HeldOut, snapshot: &str| {
        catalog.evaluations(&project(), &of, &digest(snapshot), BTreeSet::new(), &|_| true).unwrap()
    };
    assert_eq!(count(&catalog, "digits", &digest("digits@1")), 3);
    assert_eq!((all(HeldOut::Run(copy), "nothing"), all(HeldOut::Run(again), "nothing")), (3, 3));
    assert_eq!(count(&catalog, "faces", &digest("faces@1")), 1);
    // What is not held out any more leads nowhere.
    let name = "digits".parse().unwrap();
    let of = HeldOut::Dataset { name, snapshot: digest("digits@1") };
    assert_eq!(
        catalog.evaluations(&project(), &of, &digest("digits@1"), BTreeSet::new(), &|_| false).unwrap(),
        1
    );
}

#[test]
fn the_same_on_postgresql() {
    let tests = named![
        what_was_allowed_counts_however_it_ended,
        other_versions_and_other_names_are_the_same_data,
        outputs_count_by_their_bytes,
        copies_are_the_same_data,
    ];
    on_postgresql(include_str!("evaluations.rs"), tests, &[]);
}
