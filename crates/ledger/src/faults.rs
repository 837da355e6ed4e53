//! Every storage step of the ledger, broken: what is visible after the restart.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::error::AppendError;
use crate::frame::Position;
use crate::group::Ticket;
use crate::log::Ledger;
use crate::note::Signer;
use crate::open::Name;
use crate::storage::{Disk, Storage};
use crate::{read, verify};

const NAME: Name<'_> = Name::Exactly("log");

/// The storage steps; replacing and creating by the name of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Write,
    Sync,
    Cut,
    Note,
    Replace(&'static str),
    Create(&'static str),
    Install(&'static str),
}
use Step::{Create, Cut, Install, Note, Replace, Sync, Write};

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
            ["key", "key.next", "verifier", "log", "checkpoint", "head"]
                .into_iter()
                .find(|known| *known == name)
                .unwrap(),
        )
    }
}

impl Storage for Faulty {
    fn write(&self, log: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let half = || log.write_all_at(&bytes[..bytes.len() / 2], offset).unwrap();
        self.run(Write, half, || Disk.write(log, offset, bytes))
    }

    fn sync(&self, log: &File) -> io::Result<()> {
        self.run(Sync, || {}, || Disk.sync(log))
    }

    fn cut(&self, log: &File, length: u64) -> io::Result<()> {
        self.run(Cut, || {}, || Disk.cut(log, length))
    }

    fn shorten(&self, log: &File, length: u64) -> io::Result<()> {
        self.run(Cut, || {}, || Disk.shorten(log, length))
    }

    fn note(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.run(Note, || {}, || Disk.note(path, bytes))
    }

    fn install(&self, temporary: &Path, path: &Path) -> io::Result<()> {
        self.run(Self::named(path, Install), || {}, || Disk.install(temporary, path))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.run(Self::named(path, Replace), || {}, || Disk.replace(path, bytes))
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
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

    let mut ledger = Ledger::open_on(dir.path(), NAME, Arc::new(Faulty(faults.to_vec()))).unwrap();
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
        ledger.storage = Arc::new(Disk);
        assert_eq!(ledger.append(&[b"again"]).unwrap(), visible_after..visible_after + 1);
    }
    let entries = verify(dir.path(), None).unwrap().entries;
    assert_eq!(entries, visible_after + u64::from(got != Unknown), "{faults:?}");

    let ledger = Ledger::open(dir.path(), "log").unwrap();
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
        let ledger = Ledger::open_on(dir.path(), NAME, Arc::new(storage)).unwrap();
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
            let storage = Arc::new(Faulty(vec![(step, fault)]));
            Ledger::open_on(dir.path(), NAME, storage).unwrap_err();
            let key = fs::read(dir.path().join("key")).ok();
            let ledger = Ledger::open(dir.path(), "log").unwrap();
            ledger.append(&[b"first"]).unwrap();
            assert_eq!(verify(dir.path(), None).unwrap().entries, 1, "{step:?} {fault:?}");
            let kept = fs::read(dir.path().join("key")).unwrap();
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

    let mut ledger = Ledger::open_on(dir.path(), NAME, Arc::new(Faulty(vec![(Cut, Lost)]))).unwrap();
    assert!(matches!(ledger.append(&[b"during"]), Err(AppendError::Storage(_))));
    assert_eq!(verify(dir.path(), None).unwrap().torn_tail, 4);
    ledger.storage = Arc::new(Disk);
    assert_eq!(ledger.append(&[b"after"]).unwrap(), 1..2);
    assert_eq!(verify(dir.path(), None).unwrap().torn_tail, 0);
}

/// Handing over meets `faults`: the ledger has one key or the other after it, and goes on.
#[track_caller]
fn check_handover(faults: &[(Step, Fault)], outcome: Outcome, handed_over: bool) {
    let dir = TempDir::new().unwrap();
    Ledger::open(dir.path(), "log").unwrap().append(&[b"before"]).unwrap();
    let kept = verify(dir.path(), None).unwrap().checkpoint.unwrap();

    let mut ledger = Ledger::open_on(dir.path(), NAME, Arc::new(Faulty(faults.to_vec()))).unwrap();
    let (old, next) = (ledger.verifier(), ledger.next_key().unwrap());
    let new = next.verifier().clone();
    let got = match ledger.hand_over(next, b"handover") {
        Ok(1) => Done,
        Err(AppendError::Storage(_)) => NotThere,
        Err(AppendError::Unconfirmed { index: 1, .. }) => Unknown,
        other => panic!("{other:?}"),
    };
    assert_eq!(got, outcome, "{faults:?}");
    if got != Unknown {
        ledger.storage = Arc::new(Disk);
        assert_eq!(ledger.append(&[b"again"]).unwrap().start, 1 + u64::from(handed_over));
    }
    let ledger = Ledger::open(dir.path(), "log").unwrap();
    assert_eq!(ledger.verifier(), if handed_over { new } else { old }, "{faults:?}");
    ledger.append(&[b"after"]).unwrap();
    let verified = verify(dir.path(), Some(&kept)).unwrap();
    assert_eq!((verified.keys.len(), verified.verifier), (1 + usize::from(handed_over), ledger.verifier()));
    assert!(!dir.path().join("key.next").exists());
}

