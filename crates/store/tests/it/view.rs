//! Views, delta views, verification: what a job sees, and what damage does.

use std::fs;
use std::io::{Read, Seek, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use aseptic_model::{Diagnose, Digest};
use aseptic_store::{Damage, DamageCause, ImportOptions, Store, VerifyError, ViewError};

use crate::{Env, assert_success, child, listing, path, role_dir};

fn sample(env: &Env) -> Digest {
    env.write("source/a", "alpha");
    env.write("source/same", "alpha");
    env.write("source/d/run", "run");
    env.chmod("source/d/run", 0o755);
    env.write("source/d/not-run", "run");
    env.link("source/d/link", "../a");
    fs::create_dir(env.path("source/empty")).unwrap();
    env.import("source").snapshot.digest
}

/// Flips one bit of a file in place, so that every hard link shows it.
pub(crate) fn flip(path: &Path) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact(&mut byte).unwrap();
    file.rewind().unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

#[test]
fn a_view_shows_exactly_the_snapshot() {
    let env = Env::new();
    let digest = sample(&env);
    let view = env.store.view(&digest).unwrap();
    let (file, executable, directory) = (0o100_444, 0o100_555, 0o040_555);
    let expected: Vec<(PathBuf, u32, Vec<u8>)> = vec![
        ("a".into(), file, b"alpha".into()),
        ("d".into(), directory, vec![]),
        ("d/link".into(), 0o120_777, b"../a".into()),
        ("d/not-run".into(), file, b"run".into()),
        ("d/run".into(), executable, b"run".into()),
        ("empty".into(), directory, vec![]),
        ("same".into(), file, b"alpha".into()),
    ];
    assert_eq!(listing(&view), expected);
    for name in ["", "a", "d", "d/link", "d/run", "empty"] {
        assert_eq!(fs::symlink_metadata(view.join(name)).unwrap().mtime(), 946_684_800, "{name}");
    }
    assert_eq!(fs::metadata(&view).unwrap().mode() & 0o777, 0o555);
    let object = fs::metadata(env.object(&Digest::of(b"alpha"))).unwrap();
    assert_eq!(object.mode() & 0o777, 0o444);
    assert_eq!(fs::metadata(view.join("a")).unwrap().ino(), object.ino(), "no second copy on disk");
    assert_eq!(env.store.view(&digest).unwrap(), view);
    assert_eq!(fs::read_dir(env.path("store/tmp")).unwrap().count(), 0);
    env.store.verify(&digest, &mut |_| ()).unwrap();
}

#[test]
fn two_processes_build_the_same_view_at_once() {
    let env = Env::new();
    for number in 0..200 {
        let name = format!("source/{number}");
        env.write(&name, number.to_string());
        env.chmod(&name, 0o755);
    }
    let digest = env.import("source").snapshot.digest;
    let views: Vec<_> = thread::scope(|scope| {
        let build = || Store::open(&env.path("store")).unwrap().view(&digest).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(build)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(listing(&views[0]).len(), 200);
    assert!(views.iter().all(|view| *view == views[0]));
    env.store.verify(&digest, &mut |_| ()).unwrap();
}

#[test]
fn damage_is_named_and_no_view_is_made() {
    let env = Env::new();
    let digest = sample(&env);
    flip(&env.object(&Digest::of(b"alpha")));
    fs::remove_file(env.object(&Digest::of(b"run"))).unwrap();
    let mut expected = vec![
        Damage { path: path("a"), cause: DamageCause::Content },
        Damage { path: path("d/not-run"), cause: DamageCause::Missing },
        Damage { path: path("d/run"), cause: DamageCause::Missing },
        Damage { path: path("same"), cause: DamageCause::Content },
    ];
    expected.sort_by(|a, b| a.path.cmp(&b.path));
    let ViewError::Damaged { mut list, count, .. } = env.store.view(&digest).unwrap_err() else {
        panic!("the damage was not found")
    };
    list.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!((list, count), (expected.clone(), 4));
    assert_eq!(fs::read_dir(env.path("store/views")).unwrap().count(), 0);
    let error = env.store.verify(&digest, &mut |_| ()).unwrap_err();
    assert_eq!(error.diagnosis().code, "store/corrupt");
    let VerifyError::Damaged { mut list, count, .. } = error else { panic!("the damage was not found") };
    list.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!((list, count), (expected, 4));

    // Importing the source again brings back what is gone; what is damaged has to be moved away first.
    fs::remove_file(env.object(&Digest::of(b"alpha"))).unwrap();
    env.import("source");
    env.store.view(&digest).unwrap();
    env.store.verify(&digest, &mut |_| ()).unwrap();
}

#[test]
fn verify_finds_a_view_that_was_tampered_with() {
    let env = Env::new();
    let digest = sample(&env);
    let view = env.store.view(&digest).unwrap();
    let writable = |dir: &Path| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    writable(&view);
    writable(&view.join("d"));
    writable(&view.join("empty"));
    fs::remove_file(view.join("a")).unwrap();
    fs::write(view.join("a"), "ALPHA").unwrap();
    fs::remove_file(view.join("d/link")).unwrap();
    fs::write(view.join("empty/extra"), "").unwrap();
    // Another file of the same content is no damage.
    fs::remove_file(view.join("same")).unwrap();
    fs::write(view.join("same"), "alpha").unwrap();
    let VerifyError::Damaged { mut list, .. } = env.store.verify(&digest, &mut |_| ()).unwrap_err() else {
        panic!("the damage was not found")
    };
    list.sort_by(|a, b| a.path.cmp(&b.path));
    let expected = [
        Damage { path: path("a"), cause: DamageCause::View },
        Damage { path: path("d/link"), cause: DamageCause::View },
        Damage { path: path("empty/extra"), cause: DamageCause::Extra },
    ];
    assert_eq!(list, expected);
}

#[test]
fn verify_finds_a_damaged_directory_object_and_goes_on() {
    let env = Env::new();
    let digest = sample(&env);
    let dir = env.store.subtree(&env.store.lease().unwrap(), &digest, &path("d")).unwrap().unwrap();
    flip(&env.object(&dir.digest));
    fs::remove_file(env.object(&Digest::of(b"alpha"))).unwrap();
    let VerifyError::Damaged { list, count, .. } = env.store.verify(&digest, &mut |_| ()).unwrap_err() else {
        panic!("the damage was not found")
    };
    assert_eq!(count, 3);
    assert!(list.contains(&Damage { path: path("d"), cause: DamageCause::Content }));
    assert!(list.contains(&Damage { path: path("same"), cause: DamageCause::Missing }));
}

/// Writes a tree with many files and every kind of change between version 0 and version 1.
fn version(env: &Env, number: usize) -> Digest {
    aseptic_store::remove_tree(&env.path("code")).unwrap();
    for file in 0..60 {
        env.write(&format!("code/same/{file}"), file.to_string());
    }
    env.write("code/changed", number.to_string());
    env.write("code/mode", "mode");
    env.chmod("code/mode", if number == 0 { 0o644 } else { 0o755 });
    env.write("code/deep/er/changed", number.to_string());
    env.write("code/deep/er/same", "same");
    if number == 0 {
        env.write("code/gone", "gone");
        env.write("code/gone-dir/x/y", "gone");
        env.write("code/file-to-dir", "file");
        env.write("code/dir-to-file/old", "old");
        env.write("code/link-to-dir-target/hidden", "hidden");
        env.link("code/link-to-dir", "link-to-dir-target");
    } else {
        env.write("code/new", "new");
        env.write("code/new-dir/x/y", "new");
        env.write("code/file-to-dir/inner", "inner");
        env.write("code/dir-to-file", "file");
        env.write("code/link-to-dir-target/hidden", "hidden");
        env.write("code/link-to-dir/inner", "inner");
    }
    env.import("code").snapshot.digest
}

#[test]
fn layers_show_the_same_as_a_full_view() {
    let env = Env::new();
    let (old, new) = (version(&env, 0), version(&env, 1));
    let base = env.store.view_layers(&old, "code").unwrap();
    assert_eq!(base.len(), 1);
    let layers = env.store.view_layers(&new, "code").unwrap();
    assert_eq!(layers.len(), 2, "a small change is a layer");
    assert_eq!(layers[1], base[0]);
    assert_eq!(env.store.view_layers(&new, "code").unwrap(), layers, "built once");
    assert!(listing(&layers[0]).len() < 25);

    let full = Env::new();
    let imported = full
        .store
        .import(&full.store.lease().unwrap(), &env.path("code"), &ImportOptions::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
    let view = full.store.view_layers(&imported.snapshot.digest, "code").unwrap().remove(0);
    fs::create_dir(env.path("merged")).unwrap();
    env.link("lower", layers[1].to_str().unwrap());
    env.link("upper", layers[0].to_str().unwrap());
    env.link("full", view.to_str().unwrap());
    let mount = format!(
        "mount -t overlay overlay -o lowerdir={0}/upper:{0}/lower,userxattr {0}/merged && exec \"$@\"",
        env.dir.display()
    );
    let wrapper = ["unshare", "-Urm", "sh", "-c", mount.as_str(), "sh"];
    assert_success(&child(&wrapper, "view::role_compare", &env.dir).output().unwrap());

    // Another key has no base, and once there is a full view it is used.
    let whole = env.store.view_layers(&new, "other").unwrap();
    assert_eq!(whole.len(), 1);
    assert_eq!(env.store.view_layers(&new, "code").unwrap(), whole);
}

#[test]
fn layers_are_copies_with_the_usual_permissions() {
    let env = Env::new();
    let digest = sample(&env);
    let layers = env.store.view_layers(&digest, "code").unwrap();
    for (name, mode) in [("", 0o755), ("a", 0o644), ("d", 0o755), ("d/run", 0o755), ("d/not-run", 0o644)] {
        let found = fs::metadata(layers[0].join(name)).unwrap();
        assert_eq!(found.mode() & 0o7777, mode, "{name}");
        assert!(found.is_dir() || found.nlink() == 1, "{name} is no link to an object");
    }
    assert_ne!(layers[0], env.store.view(&digest).unwrap(), "a view of inputs stays read-only");
}

#[test]
fn role_compare() {
    let Some(dir) = role_dir() else { return };
    let full = dir.join("full").canonicalize().unwrap();
    assert_eq!(listing(&dir.join("merged")), listing(&full));
}

#[test]
fn a_large_change_is_a_full_view() {
    let env = Env::new();
    let old = version(&env, 0);
    env.store.view_layers(&old, "code").unwrap();
    for file in 0..40 {
        env.write(&format!("code/same/{file}"), "changed");
    }
    let new = env.import("code").snapshot.digest;
    assert_eq!(env.store.view_layers(&new, "code").unwrap().len(), 1);
}
