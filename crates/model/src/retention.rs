//! How long bytes are kept, and of what.

use std::fmt;
use std::str::FromStr;

use crate::{DatasetName, InputRef, Object, RunId, RunRef};

/// For how long the bytes of a dataset version or of a run are kept. Their history is kept for ever.
///
/// Text form: `7d` (any number of days), `keep` or `hold`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retention {
    /// So many days after they were added or sealed; 0 is at once.
    Days(u32),
    /// Until another class is chosen.
    #[default]
    Keep,
    /// Until the hold is lifted: nothing deletes them, and of a run neither what it read.
    Hold,
}

impl Retention {
    /// Longest number of days: a hundred years.
    pub const DAYS_MAX: u32 = 36_525;
}

/// The text is not a [`Retention`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a retention class: days such as `7d` (at most 36525d), `keep` or `hold`")]
pub struct RetentionError {
    text: String,
}

impl FromStr for Retention {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || RetentionError { text: text.chars().take(80).flat_map(char::escape_debug).collect() };
        match text {
            "keep" => Ok(Self::Keep),
            "hold" => Ok(Self::Hold),
            _ => {
                let digits = text.strip_suffix('d').ok_or_else(wrong)?;
                let plain = !digits.is_empty()
                    && digits.bytes().all(|byte| byte.is_ascii_digit())
                    && (digits == "0" || !digits.starts_with('0'));
                let days = digits.parse().ok().filter(|days| plain && *days <= Self::DAYS_MAX);
                days.map(Self::Days).ok_or_else(wrong)
            }
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(days) => write!(f, "{days}d"),
            Self::Keep => f.write_str("keep"),
            Self::Hold => f.write_str("hold"),
        }
    }
}

/// What has a retention class of its own. Text form: `NAME@VERSION` or `run:ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retained {
    /// A version of a dataset.
    Dataset {
        /// Its name.
        name: DatasetName,
        /// Its version, from 1.
        version: u32,
    },
    /// Outputs, changes, logs and code of a run.
    Run(RunId),
}

/// The text is not a [`Retained`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names neither a version of a dataset (`NAME@VERSION`) nor a run (`run:ID`)")]
pub struct RetainedError {
    text: String,
}

impl FromStr for Retained {
    type Err = RetainedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || RetainedError { text: text.chars().take(200).flat_map(char::escape_debug).collect() };
        match text.parse::<InputRef>().map_err(|_| wrong())? {
            InputRef::Dataset { name, version: Some(version) } => Ok(Self::Dataset { name, version }),
            InputRef::Artifact { run, path: None } => RunRef::as_id(&run).map(Self::Run).ok_or_else(wrong),
            InputRef::Dataset { .. } | InputRef::Artifact { .. } => Err(wrong()),
        }
    }
}

impl Retained {
    /// It as an object.
    #[must_use]
    pub fn object(&self) -> Object {
        match self {
            Self::Dataset { name, version } => {
                Object::Dataset { name: name.clone(), version: Some(*version) }
            }
            Self::Run(run) => Object::Run(run.clone()),
        }
    }
}

impl fmt::Display for Retained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset { name, version } => write!(f, "{name}@{version}"),
            Self::Run(run) => write!(f, "run:{run}"),
        }
    }
}

serde_as_text!(Retention, Retained);

/// What a project has a retention class for where none was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetainedKind {
    /// Versions of datasets.
    Datasets,
    /// Runs.
    Runs,
}

impl RetainedKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Datasets, Self::Runs];

    /// The text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Datasets => "datasets",
            Self::Runs => "runs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_read_back() {
        for text in ["0d", "7d", "90d", "36525d", "keep", "hold"] {
            assert_eq!(text.parse::<Retention>().unwrap().to_string(), text);
        }
        for bad in ["", "d", "7", "07d", "+7d", "-1d", "36526d", "99999999999d", "7 d", "Keep", "hold "] {
            assert!(bad.parse::<Retention>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_retained_reads_back() {
        for text in ["digits@1", "run:7jmg7qmxnc0m"] {
            assert_eq!(text.parse::<Retained>().unwrap().to_string(), text);
        }
        for bad in ["digits", "digits@latest", "run:latest", "run:7jmg7qmxnc0m/out", "run:", "@1"] {
            assert!(bad.parse::<Retained>().is_err(), "{bad}");
        }
    }
}
