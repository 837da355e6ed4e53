//! Documents of a record that is on disk stay as they are, byte for byte; readers of others are asked elsewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aseptic_attest::{Dataset, DatasetFile, croissant, cyclonedx, openlineage, ro_crate};
use aseptic_model::{Digest, Metadata, RunRecord, from_canonical};
use serde_json::Value;

/// A record of an earlier version, with a network.
fn record() -> RunRecord {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden/run-v1-network.json");
    let mut record: RunRecord = from_canonical(&std::fs::read(path).unwrap()).unwrap();
    record.labels.insert("model".parse().unwrap());
    record
}

/// Compares with the golden file, which `ASEPTIC_GOLDEN=write` writes.
fn assert_golden(name: &str, document: &Value) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = format!("{}\n", serde_json::to_string_pretty(document).unwrap());
    if std::env::var_os("ASEPTIC_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, &text).unwrap();
    }
    // The version of the program is part of most of them.
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{name}");
}

#[test]
fn a_bill_of_materials() {
    let document = cyclonedx(&record());
    assert_eq!(document["metadata"]["component"]["type"], "machine-learning-model");
    assert_golden("bom.cdx.json", &document);
    let mut other = record();
    other.labels.clear();
    assert_eq!(cyclonedx(&other)["metadata"]["component"]["type"], "application");
}

#[test]
fn a_crate() {
    assert_golden("ro-crate-metadata.json", &ro_crate(&record(), Some("https://spdx.org/licenses/CC0-1.0")));
}

#[test]
fn two_events() {
    let [start, end] = openlineage(&record());
    assert_eq!(start["run"]["runId"], end["run"]["runId"]);
    assert_golden("openlineage-start.json", &start);
    assert_golden("openlineage-end.json", &end);
}

#[test]
fn a_dataset() {
    let mut metadata = Metadata::new();
    metadata.insert("licence".parse().unwrap(), "https://spdx.org/licenses/CC0-1.0".parse().unwrap());
    metadata.insert("source".parse().unwrap(), "https://example.org/digits".parse().unwrap());
    metadata.insert("owner".parse().unwrap(), "Example Lab".parse().unwrap());
    let files = [
        DatasetFile { path: "train/a.csv".to_owned(), size: 4, sha256: "0".repeat(64) },
        DatasetFile { path: "b.bin".to_owned(), size: 0, sha256: "1".repeat(64) },
    ];
    let dataset = Dataset {
        name: &"digits".parse().unwrap(),
        version: 3,
        snapshot: Digest::of(b"a tree"),
        added: aseptic_model::Timestamp::from_unix_ms(1_764_000_000_000).unwrap(),
        labels: &BTreeSet::from(["public".parse().unwrap()]),
        metadata: &metadata,
        files: &files,
    };
    assert_golden("croissant.json", &croissant(&dataset).unwrap());
}

#[test]
fn text_of_a_job_stays_text() {
    let mut record = record();
    record.command = vec!["python\u{1b}[2J \"'<script>".to_owned(), "\n".to_owned()];
    record.params.insert("a\"b".to_owned(), Value::from("</script>"));
    for document in [cyclonedx(&record), ro_crate(&record, None), openlineage(&record)[1].clone()] {
        let text = document.to_string();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
        assert!(!text.contains('\u{1b}'));
    }
}
