//! Imports that trust nothing: what is damaged in the store is stored again.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aseptic_model::Digest;
use aseptic_store::{ImportOptions, Snapshot, Store, VerifyError};

use crate::Env;

fn source(env: &Env) {
    for number in 0..100 {
        env.write(&format!("source/{}/{number}", number % 5), format!("small {number}").repeat(100));
    }
    env.write("source/middle", vec![7; 1 << 20]);
}

/// Imports everything again, whatever the store says it knows.
pub(crate) fn paranoid(env: &Env) -> Snapshot {
    let options = ImportOptions { paranoid: true, ..ImportOptions::default() };
    let imported = env.import_with("source", &options).unwrap();
    assert_eq!(imported.files_read, imported.snapshot.files);
    imported.snapshot
}

/// Files in which the store keeps objects or says where they are.
fn kept(env: &Env) -> BTreeMap<PathBuf, u64> {
    let prefixes = fs::read_dir(env.path("store/objects")).unwrap().map(|prefix| prefix.unwrap().path());
    let directories = prefixes.chain(["packs", "segments"].map(|name| env.path("store").join(name)));
    let files = directories.flat_map(|directory| fs::read_dir(directory).unwrap());
    files.map(|file| file.unwrap()).map(|file| (file.path(), file.metadata().unwrap().ino())).collect()
}

/// Changes one bit of an object in every place where it is.
fn flip_object(env: &Env, bytes: &[u8]) {
    let digest = Digest::of(bytes);
    flip(env, |path, content| {
        if path == env.object(&digest) {
            return Some(0);
        }
        // A record is its form, the digest, two numbers, and then what is stored.
        let is_record = |window: &[u8]| (1..=3).contains(&window[0]) && window[1..] == *digest.as_bytes();
        Some(content.windows(33).position(is_record)? + 33 + 16)
    });
}

/// Changes one bit in every file of objects where there is a place for it.
pub(crate) fn flip(env: &Env, place: impl Fn(&Path, &[u8]) -> Option<usize>) {
    let mut found = 0;
    for path in kept(env).into_keys().filter(|path| !path.starts_with(env.path("store/segments"))) {
        let mut content = fs::read(&path).unwrap();
        if let Some(at) = place(&path, &content) {
            content[at] ^= 1;
            // In place, as a disk would.
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
            fs::write(&path, content).unwrap();
            found += 1;
        }
    }
    assert!(found > 0, "there is no such object");
}

fn damaged(env: &Env, snapshot: &Snapshot) -> u64 {
    // Not through what this process remembers.
    let store = Store::open(&env.path("store")).unwrap();
    match store.verify(&snapshot.digest, &mut |_| ()) {
        Err(VerifyError::Damaged { count, .. }) => count,
        other => other.map(|_| 0).unwrap(),
    }
}

#[test]
fn a_sound_store_stays_as_it_is() {
    let env = Env::new();
    source(&env);
    let snapshot = env.import("source").snapshot;
    let before = kept(&env);
    assert_eq!(paranoid(&env), snapshot);
    assert_eq!(kept(&env), before, "nothing is stored again");
}

#[test]
fn damaged_and_missing_objects_are_stored_again() {
    let env = Env::new();
    source(&env);
    let snapshot = env.import("source").snapshot;
    let tree = env.store.read_tree(&snapshot.digest).unwrap();
    let aseptic_store::EntryKind::Directory { digest: below, .. } = tree.entries()[0].kind else {
        panic!("the first entry is a directory")
    };
    let below = env.store.get_bytes(&below, 1 << 20).unwrap();
    // In a pack, a file of its own, and a directory in a pack.
    let small = "small 42".repeat(100).into_bytes();
    for bytes in [&small, &vec![7; 1 << 20], &below] {
        flip_object(&env, bytes);
        assert!(damaged(&env, &snapshot) > 0);
        assert_eq!(env.import("source").snapshot, snapshot);
        assert!(damaged(&env, &snapshot) > 0, "an import that trusts the store does not look");
        assert_eq!(paranoid(&env), snapshot);
        assert_eq!(damaged(&env, &snapshot), 0);
        assert_eq!(
            env.store.get_bytes(&Digest::of(bytes), 1 << 20).unwrap(),
            *bytes,
            "nor what was remembered"
        );
    }
    // All of it at once.
    flip_object(&env, &small);
    flip_object(&env, "small 7".repeat(100).as_bytes());
    fs::remove_file(env.object(&Digest::of(&vec![7; 1 << 20]))).unwrap();
    assert_eq!(paranoid(&env), snapshot);
    assert_eq!(damaged(&env, &snapshot), 0);
    let before = kept(&env);
    assert_eq!(paranoid(&env), snapshot);
    assert_eq!(kept(&env), before, "once is enough");
}

#[test]
fn an_object_in_two_places_is_sound_only_if_both_are() {
    let env = Env::new();
    source(&env);
    let content = "small 42".repeat(100);
    // Few objects are files of their own; then many come, and this one among them once more.
    env.write("few/one", &content);
    env.import("few");
    let loose = env.object(&Digest::of(content.as_bytes()));
    let hidden = env.path("hidden");
    fs::rename(&loose, &hidden).unwrap();
    let snapshot = env.import("source").snapshot;
    fs::rename(&hidden, &loose).unwrap();
    fs::set_permissions(&loose, Permissions::from_mode(0o644)).unwrap();
    fs::write(&loose, content.replacen('2', "3", 1)).unwrap();
    assert_eq!(paranoid(&env), snapshot);
    assert_eq!(damaged(&env, &snapshot), 0);
    if let Ok(bytes) = fs::read(&loose) {
        assert_eq!(bytes, content.as_bytes(), "the damaged file is replaced or gone");
    }
}
