//! The format on disk: what earlier versions wrote stays readable, and a second reader agrees.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aseptic_ledger::{Ledger, Position, ReadError, read, verify};
use aseptic_model::Diagnose as _;
use tempfile::TempDir;

use crate::support::{ORIGIN, entries, ledger_of};

/// A key that protects nothing: its secret bytes are all 7.
const GOLDEN_KEY: &str =
    "PRIVATE+KEY+example.com/ledger+ec4d6e6d+AQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n";

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

/// A directory with the golden key and nothing else.
fn with_golden_key() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("key"), GOLDEN_KEY).unwrap();
    fs::set_permissions(dir.path().join("key"), fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

#[test]
fn version_2_is_written_and_read_byte_by_byte() {
    let dir = with_golden_key();
    let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    ledger.append(&[br#"{"entry":"first"}"#]).unwrap();
    ledger.append(&[br#"{"entry":"second"}"#, &[0, 255]]).unwrap();
    for file in ["log", "verifier", "checkpoint"] {
        let written = fs::read(dir.path().join(file)).unwrap();
        assert_eq!(fs::read(golden("v2").join(file)).unwrap(), written, "{file} of version 2 changed");
    }
    let verified = verify(&golden("v2"), None).unwrap();
    assert_eq!((verified.entries, verified.root), (3, ledger.root()));
}

#[test]
fn version_1_is_read_and_upgraded_when_it_is_opened() {
    let before = verify(&golden("v1"), None).unwrap();
    assert_eq!((before.entries, before.published), (3, Some(3)));
    assert_eq!(before.root, verify(&golden("v2"), None).unwrap().root);
    let expected: [&[u8]; 3] = [br#"{"entry":"first"}"#, br#"{"entry":"second"}"#, &[0, 255]];
    assert_eq!(entries(&golden("v1")).unwrap(), expected);

    for torn in [false, true] {
        let dir = with_golden_key();
        for file in ["log", "verifier", "checkpoint"] {
            fs::copy(golden("v1").join(file), dir.path().join(file)).unwrap();
        }
        if torn {
            let log = fs::OpenOptions::new().append(true).open(dir.path().join("log")).unwrap();
            (&log).write_all(&[3, 0, 0, 0, 0]).unwrap();
        }
        let old = entries_from(dir.path(), 1);
        let ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
        assert!(fs::read(dir.path().join("log")).unwrap().starts_with(b"aseptic-ledger 2\n"));
        assert_eq!((ledger.size(), ledger.root()), (3, before.root));
        assert_eq!(ledger.checkpoint(), before.checkpoint.clone().unwrap(), "the signatures stayed");
        assert_eq!(verify(dir.path(), before.checkpoint.as_ref()).unwrap().torn_tail, 0);
        // A position of the old log is refused, not misunderstood.
        let wrong = read(dir.path(), old).unwrap().next().unwrap();
        assert!(matches!(wrong, Err(ReadError::Broken { .. })), "{wrong:?}");
        assert_eq!(ledger.append(&[b"four"]).unwrap(), 3..4);
        assert_eq!(entries(dir.path()).unwrap()[..3], expected);
        assert_eq!(verify(dir.path(), before.checkpoint.as_ref()).unwrap().entries, 4);
    }
}

#[test]
fn a_damaged_log_of_version_1_is_not_upgraded() {
    for (at, code) in [(30, "ledger/broken"), (380, "ledger/broken")] {
        let dir = with_golden_key();
        for file in ["log", "verifier", "checkpoint"] {
            fs::copy(golden("v1").join(file), dir.path().join(file)).unwrap();
        }
        let mut log = fs::read(dir.path().join("log")).unwrap();
        let at = at.min(log.len() - 1);
        log[at] ^= 1;
        fs::write(dir.path().join("log"), &log).unwrap();
        assert_eq!(verify(dir.path(), None).unwrap_err().diagnosis().code, code);
        assert_eq!(Ledger::open(dir.path(), ORIGIN).unwrap_err().diagnosis().code, code);
        assert_eq!(fs::read(dir.path().join("log")).unwrap(), log, "opening changed the evidence");
    }
}

/// Where entry `index` begins.
fn entries_from(dir: &Path, index: usize) -> Position {
    read(dir, Position::START).unwrap().nth(index - 1).unwrap().unwrap().next
}

#[test]
fn an_independent_reader_finds_the_same_root() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second_reader.py");
    let python = |dir: &Path| Command::new("python3").arg(&script).arg(dir).output().unwrap();
    for count in [0_usize, 1, 2, 3, 7, 64, 100] {
        let bodies: Vec<Vec<u8>> = (0..count).map(|n| vec![b'e'; 1 + n * 37]).collect();
        let dir = ledger_of(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let root = verify(dir.path(), None).unwrap().root;
        let output = python(dir.path());
        let expected = format!("{count} entries, root {root}, signatures not checked\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
        assert!(output.status.success());
    }
    let dir = ledger_of(&[b"a", b"b"]);
    let mut log = fs::read(dir.path().join("log")).unwrap();
    log[40] ^= 1;
    fs::write(dir.path().join("log"), log).unwrap();
    assert!(!python(dir.path()).status.success(), "the reader would find nothing");
}
