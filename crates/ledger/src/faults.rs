//! Every storage step of the ledger, broken: what is visible after the restart.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;

use crate::error::AppendError;
use crate::frame::Position;
use crate::log::Ledger;
use crate::storage::{Disk, Storage};
use crate::{read, verify};

/// The storage steps; replacing and creating by the name of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Write,
    Sync,
    Cut,
    Replace(&'static str),
    Create(&'static str),
}
use Step::{Create, Cut, Replace, Sync, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// An error, and nothing happened.
    Lost,
    /// An error after half of the bytes.
    Half,
    /// It happened, and is reported as failed.
    StoredThenError,
}
use Fault::{Half, Lost, StoredThenError};

/// The real file system with some steps broken.
struct Faulty(Vec<(Step, Fault)>);

impl Faulty {
    fn run(&self, step: Step, half: impl FnOnce(), whole: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self.0.iter().find(|(broken, _)| *broken == step) {
            None => return whole(),
            Some((_, Lost)) => {}
            Some((_, Half)) => half(),
            Some((_, StoredThenError)) => whole()?,
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn named(path: &Path, step: fn(&'static str) -> Step) -> Step {
        let name = path.file_name().unwrap().to_str().unwrap();
        step(
            ["key", "verifier", "log", "checkpoint", "head"]
                .into_iter()
                .find(|known| *known == name)
                .unwrap(),
        )
    }
}

impl Storage for Faulty {
    fn write(&mut self, log: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let half = || log.write_all_at(&bytes[..bytes.len() / 2], offset).unwrap();
        self.run(Write, half, || Disk.write(log, offset, bytes))
    }

    fn sync(&mut self, log: &File) -> io::Result<()> {
        self.run(Sync, || {}, || Disk.sync(log))
    }

    fn cut(&mut self, log: &File, length: u64) -> io::Result<()> {
        self.run(Cut, || {}, || Disk.cut(log, length))
    }

    fn replace(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.run(Self::named(path, Replace), || {}, || Disk.replace(path, bytes))
    }

    fn create(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.run(Self::named(path, Create), || {}, || Disk.create(path, bytes))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    NotThere,
    Unknown,
}
use Outcome::{Done, NotThere, Unknown};

/// One entry is there; appending the second meets `faults`.
#[track_caller]
fn check(faults: &[(Step, Fault)], outcome: Outcome, visible_after: u64) {
    let dir = TempDir::new().unwrap();
    let during = vec![7; 60_000];
    Ledger::open(dir.path(), "log").unwrap().append(&[b"before"]).unwrap();

    let mut ledger = Ledger::open_on(dir.path(), "log", Box::new(Faulty(faults.to_vec()))).unwrap();
    let got = match ledger.append(&[&during]) {
        Ok(_) => Done,
        Err(AppendError::Storage(_)) => NotThere,
        Err(AppendError::Unconfirmed { index: 1, .. }) => Unknown,
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(got, outcome, "{faults:?}");
    if got == Unknown {
        assert!(matches!(ledger.append(&[b"again"]), Err(AppendError::Closed)));
    } else {
        assert_eq!(ledger.size(), visible_after);
        ledger.storage = Box::new(Disk);
        assert_eq!(ledger.append(&[b"again"]).unwrap(), visible_after..visible_after + 1);
    }
    let entries = verify(dir.path(), None).unwrap().entries;
    assert_eq!(entries, visible_after + u64::from(got != Unknown), "{faults:?}");

    let mut ledger = Ledger::open(dir.path(), "log").unwrap();
    assert_eq!(ledger.append(&[b"after"]).unwrap(), entries..entries + 1);
    let verified = verify(dir.path(), Some(&ledger.checkpoint())).unwrap();
    assert_eq!((verified.entries, verified.torn_tail), (entries + 1, 0));
    let last = read(dir.path(), Position::START).unwrap().last().unwrap().unwrap();
    assert_eq!(last.bytes, b"after");
}

#[test]
fn write_broken() {
    check(&[(Write, Lost)], NotThere, 1);
    check(&[(Write, Half)], NotThere, 1);
    check(&[(Write, StoredThenError)], NotThere, 1);
}

#[test]
fn sync_broken() {
    check(&[(Sync, Lost)], Unknown, 1);
    check(&[(Sync, StoredThenError)], Unknown, 1);
    check(&[(Sync, Lost), (Cut, Lost)], Unknown, 2);
    check(&[(Sync, StoredThenError), (Cut, StoredThenError)], Unknown, 1);
}

#[test]
fn cut_broken() {
    check(&[(Write, Lost), (Cut, Lost)], Unknown, 1);
    check(&[(Write, Half), (Cut, Lost)], Unknown, 1);
    check(&[(Write, StoredThenError), (Cut, Lost)], Unknown, 2);
    check(&[(Write, StoredThenError), (Cut, StoredThenError)], Unknown, 1);
}

#[test]
fn publishing_broken() {
    check(&[(Replace("checkpoint"), Lost)], Done, 2);
    check(&[(Replace("checkpoint"), StoredThenError)], Done, 2);
}

#[test]
fn keeping_the_head_broken() {
    for fault in [Lost, StoredThenError] {
        let dir = TempDir::new().unwrap();
        let entry = [1; 60_000];
        let storage = Faulty(vec![(Replace("head"), fault)]);
        let mut ledger = Ledger::open_on(dir.path(), "log", Box::new(storage)).unwrap();
        ledger.append(&[entry.as_slice(); 10]).unwrap();
        assert_eq!(dir.path().join("head").exists(), fault == StoredThenError);
        let root = ledger.root();
        assert_eq!(Ledger::open(dir.path(), "log").unwrap().root(), root);
        assert!(dir.path().join("head").exists());
    }
}

#[test]
fn creation_broken() {
    for step in [Create("key"), Create("verifier"), Create("log"), Sync] {
        for fault in [Lost, StoredThenError] {
            let dir = TempDir::new().unwrap();
            let storage = Box::new(Faulty(vec![(step, fault)]));
            Ledger::open_on(dir.path(), "log", storage).unwrap_err();
            let key = std::fs::read(dir.path().join("key")).ok();
            let mut ledger = Ledger::open(dir.path(), "log").unwrap();
            ledger.append(&[b"first"]).unwrap();
            assert_eq!(verify(dir.path(), None).unwrap().entries, 1, "{step:?} {fault:?}");
            let kept = std::fs::read(dir.path().join("key")).unwrap();
            assert!(key.is_none_or(|key| key == kept), "the key was replaced: {step:?} {fault:?}");
        }
    }
}

#[test]
fn a_tail_that_cannot_be_removed_blocks_appending_until_it_can() {
    let dir = TempDir::new().unwrap();
    Ledger::open(dir.path(), "log").unwrap().append(&[b"before"]).unwrap();
    let log = File::options().append(true).open(dir.path().join("log")).unwrap();
    io::Write::write_all(&mut &log, b"torn").unwrap();
    assert_eq!(verify(dir.path(), None).unwrap().torn_tail, 4);

    let mut ledger = Ledger::open_on(dir.path(), "log", Box::new(Faulty(vec![(Cut, Lost)]))).unwrap();
    assert!(matches!(ledger.append(&[b"during"]), Err(AppendError::Storage(_))));
    assert_eq!(verify(dir.path(), None).unwrap().torn_tail, 4);
    ledger.storage = Box::new(Disk);
    assert_eq!(ledger.append(&[b"after"]).unwrap(), 1..2);
    assert_eq!(verify(dir.path(), None).unwrap().torn_tail, 0);
}
