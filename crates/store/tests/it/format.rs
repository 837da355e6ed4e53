//! The store on disk: other programs read it, and stores of the version before are still read.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output};

use aseptic_model::{Diagnose, Digest};
use aseptic_store::{EntryKind, ImportOptions, Store};

use crate::import::sample;
use crate::{Env, listing};

/// What the second reader has to say about a snapshot.
fn expected(store: &Store, digest: &Digest) -> Vec<u8> {
    let mut expected = Vec::new();
    for entry in store.walk(digest).unwrap() {
        let (path, kind) = entry.unwrap();
        let fields = match kind {
            EntryKind::File { size, digest, executable: false } => format!("file {size} {digest} "),
            EntryKind::File { size, digest, executable: true } => format!("executable {size} {digest} "),
            EntryKind::Directory { bytes, digest, .. } => format!("directory {bytes} {digest} "),
            EntryKind::Symlink { target } => format!("symlink {} - ", target.len()),
        };
        expected.extend_from_slice(fields.as_bytes());
        expected.extend_from_slice(path.as_bytes());
        expected.push(0);
    }
    expected
}

fn second_reader(store: &Path, digest: &Digest) -> Output {
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_reader.py");
    Command::new("python3").args(["-B", reader]).arg(store).arg(digest.to_string()).output().unwrap()
}

#[test]
fn a_second_reader_agrees() {
    let env = Env::new();
    sample(&env);
    let few = env.import("source").snapshot.digest;
    // So many that they go into packs, and one that does not.
    for number in 0..50 {
        env.write(&format!("source/many/{number}"), format!("{number}\n").repeat(1 + 20 * number));
    }
    env.write("source/large", "0123456789".repeat(60_000));
    let many = env.import("source").snapshot.digest;
    assert_eq!(fs::read_dir(env.path("store/packs")).unwrap().count(), 1);
    for digest in [few, many] {
        let output = second_reader(&env.path("store"), &digest);
        assert!(output.status.success(), "{output:?}");
        let expected = expected(&env.store, &digest);
        assert_eq!(String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&expected));
        assert_eq!(output.stdout, expected);
    }
    let missing = Digest::of(b"missing");
    assert_eq!(second_reader(&env.path("store"), &missing).status.code(), Some(1));
}

#[test]
fn only_a_store_of_this_version_is_opened() {
    let env = Env::new();
    env.write("other/file", "not a store");
    for (name, format) in [("no-store-1", "1"), ("no-store-2", "2"), ("newer", "3")] {
        env.write(&format!("{name}/format"), format!("aseptic-store {format}\n"));
    }
    for name in ["other", "no-store-1", "no-store-2", "newer"] {
        let error = Store::open(&env.path(name)).unwrap_err();
        assert_eq!(error.diagnosis().code, "store/format", "{name}");
        assert_eq!(listing(&env.path(name)).len(), 1, "nothing was written to {name}");
    }
}

/// Makes a store as format 1 has it: every object loose, executable ones twice. Returns its snapshot,
/// which has `a.txt`, `run.sh` that may be executed, and the link `link`.
fn store_of_format_1(store: &Path) -> Digest {
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        let hex = digest.to_string();
        let path = store.join("objects").join(&hex[..2]).join(hex);
        fs::write(&path, bytes).unwrap();
        crate::chmod(&path, 0o444);
        (digest, path)
    };
    for directory in ["views", "index", "tmp"] {
        fs::create_dir_all(store.join(directory)).unwrap();
    }
    for prefix in 0..=u8::MAX {
        fs::create_dir_all(store.join(format!("objects/{prefix:02x}"))).unwrap();
    }
    let (text, text_path) = put(b"alpha");
    let (script, script_path) = put(b"#!/bin/sh\n");
    let twin = script_path.with_extension("x");
    fs::copy(&script_path, &twin).unwrap();
    crate::chmod(&twin, 0o555);
    let root = [
        b"astree\0\x01\x03\0\0\0".as_slice(),
        b"\x01\x05a.txt\x05\0\0\0\0\0\0\0",
        text.as_bytes(),
        b"\x04\x04link\x05\0a.txt",
        b"\x02\x06run.sh\x0a\0\0\0\0\0\0\0",
        script.as_bytes(),
    ];
    let (root, _) = put(&root.concat());
    let view = store.join(format!("views/{root}/tree"));
    fs::create_dir_all(&view).unwrap();
    fs::hard_link(text_path, view.join("a.txt")).unwrap();
    fs::hard_link(twin, view.join("run.sh")).unwrap();
    std::os::unix::fs::symlink("a.txt", view.join("link")).unwrap();
    crate::chmod(&view, 0o555);
    fs::write(store.join("format"), "aseptic-store 1\n").unwrap();
    root
}

#[test]
fn a_store_of_format_1_is_upgraded_and_still_reads() {
    let env = Env::new();
    let dir = env.path("old");
    let root = store_of_format_1(&dir);
    let before = second_reader(&dir, &root);
    assert!(before.status.success(), "{before:?}");

    let store = Store::open(&dir).unwrap();
    assert_eq!(fs::read(dir.join("format")).unwrap(), b"aseptic-store 2\n");
    store.verify(&root, &mut |_| ()).unwrap();
    let after = second_reader(&dir, &root);
    assert_eq!((&after.stdout, after.status), (&expected(&store, &root), before.status));
    let view = store.view(&root).unwrap();
    assert_eq!(fs::read(view.join("run.sh")).unwrap(), b"#!/bin/sh\n");
    let twins =
        |(path, ..): &(std::path::PathBuf, u32, Vec<u8>)| path.extension().is_some_and(|end| end == "x");
    assert_eq!(listing(&dir.join("objects")).iter().filter(|entry| twins(entry)).count(), 0);

    // The same files are the same snapshot, and more can be added; another process finds all of it.
    let write = |name: &str, content: &str| env.write(name, content);
    write("source/a.txt", "alpha");
    write("source/run.sh", "#!/bin/sh\n");
    env.chmod("source/run.sh", 0o755);
    env.link("source/link", "a.txt");
    let import = |store: &Store| {
        let (lease, options) = (store.lease().unwrap(), ImportOptions::default());
        let go_on = &mut |_| ControlFlow::Continue(());
        store.import(&lease, &env.path("source"), &options, go_on).unwrap().snapshot.digest
    };
    assert_eq!(import(&store), root);
    for number in 0..50 {
        write(&format!("source/{number}"), &number.to_string());
    }
    let more = import(&store);
    let again = Store::open(&dir).unwrap();
    for snapshot in [root, more] {
        again.verify(&snapshot, &mut |_| ()).unwrap();
        assert!(second_reader(&dir, &snapshot).status.success());
    }
}
