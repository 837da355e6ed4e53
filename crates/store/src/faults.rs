//! Every storage step of every operation, broken: what is visible afterwards.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aseptic_model::{Diagnose, Digest};

use crate::capture::{CaptureKind, CaptureRoot};
use crate::disk::Disk;
use crate::disk::faults::Fault::{self, Done, Lost};
use crate::disk::faults::Faults;
use crate::error::StoreError;
use crate::import::{ImportOptions, Pace};
use crate::object::{Store, object_name};
use crate::remove::remove_tree;
use crate::segments::SEGMENTS_MAX;
use crate::tree::{EntryKind, Tree, TreeEntry};
use crate::writer::Writer;

mod damage;

/// What is done to a store. Gives the snapshot that is there afterwards.
type Act = fn(&Store, &Path) -> Result<Digest, Box<dyn std::error::Error>>;

/// An operation under test: first the store and its surroundings are prepared, then it is done.
struct Case {
    prepare: fn(&Store, &Path),
    act: Act,
}

fn nothing(_: &Store, _: &Path) {}

fn source(dir: &Path, files: u32, bytes: usize) {
    for number in 0..files {
        let path = dir.join(format!("source/{}/{number}", number % 3));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise(number, bytes)).unwrap();
    }
}

/// Bytes that are the same for the same number only.
fn noise(number: u32, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut noise);
    noise
}

fn import(store: &Store, dir: &Path) -> Result<Digest, Box<dyn std::error::Error>> {
    import_with(store, dir, false, Duration::MAX)
}

fn import_with(
    store: &Store,
    dir: &Path,
    paranoid: bool,
    checkpoint_every: Duration,
) -> Result<Digest, Box<dyn std::error::Error>> {
    let now = SystemTime::now() + Duration::from_secs(3600);
    let options = ImportOptions { paranoid, ..ImportOptions::default() };
    let pace = Pace { now, checkpoint_every };
    let lease = store.lease()?;
    let mut go_on = |_| ControlFlow::Continue(());
    let imported = store.import_at(&lease, &dir.join("source"), &options, pace, &mut go_on)?;
    Ok(imported.snapshot.digest)
}

/// A snapshot of one chunked file, in packs.
fn chunked(store: &Store, number: u32) -> Result<Digest, StoreError> {
    let lease = store.lease()?;
    let writer = Writer::new(store, &lease);
    let content = noise(number, 300_000);
    let mut chunks = Vec::new();
    for chunk in content.chunks(70_000) {
        chunks.push((writer.add_chunk(chunk)?, u32::try_from(chunk.len()).unwrap()));
    }
    let (size, digest) = (content.len() as u64, Digest::of(&content));
    writer.add_recipe(digest, size, &chunks)?;
    let kind = EntryKind::File { size, digest, executable: false };
    let root = Tree::new(vec![TreeEntry { name: b"chunked".to_vec(), kind }]).unwrap();
    let digest = writer.add_bytes(&root.encode())?;
    writer.publish()?;
    Ok(digest)
}

fn captured(store: &Store, dir: &Path) -> Result<Digest, Box<dyn std::error::Error>> {
    let root =
        CaptureRoot { name: b"out", path: &dir.join("source"), kind: CaptureKind::Plain, max_bytes: None };
    Ok(store.capture(&store.lease()?, &[root])?.snapshot.digest)
}

/// Copies a snapshot of another store, which never fails.
fn copied(store: &Store, dir: &Path) -> Result<Digest, Box<dyn std::error::Error>> {
    let from = Store::open(&dir.join("other"))?;
    let digest = import(&from, dir)?;
    Ok(store.copy_from(&store.lease()?, &from, &digest, &mut |_| ())?.snapshot.digest)
}

