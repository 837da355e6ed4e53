//! Disks that become full at any step: while staging, in the index, when names are given.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use aseptic_model::{Diagnose, Digest};
use aseptic_store::{CaptureKind, CaptureRoot, ImportOptions, Store, StoreError, Tree};
use rustix::mount::MountFlags;

use crate::{Env, assert_success, child, listing, remount, role_dir};

const PAGE: u64 = 4096;

/// The code of the error, if there is one.
type Result<T> = std::result::Result<T, &'static str>;

fn import(store: &Store, source: &Path) -> Result<Digest> {
    let lease = store.lease().unwrap();
    let imported =
        store.import(&lease, source, &ImportOptions::default(), &mut |_| ControlFlow::Continue(()));
    imported.map(|imported| imported.snapshot.digest).map_err(|error| error.diagnosis().code)
}

fn capture(store: &Store, source: &Path) -> Result<Digest> {
    let root = CaptureRoot { name: b"out", path: source, kind: CaptureKind::Plain, max_bytes: None };
    let captured = store.capture(&store.lease().unwrap(), &[root]);
    captured.map(|captured| captured.snapshot.digest).map_err(|error| error.diagnosis().code)
}

fn mount(options: &str, at: &Path) {
    let arguments = ["-t", "tmpfs", "-o", options, "tmpfs"];
    assert!(Command::new("mount").args(arguments).arg(at).status().unwrap().success());
}

#[test]
fn a_disk_that_becomes_full_at_any_step_is_said_and_nothing_is_left() {
    let env = Env::new();
    let noise = |seed: u32, bytes: usize| {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
        noise
    };
    for number in 0..300_u32 {
        env.write(&format!("packed/{}/{number}", number % 5), noise(number, 2000));
    }
    for number in 0..3 {
        env.write(&format!("large/{number}"), noise(number, 700_000));
    }
    fs::create_dir(env.path("small")).unwrap();
    let wrapper = ["unshare", "-Urm"];
    assert_success(&child(&wrapper, "space::role_full_at_any_step", &env.dir).output().unwrap());
}

#[test]
fn role_full_at_any_step() {
    let Some(dir) = role_dir() else { return };
    for (source, act) in [
        ("packed", import as fn(&Store, &Path) -> Result<Digest>),
        ("packed", capture),
        ("large", import),
        ("large", capture),
    ] {
        let source = dir.join(source);
        let (expected, before, after) = on_disk(&dir, u64::MAX >> 20, |store, used| {
            let before = used();
            let expected = act(store, &source).unwrap();
            (expected, before, used())
        });
        let needed = after - before;
        // In equal steps, and page by page where the last things are written.
        let sizes = (0..8).map(|part| before + needed * part / 8 / PAGE * PAGE);
        let mut failed = 0;
        for size in sizes.chain((0..16).map(|pages| after - pages * PAGE)) {
            failed += on_disk(&dir, size, |store, _| check(&dir, store, &source, act, expected));
        }
        assert!(failed >= 8, "the disk was never full");
    }
}

/// Runs `test` on a store that holds an empty directory, on a disk of so many bytes.
fn on_disk<T>(dir: &Path, size: u64, test: impl FnOnce(&Store, &dyn Fn() -> u64) -> T) -> T {
    let small = dir.join("small");
    mount("size=64m", &small);
    let store = Store::open(&small.join("store")).unwrap();
    store.put_bytes(&store.lease().unwrap(), &Tree::default().encode()).unwrap();
    mount_again(&small, size.min(64 << 20));
    let used = || {
        let disk = rustix::fs::statvfs(&small).unwrap();
        (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    };
    let result = test(&store, &used);
    drop(store);
    assert!(Command::new("umount").arg("-l").arg(&small).status().unwrap().success());
    result
}

fn mount_again(small: &Path, size: u64) {
    remount(small, MountFlags::empty(), &format!("size={size}"));
}

/// Does it on a disk that may be too small, and then on one that is not. Returns whether it was.
fn check(
    dir: &Path,
    store: &Store,
    source: &Path,
    act: fn(&Store, &Path) -> Result<Digest>,
    expected: Digest,
) -> u32 {
    let small = dir.join("small");
    let names = || -> Vec<_> {
        let places = ["objects", "packs", "segments", "tmp"].map(|place| small.join("store").join(place));
        places.iter().flat_map(|place| listing(place)).map(|(name, _, _)| name).collect()
    };
    let (before, result) = (names(), act(store, source));
    store.verify(&Digest::of(&Tree::default().encode()), &mut |_| ()).unwrap();
    let failed = match &result {
        Ok(_) => store.verify(&expected, &mut |_| ()).map(|_| 0).unwrap(),
        Err(code) => {
            assert_eq!(*code, "store/full");
            assert!(matches!(store.walk(&expected), Err(StoreError::Missing { .. })));
            assert_eq!(names(), before, "nothing is left");
            1
        }
    };
    mount_again(&small, 64 << 20);
    assert_eq!(act(store, source).unwrap(), expected);
    store.verify(&expected, &mut |_| ()).unwrap();
    failed
}
