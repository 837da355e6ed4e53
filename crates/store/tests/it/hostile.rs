//! Trees that are hard to handle: they go in, are shown, come out and are captured as they are, or are refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use aseptic_model::Diagnose;
use aseptic_store::{CaptureKind, CaptureRoot, Existing, ImportOptions, SkipReason, Special};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat};

use crate::{Env, bytes_path, listing, path};

/// What a snapshot keeps of a tree: kind, whether its owner may execute it, content or target.
fn kept(dir: &Path) -> BTreeMap<PathBuf, (u32, bool, Vec<u8>)> {
    let of = |(path, mode, content): (PathBuf, u32, Vec<u8>)| {
        let kind = mode & 0o170_000;
        (path, (kind, kind == 0o100_000 && mode & 0o100 != 0, content))
    };
    listing(dir).into_iter().map(of).collect()
}

/// Imports `src`, shows it, exports it and captures it: always the same tree.
fn goes_through(env: &Env) {
    let expected = kept(&env.path("src"));
    let imported = env.import("src");
    env.store.verify(&imported.snapshot.digest, &mut |_| ()).unwrap();
    let view = env.store.view(&imported.snapshot.digest).unwrap();
    assert_eq!(kept(&view), expected);
    let lease = env.store.lease().unwrap();
    let out = env.path("out");
    env.store.export(&lease, &imported.snapshot.digest, None, &out, Existing::Refuse).unwrap();
    assert_eq!(kept(&out), expected);
    let root = CaptureRoot { name: b"out", path: &out, kind: CaptureKind::Plain, max_bytes: None };
    let captured = env.store.capture(&lease, &[root]).unwrap();
    assert_eq!(captured.skipped_count, 0);
    let again = env.store.subtree(&lease, &captured.snapshot.digest, &path("out")).unwrap().unwrap();
    assert_eq!(again, imported.snapshot);
}

#[test]
fn names_are_bytes() {
    let env = Env::new();
    fs::create_dir(env.path("src")).unwrap();
    let long = [b'n'; 255];
    let names: [&[u8]; 16] = [
        b"new\nline",
        b"tab\tand\rreturn",
        b"\xff\xfe",
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"A",
        b"a",
        b"-rf",
        b"~",
        b" ",
        b"...",
        b"back\\slash",
        b"\x1b[31mred",
        b"*?[]",
        b"manifest.json",
        &long,
    ];
    for name in names {
        fs::write(env.path("src").join(bytes_path(name)), name).unwrap();
        let directory = [b"d".as_slice(), &name[..name.len().min(254)]].concat();
        fs::create_dir(env.path("src").join(bytes_path(&directory))).unwrap();
        fs::write(env.path("src").join(bytes_path(&directory)).join("x"), name).unwrap();
    }
    goes_through(&env);
}

#[test]
fn depth() {
    let env = Env::new();
    env.write(&format!("src/{}file", "d/".repeat(1000)), "deep");
    goes_through(&env);
}

#[test]
fn links_that_lead_nowhere() {
    let env = Env::new();
    fs::create_dir_all(env.path("src/d/e")).unwrap();
    for (name, target) in [
        ("self", "self"),
        ("a", "b"),
        ("b", "a"),
        ("up", "d/.."),
        ("d/loop", ".."),
        ("d/e/loop", "../../d/loop"),
        ("nowhere", "missing/x"),
        ("new", "line\n\u{1b}[31m"),
    ] {
        env.link(&format!("src/{name}"), target);
    }
    env.link("src/long", &"x/".repeat(2047));
    goes_through(&env);
}

