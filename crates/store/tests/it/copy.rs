//! Snapshots in a second store.

use std::fs;

use aseptic_store::{DamageCause, Step, Store, StoreError, VerifyError};

use crate::{Env, listing};

fn sample(env: &Env) -> aseptic_store::Snapshot {
    env.write("d/a", "one");
    env.write("d/again", "one");
    env.write("d/deep/er/b", vec![7; 3 << 20]);
    env.write("d/deep/run.sh", "#!/bin/sh");
    env.chmod("d/deep/run.sh", 0o755);
    env.write("d/twin/er/b", vec![7; 3 << 20]);
    env.link("d/link", "a");
    fs::create_dir(env.path("d/empty")).unwrap();
    env.import("d").snapshot
}

#[test]
fn a_copy_is_the_same_snapshot() {
    let env = Env::new();
    let snapshot = sample(&env);
    let other = Store::open(&env.path("other")).unwrap();
    let mut last = None;
    let copied = other
        .copy_from(&other.lease().unwrap(), &env.store, &snapshot.digest, &mut |progress| {
            last = Some(progress)
        })
        .unwrap();
    assert_eq!(copied.snapshot, snapshot);
    let last = last.unwrap();
    assert_eq!((last.step, last.files, last.bytes), (Step::Write, snapshot.files, snapshot.bytes));
    fs::remove_dir_all(env.path("store")).unwrap();
    other.verify(&snapshot.digest, &mut |_| ()).unwrap();
    let view = other.view(&snapshot.digest).unwrap();
    let modes = |listing: Vec<_>| -> Vec<_> {
        listing
            .into_iter()
            .map(|(path, mode, bytes): (_, u32, Vec<u8>)| (path, mode & 0o100, bytes))
            .collect()
    };
    let files = |of: &std::path::Path| {
        let mut found = modes(listing(of));
        found.retain(|(path, _, _)| !of.join(path).is_dir());
        found
    };
    assert_eq!(files(&view), files(&env.path("d")));
}

#[test]
fn what_is_there_is_not_copied_again() {
    let env = Env::new();
    let first = sample(&env);
    let other = Store::open(&env.path("other")).unwrap();
    let copied = other.copy_from(&other.lease().unwrap(), &env.store, &first.digest, &mut |_| ()).unwrap();
    assert!(copied.files_copied >= 3);
    let again = other.copy_from(&other.lease().unwrap(), &env.store, &first.digest, &mut |_| ()).unwrap();
    assert_eq!((again.files_copied, again.bytes_copied), (0, 0));
    env.write("d/new", "four");
    let second = env.import("d").snapshot;
    let grown = other.copy_from(&other.lease().unwrap(), &env.store, &second.digest, &mut |_| ()).unwrap();
    assert_eq!((grown.files_copied, grown.bytes_copied), (1, 4));
    other.verify(&second.digest, &mut |_| ()).unwrap();
}

#[test]
fn damage_is_named_and_nothing_is_visible() {
    let env = Env::new();
    let snapshot = sample(&env);
    let script = env.store.lookup(&snapshot.digest, &crate::path("deep/run.sh")).unwrap().unwrap();
    let aseptic_store::EntryKind::File { digest, .. } = script.kind else { unreachable!() };
    let object = env.object(&digest);
    fs::remove_file(&object).unwrap();
    fs::write(&object, "#!/bin/sH").unwrap();
    let other = Store::open(&env.path("other")).unwrap();
    let error =
        other.copy_from(&other.lease().unwrap(), &env.store, &snapshot.digest, &mut |_| ()).unwrap_err();
    let VerifyError::Damaged { list, .. } = error else { panic!("{error}") };
    assert_eq!((list[0].path.to_string(), list[0].cause), ("deep/run.sh".to_owned(), DamageCause::Content));
    assert!(matches!(other.snapshot(&snapshot.digest), Err(StoreError::Missing { .. })));
    assert!(matches!(other.get_bytes(&digest, 100), Err(StoreError::Missing { .. })));
}
