//! What a run measured, in short.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::FilePath;

/// What a run measured: a summary of the file of JSON lines that it wrote. See `docs/metrics.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The file, among its outputs.
    pub file: FilePath,
    /// Number of lines.
    pub lines: u64,
    /// How many of them are not read, or not all of their values.
    pub unreadable: u64,
    /// Bytes at the end of a file that is longer than what is read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread_bytes: u64,
    /// Each metric, by name.
    pub series: BTreeMap<String, MetricSummary>,
}

/// One metric of a run. Values that are no finite numbers are counted and otherwise left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSummary {
    /// Number of values.
    pub count: u64,
    /// How many of them are infinite or no number.
    pub not_finite: u64,
    /// The last of them.
    pub last: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The step of the last line.
    pub last_step: Option<i64>,
    /// Means of up to 40 equal parts of the series, for a line of text.
    pub shape: Vec<f64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
