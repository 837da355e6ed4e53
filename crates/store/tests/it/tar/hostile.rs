//! Archives that were made to do harm, and those that are broken.

use std::fs;
use std::io::{self, Read};
use std::process::Command;

use aseptic_model::Diagnose;
use aseptic_store::{Links, Special, TarOptions};
use proptest::prelude::*;
use tar::{EntryType, Header};

use super::{again, archive, code, content, entry, file, gzip, import, import_with, link, pax, record};
use crate::{Env, path};

#[test]
fn nothing_of_a_truncated_archive_is_visible() {
    let env = Env::new();
    let whole = archive(&[file("a", "1"), file("b", &"2".repeat(2000)), file("c", "3")]);
    // Without the mark at the end there is no telling whether entries are missing.
    for length in (0..=whole.len() - 1024).step_by(256) {
        assert_eq!(code(&env, &whole[..length]), "store/tar-truncated", "{length}");
    }
    let visible = fs::read_dir(env.path("store/objects")).unwrap();
    assert!(visible.into_iter().all(|dir| fs::read_dir(dir.unwrap().path()).unwrap().next().is_none()));
    assert_eq!(fs::read_dir(env.path("store/packs")).unwrap().count(), 0);
    // Half of the mark is enough for tar(1), too.
    import(&env, &whole[..whole.len() - 512]).unwrap();
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let env = Env::new();
    let nul = pax(&record("path", b"a\0b"), EntryType::XHeader);
    let long = pax(&record("path", &b"d/".repeat(2048)), EntryType::XHeader);
    for (entries, expected) in [
        (vec![file("/etc/passwd", "x")], "store/tar-entry"),
        (vec![file("../x", "x")], "store/tar-entry"),
        (vec![file("a/../../x", "x")], "store/tar-entry"),
        (vec![file("a/..", "x")], "store/tar-entry"),
        (vec![entry(EntryType::Directory, b"../", b"", b"")], "store/tar-entry"),
        (vec![nul, file("a", "x")], "store/tar-entry"),
        (vec![long, file("a", "x")], "store/shape"),
        (vec![pax(&record("path", &[b'n'; 256]), EntryType::XHeader), file("a", "x")], "store/tar-entry"),
        (vec![file("", "x")], "store/tar-entry"),
        (vec![file(".", "x")], "store/tar-entry"),
        // Through a link, a file, or another kind of the same name.
        (vec![link("a", "b"), file("a/x", "x")], "store/tar-entry"),
        (vec![file("a", "x"), file("a/x", "x")], "store/tar-entry"),
        (vec![file("a/x", "x"), file("a", "x")], "store/tar-entry"),
        (vec![file("a/x", "x"), link("a", "b")], "store/tar-entry"),
        (vec![again("a", "b")], "store/tar-entry"),
        (vec![again("a", "../x")], "store/tar-entry"),
        (vec![again("a", "/etc/passwd")], "store/tar-entry"),
        (vec![file("d/x", "x"), again("a", "d")], "store/tar-entry"),
        (vec![again("a", "a")], "store/tar-entry"),
        (vec![link("l", "d"), file("d/x", "x"), again("a", "l/x")], "store/tar-entry"),
        (vec![link("a", "")], "store/tar-damaged"),
    ] {
        let error = import(&env, &archive(&entries)).unwrap_err();
        assert_eq!(error.diagnosis().code, expected, "{error}");
    }
}

#[test]
fn links_out_of_the_tree_are_refused_unless_kept() {
    for (entries, out) in [
        (vec![link("a", "/etc/passwd")], true),
        (vec![link("a", "../x")], true),
        (vec![link("d/a", "../x")], false),
        (vec![link("d/a", "../../x")], true),
        (vec![link("d/e/f", "../.."), link("g", "d/e/f/../x")], true),
        (vec![link("d/e/f", ".."), link("g", "d/e/f/x")], false),
        (vec![link("a", "a")], false),
        (vec![link("a", "b"), link("b", "a/x")], false),
        (vec![link("a", "missing/../../x")], true),
        (vec![again("b", "a"), link("a", "/x")].into_iter().rev().collect(), true),
    ] {
        let env = Env::new();
        let archive = archive(&entries);
        let kept = import_with(&env, &archive[..], &TarOptions { links: Links::Keep, ..Default::default() });
        let kept = kept.unwrap();
        let strict = import(&env, &archive);
        match (strict, out) {
            (Ok(strict), false) => assert_eq!(strict, kept),
            (Err(error), true) => assert_eq!(error.diagnosis().code, "store/link-outside"),
            (other, _) => panic!("{other:?}, out: {out}"),
        }
        // The same question of the directory that tar(1) makes of it.
        fs::create_dir(env.path("unpacked")).unwrap();
        fs::write(env.path("archive"), &archive).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-xPf").arg(env.path("archive")).arg("-C").arg(env.path("unpacked"));
        assert!(tar.status().unwrap().success());
        assert_eq!(env.import_with("unpacked", &Default::default()).is_err(), out);
    }
}

#[test]
fn special_files_are_refused_or_listed() {
    let env = Env::new();
    let devices = [EntryType::Fifo, EntryType::Char, EntryType::Block];
    for kind in devices {
        let archive = archive(&[entry(kind, b"dev", b"", b"")]);
        assert_eq!(code(&env, &archive), "store/special-file");
    }
    let entries = devices.map(|kind| entry(kind, b"dev/x", b"", b""));
    let options = TarOptions { special: Special::Skip, ..Default::default() };
    let skipped = import_with(&env, &archive(&entries)[..], &options).unwrap();
    assert_eq!((skipped.skipped_count, skipped.snapshot.files), (3, 0));
    assert_eq!(skipped.skipped[0], path("dev/x"));
    for kind in [b'N', b'M', b'Z', b'\xff'] {
        let archive = archive(&[entry(EntryType::new(kind), b"x", b"", b"")]);
        assert_eq!(code(&env, &archive), "store/tar-damaged");
    }
}

