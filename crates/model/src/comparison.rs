//! What comparing two files by their values came to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Verdict;

/// How far apart two numbers may be and count as equal: `|b - a| <= absolute + relative * |a|`, where `a` is the
/// number that is repeated. No number equals another, and infinities equal themselves.
///
/// Text form: `RELATIVE` or `RELATIVE,ABSOLUTE`. Source: `numpy.allclose`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Part of the number.
    pub relative: f64,
    /// The same for every number, for those around zero.
    pub absolute: f64,
}

impl Tolerance {
    /// Nothing but equal numbers.
    pub const EXACT: Self = Self { relative: 0.0, absolute: 0.0 };

    /// Whether `after` counts as equal to `before`.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "equal infinities are equal")]
    pub fn covers(&self, before: f64, after: f64) -> bool {
        before == after
            || (before.is_nan() && after.is_nan())
            || (before.is_finite()
                && after.is_finite()
                && (after - before).abs() <= self.absolute + self.relative * before.abs())
    }
}

impl Default for Tolerance {
    /// Ten times what float32 can tell apart: sums in another order pass, a changed result does not.
    fn default() -> Self {
        Self { relative: 1e-6, absolute: 1e-12 }
    }
}

/// The text is no [`Tolerance`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected RELATIVE or RELATIVE,ABSOLUTE, such as 1e-6 or 1e-6,1e-9; both from 0 and finite")]
pub struct ToleranceError;

impl FromStr for Tolerance {
    type Err = ToleranceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let number: f64 = text.trim().parse().map_err(|_| ToleranceError)?;
            if number.is_finite() && number >= 0.0 { Ok(number) } else { Err(ToleranceError) }
        };
        match text.split_once(',') {
            None if number(text)? == 0.0 => Ok(Self::EXACT),
            None => Ok(Self { relative: number(text)?, ..Self::default() }),
            Some((relative, absolute)) => {
                Ok(Self { relative: number(relative)?, absolute: number(absolute)? })
            }
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:e},{:e}", self.relative, self.absolute)
    }
}

/// As what two files were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// JSON, with the NaN and Infinity of Python.
    Json,
    /// JSON, one document a line.
    JsonLines,
    /// Comma-separated values.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// An array of NumPy.
    Npy,
    /// Several arrays of NumPy in one archive.
    Npz,
    /// A Parquet table.
    Parquet,
    /// Tensors.
    Safetensors,
    /// Python objects. They are code, and never loaded.
    Pickle,
    /// Lines of text.
    Text,
    /// Anything else.
    Bytes,
}

impl FileFormat {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::JsonLines => "JSON lines",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Npy => "NumPy array",
            Self::Npz => "NumPy archive",
            Self::Parquet => "Parquet",
            Self::Safetensors => "safetensors",
            Self::Pickle => "pickle",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What comparing two files by their values came to. The first is the one that is repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileComparison {
    /// What came of it.
    pub verdict: Verdict,
    /// As what both were read.
    pub format: FileFormat,
    /// Why their values were not compared, or not all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
    /// How many values were compared.
    pub values: u64,
    /// How many of them differ, or are in one file only.
    pub differing: u64,
    /// How many more are not equal and within the tolerance.
    pub within: u64,
    /// The largest difference of two finite numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_absolute: Option<f64>,
    /// The largest difference of two finite numbers as a part of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_relative: Option<f64>,
    /// The first values that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<ValueDifference>,
}

/// A value that differs between two files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueDifference {
    /// Where: `/layers/0/lr` in JSON, `line 3, column loss` in a table, `[3, 0]` in an array.
    pub at: String,
    /// What it was, cut where it is long; nothing if it is new.
    pub before: Option<String>,
    /// What it is; nothing if it is gone.
    pub after: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_those_of_numpy() {
        let tolerance: Tolerance = "0.1,0.01".parse().unwrap();
        assert!(tolerance.covers(1.0, 1.109) && !tolerance.covers(1.0, 1.12));
        assert!(tolerance.covers(0.0, 0.01) && !tolerance.covers(0.0, 0.02));
        assert!(tolerance.covers(f64::NAN, f64::NAN) && !tolerance.covers(f64::NAN, 1.0));
        assert!(tolerance.covers(f64::INFINITY, f64::INFINITY));
        assert!(!tolerance.covers(f64::INFINITY, f64::NEG_INFINITY) && !tolerance.covers(f64::INFINITY, 1.0));
        assert!(Tolerance::EXACT.covers(0.0, -0.0) && !Tolerance::EXACT.covers(1.0, 1.0 + f64::EPSILON));
    }

    #[test]
    fn tolerances_read_back() {
        assert_eq!("0".parse(), Ok(Tolerance::EXACT));
        assert_eq!("1e-3".parse(), Ok(Tolerance { relative: 1e-3, absolute: 1e-12 }));
        let tolerance = Tolerance { relative: 1e-3, absolute: 0.5 };
        assert_eq!(tolerance.to_string().parse(), Ok(tolerance));
        for bad in ["", "x", "-1", "nan", "inf", "1,", "1,2,3", "1,-1"] {
            assert_eq!(bad.parse::<Tolerance>(), Err(ToleranceError), "{bad}");
        }
    }
}
