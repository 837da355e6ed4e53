//! Export: copies for the user, and nothing overwritten by accident.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aseptic_model::{Diagnose, Digest};
use aseptic_store::{Existing, ExportError, Exported, StoreError};

use crate::{Env, listing, path};

fn sample(env: &Env) -> Digest {
    env.write("source/a", "alpha");
    env.write("source/d/run", "run");
    env.chmod("source/d/run", 0o755);
    env.link("source/d/link", "run");
    fs::create_dir(env.path("source/empty")).unwrap();
    env.import("source").snapshot.digest
}

#[test]
fn copies_are_the_users_own() {
    let env = Env::new();
    let digest = sample(&env);
    let done = env
        .store
        .export(&env.store.lease().unwrap(), &digest, None, &env.path("new/dest"), Existing::Refuse)
        .unwrap();
    assert_eq!(done, Exported { files: 2, bytes: 8, links: 1 });
    let names = |dir: &str| -> Vec<_> {
        let found = listing(&env.path(dir));
        found.into_iter().map(|(path, mode, content)| (path, mode & 0o170_100, content)).collect()
    };
    assert_eq!(names("new/dest"), names("source"));
    let copy = fs::metadata(env.path("new/dest/a")).unwrap();
    assert_eq!((copy.nlink(), copy.mode() & 0o600), (1, 0o600));

    env.store
        .export(&env.store.lease().unwrap(), &digest, Some(&path("d")), &env.path("part"), Existing::Refuse)
        .unwrap();
    assert_eq!(listing(&env.path("part")).len(), 2);
    env.store
        .export(
            &env.store.lease().unwrap(),
            &digest,
            Some(&path("d/run")),
            &env.path("one"),
            Existing::Refuse,
        )
        .unwrap();
    assert_eq!(fs::read(env.path("one/run")).unwrap(), b"run");
    let error = env
        .store
        .export(&env.store.lease().unwrap(), &digest, Some(&path("x")), &env.path("x"), Existing::Refuse)
        .unwrap_err();
    assert_eq!(error.diagnosis().code, "store/not-found");
}

#[test]
fn what_is_in_the_way_is_kept_unless_asked() {
    let env = Env::new();
    let digest = sample(&env);
    env.write("dest/d/run", "mine");
    let error = env
        .store
        .export(&env.store.lease().unwrap(), &digest, None, &env.path("dest"), Existing::Refuse)
        .unwrap_err();
    assert_eq!(error.to_string(), "`d/run` already exists in the destination");
    assert_eq!(listing(&env.path("dest")).len(), 2, "nothing was written");
    env.store
        .export(&env.store.lease().unwrap(), &digest, None, &env.path("dest"), Existing::Overwrite)
        .unwrap();
    assert_eq!(fs::read(env.path("dest/d/run")).unwrap(), b"run");
    env.store
        .export(&env.store.lease().unwrap(), &digest, None, &env.path("dest"), Existing::Overwrite)
        .unwrap();

    env.write("other/a/inner", "a directory where a file should be");
    let error = env
        .store
        .export(&env.store.lease().unwrap(), &digest, None, &env.path("other"), Existing::Overwrite)
        .unwrap_err();
    assert!(matches!(error, ExportError::Exists { .. }), "{error}");
}

#[test]
fn links_in_the_destination_are_not_followed() {
    let env = Env::new();
    let digest = sample(&env);
    fs::create_dir_all(env.path("outside")).unwrap();
    env.write("victim", "precious");
    fs::create_dir(env.path("dest")).unwrap();
    env.link("dest/d", "../outside");
    let error = env
        .store
        .export(&env.store.lease().unwrap(), &digest, None, &env.path("dest"), Existing::Overwrite)
        .unwrap_err();
    assert!(matches!(error, ExportError::Exists { .. }), "{error}");
    fs::remove_file(env.path("dest/d")).unwrap();
    env.link("dest/a", "../victim");
    env.store
        .export(&env.store.lease().unwrap(), &digest, None, &env.path("dest"), Existing::Overwrite)
        .unwrap();
    assert_eq!(fs::read(env.path("victim")).unwrap(), b"precious");
    assert_eq!(fs::read(env.path("dest/a")).unwrap(), b"alpha");
    assert_eq!(fs::read_dir(env.path("outside")).unwrap().count(), 0);
}

#[test]
fn a_damaged_object_is_not_exported() {
    let env = Env::new();
    let digest = sample(&env);
    let object = env.object(&Digest::of(b"alpha"));
    fs::remove_file(&object).unwrap();
    fs::write(&object, "ALPHA").unwrap();
    let error = env
        .store
        .export(&env.store.lease().unwrap(), &digest, None, &env.path("dest"), Existing::Refuse)
        .unwrap_err();
    assert!(matches!(error, ExportError::Store(StoreError::Corrupt { .. })), "{error}");
    let written = listing(&env.path("dest"));
    let half = |name: &Path| name == "a" || name.to_string_lossy().contains(".aseptic-export");
    assert!(!written.iter().any(|(name, ..)| half(name)), "no half file: {written:?}");
}
