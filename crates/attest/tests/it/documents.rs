//! Documents of a record that is on disk stay as they are, byte for byte; readers of others are asked elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aseptic_attest::{Dataset, DatasetFile, croissant, cyclonedx, openlineage, ro_crate};
use aseptic_model::{
    Digest, InstalledPackage, Inventory, Licence, Metadata, Package, PackageKind, PackageOrigin, RunRecord,
    from_canonical,
};
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
    let document = cyclonedx(&record(), None);
    assert_eq!(document["metadata"]["component"]["type"], "machine-learning-model");
    assert_golden("bom.cdx.json", &document);
    let mut other = record();
    other.labels.clear();
    assert_eq!(cyclonedx(&other, None)["metadata"]["component"]["type"], "application");
}

#[test]
fn libraries_of_an_inventory_have_licences_and_digests() {
    let package = |name: &str| InstalledPackage {
        licence: Some(Licence { expression: Some("BSD-3-Clause".to_owned()), text: None }),
        ..InstalledPackage::planned(&Package {
            name: name.to_owned(),
            version: "1.0".to_owned(),
            record: None,
        })
    };
    let mut inventory = inventory();
    inventory.packages = vec![
        InstalledPackage {
            kind: PackageKind::Conda,
            archive: BTreeMap::from([
                ("md5".to_owned(), "0".repeat(32)),
                ("sha256".to_owned(), "1".repeat(64)),
            ]),
            origin: Some(PackageOrigin::Channel {
                channel: "conda-forge".to_owned(),
                build: "py_0".to_owned(),
            }),
            ..package("numpy")
        },
        InstalledPackage {
            licence: Some(Licence { expression: None, text: Some("Dual License".to_owned()) }),
            origin: Some(PackageOrigin::Directory { path: "/home/ada/own".to_owned(), editable: true }),
            archive: BTreeMap::from([("sha256".to_owned(), "short".to_owned())]),
            ..package("own")
        },
        InstalledPackage {
            origin: Some(PackageOrigin::Vcs {
                vcs: "git".to_owned(),
                url: "https://git.example/tool.git".to_owned(),
                commit: Some("ab".repeat(20)),
            }),
            record: Some(Digest::of(b"RECORD")),
            ..package("Tool")
        },
    ];
    let document = cyclonedx(&record(), Some(&inventory));
    let libraries: Vec<_> =
        document["components"].as_array().unwrap().iter().filter(|one| one["type"] == "library").collect();
    assert_eq!(libraries.len(), 3);
    assert_golden("bom-libraries.json", &Value::from_iter(libraries.into_iter().cloned()));
}

fn inventory() -> Inventory {
    let text = r#"{"format": "aseptic.inventory/1", "python": null, "packages": [], "system": null, "findings": [],
        "incomplete": [], "machine": {"kernel": "6.1", "kernel_build": "SMP", "architecture": "x86_64",
        "system": null, "glibc": null, "cpu": "a", "cores": 2, "cpu_features": null, "memory_bytes": null,
        "gpu_driver": null, "cuda_driver": null, "gpus": []}}"#;
    from_canonical(text.as_bytes()).unwrap()
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
    for document in [cyclonedx(&record, None), ro_crate(&record, None), openlineage(&record)[1].clone()] {
        let text = document.to_string();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
        assert!(!text.contains('\u{1b}'));
    }
}
