//! Import: what becomes part of a snapshot, and what is refused.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::net::UnixListener;

use aseptic_model::{Diagnose, Digest};
use aseptic_store::{EntryKind, Ignore, ImportError, ImportOptions, Links, Special, StoreError, Tree};
use proptest::prelude::*;

use crate::{Env, bytes_path, listing, path};

const GIT_RULES: ImportOptions<'_> = ImportOptions {
    leave_out: None,
    without: &[],
    ignore: Ignore::GitRules,
    special: Special::Refuse,
    links: Links::RefuseOutside,
    paranoid: false,
};

pub(crate) fn sample(env: &Env) {
    env.write("source/a.txt", "alpha");
    env.write("source/dir/run.sh", "#!/bin/sh\n");
    env.chmod("source/dir/run.sh", 0o4755);
    env.write("source/dir/.hidden", "");
    env.link("source/dir/link", "../a.txt");
    fs::create_dir(env.path("source/empty")).unwrap();
    fs::write(env.path("source").join(bytes_path(b"odd\n\xff")), "odd").unwrap();
}

#[test]
fn the_digest_depends_on_names_and_bytes_only() {
    let env = Env::new();
    sample(&env);
    let first = env.import("source");
    assert_eq!((first.snapshot.files, first.snapshot.bytes, first.files_read), (4, 18, 4));
    let expected = "a.txt dir dir/.hidden dir/link dir/run.sh empty odd\\x0a\\xff";
    assert_eq!(env.paths(&first.snapshot.digest).join(" "), expected);

    // Another machine: other directory order, times, permissions of others, set-uid bit.
    fs::create_dir(env.path("copy")).unwrap();
    for (path, mode, content) in listing(&env.path("source")).into_iter().rev() {
        let to = env.path("copy").join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        match mode & 0o170_000 {
            0o120_000 => std::os::unix::fs::symlink(bytes_path(&content), to).unwrap(),
            0o040_000 => fs::create_dir_all(to).unwrap(),
            _ => fs::write(to, content).unwrap(),
        }
    }
    env.chmod("copy/dir/run.sh", 0o700);
    let other = Env::new();
    let copy = other
        .store
        .import(&other.store.lease().unwrap(), &env.path("copy"), &ImportOptions::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(copy.snapshot, first.snapshot);

    env.chmod("copy/dir/run.sh", 0o600);
    assert_ne!(env.import("copy").snapshot.digest, first.snapshot.digest, "executable is part of it");
}

#[test]
fn what_a_snapshot_says_about_itself() {
    let env = Env::new();
    sample(&env);
    let snapshot = env.import("source").snapshot;
    let store = &env.store;
    assert_eq!(store.snapshot(&snapshot.digest).unwrap(), snapshot);
    assert_eq!(store.directories(&snapshot.digest).unwrap(), [path("dir"), path("empty")]);
    let entry = store.lookup(&snapshot.digest, &path("dir/run.sh")).unwrap().unwrap();
    let digest = Digest::of(b"#!/bin/sh\n");
    assert_eq!(entry.kind, EntryKind::File { size: 10, digest, executable: true });
    for absent in ["nothing", "a.txt/below", "dir/link/below"] {
        assert_eq!(store.lookup(&snapshot.digest, &path(absent)).unwrap(), None);
        assert_eq!(store.subtree(&store.lease().unwrap(), &snapshot.digest, &path(absent)).unwrap(), None);
    }
    let dir = store.subtree(&store.lease().unwrap(), &snapshot.digest, &path("dir")).unwrap().unwrap();
    assert_eq!(
        (dir.files, env.paths(&dir.digest)),
        (2, vec![".hidden".into(), "link".into(), "run.sh".into()])
    );
    let file = store.subtree(&store.lease().unwrap(), &snapshot.digest, &path("a.txt")).unwrap().unwrap();
    assert_eq!((file.bytes, env.paths(&file.digest)), (5, vec!["a.txt".into()]));
    assert_eq!(env.import("source/a.txt").snapshot, file, "a single file is a snapshot of its own");
}

#[test]
fn git_rules() {
    let env = Env::new();
    for name in [
        "a.log",
        "keep.log",
        "b.txt",
        ".env",
        "build/x",
        "sub/a.log",
        "sub/b.log",
        "sub/deep/c.tmp",
        "sub/build",
        "private/key",
        ".git/config",
        "sub/.git",
        "excluded",
        "crlf",
    ] {
        env.write(&format!("source/{name}"), name);
    }
    env.write("source/.gitignore", "\u{feff}# logs\n*.log\n!keep.log\n/build/\n/private\ncrlf\r\n");
    env.write("source/sub/.gitignore", "!a.log\n*.tmp\n");
    env.write("source/.asepticignore", "!private\n.env\n");
    env.write("source/.git/info/exclude", "excluded\n");
    let snapshot = env.import_with("source", &GIT_RULES).unwrap().snapshot;
    let expected = ".asepticignore .gitignore b.txt keep.log private private/key \
                    sub sub/.gitignore sub/a.log sub/build sub/deep";
    assert_eq!(env.paths(&snapshot.digest).join(" "), expected);
    // Without the option all of it comes.
    assert_eq!(env.import("source").snapshot.files, 18);
    // The same rules can be asked for one by one.
    let rule = |path: &str| {
        let rule = aseptic_store::rule_against(&env.path("source"), path.as_bytes()).unwrap();
        rule.map_or(String::new(), |rule| format!("{}: {}", rule.file, rule.line))
    };
    let asked = ["build/x", "sub/deep/c.tmp", "private/key", "keep.log"].map(rule);
    assert_eq!(asked, [".gitignore: /build/", "sub/.gitignore: *.tmp", "", ""]);
}

#[test]
fn a_line_that_is_no_rule_is_refused() {
    let env = Env::new();
    env.write("source/sub/.asepticignore", b"fine\n\xff\n");
    let error = env.import_with("source", &GIT_RULES).unwrap_err();
    assert_eq!(error.to_string(), "line 2 of `sub/.asepticignore` is not a rule for leaving out files");
    assert_eq!(error.diagnosis().code, "store/ignore-rule");
}

#[test]
fn special_files_are_refused_or_listed() {
    let env = Env::new();
    env.write("source/a", "a");
    env.fifo("source/fifo");
    let _listener = UnixListener::bind(env.path("source/socket")).unwrap();
    let error = env.import("source/a");
    assert!(error.skipped.is_empty());
    let error = env.import_with("source", &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, ImportError::SpecialFile { .. }), "{error}");
    assert_eq!(error.diagnosis().code, "store/special-file");
    let options = ImportOptions { special: Special::Skip, ..ImportOptions::default() };
    let mut imported = env.import_with("source", &options).unwrap();
    imported.skipped.sort();
    assert_eq!(imported.skipped, [path("fifo"), path("socket")]);
    assert_eq!((imported.skipped_count, imported.snapshot.files), (2, 1));
    let error = env.import_with("source/fifo", &options).unwrap_err();
    assert!(matches!(error, ImportError::SpecialFile { .. }), "{error}");
}

