//! What leaves a run of which only metrics are kept.
//!
//! Whatever a job can choose can carry what it has read: bytes, names, where links point, how much memory it takes. So
//! nothing of `/out` and `/work` is taken but the metrics, which are written anew, and the record says in fixed words
//! that there was more, or may have been. What is left is listed in `docs/holdout.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use aseptic_metrics::{LeftOut, Only, only_metrics};
use aseptic_model::{Denied, FilePath, Keep, Lineage, Log, Plan, RunRecord, Skipped};

use crate::execute::Cause;
use crate::home::{HomeError, io_error, make_private, remove};
use crate::metrics::{self, METRICS_FILE, MetricsOf};
use crate::run_dir::RunDir;

/// In the directory of a run, what is kept of its outputs.
const ALONE: &str = "alone";

/// Metrics that are kept where the plan does not say how many, in bytes.
const METRICS_BYTES: u64 = 64 << 10;

/// Why something is not kept.
const ONLY_METRICS: &str = "metrics-only: nothing but metrics leaves this run";

/// Files of inputs of which it is kept whether they were opened, a bit each.
const OPENED_MAX: u64 = 4_096;

/// In the place of what a job was denied.
const UNNAMED: &str = "not recorded, since only metrics leave this run";

/// Why nobody knows which files were opened.
const OPENED: &str = "which files were opened is not recorded, since only metrics leave this run";

/// Where the outputs are that are kept, and what the record says of the others.
pub(super) struct Alone {
    pub(super) place: PathBuf,
    pub(super) skipped: Vec<Skipped>,
}

/// Writes the metrics of the run, and nothing else of it, to a place of their own.
pub(super) fn metrics_alone(dir: &RunDir, plan: &Plan) -> Result<Alone, HomeError> {
    let place = dir.join(ALONE);
    if place.exists() {
        remove(&place)?; // Whoever sealed it before was killed.
    }
    make_private(&place.join("out"))?;
    make_private(&place.join("changes"))?;
    let most = plan.limits.metrics_bytes.unwrap_or(METRICS_BYTES);
    let found = match metrics::open(&dir.path, MetricsOf::Job) {
        Ok(None) => Ok(None),
        // A job can take the right to read its file from everybody.
        Err(_) => Ok(Some(Only { lines: String::new(), left_out: [LeftOut::Unreadable].into() })),
        Ok(Some(mut file)) => only_metrics(&mut file, usize::try_from(most).unwrap_or(usize::MAX)).map(Some),
    };
    let found = found.map_err(|source| io_error("read", &dir.join(METRICS_FILE), source))?;
    if let Some(only) = found.as_ref().filter(|only| !only.lines.is_empty()) {
        let path = place.join(METRICS_FILE);
        fs::write(&path, &only.lines).map_err(|source| io_error("write", &path, source))?;
    }
    let left_out = found.into_iter().flat_map(|only| only.left_out).map(|why| (METRICS_FILE, why.as_str()));
    let others = [("out", ONLY_METRICS), ("work", ONLY_METRICS)];
    let skipped = left_out.chain(others).filter_map(|(path, why)| {
        Some(Skipped { path: FilePath::from_bytes(path.as_bytes()).ok()?, reason: why.to_owned() })
    });
    Ok(Alone { place, skipped: skipped.collect() })
}

/// Takes from a record what the job chose freely.
pub(super) fn blunt(mut record: RunRecord, skipped: Vec<Skipped>) -> RunRecord {
    record.skipped = skipped;
    let files = record.inputs.values().map(|input| input.files).fold(0, u64::saturating_add);
    record.lineage = little_of_opened(record.lineage, files);
    record.denied = without_targets(record.denied);
    if let Some(egress) = &mut record.egress {
        egress.unlisted_denials = rounded_up(egress.unlisted_denials);
    }
    for log in [&mut record.logs.stdout, &mut record.logs.stderr].into_iter().flatten() {
        *log = Log { dropped: rounded_up(log.dropped), ..log.clone() };
    }
    if let Some(usage) = &mut record.usage {
        usage.cpu_user_ms = rounded_up(usage.cpu_user_ms);
        usage.cpu_system_ms = rounded_up(usage.cpu_system_ms);
        for bytes in [&mut usage.memory_peak_bytes, &mut usage.read_bytes, &mut usage.written_bytes] {
            *bytes = bytes.map(rounded_up);
        }
    }
    record
}

/// Why a run ended, without what its job named.
pub(super) fn reason(keep: Keep, cause: &Cause) -> String {
    match cause {
        Cause::Limit(reached) if keep == Keep::Metrics => reached.describe_plainly(),
        cause => cause.describe(),
    }
}

/// Which of so many files were opened, as long as that says little.
fn little_of_opened(lineage: Lineage, files: u64) -> Lineage {
    if files <= OPENED_MAX {
        return lineage;
    }
    Lineage { complete: false, incomplete_because: Some(OPENED.to_owned()), read: BTreeMap::new() }
}

/// Each kind of attempt once.
fn without_targets(denied: Vec<Denied>) -> Vec<Denied> {
    let mut kinds: Vec<Denied> = Vec::new();
    for one in denied {
        match kinds.iter_mut().find(|kind| (&kind.action, kind.reason) == (&one.action, one.reason)) {
            Some(kind) => kind.count = kind.count.saturating_add(one.count),
            None => kinds.push(Denied { target: UNNAMED.to_owned(), help: None, ..one }),
        }
    }
    for kind in &mut kinds {
        kind.count = rounded_up(kind.count);
    }
    kinds.sort();
    kinds
}

/// The next power of two: six bits of a number.
fn rounded_up(number: u64) -> u64 {
    if number == 0 { 0 } else { number.checked_next_power_of_two().unwrap_or(1 << 63) }
}

#[cfg(test)]
mod tests {
    use aseptic_model::DeniedReason;

    use super::*;

    #[test]
    fn which_of_many_files_were_opened_is_not_kept() {
        let opened = BTreeMap::from([("test".parse().unwrap(), ["a".parse().unwrap()].into())]);
        let lineage = Lineage { complete: true, incomplete_because: None, read: opened };
        assert_eq!(little_of_opened(lineage.clone(), OPENED_MAX), lineage);
        let little = little_of_opened(lineage, OPENED_MAX + 1);
        assert!(!little.complete && little.read.is_empty(), "{little:?}");
    }

    #[test]
    fn of_attempts_only_their_kinds_are_left() {
        let denied = |action: &str, target: &str, count| Denied {
            action: action.to_owned(),
            target: target.to_owned(),
            count,
            reason: Some(DeniedReason::NotGranted),
            help: Some(format!("grant {target}")),
        };
        let kinds = without_targets(vec![
            denied("resolve", "b-secret.example.org", 2),
            denied("connect", "192.0.2.1:443", 1),
            denied("resolve", "a-secret.example.org", 3),
        ]);
        let shown: Vec<_> = kinds.iter().map(|one| (one.action.as_str(), one.count)).collect();
        assert_eq!(shown, [("connect", 1), ("resolve", 8)]);
        assert!(kinds.iter().all(|one| one.target == UNNAMED && one.help.is_none()));
    }

    #[test]
    fn numbers_are_powers_of_two() {
        for (number, rounded) in [(0, 0), (1, 1), (3, 4), (4, 4), (5, 8), (u64::MAX, 1 << 63)] {
            assert_eq!(rounded_up(number), rounded);
        }
    }
}