/// Changes one byte of everything that the snapshot of `source` is made of and no other.
fn damage(store: &Store, dir: &Path) {
    for pack in fs::read_dir(store.dir.join("packs")).unwrap() {
        let path = pack.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let large = store.dir.join("objects").join(object_name(&Digest::of(&noise(0, 600_000))));
    if dir.join("source/large").exists() {
        fs::remove_file(&large).unwrap();
        fs::write(&large, noise(1, 600_000)).unwrap();
    }
}

fn verify(store: &Store, digest: &Digest, what: &str) {
    store.verify(digest, &mut |_| ()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
}

/// In memory where there is such a place: faults are made here, so nobody has to wait for a disk.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A store with an earlier snapshot, and what the case needs.
fn fresh(case: &Case) -> (tempfile::TempDir, Digest) {
    let dir = directory();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let earlier = dir.path().join("earlier");
    fs::create_dir(&earlier).unwrap();
    fs::create_dir(earlier.join("source")).unwrap();
    fs::write(earlier.join("source/small"), "small").unwrap();
    fs::write(earlier.join("source/shared"), noise(0, 1000)).unwrap();
    let digest = import(&store, &earlier).unwrap();
    (case.prepare)(&store, dir.path());
    (dir, digest)
}

fn open(dir: &Path, faults: Faults) -> Store {
    let mut store = Store::open(&dir.join("store")).unwrap();
    store.disk = Disk { faults };
    store
}

/// Breaks each step of the case in turn, both ways.
#[track_caller]
fn check(case: &Case) {
    let (dir, _) = fresh(case);
    let store = open(dir.path(), Faults::default());
    let expected = (case.act)(&store, dir.path()).unwrap();
    verify(&store, &expected, "no fault");
    let steps = store.disk.faults.names();
    assert!(!steps.is_empty());
    drop(dir);
    for (step, _) in (0..).zip(&steps) {
        for fault in [Lost, Done] {
            let what = format!("step {step} {fault:?} of {:?}", steps.iter().enumerate().collect::<Vec<_>>());
            break_one(case, expected, step, fault, &what);
        }
    }
}

fn break_one(case: &Case, expected: Digest, step: u64, fault: Fault, what: &str) {
    let (dir, earlier) = fresh(case);
    let mut store = open(dir.path(), Faults::at(step, fault));
    let result = (case.act)(&store, dir.path());
    let seen = Store::open(&dir.path().join("store")).unwrap();
    verify(&seen, &earlier, what);
    match (result, seen.walk(&expected)) {
        (Ok(digest), _) => {
            assert_eq!(digest, expected, "{what}");
            verify(&seen, &digest, what);
        }
        (Err(_), Err(StoreError::Missing { .. })) => {}
        (Err(_), Ok(_)) => verify(&seen, &expected, what),
        (Err(_), Err(error)) => panic!("{what}: half a snapshot: {error:?}"),
    }
    // Whoever goes on with the same store, and who opens it later.
    // With several threads the number of steps differs a little: a fault that was not met must not come now.
    store.disk.faults = Faults::default();
    let again = (case.act)(&store, dir.path()).unwrap_or_else(|error| panic!("{what}: again: {error:?}"));
    assert_eq!(again, expected, "{what}");
    let seen = Store::open(&dir.path().join("store")).unwrap();
    seen.put_bytes(&seen.lease().unwrap(), what.as_bytes()).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("store").join("tmp")).unwrap().count(), 0, "{what}");
    for digest in [earlier, expected] {
        verify(&seen, &digest, what);
    }
    // Views are made read-only, so not even their owner can remove them plainly.
    remove_tree(&dir.path().join("store")).unwrap();
}

#[test]
fn import_of_few() {
    check(&Case { prepare: |_, dir| source(dir, 4, 1000), act: import });
}

#[test]
fn import_of_many() {
    check(&Case { prepare: |_, dir| source(dir, 50, 1000), act: import });
}

#[test]
fn import_of_large() {
    check(&Case { prepare: |_, dir| source(dir, 2, 2_500_000), act: import });
}

#[test]
fn import_with_checkpoints() {
    let act: Act = |store, dir| import_with(store, dir, false, Duration::ZERO);
    check(&Case { prepare: |_, dir| source(dir, 50, 1000), act });
}

#[test]
fn import_that_repairs() {
    let prepare = |store: &Store, dir: &Path| {
        source(dir, 50, 1000);
        fs::write(dir.join("source/large"), noise(0, 600_000)).unwrap();
        import(store, dir).unwrap();
        damage(store, dir);
    };
    let case = Case { prepare, act: |store, dir| import_with(store, dir, true, Duration::MAX) };
    check_repair(&case);
}

/// As [`check`], for a snapshot that is there and damaged.
fn check_repair(case: &Case) {
    let (dir, _) = fresh(case);
    let store = open(dir.path(), Faults::default());
    let expected = (case.act)(&store, dir.path()).unwrap();
    verify(&store, &expected, "no fault");
    let steps = store.disk.faults.names();
    for (step, _) in (0..).zip(&steps) {
        for fault in [Lost, Done] {
            let what = format!("step {step} {fault:?} of {:?}", steps.iter().enumerate().collect::<Vec<_>>());
            let (dir, earlier) = fresh(case);
            let store = open(dir.path(), Faults::at(step, fault));
            let result = (case.act)(&store, dir.path());
            let seen = Store::open(&dir.path().join("store")).unwrap();
            verify(&seen, &earlier, &what);
            if result.is_ok() {
                verify(&seen, &expected, &what);
            }
            (case.act)(&store, dir.path()).unwrap_or_else(|error| panic!("{what}: again: {error:?}"));
            let seen = Store::open(&dir.path().join("store")).unwrap();
            verify(&seen, &earlier, &what);
            verify(&seen, &expected, &what);
        }
    }
}

