//! What is on disk stays readable: a golden file of each version of each format.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod schemas;

use aseptic_model::{Entry, Event, Given, Logs, Plan, RunRecord, Status, from_canonical, to_canonical};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes are read and written again byte for byte, and with a field that nobody knows are refused.
fn check<T: Serialize + DeserializeOwned>(golden: &str) -> T {
    let value: T = from_canonical(golden.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(to_canonical(&value).unwrap()).unwrap(), golden);
    let unknown = golden.replacen('{', "{\"nobody knows this\":1,", 1);
    assert!(from_canonical::<T>(unknown.as_bytes()).is_err());
    value
}

#[test]
fn plan_version_1() {
    let plan: Plan = check(include_str!("../golden/plan-v1.json"));
    assert_eq!(plan.params["lr"], 0.1);
    assert_eq!(plan.output_labels().len(), 1);
}

#[test]
fn run_version_1() {
    let record: RunRecord = check(include_str!("../golden/run-v1.json"));
    assert_eq!(record.outputs.len(), 1);
    assert_eq!(record.logs.stdin, None, "a field that came later");
    let log = record.logs.stdout.clone().unwrap();
    for (given, text) in [
        (Given::Terminal, r#""stdin":"terminal""#.to_owned()),
        (Given::Piped(log.clone()), format!(r#""stdin":{{"piped":{{"blake3":"{}","#, log.blake3)),
    ] {
        let logs = Logs { stdin: Some(given), ..record.logs.clone() };
        let bytes = to_canonical(&RunRecord { logs, ..record.clone() }).unwrap();
        let text_of_all = String::from_utf8(bytes).unwrap();
        assert!(text_of_all.contains(&text), "{text_of_all}");
        check::<RunRecord>(&text_of_all);
    }
}

/// Fields that came later are absent from what was written before, and are read back where they are.
#[test]
fn fields_added_to_version_1() {
    let plan: Plan = check(include_str!("../golden/plan-v1-limits.json"));
    assert_eq!((plan.limits.scratch_files, plan.limits.outputs_bytes), (Some(1000), Some(1 << 30)));
    let record: RunRecord = check(include_str!("../golden/run-v1-usage.json"));
    assert_eq!(record.status.as_str(), "out-of-memory");
    assert_eq!(record.usage.unwrap().memory_peak_bytes, Some(67_108_864));
    let plan: Plan = check(include_str!("../golden/plan-v1-network.json"));
    assert!(plan.observe_network && plan.network.len() == 3);
    let record: RunRecord = check(include_str!("../golden/run-v1-network.json"));
    let egress = record.egress.unwrap();
    assert_eq!((egress.grants[0].traffic.failed, egress.hosts[0].addresses.len()), (1, 2));
}

#[test]
fn every_status_has_one_word() {
    for status in Status::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
}

#[test]
fn run_version_1_with_metrics() {
    let record: RunRecord = check(include_str!("../golden/run-v1-metrics.json"));
    assert_eq!(record.metrics.unwrap().series["loss"].count, 3);
    assert!(record.host.is_some() && record.policy.is_some() && record.replays.is_some());
    assert!(record.system.is_some() && record.inventory.is_some());
}

#[test]
fn entry_version_1() {
    let entries: Vec<Entry> = include_str!("../golden/entries-v1.jsonl").lines().map(check).collect();
    assert!(matches!(&entries[0].event, Event::DatasetAdded { version: 1, .. }));
    let committed = entries.iter().filter(|entry| !entry.committed.is_empty());
    assert_eq!(committed.count(), 14);
}
