//! The format on disk: what earlier versions wrote stays readable, and a second reader agrees.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use aseptic_ledger::{Ledger, verify};
use tempfile::TempDir;

use crate::support::{ORIGIN, ledger_of};

/// A key that protects nothing: its secret bytes are all 7.
const GOLDEN_KEY: &str =
    "PRIVATE+KEY+example.com/ledger+ec4d6e6d+AQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n";

#[test]
fn version_1_is_written_and_read_byte_by_byte() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("key"), GOLDEN_KEY).unwrap();
    fs::set_permissions(dir.path().join("key"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
    ledger.append(&[br#"{"entry":"first"}"#]).unwrap();
    ledger.append(&[br#"{"entry":"second"}"#, &[0, 255]]).unwrap();
    for file in ["log", "verifier", "checkpoint"] {
        let written = fs::read(dir.path().join(file)).unwrap();
        assert_eq!(fs::read(golden.join(file)).unwrap(), written, "{file} of version 1 changed");
    }
    let verified = verify(&golden, None).unwrap();
    assert_eq!((verified.entries, verified.root), (3, ledger.root()));
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