#[test]
fn links_that_lead_out_are_refused_or_kept() {
    for target in ["/etc/passwd", "..", "../source/a", "dir/../../x", "to-root/../x"] {
        let env = Env::new();
        env.write("source/dir/a", "a");
        // Inside by its text; from there `..` leaves.
        env.link("source/dir/to-root", "..");
        env.link("source/link", &target.replace("to-root", "dir/to-root"));
        let error = env.import_with("source", &ImportOptions::default()).unwrap_err();
        assert!(matches!(&error, ImportError::LinkOutside { path, .. } if path == "link"), "{error}");
        assert_eq!(error.diagnosis().code, "store/link-outside");
        let keep = ImportOptions { links: Links::Keep, ..ImportOptions::default() };
        let digest = env.import_with("source", &keep).unwrap().snapshot.digest;
        assert!(env.store.lookup(&digest, &path("link")).unwrap().is_some());
    }
    // Twins that stay inside.
    let env = Env::new();
    env.write("source/dir/a", "a");
    env.link("source/dangling", "dir/nothing");
    env.link("source/dir/up", "../dir/./a");
    env.link("source/loop", "loop");
    assert_eq!(env.import("source").snapshot.files, 1);
}

#[test]
fn the_named_source_may_be_a_link() {
    let env = Env::new();
    env.write("source/a", "a");
    env.link("to-dir", "source");
    env.link("to-file", "source/a");
    assert_eq!(env.import("to-dir").snapshot, env.import("source").snapshot);
    let file = env.import("to-file").snapshot;
    assert_eq!(env.paths(&file.digest), ["to-file"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let env = Env::new();
    let error = env.import_with("nothing", &ImportOptions::default()).unwrap_err();
    assert!(matches!(&error, ImportError::Unreadable { path, .. } if path.ends_with("/nothing")), "{error}");
    env.write("source/secret", "s");
    env.chmod("source/secret", 0);
    let imported = env.import_with("source", &ImportOptions::default());
    if rustix::process::geteuid().is_root() {
        assert_eq!(imported.unwrap().snapshot.files, 1, "root reads everything");
    } else {
        let error = imported.unwrap_err();
        assert_eq!(error.to_string(), "could not read `secret`");
        assert_eq!(error.diagnosis().code, "store/unreadable");
    }
}

#[test]
fn deep_trees_are_imported_up_to_the_longest_path() {
    let env = Env::new();
    let make = |levels: usize| {
        let mut at = env.path("source");
        fs::create_dir(&at).unwrap();
        let mut directory = fs::File::open(&at).unwrap();
        for _ in 0..levels {
            rustix::fs::mkdirat(&directory, "d", rustix::fs::Mode::RWXU).unwrap();
            let flags = rustix::fs::OFlags::DIRECTORY;
            directory = rustix::fs::openat(&directory, "d", flags, rustix::fs::Mode::empty()).unwrap().into();
        }
        at.clear();
    };
    make(2048); // A path of 4095 bytes.
    let snapshot = env.import("source").snapshot;
    assert_eq!(env.store.directories(&snapshot.digest).unwrap().len(), 2048);
    env.store.view(&snapshot.digest).unwrap();
    aseptic_store::remove_tree(&env.path("source")).unwrap();
    make(2049);
    let error = env.import_with("source", &ImportOptions::default()).unwrap_err();
    assert_eq!(error.diagnosis().code, "store/shape");
}

#[test]
fn large_files_are_streamed() {
    let env = Env::new();
    for size in [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20] {
        let content: Vec<u8> = (0..size).map(|at: usize| at.to_le_bytes()[at % 3]).collect();
        env.write("source/large", &content);
        env.write("source/same", &content);
        let mut seen = 0;
        let imported = env
            .store
            .import(&env.store.lease().unwrap(), &env.path("source"), &ImportOptions::default(), &mut |p| {
                seen = p.bytes;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen, 2 * size as u64, "progress counts every byte");
        let entry = env.store.lookup(&imported.snapshot.digest, &path("large")).unwrap().unwrap();
        let digest = Digest::of(&content);
        assert_eq!(entry.kind, EntryKind::File { size: size as u64, digest, executable: false });
        assert_eq!(env.store.get_bytes(&digest, size).unwrap(), content);
        let error = env.store.get_bytes(&digest, size - 1).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }));
    }
}

