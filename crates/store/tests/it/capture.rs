//! Capture and removal of what a hostile job left.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aseptic_model::{Diagnose, Digest};
use aseptic_store::{CaptureKind, CaptureRoot, Captured, EntryKind, SkipReason, Store, remove_tree};
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mkdirat, mknodat, openat};

use crate::{Env, bytes_path, path};

fn capture(store: &Store, roots: &[(&[u8], &Path, CaptureKind)]) -> Captured {
    let roots: Vec<_> = roots
        .iter()
        .map(|(name, path, kind)| CaptureRoot { name, path, kind: *kind, max_bytes: None })
        .collect();
    store.capture(&store.lease().unwrap(), &roots).unwrap()
}

fn plain(env: &Env) -> Captured {
    capture(&env.store, &[(b"out", &env.path("out"), CaptureKind::Plain)])
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn files_are_taken_as_they_are_and_described() {
    let env = Env::new();
    let model = env.write("out/model.bin", "weights");
    env.write("out/d/run", "run");
    env.chmod("out/d/run", 0o4755);
    fs::create_dir(env.path("out/empty")).unwrap();
    let large = env.write("out/large", vec![7; 3 << 20]);
    let captured = plain(&env);
    let outputs: Vec<_> =
        captured.outputs.iter().map(|o| (o.path.to_string(), o.size, o.executable)).collect();
    let expected = [
        ("out/d/run".into(), 3, true),
        ("out/large".into(), 3 << 20, false),
        ("out/model.bin".into(), 7, false),
    ];
    assert_eq!(outputs, expected);
    let weights = &captured.outputs[2];
    assert_eq!(weights.blake3, Digest::of(b"weights"));
    assert_eq!(weights.sha256[..4], [0x9a, 0x12, 0x90, 0x38], "sha256sum of the same bytes");
    assert_eq!(inode(&env.object(&weights.blake3)), inode(&model), "not copied");
    assert_eq!(inode(&env.object(&captured.outputs[1].blake3)), inode(&large), "not copied");
    assert_eq!(captured.snapshot.files, 3);
    assert_eq!(env.store.directories(&captured.snapshot.digest).unwrap().len(), 3);
    env.store.verify(&captured.snapshot.digest, &mut |_| ()).unwrap();

    assert_eq!(plain(&env), captured, "a capture can be repeated");
    remove_tree(&env.path("out")).unwrap();
    env.store.verify(&captured.snapshot.digest, &mut |_| ()).unwrap();
    for output in &captured.outputs {
        let object = fs::metadata(env.object(&output.blake3)).unwrap();
        assert_eq!((object.nlink(), object.mode() & 0o7777), (1, 0o444), "{}", output.path);
    }
}

#[test]
fn what_a_killed_capture_had_staged_is_not_copied() {
    let env = Env::new();
    let model = env.write("out/model.bin", "weights");
    let before = inode(&model);
    let stage = env.path("store/tmp/1-0");
    fs::create_dir(&stage).unwrap();
    fs::write(stage.join("lock"), "").unwrap(); // Nobody holds it.
    fs::hard_link(&model, stage.join(Digest::of(b"weights").to_string())).unwrap();
    plain(&env);
    assert_eq!(inode(&env.object(&Digest::of(b"weights"))), before);
    assert!(!stage.exists());
}

#[test]
fn files_that_someone_could_still_reach_are_copied() {
    let env = Env::new();
    let twice = env.write("out/twice", "two names");
    fs::hard_link(&twice, env.path("elsewhere")).unwrap();
    let marked = env.write("out/marked", "attributes");
    let file = fs::File::open(&marked).unwrap();
    rustix::fs::fsetxattr(&file, "user.note", b"hidden", rustix::fs::XattrFlags::empty()).unwrap();
    let captured = plain(&env);
    for (file, bytes) in [(twice, b"two names".as_slice()), (marked, b"attributes")] {
        let object = env.object(&Digest::of(bytes));
        assert_ne!(inode(&object), inode(&file));
    }
    fs::write(env.path("elsewhere"), "overwritten by the one who kept a name").unwrap();
    env.store.verify(&captured.snapshot.digest, &mut |_| ()).unwrap();
}

#[test]
fn links_are_kept_and_never_followed() {
    let env = Env::new();
    let secret = env.write("secret/key", "secret");
    env.chmod("secret/key", 0o600);
    fs::create_dir(env.path("out")).unwrap();
    env.link("out/abs", secret.to_str().unwrap());
    env.link("out/dir", "../secret");
    env.link("out/loop", "loop");
    let captured = plain(&env);
    let links: Vec<_> =
        captured.links.iter().map(|link| (link.path.to_string(), link.target.clone())).collect();
    let expected = [
        ("out/abs".to_owned(), secret.to_str().unwrap().into()),
        ("out/dir".into(), b"../secret".to_vec()),
        ("out/loop".into(), b"loop".to_vec()),
    ];
    assert_eq!(links, expected);
    assert!(captured.outputs.is_empty());
    remove_tree(&env.path("out")).unwrap();
    assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o777, 0o600, "untouched");
}