#[test]
fn sizes_that_lie_cost_nothing() {
    let env = Env::new();
    let sized = |kind, size| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_path("x").unwrap();
        header.set_size(size);
        header.set_cksum();
        archive(&[header.as_bytes().to_vec()])
    };
    for size in [5000, 1 << 40, u64::MAX - 600] {
        assert_eq!(code(&env, &sized(EntryType::Regular, size)), "store/tar-truncated", "{size}");
    }
    assert_eq!(code(&env, &sized(EntryType::Regular, u64::MAX)), "store/tar-damaged");
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_path("x").unwrap();
    header.as_old_mut().size = [0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]; // 2^72 in base 256
    header.set_cksum();
    assert_eq!(code(&env, &archive(&[header.as_bytes().to_vec()])), "store/tar-damaged");
    assert_eq!(code(&env, &sized(EntryType::XHeader, 1 << 40)), "store/tar-damaged");
    assert_eq!(code(&env, &sized(EntryType::GNULongName, 1 << 40)), "store/tar-damaged");
    let pax_size = pax(&record("size", b"99999999999999999999"), EntryType::XHeader);
    assert_eq!(code(&env, &archive(&[pax_size, file("x", "x")])), "store/tar-damaged");
    let pax_size = pax(&record("size", b"3"), EntryType::XHeader);
    let imported = import(&env, &archive(&[pax_size, file("x", "12345")])).unwrap();
    assert_eq!(content(&env, &imported, "x"), b"123", "an extended header counts more");
}

#[test]
fn holes_and_bombs_are_bounded() {
    let env = Env::new();
    let hole = |size: &str| {
        let records = ["GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=x"].map(|text| {
            let (key, value) = text.split_once('=').unwrap();
            record(key, value.as_bytes())
        });
        let records = [records.concat(), record("GNU.sparse.realsize", size.as_bytes())].concat();
        let map = format!("1\n{size}\n0\n");
        archive(&[pax(&records, EntryType::XHeader), file("y", &format!("{map:\0<512}"))])
    };
    let imported = import(&env, &hole("100000")).unwrap();
    assert_eq!(content(&env, &imported, "x"), vec![0; 100_000]);
    assert_eq!(code(&env, &hole("5000000000")), "store/tar-damaged", "more holes than 4 GiB");
    assert_eq!(code(&env, &hole("-1")), "store/tar-damaged");
    let options = TarOptions { max_bytes: Some(99_999), ..Default::default() };
    let error = import_with(&env, &hole("100000")[..], &options).unwrap_err();
    assert_eq!(error.diagnosis().code, "store/tar-too-large", "{error}");

    // Sixteen mebibytes of zeros from a few kilobytes.
    let bomb = gzip(&archive(&[file("x", &"\0".repeat(16 << 20))]));
    let options = TarOptions { max_bytes: Some(1 << 20), ..Default::default() };
    let error = import_with(&env, &bomb[..], &options).unwrap_err();
    assert_eq!(error.diagnosis().code, "store/tar-too-large", "{error}");
    let tail = gzip(&[archive(&[file("x", "x")]), vec![0; 16 << 20]].concat());
    let error = import_with(&env, &tail[..], &options).unwrap_err();
    assert_eq!(error.diagnosis().code, "store/tar-too-large", "padding counts: {error}");
}

#[test]
fn damage_is_named_and_nothing_is_lost_silently() {
    let env = Env::new();
    let mut wrong = archive(&[file("x", "x")]);
    wrong[0] ^= 1;
    assert_eq!(code(&env, &wrong), "store/tar-damaged");
    assert_eq!(code(&env, &[b'x'; 4096]), "store/tar-damaged");
    let two = [archive(&[file("a", "1")]), archive(&[file("b", "2")])].concat();
    for _ in 0..50 {
        assert_eq!(code(&env, &two), "store/tar-damaged", "what follows the end, whichever thread sees it");
    }
    let global = |key, value| archive(&[pax(&record(key, value), EntryType::XGlobalHeader), file("x", "x")]);
    assert_eq!(code(&env, &global("path", b"y")), "store/tar-damaged");
    import(&env, &global("comment", b"a commit")).unwrap();
    let alone = archive(&[pax(&record("path", b"y"), EntryType::XHeader)]);
    assert_eq!(code(&env, &alone), "store/tar-damaged");
    let unread = import_with(&env, Failing, &TarOptions::default()).unwrap_err();
    assert_eq!(unread.diagnosis().code, "store/unreadable");
}

/// A disk that fails.
struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(5))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any change of any archive is an error or another tree, and never a panic.
    #[test]
    fn changed_archives(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let env = Env::new();
        let entries = [
            pax(&record("path", b"long/name"), EntryType::XHeader),
            file("a", "content"),
            again("b", "long/name"),
            link("l", "b"),
            entry(EntryType::Directory, b"d/", b"", b""),
        ];
        let mut bytes = archive(&entries);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(imported) = import(&env, &bytes) {
            env.store.verify(&imported.snapshot.digest, &mut |_| ()).unwrap();
        }
    }
}
