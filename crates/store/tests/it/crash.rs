//! Kills, full disks and several processes at once: nothing visible is ever half there.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;

use aseptic_model::{Diagnose, Digest};
use aseptic_store::{CaptureKind, CaptureRoot, ImportOptions, Store, StoreError};

use crate::{Env, assert_success, child, role_dir};

const FILES: usize = 60;

fn source(env: &Env) {
    for number in 0..FILES {
        env.write(&format!("source/{}/{number}", number % 7), number.to_string().repeat(1000));
    }
}

/// Every object that has its name has the content of that name.
fn assert_objects_intact(store: &Path) {
    for prefix in fs::read_dir(store.join("objects")).unwrap() {
        for object in fs::read_dir(prefix.unwrap().path()).unwrap() {
            let path = object.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(Digest::of(&fs::read(&path).unwrap()).to_string(), name);
        }
    }
}

#[test]
fn a_killed_import_leaves_nothing_visible() {
    let expected = {
        let env = Env::new();
        source(&env);
        env.import("source").snapshot
    };
    // One line comes for each directory scanned, each file read, and before the wait for the disk.
    for lines in [1, 4, 9, 12, 30, 50, 68, 69, 70] {
        let env = Env::new();
        source(&env);
        let mut process = child(&["env"], "crash::role_import", &env.dir).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let seen = output.lines().map_while(Result::ok).filter(|line| line == "step").take(lines).count();
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(seen > 0, "the import did not start");
        assert_objects_intact(&env.path("store"));
        match env.store.walk(&expected.digest) {
            Err(StoreError::Missing { .. }) => {}
            complete => {
                complete.unwrap();
                env.store.verify(&expected.digest, &mut |_| ()).unwrap();
            }
        }
        assert_eq!(env.import("source").snapshot, expected);
        env.store.put_bytes(&env.store.lease().unwrap(), b"something new, so that the store stages").unwrap();
        assert_eq!(fs::read_dir(env.path("store/tmp")).unwrap().count(), 0, "the remains are gone");
        env.store.verify(&expected.digest, &mut |_| ()).unwrap();
    }
}

#[test]
fn role_import() {
    let Some(dir) = role_dir() else { return };
    let store = Store::open(&dir.join("store")).unwrap();
    let mut step = |_| {
        std::io::stdout().write_all(b"step\n").unwrap();
        ControlFlow::Continue(())
    };
    store.import(&store.lease().unwrap(), &dir.join("source"), &ImportOptions::default(), &mut step).unwrap();
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let env = Env::new();
    fs::create_dir(env.path("small")).unwrap();
    for number in 0..8 {
        env.write(&format!("source/{number}"), vec![number; 1 << 20]);
    }
    let mount = format!("mount -t tmpfs -o size=4m tmpfs {}/small && exec \"$@\"", env.dir.display());
    let wrapper = ["unshare", "-Urm", "sh", "-c", mount.as_str(), "sh"];
    assert_success(&child(&wrapper, "crash::role_full", &env.dir).output().unwrap());
}

#[test]
fn role_full() {
    let Some(dir) = role_dir() else { return };
    let path = dir.join("small/store");
    let store = Store::open(&path).unwrap();
    let options = ImportOptions::default();
    let error = store
        .import(&store.lease().unwrap(), &dir.join("source"), &options, &mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert_eq!(error.diagnosis().code, "store/full");
    let root =
        CaptureRoot { name: b"out", path: &dir.join("source"), kind: CaptureKind::Plain, max_bytes: None };
    let error = store.capture(&store.lease().unwrap(), &[root]).unwrap_err();
    assert_eq!(error.diagnosis().code, "store/full");
    assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
    for prefix in fs::read_dir(path.join("objects")).unwrap() {
        assert_eq!(fs::read_dir(prefix.unwrap().path()).unwrap().count(), 0);
    }
    // What fits is stored, in the space that came back.
    let imported = store
        .import(&store.lease().unwrap(), &dir.join("source/1"), &options, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    store.verify(&imported.snapshot.digest, &mut |_| ()).unwrap();
}

#[test]
fn many_imports_at_once() {
    let env = Env::new();
    source(&env);
    let snapshots: Vec<_> = thread::scope(|scope| {
        let import = || {
            let store = Store::open(&env.path("store")).unwrap();
            store
                .import(&store.lease().unwrap(), &env.path("source"), &ImportOptions::default(), &mut |_| {
                    ControlFlow::Continue(())
                })
                .unwrap()
                .snapshot
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(import)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(snapshots.iter().all(|snapshot| *snapshot == snapshots[0]));
    assert_eq!(snapshots[0].files, FILES as u64);
    assert_objects_intact(&env.path("store"));
    assert_eq!(fs::read_dir(env.path("store/tmp")).unwrap().count(), 0);
}

#[test]
fn a_store_is_created_by_many_at_once() {
    let env = Env::new();
    thread::scope(|scope| {
        for number in 0..4 {
            let dir = env.path("fresh");
            scope.spawn(move || {
                let store = Store::open(&dir).unwrap();
                store.put_bytes(&store.lease().unwrap(), &[number]).unwrap();
            });
        }
    });
    assert_objects_intact(&env.path("fresh"));
}
