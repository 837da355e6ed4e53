//! How a person names an input or a run, before it is resolved to a digest.

use std::fmt;
use std::str::FromStr;

use crate::{DatasetName, ExperimentName, FilePath, NameError, RunId};

/// A run as a person names it: an id, the start of one, `latest`, an experiment, or the name
/// that somebody gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRef(String);

impl RunRef {
    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this means the newest run of the project.
    #[must_use]
    pub fn is_latest(&self) -> bool {
        self.0 == "latest"
    }

    /// The experiment of this name, if it can be one.
    #[must_use]
    pub fn as_experiment(&self) -> Option<ExperimentName> {
        self.0.parse().ok()
    }

    /// The id, if this is a whole one.
    #[must_use]
    pub fn as_id(&self) -> Option<RunId> {
        self.0.parse().ok()
    }
}

impl FromStr for RunRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse::<ExperimentName>()?; // Ids, their starts and `latest` all obey the rule of names.
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RunRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an input of an experiment refers to.
///
/// Text form: `DATASET`, `DATASET@VERSION`, `DATASET@latest`, `run:RUN` or `run:RUN/PATH`, where the
/// path is one of the run's outputs, such as `out/model.pkl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputRef {
    /// A version of a dataset; without one, the newest.
    Dataset {
        /// Its name.
        name: DatasetName,
        /// Its version, from 1.
        version: Option<u32>,
    },
    /// What a run left: all of it, or one file or directory.
    Artifact {
        /// The run.
        run: RunRef,
        /// The output.
        path: Option<FilePath>,
    },
}

/// The text is not an [`InputRef`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no input: {reason}")]
pub struct InputRefError {
    text: String,
    reason: String,
}

impl FromStr for InputRef {
    type Err = InputRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: &dyn fmt::Display| InputRefError {
            text: text.chars().take(200).flat_map(char::escape_debug).collect(),
            reason: reason.to_string(),
        };
        if let Some(artifact) = text.strip_prefix("run:") {
            let (run, path) = match artifact.split_once('/') {
                Some((run, path)) => (run, Some(path.parse().map_err(|error| wrong(&error))?)),
                None => (artifact, None),
            };
            return Ok(Self::Artifact { run: run.parse().map_err(|error| wrong(&error))?, path });
        }
        let (name, version) = match text.split_once('@') {
            None | Some((_, "latest")) => (text.strip_suffix("@latest").unwrap_or(text), None),
            Some((name, version)) => {
                let number = version.parse().ok().filter(|number| *number > 0 && !version.starts_with('+'));
                (name, Some(number.ok_or_else(|| wrong(&"a version is a number from 1, or `latest`"))?))
            }
        };
        Ok(Self::Dataset { name: name.parse().map_err(|error| wrong(&error))?, version })
    }
}

impl fmt::Display for InputRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset { name, version: None } => write!(f, "{name}"),
            Self::Dataset { name, version: Some(version) } => write!(f, "{name}@{version}"),
            Self::Artifact { run, path: None } => write!(f, "run:{run}"),
            Self::Artifact { run, path: Some(path) } => write!(f, "run:{run}/{path}"),
        }
    }
}

serde_as_text!(RunRef, InputRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_read_back() {
        for text in ["digits", "digits@3", "run:latest", "run:train/out/model.pkl"] {
            assert_eq!(text.parse::<InputRef>().unwrap().to_string(), text);
        }
        assert_eq!("digits@latest".parse::<InputRef>().unwrap().to_string(), "digits");
        for bad in ["", "@1", "digits@0", "digits@+1", "digits@x", "run:", "run:a/../b", "run:a/", "../x"] {
            assert!(bad.parse::<InputRef>().is_err(), "{bad}");
        }
    }
}
