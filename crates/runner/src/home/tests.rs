//! Erasing and the clock, as processes that die at any point leave them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use aseptic_model::{Entry, Event, ProjectName, Timestamp, to_canonical};

use super::{Home, now};
use crate::record::{Erasable, Hidden, Places, entries, erase};

const SECRET: &str = "Ada Lovelace, born 1815";

fn project() -> ProjectName {
    "p".parse().unwrap()
}

fn open(dir: &Path) -> Home {
    // A state directory may not lie where every run sees it; the usual temporary directory does not.
    Home::open(&dir.join("state")).unwrap()
}

fn added() -> Event {
    Event::DatasetAdded {
        name: "d".parse().unwrap(),
        version: 1,
        snapshot: aseptic_model::Digest::of(b"tree"),
        files: 1,
        bytes: 1,
        labels: BTreeSet::new(),
        metadata: [("owner".parse().unwrap(), SECRET.parse().unwrap())].into(),
        retention: None,
        origin: None,
        inherited: BTreeSet::new(),
        left_by_runs: BTreeSet::new(),
    }
}

fn erased() -> Event {
    Event::LedgerErased { entry: 0, places: BTreeSet::from(["metadata.owner".to_owned()]), reason: None }
}

/// Files below `dir` that hold the secret.
fn files_with_secret(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if fs::read(&path).unwrap().windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
            {
                found.push(path);
            }
        }
    }
    found
}

fn assert_erased(home: &Home, dir: &Path) {
    assert_eq!(files_with_secret(dir), Vec::<PathBuf>::new());
    let versions = home.catalog.versions(&project(), &"d".parse().unwrap()).unwrap();
    assert!(versions[0].metadata.is_empty());
    let shown: Vec<_> =
        entries(&home.ledger_dir(), aseptic_ledger::Position::START).unwrap().map(Result::unwrap).collect();
    assert_eq!(shown[0].hidden["metadata.owner"], Hidden::Erased);
    aseptic_ledger::verify(&home.ledger_dir(), None).unwrap();
}

#[test]
fn what_is_erased_is_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = open(dir.path());
    home.record(&project(), vec![added()]).unwrap();
    home.catch_up().unwrap();
    let mut found = files_with_secret(dir.path());
    found.iter_mut().for_each(|path| *path = path.strip_prefix(dir.path().join("state")).unwrap().to_owned());
    assert!(found.contains(&"ledger/values".into()) && !found.contains(&"ledger/log".into()), "{found:?}");
    let other = open(dir.path()); // Has the catalog open all the time.
    let places = Places::These(BTreeSet::from(["metadata.owner".to_owned()]));
    let done = erase(&mut home, &project(), &Erasable::Entry(0), &places, "asked").unwrap();
    assert_eq!((done.places.len(), done.still.len()), (1, 0));
    assert_erased(&home, dir.path());
    drop(other);
    assert_erased(&open(dir.path()), dir.path());
    assert!(erase(&mut home, &project(), &Erasable::Entry(0), &places, "again").is_err());
}

/// The process died after the entry was durable, with or without the catalog of before.
#[test]
fn the_next_command_finishes_an_erasure() {
    for lost in [&["none"][..], &["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"]] {
        let dir = tempfile::tempdir().unwrap();
        let mut home = open(dir.path());
        home.record(&project(), vec![added()]).unwrap();
        home.catch_up().unwrap();
        home.record(&project(), vec![erased()]).unwrap();
        drop(home);
        assert!(!files_with_secret(dir.path()).is_empty());
        for file in lost {
            let _ = fs::remove_file(dir.path().join("state").join(file));
        }
        assert_erased(&open(dir.path()), dir.path());
    }
}

/// A value whose entry never came is no value of anyone, and goes with the next erasure.
#[test]
fn a_value_without_an_entry_goes_with_the_next_erasure() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = open(dir.path());
    home.record(&project(), vec![added()]).unwrap();
    let mut lost = Entry::new(now(), "user:a".to_owned(), project(), added());
    let kept = lost.seal(crate::record::values::salt).unwrap();
    crate::record::values::alone(&home.ledger_dir()).unwrap().add(&kept).unwrap();
    home.catch_up().unwrap();
    erase(&mut home, &project(), &Erasable::Entry(0), &Places::All, "asked").unwrap();
    assert_erased(&home, dir.path());
}

#[test]
fn the_same_text_elsewhere_is_named_and_an_old_entry_cannot_be_erased() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = open(dir.path());
    home.record(&project(), vec![added()]).unwrap();
    let plain = Entry::new(now(), "user:a".to_owned(), project(), added());
    home.ledger.append(&[&to_canonical(&plain).unwrap()]).unwrap();
    let done = erase(&mut home, &project(), &Erasable::Entry(0), &Places::All, "asked").unwrap();
    assert_eq!(done.still.keys().copied().collect::<Vec<_>>(), [1]);
    let refused = erase(&mut home, &project(), &Erasable::Entry(1), &Places::All, "asked").unwrap_err();
    assert_eq!(aseptic_model::Diagnose::diagnosis(&refused).code, "ledger/plain");
}

fn ahead(home: &mut Home, milliseconds: i64) -> Timestamp {
    let time = Timestamp::from_unix_ms(now().as_unix_ms() + milliseconds).unwrap();
    let entry = Entry::new(time, "user:a".to_owned(), project(), added());
    home.ledger.append(&[&to_canonical(&entry).unwrap()]).unwrap();
    time
}

fn events(home: &Home) -> Vec<Event> {
    let entries = entries(&home.ledger_dir(), aseptic_ledger::Position::START).unwrap();
    entries.map(|entry| entry.unwrap().entry.unwrap().event).collect()
}

#[test]
fn a_clock_that_goes_back_is_recorded_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = open(dir.path());
    ahead(&mut home, 0);
    home.record(&project(), vec![added()]).unwrap();
    assert_eq!(events(&home).len(), 2, "a clock that goes on");
    let before = ahead(&mut home, 3_600_000);
    home.record(&project(), vec![added()]).unwrap();
    home.record(&project(), vec![added()]).unwrap();
    let found = events(&home);
    assert_eq!(found.len(), 6, "said once");
    let Event::LedgerClockWentBack { before: said, milliseconds } = &found[3] else {
        panic!("{:?}", found[3])
    };
    assert!(*said == before && (3_000_000..=3_600_000).contains(milliseconds));
}

#[test]
fn another_process_finds_that_the_clock_went_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut home, mut other) = (open(dir.path()), open(dir.path()));
    ahead(&mut home, 3_600_000);
    other.record(&project(), vec![added()]).unwrap(); // It does not know the other entry yet.
    other.record(&project(), vec![added()]).unwrap();
    let kinds: Vec<_> = events(&home).iter().map(Event::kind).collect();
    assert_eq!(kinds, ["dataset.added", "dataset.added", "ledger.clock-went-back", "dataset.added"]);

    // The catalog knows the latest time, also for who opens the state after it was applied.
    ahead(&mut home, 7_200_000);
    home.catch_up().unwrap();
    let mut third = open(dir.path());
    third.record(&project(), vec![added()]).unwrap();
    assert_eq!(events(&home)[5].kind(), "ledger.clock-went-back");
}