#[test]
fn bytes_and_damage() {
    let env = Env::new();
    let digest = env.store.put_bytes(&env.store.lease().unwrap(), b"content").unwrap();
    assert_eq!(env.store.put_bytes(&env.store.lease().unwrap(), b"content").unwrap(), digest);
    assert_eq!(env.store.get_bytes(&digest, 7).unwrap(), b"content");
    assert!(matches!(env.store.read_tree(&digest), Err(StoreError::NotTree { .. })));
    fs::remove_file(env.object(&digest)).unwrap();
    let error = env.store.get_bytes(&digest, 7).unwrap_err();
    assert_eq!(error.diagnosis().code, "store/missing");
    fs::write(env.object(&digest), b"cOntent").unwrap();
    let error = env.store.get_bytes(&digest, 7).unwrap_err();
    assert_eq!(error.diagnosis().code, "store/corrupt");
    assert!(error.to_string().contains(&digest.to_string()));
}

#[test]
fn totals_that_lie_are_found() {
    let env = Env::new();
    let digest = env.store.put_bytes(&env.store.lease().unwrap(), &Tree::default().encode()).unwrap();
    let lie = EntryKind::Directory { files: 1, bytes: 0, digest };
    let tree = Tree::new(vec![aseptic_store::TreeEntry { name: b"d".to_vec(), kind: lie }]).unwrap();
    let root = env.store.put_bytes(&env.store.lease().unwrap(), &tree.encode()).unwrap();
    assert!(env.store.walk(&root).unwrap().any(|entry| matches!(entry, Err(StoreError::NotTree { .. }))));
    assert!(env.store.verify(&root, &mut |_| ()).is_err());
    assert!(env.store.view(&root).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_view_imports_to_the_same_snapshot(
        files in prop::collection::btree_map("[a-c]{1,2}(/[a-c]{1,2}){0,2}", (any::<[u8; 3]>(), any::<bool>()), 0..8),
    ) {
        let env = Env::new();
        fs::create_dir(env.path("source")).unwrap();
        for (name, (content, executable)) in files {
            let to = env.path("source").join(&name);
            // A name may be needed as a directory by another.
            if fs::create_dir_all(to.parent().unwrap()).is_ok() && !to.exists() {
                fs::write(to, content).unwrap();
                env.chmod(&format!("source/{name}"), if executable { 0o755 } else { 0o644 });
            }
        }
        let snapshot = env.import("source").snapshot;
        let view = env.store.view(&snapshot.digest).unwrap();
        let again = env.store.import(&env.store.lease().unwrap(), &view, &ImportOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap();
        prop_assert_eq!(again.snapshot, snapshot);
    }
}
