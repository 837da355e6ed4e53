//! What a report counts.

use aseptic_model::{Outcome, Reason, Status, Timestamp};

use crate::server::{named, on_postgresql};
use crate::world::{Job, World, dataset, project};

fn with(inputs: &[(&'static str, &str, u32)], experiment: Option<&'static str>) -> Job {
    let inputs = inputs.iter().map(|(input, name, version)| (*input, dataset(name, *version)));
    Job { experiment, inputs: inputs.collect(), ..Job::default() }
}

/// Three runs with data that started, one that was denied, one that was never decided.
fn world() -> World {
    let mut world = World::default();
    for version in [1, 2] {
        world.import("digits", version);
    }
    world.run(&with(&[("a", "digits", 1), ("b", "digits", 2)], Some("train")), Status::Succeeded);
    world.run(&with(&[("a", "digits", 1)], Some("train")), Status::Failed);
    world.run(&with(&[("a", "digits", 1)], None), Status::Succeeded);
    let denied = world.plan(&with(&[("a", "digits", 1)], Some("train")));
    let reason = Reason { outcome: Outcome::Deny, rule: "input/missing".to_owned(), ..Reason::default() };
    world.decide(&denied, vec![reason]);
    world.plan(&with(&[("a", "digits", 2)], Some("test")));
    world
}

#[test]
fn runs_are_counted_by_experiment_and_status() {
    let (_directory, catalog) = world().catalog();
    let counts = |since| {
        let counts = catalog.run_counts(&project(), since).unwrap().into_iter();
        let count = |one: aseptic_catalog::RunCount| {
            let experiment = one.experiment.map_or("-".to_owned(), |name| name.to_string());
            (experiment, one.status.map_or("running", Status::as_str), one.runs)
        };
        counts.map(count).collect::<Vec<_>>()
    };
    let of = |experiment: &str, status, runs| (experiment.to_owned(), status, runs);
    assert_eq!(
        counts(None),
        [
            of("-", "succeeded", 1),
            of("test", "running", 1),
            of("train", "denied", 1),
            of("train", "failed", 1),
            of("train", "succeeded", 1),
        ]
    );
    let all = catalog.run_counts(&project(), None).unwrap();
    assert!(all.iter().all(|one| one.runs == 1 && one.first == one.last));
    let last = Timestamp::from_unix_ms(i64::MAX / 1_000_000).unwrap();
    assert_eq!(counts(Some(last)), []);
    assert_eq!(catalog.run_counts(&"other".parse().unwrap(), None).unwrap(), []);
}

/// A run that had two versions is one evaluation; one that was denied saw nothing.
#[test]
fn uses_of_datasets() {
    let (_directory, catalog) = world().catalog();
    let uses = catalog.dataset_uses(&project()).unwrap();
    let uses: Vec<_> = uses.iter().map(|one| (one.dataset.as_str(), one.version, one.runs)).collect();
    assert_eq!(uses, [("digits", None, 3), ("digits", Some(1), 3), ("digits", Some(2), 1)]);
    assert_eq!(catalog.dataset_uses(&"other".parse().unwrap()).unwrap(), []);
}

#[test]
fn the_same_on_postgresql() {
    let tests = named![runs_are_counted_by_experiment_and_status, uses_of_datasets];
    on_postgresql(include_str!("report.rs"), tests, &[]);
}
