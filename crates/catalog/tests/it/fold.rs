//! Applying entries: in order, once, from several processes, and what a bad record does.

use std::thread;

use aseptic_catalog::{Catalog, CatalogError, RunFilter};
use aseptic_model::{Entry, Event, Reason, Status, to_canonical};

use crate::server::{Spot, named, on_postgresql};
use crate::world::{Job, World, artifact, dataset, digest, outputs_of, path, project};

fn example() -> World {
    let mut world = World::default();
    world.import("digits", 1);
    world.import("digits", 2);
    let job = Job {
        experiment: Some("train"),
        inputs: vec![("train", dataset("digits", 2))],
        outputs: vec![path(b"out/model.pkl"), path(b"out/new\nline\t\\ \xff")],
    };
    let train = world.run(&job, Status::Succeeded);
    world.run(
        &Job { inputs: vec![("model", artifact(&train, Some("out")))], ..Job::default() },
        Status::Failed,
    );
    let denied = world.plan(&job);
    world.decide(
        &denied,
        vec![Reason {
            rule: "input/quarantined".to_owned(),
            element: "data.train".to_owned(),
            message: "bad".to_owned(),
            advice: "none".to_owned(),
            ..Reason::default()
        }],
    );
    world.push(Event::QuarantineAdded {
        object: aseptic_model::Object::Snapshot(digest("digits@1")),
        reason: Some("leaked\n".to_owned()),
        runs: 0,
        reached: None,
    });
    world.push(Event::RunExported {
        run: train,
        snapshot: digest("exported"),
        files: 1,
        path: None,
        quarantined: None,
    });
    world.plan(&job);
    world
}

#[test]
fn the_same_entries_make_the_same_catalog() {
    let world = example();
    let (spot, mut catalog) = world.catalog();
    let dump = catalog.dump().unwrap();
    assert_eq!(dump.lines().count(), 1 + 2 + 2 + 1 + 4 + 4 + 2 + 4 * 2 + 2 + 1 + 2 + 2, "{dump}");

    let one_by_one = Spot::new();
    let mut other = one_by_one.open();
    for index in 0..world.entries.len() {
        assert_eq!(world.apply_some(&mut other, index..index + 1).unwrap(), 1);
    }
    assert_eq!(other.dump().unwrap(), dump);

    catalog.clear().unwrap();
    assert_eq!(catalog.applied().unwrap(), None);
    assert_eq!(catalog.runs(&project(), 9, &RunFilter::default()).unwrap(), []);
    world.apply(&mut catalog).unwrap();
    assert_eq!(catalog.dump().unwrap(), dump);

    drop(catalog);
    let reopened = spot.open();
    assert_eq!(reopened.dump().unwrap(), dump);
    assert_eq!(reopened.applied().unwrap(), Some(world.entries.last().unwrap().0));
}

#[test]
fn an_entry_is_applied_once() {
    let mut world = example();
    let (_directory, mut catalog) = world.catalog();
    let dump = catalog.dump().unwrap();
    assert_eq!(world.apply(&mut catalog).unwrap(), 0);
    assert_eq!(catalog.dump().unwrap(), dump);
    world.import("digits", 3);
    assert_eq!(world.apply(&mut catalog).unwrap(), 1, "those before are skipped");
}

#[test]
fn a_gap_is_refused_and_changes_nothing() {
    let world = example();
    let spot = Spot::new();
    let mut catalog = spot.open();
    world.apply_some(&mut catalog, 0..2).unwrap();
    let dump = catalog.dump().unwrap();
    let error = world.apply_some(&mut catalog, 3..5).unwrap_err();
    assert!(matches!(error, CatalogError::Gap { expected: 2, found: 3 }), "{error}");

    let gap_later = [2, 3, 5].map(|index| world.entries[index].clone());
    let error = catalog.apply(gap_later, &|_, _| Err("none".into())).unwrap_err();
    assert!(matches!(error, CatalogError::Gap { expected: 4, found: 5 }), "{error}");
    assert_eq!(catalog.dump().unwrap(), dump, "the two entries before the gap went back");
}