#[test]
fn capture() {
    let prepare = |_: &Store, dir: &Path| {
        source(dir, 5, 1000);
        // The same bytes in a file that is linked and in one that is copied.
        for (name, number, bytes) in [("large", 0, 600_000), ("twin", 0, 600_000), ("small", 1, 1000)] {
            fs::write(dir.join("source").join(name), noise(number, bytes)).unwrap();
        }
        for name in ["twin", "small"] {
            fs::set_permissions(dir.join("source").join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    };
    check(&Case { prepare, act: captured });
}

#[test]
fn capture_of_many() {
    check(&Case { prepare: |_, dir| source(dir, 40, 1000), act: captured });
}

#[test]
fn put_bytes() {
    let act: Act = |store, _| {
        let root = Tree::new(Vec::new()).unwrap();
        Ok(store.put_bytes(&store.lease()?, &root.encode())?)
    };
    check(&Case { prepare: nothing, act });
}

#[test]
fn copy() {
    check(&Case { prepare: |_, dir| source(dir, 50, 1000), act: copied });
}

#[test]
fn chunks() {
    check(&Case { prepare: nothing, act: |store, _| Ok(chunked(store, 1)?) });
}

#[test]
fn merge_of_segments() {
    let prepare = |store: &Store, _: &Path| {
        for number in 2..2 + u32::try_from(SEGMENTS_MAX).unwrap() {
            chunked(store, number).unwrap();
        }
        assert_eq!(store.segments.get().unwrap().len(), SEGMENTS_MAX);
    };
    let act: Act = |store, _| {
        let digest = chunked(store, 1)?;
        for number in 2..2 + u32::try_from(SEGMENTS_MAX).unwrap() {
            // Those are there already: only the steps of the merge may fail.
            let digest = chunked(store, number)?;
            verify(store, &digest, "merged");
        }
        Ok(digest)
    };
    check(&Case { prepare, act });
}

/// Imports files of every form.
fn prepare_view(store: &Store, dir: &Path) -> Digest {
    source(dir, 6, 1000);
    fs::write(dir.join("source/large"), noise(0, 600_000)).unwrap();
    std::os::unix::fs::symlink("large", dir.join("source/link")).unwrap();
    import(store, dir).unwrap()
}

/// Makes the view of what was imported.
fn make_view(store: &Store, dir: &Path) -> Result<Digest, Box<dyn std::error::Error>> {
    let healthy = Store::open(&dir.join("store"))?;
    let digest = import(&healthy, dir)?;
    let view = store.view(&digest)?;
    assert_eq!(fs::read(view.join("link")).unwrap(), noise(0, 600_000));
    Ok(digest)
}

#[test]
fn view() {
    let prepare = |store: &Store, dir: &Path| _ = prepare_view(store, dir);
    check(&Case { prepare, act: make_view });
}

#[test]
fn view_that_was_not_waited_for() {
    let prepare = |store: &Store, dir: &Path| {
        let view = store.view(&prepare_view(store, dir)).unwrap();
        let standing = view.parent().unwrap().join("standing");
        fs::remove_file(&standing).unwrap();
        fs::write(standing, "until reboot 00000000-0000-0000-0000-000000000000\n").unwrap();
    };
    check(&Case { prepare, act: make_view });
}

#[test]
fn creation_and_upgrade() {
    for old in [false, true] {
        let prepare = |dir: &Path| {
            if old {
                let digest = Digest::of(b"old");
                let object = dir.join("objects").join(object_name(&digest));
                fs::create_dir_all(object.parent().unwrap()).unwrap();
                fs::write(&object, "old").unwrap();
                fs::write(object.with_extension("x"), "old").unwrap();
                for directory in ["views", "index", "tmp"] {
                    fs::create_dir(dir.join(directory)).unwrap();
                }
                fs::write(dir.join("format"), "aseptic-store 1\n").unwrap();
            }
        };
        let dir = directory();
        prepare(dir.path());
        let store = Store::open_on(dir.path(), Disk::default()).unwrap();
        let steps = store.disk.faults.names();
        // The directories of objects are alike: some of them stand for all.
        let some = (0..12).chain(steps.len() - 12..steps.len());
        for (step, fault) in some.flat_map(|step| [(step as u64, Lost), (step as u64, Done)]) {
            let what = format!("step {step} {fault:?} of {steps:?}");
            let dir = directory();
            prepare(dir.path());
            // A directory that is there already was not made by this step, so it did not fail.
            if let Err(error) = Store::open_on(dir.path(), Disk { faults: Faults::at(step, fault) }) {
                assert_eq!(error.diagnosis().code, "store/io", "{what}");
            }
            let store = Store::open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let digest = store.put_bytes(&store.lease().unwrap(), b"new").unwrap();
            assert_eq!(store.get_bytes(&digest, 10).unwrap(), b"new");
            assert_eq!(old, store.get_bytes(&Digest::of(b"old"), 10).is_ok(), "{what}");
            assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0, "{what}");
        }
    }
}
