//! How long bytes are kept, and what is said of those that are not.

use std::collections::BTreeSet;

use aseptic_model::{Event, Retained, RetainedKind, Retention, Status};

use crate::server::{named, on_postgresql};
use crate::world::{Job, World, dataset, digest, outputs_of, project};

fn expired(object: Retained, class: Retention) -> Event {
    Event::RetentionExpired { object, class, snapshots: BTreeSet::new() }
}

#[test]
fn what_expired_says_when_and_why_until_it_is_restored() {
    let mut world = World::default();
    world.import("digits", 1);
    let job = Job { inputs: vec![("train", dataset("digits", 1))], ..Job::default() };
    let run = world.run(&job, Status::Succeeded);
    let objects =
        [Retained::Dataset { name: "digits".parse().unwrap(), version: 1 }, Retained::Run(run.clone())];
    for object in &objects {
        let class = Some(Retention::Days(7));
        world.push(Event::RetentionSet { object: object.clone(), class, reason: None });
        world.push(expired(object.clone(), Retention::Days(7)));
        world.push(Event::RetentionSet { object: object.clone(), class: None, reason: None });
    }
    let (_directory, mut catalog) = world.catalog();
    let version = catalog.all_versions(&project()).unwrap().remove(0);
    let summary = catalog.run(&project(), &run).unwrap().unwrap();
    let at = |back: usize| Some(world.entries[world.entries.len() - back].1.time);
    assert_eq!((version.expired, version.expired_class), (at(5), Some(Retention::Days(7))));
    assert_eq!((summary.expired, summary.expired_class), (at(2), Some(Retention::Days(7))));
    assert_eq!((version.retention, summary.retention), (None, None), "it was left to the project");
    assert_eq!(catalog.inputs(&project(), &run).unwrap(), [digest("digits@1")]);
    assert_eq!(summary.outputs, Some(outputs_of(&run)));

    for object in objects {
        let url = "file:///archive".to_owned();
        world.push(Event::ArchiveRestored { object, url, manifest: digest("manifest") });
    }
    world.apply(&mut catalog).unwrap();
    let version = catalog.all_versions(&project()).unwrap().remove(0);
    let summary = catalog.run(&project(), &run).unwrap().unwrap();
    let at = |back: usize| Some(world.entries[world.entries.len() - back].1.time);
    assert_eq!((version.expired, version.expired_class, version.restored), (None, None, at(2)));
    assert_eq!((summary.expired, summary.expired_class, summary.restored), (None, None, at(1)));
}

#[test]
fn the_default_is_the_last_that_was_chosen() {
    let mut world = World::default();
    let (_directory, mut catalog) = world.catalog();
    let default = |catalog: &aseptic_catalog::Catalog| {
        RetainedKind::ALL.map(|kind| catalog.retention_default(&project(), kind).unwrap())
    };
    assert_eq!(default(&catalog), [Retention::Keep, Retention::Keep]);
    for class in [Retention::Days(7), Retention::Days(90)] {
        world.push(Event::RetentionDefault { kind: RetainedKind::Runs, class });
    }
    world.apply(&mut catalog).unwrap();
    assert_eq!(default(&catalog), [Retention::Keep, Retention::Days(90)]);
}

#[test]
fn what_entries_name_beside_datasets_and_runs_is_listed() {
    let mut world = World::default();
    let [report, list] = ["report", "list"].map(digest);
    world.push(Event::DrillCompleted { held: 1, breached: 0, broken: 0, report });
    world.push(Event::StoreCollected { objects: 1, bytes: 1, list });
    world.push(Event::StoreCollected { objects: 1, bytes: 1, list });
    let (_directory, catalog) = world.catalog();
    let found: BTreeSet<_> = catalog.kept_objects(&project()).unwrap().into_iter().collect();
    assert_eq!(found, BTreeSet::from([report, list]));
}

#[test]
fn the_same_on_postgresql() {
    let tests = named![
        what_expired_says_when_and_why_until_it_is_restored,
        the_default_is_the_last_that_was_chosen,
        what_entries_name_beside_datasets_and_runs_is_listed,
    ];
    on_postgresql(include_str!("kept.rs"), tests, &[]);
}
