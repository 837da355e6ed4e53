//! Import from tar archives: as of the directory.

mod hostile;

use std::fs;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use aseptic_model::Diagnose;
use aseptic_store::{EntryKind, Imported, TarError, TarOptions};
use proptest::prelude::*;
use tar::{EntryType, Header};

use crate::{Env, bytes_path, path};

fn import(env: &Env, archive: &[u8]) -> Result<Imported, TarError> {
    import_with(env, archive, &TarOptions::default())
}

fn import_with(env: &Env, archive: impl Read + Send, options: &TarOptions) -> Result<Imported, TarError> {
    let lease = env.store.lease().unwrap();
    env.store.import_tar(&lease, archive, options, &mut |_| ControlFlow::Continue(()))
}

fn code(env: &Env, archive: &[u8]) -> &'static str {
    import(env, archive).unwrap_err().diagnosis().code
}

/// What GNU tar makes of a directory.
fn gnu_tar(options: &[&str], dir: &Path) -> Vec<u8> {
    let output = Command::new("tar").args(options).args(["-c", "-C"]).arg(dir).arg(".").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// One entry: its header block, then content and padding. The path is taken as it is.
fn entry(kind: EntryType, path: &[u8], target: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(path: &str, content: &str) -> Vec<u8> {
    entry(EntryType::Regular, path.as_bytes(), b"", content.as_bytes())
}

fn link(path: &str, target: &str) -> Vec<u8> {
    entry(EntryType::Symlink, path.as_bytes(), target.as_bytes(), b"")
}

fn again(path: &str, target: &str) -> Vec<u8> {
    entry(EntryType::Link, path.as_bytes(), target.as_bytes(), b"")
}

fn pax(records: &[u8], kind: EntryType) -> Vec<u8> {
    entry(kind, b"x", b"", records)
}

/// One record with its length.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn content(env: &Env, imported: &Imported, name: &str) -> Vec<u8> {
    let entry = env.store.lookup(&imported.snapshot.digest, &path(name)).unwrap().unwrap();
    let EntryKind::File { digest, .. } = entry.kind else { return Vec::new() };
    env.store.get_bytes(&digest, 1 << 20).unwrap()
}

/// A tree with everything that a snapshot can hold.
fn make_tree(env: &Env) {
    env.write("src/plain", "plain");
    env.write("src/empty", "");
    env.write("src/dir/program", "#!/bin/sh\n");
    env.chmod("src/dir/program", 0o755);
    env.write("src/large", vec![7; 3 << 20]);
    fs::create_dir(env.path("src/nothing")).unwrap();
    env.link("src/dir/link", "../plain");
    fs::hard_link(env.path("src/dir/program"), env.path("src/dir/same")).unwrap();
    let long = format!("src/{}/{}", "d".repeat(200), "f".repeat(255));
    env.write(&long, "long");
    fs::write(env.path("src").join(bytes_path(b"new\nline and \xff")), "odd").unwrap();
    let deep = format!("src/{}file", "deep/".repeat(300));
    env.write(&deep, "deep");
    let sparse = fs::File::create(env.path("src/sparse")).unwrap();
    for at in 0..40_u64 {
        sparse.write_all_at(b"data", (at * 2 + 1) << 16).unwrap();
    }
    sparse.set_len(10 << 20).unwrap();
}

#[test]
fn an_archive_is_the_directory() {
    let env = Env::new();
    make_tree(&env);
    let expected = env.import("src").snapshot;
    for format in ["gnu", "oldgnu", "posix"] {
        for options in [&[][..], &["--sparse"], &["--hard-dereference"], &["--sort=name"]] {
            let format = format!("--format={format}");
            let archive = gnu_tar(&[&[format.as_str()], options].concat(), &env.path("src"));
            let imported = import(&Env::new(), &archive).unwrap();
            assert_eq!(imported.snapshot, expected, "{format} {options:?}");
        }
    }
    for version in ["0.0", "0.1", "1.0"] {
        let version = format!("--sparse-version={version}");
        let archive = gnu_tar(&["--format=posix", "--sparse", &version], &env.path("src"));
        assert_eq!(import(&Env::new(), &archive).unwrap().snapshot, expected, "{version}");
    }
}

#[test]
fn old_formats_hold_what_they_can() {
    let env = Env::new();
    env.write("src/dir/plain", "plain");
    env.link("src/dir/link", "plain");
    env.write(&format!("src/{}/file", "d".repeat(90)), "prefix");
    let expected = env.import("src").snapshot;
    for format in ["v7", "ustar"] {
        let archive = gnu_tar(&[&format!("--format={format}")], &env.path("src"));
        assert_eq!(import(&Env::new(), &archive).unwrap().snapshot, expected, "{format}");
    }
}

#[test]
fn compression_is_known_by_its_bytes() {
    let env = Env::new();
    make_tree(&env);
    let expected = env.import("src").snapshot;
    let plain = gnu_tar(&[], &env.path("src"));
    let half = plain.len() / 2;
    let zstd = |bytes: &[u8]| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    for compressed in [
        gzip(&plain),
        zstd(&plain),
        // Members and frames may follow each other.
        [gzip(&plain[..half]), gzip(&plain[half..])].concat(),
        [zstd(&plain[..half]), zstd(&plain[half..])].concat(),
    ] {
        assert_eq!(import(&Env::new(), &compressed).unwrap().snapshot, expected);
        for length in [0, 1, 5, 40, compressed.len() / 2, compressed.len() - 1] {
            let error = import(&Env::new(), &compressed[..length]).unwrap_err();
            assert_eq!(error.diagnosis().code, "store/tar-truncated", "{length}: {error}");
        }
        let mut damaged = compressed.clone();
        damaged[compressed.len() / 2] ^= 0x20;
        // Found, unless it is where nothing is said, such as the time in a header of gzip.
        if let Ok(imported) = import(&Env::new(), &damaged) {
            assert_eq!(imported.snapshot, expected);
        }
    }
    for other in [&b"BZh91AY"[..], b"\xfd7zXZ\0\0", b"PK\x03\x04....", b"Rar!\x1a\x07"] {
        assert_eq!(code(&env, other), "store/tar-kind");
    }
}

#[test]
fn the_last_of_a_name_counts() {
    let env = Env::new();
    let all = archive(&[
        file("a", "first"),
        again("b", "a"),
        file("./a", "second"),
        link("c", "a"),
        file("c", "not a link any more"),
        link("a", "b"),
        file("a", "third"),
        entry(EntryType::Directory, b"d/", b"", b""),
        file("d/e", "e"),
        entry(EntryType::Directory, b"d", b"", b""),
    ]);
    let imported = import(&env, &all).unwrap();
    assert_eq!(env.paths(&imported.snapshot.digest), ["a", "b", "c", "d", "d/e"]);
    assert_eq!(content(&env, &imported, "a"), b"third");
    assert_eq!(content(&env, &imported, "b"), b"first", "what the name meant when the link was made");
    assert_eq!(content(&env, &imported, "c"), b"not a link any more");
}

#[test]
fn an_import_that_is_stopped_leaves_nothing() {
    let env = Env::new();
    let entries: Vec<_> = (0..200).map(|number| file(&format!("f{number}"), "content")).collect();
    let lease = env.store.lease().unwrap();
    let archive = archive(&entries);
    let stopped = env.store.import_tar(&lease, &archive[..], &TarOptions::default(), &mut |progress| {
        if progress.files > 50 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stopped.unwrap_err().diagnosis().code, "store/interrupted");
    assert_eq!(fs::read_dir(env.path("store/segments")).unwrap().count(), 0);
}

#[test]
fn one_file_comes_from_any_reader() {
    let env = Env::new();
    env.write("dir/rows.csv", vec![b'r'; 3 << 20]);
    let expected = env.import("dir/rows.csv").snapshot;
    let lease = env.store.lease().unwrap();
    let from = |name: &[u8], max| {
        let file = fs::File::open(env.path("dir/rows.csv")).unwrap();
        env.store.import_reader(&lease, name, file, max, &mut |_| ControlFlow::Continue(()))
    };
    assert_eq!(from(b"rows.csv", None).unwrap().snapshot, expected);
    assert_eq!(from(b"rows.csv", Some(3 << 20)).unwrap().snapshot, expected);
    let code = |result: Result<Imported, TarError>| result.unwrap_err().diagnosis().code;
    assert_eq!(code(from(b"rows.csv", Some((3 << 20) - 1))), "store/tar-too-large");
    for name in [&b""[..], b"..", b"a/b", b"/a", b"a\0"] {
        assert_eq!(code(from(name, None)), "store/tar-entry", "{}", name.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Trees of any shape are the same from an archive.
    #[test]
    fn any_tree(files in prop::collection::btree_map("[a-c]{1,2}(/[a-c]{1,2}){0,3}", (0..3000_usize, any::<bool>()), 0..12)) {
        let env = Env::new();
        fs::create_dir(env.path("src")).unwrap();
        for (name, (size, executable)) in files {
            let at = env.path("src").join(&name);
            if fs::create_dir_all(at.parent().unwrap()).is_ok() && !at.exists() {
                fs::write(&at, vec![b'c'; size]).unwrap();
                env.chmod(&format!("src/{name}"), if executable { 0o755 } else { 0o600 });
            }
        }
        let expected = env.import("src").snapshot;
        for format in ["--format=gnu", "--format=posix"] {
            let archive = gnu_tar(&[format], &env.path("src"));
            prop_assert_eq!(import(&env, &archive).unwrap().snapshot, expected);
        }
    }
}