#[test]
fn another_ledger_and_another_version_are_refused() {
    let world = example();
    let (_directory, mut catalog) = world.catalog();
    let (mut position, entry) = world.entries.last().unwrap().clone();
    position.offset += 1;
    let error = catalog.apply([(position, entry.clone())], &|_, _| Err("none".into())).unwrap_err();
    assert!(matches!(error, CatalogError::Unusable { .. }), "{error}");

    position.index += 1;
    let entry = Entry { format: "aseptic.entry/2".to_owned(), ..entry };
    let error = catalog.apply([(position, entry)], &|_, _| Err("none".into())).unwrap_err();
    assert!(matches!(error, CatalogError::Format { .. }), "{error}");
}

#[test]
fn an_unreadable_record_leaves_the_rest() {
    let job = Job { inputs: vec![("train", dataset("digits", 1))], ..Job::default() };
    let foreign = World::default().run(&Job { experiment: Some("other"), ..job.clone() }, Status::Failed);
    let other_run = to_canonical(&crate::world::record(&foreign, &job, Status::Failed)).unwrap();
    for (bytes, why) in [
        (None, "record unreadable: the store does not have it"),
        (Some(b"{}".to_vec()), "record unreadable: missing field `schema` at line 1 column 2"),
        (Some(other_run), "record unreadable: it is the record of another run"),
    ] {
        let mut world = World::default();
        world.run(&job, Status::Succeeded);
        let run = world.run(&job, Status::Succeeded);
        let Event::RunSealed { record, .. } = &world.entries.last().unwrap().1.event else { unreachable!() };
        match bytes {
            None => world.objects.remove(record),
            Some(bytes) => world.objects.insert(*record, bytes),
        };
        let (_directory, catalog) = world.catalog();
        let row = catalog.run(&project(), &run).unwrap().unwrap();
        assert_eq!(row.unreadable.as_deref(), Some(why));
        assert_eq!((row.status, row.outputs), (Some(Status::Succeeded), Some(outputs_of(&run))));
        assert_eq!(row.duration_ms, None);
        assert!(!row.params.is_empty(), "the plan said them");
        assert_eq!(catalog.consumers(&project(), &digest("digits@1")).unwrap().len(), 2);
    }
}

#[test]
fn a_readable_record_stands_in_for_an_unreadable_plan() {
    let job = Job { inputs: vec![("train", dataset("digits", 1))], ..Job::default() };
    let mut world = World::default();
    let run = world.run(&job, Status::Succeeded);
    let (_directory, whole) = world.catalog();
    world.objects.remove(&whole.run(&project(), &run).unwrap().unwrap().plan);
    let (_directory, catalog) = world.catalog();
    assert_eq!(catalog.dump().unwrap(), whole.dump().unwrap());
}