#[test]
fn modes_times_and_attributes_are_dropped() {
    let env = Env::new();
    for (name, mode) in [("user", 0o4755), ("group", 0o2755), ("sticky", 0o1644), ("closed", 0o400)] {
        env.write(&format!("src/{name}"), name);
        env.chmod(&format!("src/{name}"), mode);
    }
    let plain = env.write("src/attributes", "attributes");
    let file = fs::File::open(&plain).unwrap();
    rustix::fs::fsetxattr(&file, "user.note", b"hidden", XattrFlags::empty()).unwrap();
    fs::hard_link(&plain, env.path("src/same")).unwrap();
    let sparse = fs::File::create(env.path("src/sparse")).unwrap();
    sparse.write_all_at(b"data", 1 << 20).unwrap();
    sparse.set_len(3 << 20).unwrap();
    goes_through(&env);
    let digest = env.import("src").snapshot.digest;
    for dir in [env.store.view(&digest).unwrap(), env.path("out")] {
        for entry in fs::read_dir(&dir).unwrap() {
            let file = fs::File::open(entry.unwrap().path()).unwrap();
            let metadata = file.metadata().unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7000, 0, "{metadata:?}");
            let mut list = vec![0; 4096];
            let length = rustix::fs::flistxattr(&file, list.as_mut_slice()).unwrap();
            assert!(!list[..length].windows(5).any(|text| text == b"user."), "an attribute is left");
        }
    }
    assert_ne!(
        fs::metadata(env.path("out/same")).unwrap().ino(),
        fs::metadata(env.path("out/attributes")).unwrap().ino()
    );
}

#[test]
fn what_is_no_file() {
    type Make = fn(&Path);
    let make: [(&str, Make); 3] = [
        ("fifo", |at| rustix::fs::mkfifoat(CWD, at, Mode::RUSR).unwrap()),
        ("device", |at| {
            mknodat(CWD, at, FileType::CharacterDevice, Mode::RUSR, makedev(0, 0)).unwrap();
        }),
        ("socket", |at| drop(UnixListener::bind(at).unwrap())),
    ];
    let env = Env::new();
    fs::create_dir(env.path("all")).unwrap();
    for (name, make) in make {
        fs::create_dir(env.path(name)).unwrap();
        make(&env.path(name).join("x"));
        make(&env.path("all").join(name));
        let error = env.import_with(name, &ImportOptions::default()).unwrap_err();
        assert_eq!(error.diagnosis().code, "store/special-file");
        let error = env.import_with(&format!("{name}/x"), &ImportOptions::default()).unwrap_err();
        assert_eq!(error.diagnosis().code, "store/special-file");
    }
    let options = ImportOptions { special: Special::Skip, ..ImportOptions::default() };
    let imported = env.import_with("all", &options).unwrap();
    assert_eq!((imported.skipped_count, imported.snapshot.files), (3, 0));
    let lease = env.store.lease().unwrap();
    let all = env.path("all");
    let root = CaptureRoot { name: b"out", path: &all, kind: CaptureKind::Plain, max_bytes: None };
    let captured = env.store.capture(&lease, &[root]).unwrap();
    let reasons: Vec<_> = captured.skipped.iter().map(|skipped| skipped.reason).collect();
    assert_eq!(reasons, [SkipReason::Special; 3]);
}

/// As many as `ASEPTIC_STORE_TEST_FILES` says; a million take minutes to make.
#[test]
fn many_empty_files() {
    let env = Env::new();
    let count = std::env::var("ASEPTIC_STORE_TEST_FILES").map_or(50_000, |count| count.parse().unwrap());
    fs::create_dir_all(env.path("src/one")).unwrap();
    for number in 0..count {
        // Half of them in one directory.
        let directory = if number % 2 == 0 { "one".to_owned() } else { format!("d{}", number % 1000) };
        let directory = env.path("src").join(directory);
        if number < 2000 {
            fs::create_dir_all(&directory).unwrap();
        }
        fs::File::create(directory.join(number.to_string())).unwrap();
    }
    let imported = env.import("src");
    assert_eq!((imported.snapshot.files, imported.snapshot.bytes), (count, 0));
    assert_eq!(
        env.store.walk(&imported.snapshot.digest).unwrap().filter(|entry| entry.is_ok()).count() as u64,
        count + 501
    );
    let view = env.store.view(&imported.snapshot.digest).unwrap();
    assert_eq!(fs::read_dir(view.join("one")).unwrap().count() as u64, count / 2);
    env.store.verify(&imported.snapshot.digest, &mut |_| ()).unwrap();
}