#[test]
fn special_files_and_odd_names() {
    let env = Env::new();
    fs::create_dir(env.path("out")).unwrap();
    env.fifo("out/fifo");
    fs::write(env.path("out").join(bytes_path(b"new\nline\xff")), "odd").unwrap();
    // In an ordinary directory this is a device like any other.
    mknodat(CWD, env.path("out/null"), FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
    let captured = plain(&env);
    let skipped: Vec<_> = captured.skipped.iter().map(|s| (s.path.to_string(), s.reason)).collect();
    assert_eq!(skipped, [("out/fifo".into(), SkipReason::Special), ("out/null".into(), SkipReason::Special)]);
    assert_eq!(captured.outputs[0].path.to_string(), "out/new\\x0aline\\xff");
}

#[test]
fn modes_that_lock_the_owner_out_do_not_help() {
    let env = Env::new();
    env.write("out/dir/inner/file", "f");
    env.write("out/program", "p");
    for (name, mode) in [("dir/inner/file", 0), ("dir/inner", 0), ("dir", 0), ("program", 0o111), ("", 0)] {
        env.chmod(&format!("out/{name}"), mode);
    }
    let captured = plain(&env);
    assert_eq!(captured.outputs.len(), 2);
    assert!(captured.outputs[1].executable);
    assert_eq!(plain(&env), captured);
    env.chmod("out/dir/inner", 0);
    env.chmod("out/dir", 0o444);
    remove_tree(&env.path("out")).unwrap();
    assert!(!env.path("out").exists());
}

#[test]
fn deletions_of_an_overlay_are_recorded() {
    let env = Env::new();
    env.write("upper/kept", "kept");
    env.write("upper/again/new", "new");
    mknodat(CWD, env.path("upper/gone"), FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
    let again = fs::File::open(env.path("upper/again")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::fsetxattr(&again, "user.overlay.opaque", b"y", flags).unwrap();
    env.write("out/result", "r");
    let roots: [(&[u8], &Path, CaptureKind); 2] = [
        (b"work", &env.path("upper"), CaptureKind::OverlayUpper),
        (b"out", &env.path("out"), CaptureKind::Plain),
    ];
    let captured = capture(&env.store, &roots);
    assert_eq!(captured.deleted, [path("work/again"), path("work/gone")]);
    let paths: Vec<_> = captured.outputs.iter().map(|output| output.path.to_string()).collect();
    assert_eq!(paths, ["out/result", "work/again/new", "work/kept"]);
    assert_eq!(env.store.lookup(&captured.snapshot.digest, &path("work/gone")).unwrap(), None);
}

#[test]
fn a_limit_skips_what_does_not_fit() {
    let env = Env::new();
    env.write("out/a", "1234");
    // Sparse: a terabyte that is not there. It must not be read.
    fs::File::create(env.path("out/b")).unwrap().set_len(1 << 40).unwrap();
    env.write("out/c", "1234");
    env.write("out/d", "1234");
    let root =
        CaptureRoot { name: b"out", path: &env.path("out"), kind: CaptureKind::Plain, max_bytes: Some(10) };
    let captured = env.store.capture(&env.store.lease().unwrap(), &[root]).unwrap();
    let skipped: Vec<_> = captured.skipped.iter().map(|s| (s.path.to_string(), s.reason)).collect();
    assert_eq!(skipped, [("out/b".into(), SkipReason::OverLimit), ("out/d".into(), SkipReason::OverLimit)]);
    assert_eq!(captured.snapshot.bytes, 8);
}

#[test]
fn root_names_are_single_components() {
    let env = Env::new();
    fs::create_dir(env.path("out")).unwrap();
    for name in ["", "..", "a/b"] {
        let root = CaptureRoot {
            name: name.as_bytes(),
            path: &env.path("out"),
            kind: CaptureKind::Plain,
            max_bytes: None,
        };
        let error = env.store.capture(&env.store.lease().unwrap(), &[root]).unwrap_err();
        assert_eq!(error.diagnosis().code, "store/shape");
    }
    let root =
        CaptureRoot { name: b"out", path: &env.path("out"), kind: CaptureKind::Plain, max_bytes: None };
    assert!(env.store.capture(&env.store.lease().unwrap(), &[root, root]).is_err(), "a name comes twice");
}

/// Nests directories without ever naming a long path.
fn nest(dir: &Path, levels: usize, mode: Mode) {
    let open = |at: &OwnedFd, name: &str| openat(at, name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut at: OwnedFd = fs::File::open(dir).unwrap().into();
    for _ in 0..levels {
        mkdirat(&at, "d", Mode::RWXU).unwrap();
        // A file beside it, so that no directory is empty.
        let file = openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        let next = open(&at, "d");
        rustix::fs::fchmod(&at, mode).unwrap();
        drop(file);
        at = next;
    }
}

#[test]
fn depth_does_not_exhaust_anything() {
    let env = Env::new();
    fs::create_dir(env.path("out")).unwrap();
    nest(&env.path("out"), 3000, Mode::empty());
    let captured = plain(&env);
    let skipped: Vec<_> = captured.skipped.iter().map(|skipped| skipped.reason).collect();
    assert_eq!(skipped, [SkipReason::PathTooLong, SkipReason::PathTooLong]);
    // `out` and 2045 times `/d`, and a file in each directory.
    assert_eq!(captured.snapshot.files, 2046);
    env.store.verify(&captured.snapshot.digest, &mut |_| ()).unwrap();
    remove_tree(&env.path("out")).unwrap();
    assert!(!env.path("out").exists());
}

#[test]
fn a_tree_of_any_depth_is_removed() {
    // In memory, because ext4 takes a minute to make this many levels.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap().keep();
    nest(&dir, 100_000, Mode::empty());
    remove_tree(&dir).unwrap();
    assert!(!dir.exists());
}

#[test]
fn removal_meets_names_that_it_uses_itself() {
    let env = Env::new();
    for name in ["1", "2/1/1/1", "2/2/2", "3/1", "3/2/1/file", "4"] {
        fs::create_dir_all(env.path("tree").join(name)).unwrap();
    }
    env.write("tree/5", "a file of such a name");
    env.write("tree/6/x/y", "");
    env.write("kept/file", "kept");
    env.link("tree/6/x/link", "../../../kept");
    env.link("link", "kept");
    remove_tree(&env.path("tree")).unwrap();
    remove_tree(&env.path("tree")).unwrap();
    remove_tree(&env.path("link")).unwrap();
    assert!(!env.path("tree").exists());
    assert_eq!(fs::read(env.path("kept/file")).unwrap(), b"kept");
}

#[test]
fn an_empty_file_is_a_file() {
    let env = Env::new();
    env.write("out/empty", "");
    let captured = plain(&env);
    let entry = env.store.lookup(&captured.snapshot.digest, &path("out/empty")).unwrap().unwrap();
    assert_eq!(entry.kind, EntryKind::File { size: 0, digest: Digest::of(b""), executable: false });
}