#[test]
fn entries_that_make_no_sense_change_nothing() {
    let mut world = example();
    let (_directory, before) = world.catalog();
    let run = before.runs(&project(), 9, &RunFilter::default()).unwrap().pop().unwrap().run;
    let position = world.entries.len();
    world.seal(&"zzzzzzzzzzzz".parse().unwrap(), &Job::default(), Status::Succeeded); // Never planned.
    world.seal(&run, &Job::default(), Status::Failed); // Sealed before.
    world.decide(&run, Vec::new());
    world.push(world.entries[2].1.event.clone()); // Planned before.
    world.import("digits", 1);
    let (_directory, after) = world.catalog();
    let rows = |catalog: &Catalog| {
        catalog
            .dump()
            .unwrap()
            .lines()
            .filter(|row| !row.starts_with("applied"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(rows(&after), rows(&before));
    assert!(position < world.entries.len());
}

#[test]
fn two_processes_apply_at_once() {
    let world = example();
    let spot = Spot::new();
    let place = spot.place();
    let applied: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut catalog = Catalog::open(&place).unwrap();
                    world.apply(&mut catalog).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(applied, world.entries.len() as u64, "each entry by one of them");
    let (_directory, alone) = world.catalog();
    assert_eq!(Catalog::open(&place).unwrap().dump().unwrap(), alone.dump().unwrap());
}

#[test]
fn ten_thousand_runs() {
    let mut world = World::default();
    world.import("digits", 1);
    let job = Job {
        experiment: Some("train"),
        inputs: vec![("train", dataset("digits", 1))],
        outputs: vec![path(b"out/model.pkl"), path(b"out/metrics.json")],
    };
    for _ in 0..10_000 {
        world.run(&job, Status::Succeeded);
    }
    let (_directory, catalog) = world.catalog();
    assert_eq!(catalog.runs(&project(), usize::MAX, &RunFilter::default()).unwrap().len(), 10_000);
    let page = aseptic_catalog::LineagePage { depth: None, skip: 0, limit: 10_000 };
    let object = "dataset:digits".parse().unwrap();
    let graph = catalog.lineage(&project(), &object, &[], aseptic_catalog::Direction::Down, &page).unwrap();
    assert_eq!((graph.edges.len(), graph.truncated), (10_000, false));
}

#[test]
fn what_is_done_to_a_dataset_version_is_its_state_and_its_history() {
    use aseptic_model::{Retained, RetainedKind, Retention};
    let mut world = World::default();
    world.import("digits", 1);
    let name: aseptic_model::DatasetName = "digits".parse().unwrap();
    let object = Retained::Dataset { name: name.clone(), version: 1 };
    let label = |text: &str| std::collections::BTreeSet::from([text.parse().unwrap()]);
    world.push(Event::DatasetLabelled {
        name: name.clone(),
        version: 1,
        added: label("pii"),
        removed: label("role=train"),
        reason: Some("wrong".to_owned()),
    });
    let set = [("licence".parse().unwrap(), "CC0-1.0".parse().unwrap())].into();
    world.push(Event::DatasetDescribed { name: name.clone(), version: 1, set, unset: [].into() });
    world.push(Event::RetentionSet { object: object.clone(), class: Some(Retention::Days(7)), reason: None });
    world.push(Event::RetentionDefault { kind: RetainedKind::Runs, class: Retention::Hold });
    world.push(Event::RetentionExpired {
        object: object.clone(),
        class: Retention::Days(7),
        snapshots: [].into(),
    });
    // About nothing that there is.
    world.push(Event::RetentionSet {
        object: Retained::Dataset { name: name.clone(), version: 9 },
        class: None,
        reason: None,
    });
    let (_directory, mut catalog) = world.catalog();
    let version = catalog.dataset_version(&project(), &name, None).unwrap().unwrap();
    assert_eq!(version.labels, label("pii"));
    assert_eq!(version.metadata.len(), 1);
    assert_eq!(version.retention, Some(Retention::Days(7)));
    assert!(version.expired.is_some());
    assert_eq!(catalog.retention_default(&project(), RetainedKind::Runs).unwrap(), Retention::Hold);
    assert_eq!(catalog.retention_default(&project(), RetainedKind::Datasets).unwrap(), Retention::Keep);
    let kinds: Vec<_> = catalog
        .dataset_changes(&project(), &name)
        .unwrap()
        .iter()
        .map(|change| change.event.kind())
        .collect();
    assert_eq!(
        kinds,
        ["retention.expired", "retention.set", "dataset.described", "dataset.labelled", "dataset.added"]
    );

    world.push(Event::ArchiveRestored { object, url: "file:///archive".to_owned(), manifest: digest("m") });
    world.apply(&mut catalog).unwrap();
    assert_eq!(catalog.dataset_version(&project(), &name, Some(1)).unwrap().unwrap().expired, None);
}

#[test]
fn the_same_on_postgresql() {
    let tests = named![
        the_same_entries_make_the_same_catalog,
        an_entry_is_applied_once,
        a_gap_is_refused_and_changes_nothing,
        another_ledger_and_another_version_are_refused,
        an_unreadable_record_leaves_the_rest,
        a_readable_record_stands_in_for_an_unreadable_plan,
        entries_that_make_no_sense_change_nothing,
        two_processes_apply_at_once,
        what_is_done_to_a_dataset_version_is_its_state_and_its_history,
    ];
    on_postgresql(include_str!("fold.rs"), tests, &["ten_thousand_runs"]);
}