#[test]
fn handover_broken() {
    for fault in [Lost, StoredThenError] {
        check_handover(&[(Create("key.next"), fault)], NotThere, false);
        check_handover(&[(Write, fault)], NotThere, false);
        check_handover(&[(Sync, fault)], Unknown, false);
        check_handover(&[(Install("key"), fault)], Done, true);
        check_handover(&[(Create("verifier"), fault)], Done, true);
        check_handover(&[(Note, fault)], Done, true);
        check_handover(&[(Replace("checkpoint"), fault)], Done, true);
        check_handover(&[(Install("key"), fault), (Create("verifier"), fault)], Done, true);
    }
    check_handover(&[(Write, Half)], NotThere, false);
    check_handover(&[(Write, Half), (Cut, Lost)], Unknown, false);
    check_handover(&[(Write, StoredThenError), (Cut, Lost)], Unknown, true);
    check_handover(&[(Sync, Lost), (Cut, Lost)], Unknown, true);
    check_handover(&[(Sync, Lost), (Note, Lost)], Unknown, true);
}

#[test]
fn noting_what_is_on_disk_broken() {
    check(&[(Note, Lost)], Done, 2);
    check(&[(Note, StoredThenError)], Done, 2);
    // What nobody can be told of is not taken back.
    check(&[(Sync, Lost), (Note, Lost)], Unknown, 2);
}

/// What one process wrote and did not bring to the disk is taken back by another whose disk fails; whoever
/// waits for it is told, and the next one goes on from what is on disk.
#[test]
fn a_failed_sync_is_known_to_those_who_wait() {
    let dir = TempDir::new().unwrap();
    let waiting = Ledger::open(dir.path(), "log").unwrap();
    waiting.append(&[b"before"]).unwrap();
    let failing = Ledger::open_on(dir.path(), NAME, Arc::new(Faulty(vec![(Sync, Lost)]))).unwrap();
    let bystander = Ledger::open(dir.path(), "log").unwrap();

    let ticket = Arc::new(Ticket::new(&[b"written"]).unwrap());
    let written = waiting.write_alone(&ticket).unwrap();
    let seen = fs::metadata(dir.path().join("log")).unwrap().len();
    assert!(matches!(failing.append(&[b"fails"]), Err(AppendError::Unconfirmed { index: 2, .. })));
    assert!(fs::metadata(dir.path().join("log")).unwrap().len() < seen, "both were taken back");
    assert_eq!(bystander.append(&[b"other"]).unwrap(), 1..2);
    let error = waiting.confirm(&written).unwrap_err();
    assert!(matches!(error, AppendError::Unconfirmed { index: 1, .. }), "{error}");
    // Its own disk did not fail, so it goes on.
    assert_eq!(waiting.append(&[b"again"]).unwrap(), 2..3);
    assert_eq!(verify(dir.path(), None).unwrap().entries, 3);
}

/// Of what is written and not on disk nothing is shown unless the reader brought it there.
#[test]
fn who_comes_later_may_find_it_on_disk() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (Ledger::open(dir.path(), "log").unwrap(), Ledger::open(dir.path(), "log").unwrap());
    let first = one.write_alone(&Arc::new(Ticket::new(&[b"first"]).unwrap())).unwrap();
    assert_eq!(two.append(&[b"second"]).unwrap(), 1..2);
    // A sync of its own would fail.
    let mut one = one;
    one.storage = Arc::new(Faulty(vec![(Sync, Lost)]));
    one.confirm(&first).unwrap();
    assert_eq!(one.size(), 1);

    one.storage = Arc::new(Disk);
    one.write_alone(&Arc::new(Ticket::new(&[b"third"]).unwrap())).unwrap();
    let entries: Vec<_> = read(dir.path(), Position::START).unwrap().map(|e| e.unwrap().bytes).collect();
    assert_eq!(entries, [&b"first"[..], b"second", b"third"]);
}

#[test]
fn upgrading_broken() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    for fault in [Lost, StoredThenError] {
        let dir = TempDir::new().unwrap();
        for file in ["log", "verifier", "checkpoint"] {
            fs::copy(golden.join(file), dir.path().join(file)).unwrap();
        }
        let signer = Signer::from_seed("example.com/ledger", &[7; 32]);
        Disk.create(&dir.path().join("key"), (signer.to_text() + "\n").as_bytes()).unwrap();
        let name = Name::Exactly("example.com/ledger");
        Ledger::open_on(dir.path(), name, Arc::new(Faulty(vec![(Install("log"), fault)]))).unwrap_err();
        assert_eq!(verify(dir.path(), None).unwrap().entries, 3, "{fault:?}");
        let ledger = Ledger::open(dir.path(), "example.com/ledger").unwrap();
        ledger.append(&[b"after"]).unwrap();
        assert_eq!(verify(dir.path(), None).unwrap().entries, 4, "{fault:?}");
    }
}
