//! Disks that are full or read-only, and stores of an older format.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use aseptic_model::{Diagnose, Digest};
use aseptic_store::{CaptureKind, CaptureRoot, ImportOptions, Store};
use rustix::mount::MountFlags;

use crate::{Env, assert_success, child, listing, remount, role_dir};

/// Runs `role` where `small` is a file system of its own of this size, in memory.
fn on_small_disk(env: &Env, size: &str, role: &str) {
    fs::create_dir(env.path("small")).unwrap();
    let mount = format!("mount -t tmpfs -o size={size} tmpfs {}/small && exec \"$@\"", env.dir.display());
    let wrapper = ["unshare", "-Urm", "sh", "-c", mount.as_str(), "sh"];
    assert_success(&child(&wrapper, role, &env.dir).output().unwrap());
}

#[test]
fn a_disk_that_many_small_files_fill_is_said_and_nothing_is_left() {
    let env = Env::new();
    for number in 0..2000_u32 {
        let mut content = vec![0; 4096];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut content);
        env.write(&format!("source/{}/{number}", number % 5), content);
    }
    on_small_disk(&env, "4m", "disk::role_full_of_packs");
}

#[test]
fn role_full_of_packs() {
    let Some(dir) = role_dir() else { return };
    let path = dir.join("small/store");
    let store = Store::open(&path).unwrap();
    let (lease, options) = (store.lease().unwrap(), ImportOptions::default());
    let root =
        CaptureRoot { name: b"out", path: &dir.join("source"), kind: CaptureKind::Plain, max_bytes: None };
    let imported =
        store.import(&lease, &dir.join("source"), &options, &mut |_| ControlFlow::Continue(())).unwrap_err();
    let captured = store.capture(&lease, &[root]).unwrap_err();
    assert_eq!((imported.diagnosis().code, captured.diagnosis().code), ("store/full", "store/full"));
    for name in ["tmp", "packs", "segments"] {
        assert_eq!(fs::read_dir(path.join(name)).unwrap().count(), 0, "{name}");
    }
    assert_eq!(listing(&path.join("objects")).len(), 256, "only the directories");
    // What fits is stored, in the space that came back.
    let imported =
        store.import(&lease, &dir.join("source/1"), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    store.verify(&imported.snapshot.digest, &mut |_| ()).unwrap();
    assert_eq!(fs::read_dir(path.join("packs")).unwrap().count(), 1);
}

#[test]
fn a_read_only_disk_is_read_and_said() {
    let env = Env::new();
    for number in 0..50 {
        env.write(&format!("source/{number}"), number.to_string().repeat(300));
    }
    on_small_disk(&env, "64m", "disk::role_read_only");
}

#[test]
fn role_read_only() {
    let Some(dir) = role_dir() else { return };
    let path = dir.join("small/store");
    let options = ImportOptions::default();
    let store = Store::open(&path).unwrap();
    let imported = store
        .import(&store.lease().unwrap(), &dir.join("source"), &options, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let viewed = imported.snapshot.digest;
    store.view(&viewed).unwrap();
    let other = store.put_bytes(&store.lease().unwrap(), &aseptic_store::Tree::default().encode()).unwrap();
    let small = dir.join("small");
    remount(&small, MountFlags::RDONLY, "");

    let store = Store::open(&path).unwrap();
    store.verify(&viewed, &mut |_| ()).unwrap();
    store.view(&viewed).unwrap();
    assert_eq!(store.walk(&viewed).unwrap().count(), 50);
    let lease = store.lease().unwrap();
    // Nothing new: nothing has to be written.
    assert_eq!(store.put_bytes(&lease, &aseptic_store::Tree::default().encode()).unwrap(), other);
    let errors = [
        store.put_bytes(&lease, b"new").unwrap_err().diagnosis().code,
        store.view(&other).unwrap_err().diagnosis().code,
        store
            .import(&lease, &dir.join("small"), &options, &mut |_| ControlFlow::Continue(()))
            .unwrap_err()
            .diagnosis()
            .code,
    ];
    assert_eq!(errors, ["store/io"; 3]);
}

/// Makes what a store of format 1 was: loose objects, and twins of those that were executed.
fn of_format_1(env: &Env) -> (Digest, Digest) {
    env.write("source/a", "alpha");
    env.write("source/run", "run");
    env.chmod("source/run", 0o755);
    let snapshot = env.import("source").snapshot.digest;
    let run = Digest::of(b"run");
    let twin = env.object(&run).with_extension("x");
    fs::write(&twin, "run").unwrap();
    fs::set_permissions(&twin, fs::Permissions::from_mode(0o555)).unwrap();
    let view = env.store.view(&snapshot).unwrap();
    fs::set_permissions(&view, fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(view.join("run")).unwrap();
    fs::hard_link(&twin, view.join("run")).unwrap();
    fs::set_permissions(&view, fs::Permissions::from_mode(0o555)).unwrap();
    for name in ["packs", "segments"] {
        fs::remove_dir(env.path("store").join(name)).unwrap();
    }
    fs::remove_file(env.path("store/lock")).unwrap();
    fs::write(env.path("store/format"), "aseptic-store 1\n").unwrap();
    (snapshot, run)
}

#[test]
fn a_store_of_format_1_becomes_one_of_format_2() {
    let env = Env::new();
    let (snapshot, run) = of_format_1(&env);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| Store::open(&env.path("store")).unwrap().lease().unwrap());
        }
    });
    let store = Store::open(&env.path("store")).unwrap();
    assert_eq!(fs::read(env.path("store/format")).unwrap(), b"aseptic-store 2\n");
    assert!(!env.object(&run).with_extension("x").exists());
    let view = store.view(&snapshot).unwrap();
    assert_eq!(fs::read(view.join("run")).unwrap(), b"run", "a view keeps its names");
    assert_eq!(fs::metadata(view.join("run")).unwrap().nlink(), 1);
    store.verify(&snapshot, &mut |_| ()).unwrap();
    for number in 0..40 {
        env.write(&format!("source/more/{number}"), number.to_string());
    }
    let options = ImportOptions::default();
    let source = env.path("source");
    let imported =
        store.import(&store.lease().unwrap(), &source, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    store.verify(&imported.snapshot.digest, &mut |_| ()).unwrap();
    assert_eq!(fs::read_dir(env.path("store/packs")).unwrap().count(), 1);
}

#[test]
fn an_upgrade_that_was_killed_goes_on() {
    let env = Env::new();
    let (snapshot, _) = of_format_1(&env);
    let packs: &Path = &env.path("store/packs");
    fs::create_dir(packs).unwrap(); // And then it was killed.
    let store = Store::open(&env.path("store")).unwrap();
    store.verify(&snapshot, &mut |_| ()).unwrap();
    store.lease().unwrap();
}
