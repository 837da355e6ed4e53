//! What a question, a quarantine or an incident is about.

use std::fmt;
use std::str::FromStr;

use crate::{DatasetName, Digest, FilePath, InputRef, MachineName, PackageName, RunId, RunRef};

/// A thing that runs read, ran on or left, by its whole identity. It is what the ledger holds.
///
/// Text form: `dataset:NAME[@VERSION]`, `snapshot:DIGEST`, `file:DIGEST`, `run:RUN[/PATH]`, `host:NAME`,
/// `package:NAME[@VERSION]`, `policy:DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A version of a dataset; without one, every version.
    Dataset {
        /// Its name.
        name: DatasetName,
        /// Its version, from 1.
        version: Option<u32>,
    },
    /// A tree, under whatever name.
    Snapshot(Digest),
    /// The bytes of a file, wherever they lie.
    File(Digest),
    /// A run, with all that it left.
    Run(RunId),
    /// One output of a run: a file or a directory.
    Artifact {
        /// The run.
        run: RunId,
        /// Its path.
        path: FilePath,
    },
    /// A machine that runs ran on.
    Host(MachineName),
    /// A package in the environment of runs.
    Package {
        /// Its name.
        name: PackageName,
        /// Its version; without one, every version.
        version: Option<String>,
    },
    /// The rules that decided runs.
    Policy(Digest),
}

/// As [`Object`], as a person names it: a run by its experiment or the start of its id, a version by `latest`, a
/// file by its path in a dataset, a digest without saying of what.
///
/// Text form: that of [`Object`], or `NAME[@VERSION][/PATH]`, or a digest of 64 digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectRef {
    /// A dataset, or a file or directory in it.
    Dataset {
        /// Its name.
        name: DatasetName,
        /// Its version, from 1; [`VersionRef::Any`] where none was given.
        version: VersionRef,
        /// The file or directory.
        path: Option<FilePath>,
    },
    /// A run, or one of its outputs.
    Run {
        /// The run.
        run: RunRef,
        /// The output.
        path: Option<FilePath>,
    },
    /// A digest of a tree or of a file.
    Digest(Digest),
    /// What needs no looking up.
    Object(Object),
}

/// A version of a dataset as a person names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionRef {
    /// None was given.
    Any,
    /// The newest.
    Latest,
    /// This one.
    Number(u32),
}

/// The text is no [`ObjectRef`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names nothing: {reason}")]
pub struct ObjectError {
    text: String,
    reason: String,
}

/// Longest version of a package.
const VERSION_BYTES_MAX: usize = 200;

impl FromStr for ObjectRef {
    type Err = ObjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: &dyn fmt::Display| ObjectError {
            text: text.chars().take(200).flat_map(char::escape_debug).collect(),
            reason: reason.to_string(),
        };
        if let Ok(digest) = text.parse() {
            return Ok(Self::Digest(digest));
        }
        match text.split_once(':') {
            Some(("run", rest)) => {
                let (run, path) = with_path(rest).map_err(|error| wrong(&error))?;
                Ok(Self::Run { run: run.parse().map_err(|error| wrong(&error))?, path })
            }
            Some(("dataset", rest)) => dataset(rest).map_err(|error| wrong(&error)),
            Some(("snapshot", rest)) => {
                Ok(Self::Object(Object::Snapshot(rest.parse().map_err(|error| wrong(&error))?)))
            }
            Some(("file", rest)) => {
                Ok(Self::Object(Object::File(rest.parse().map_err(|error| wrong(&error))?)))
            }
            Some(("policy", rest)) => {
                Ok(Self::Object(Object::Policy(rest.parse().map_err(|error| wrong(&error))?)))
            }
            Some(("host", rest)) => {
                Ok(Self::Object(Object::Host(rest.parse().map_err(|error| wrong(&error))?)))
            }
            Some(("package", rest)) => {
                let (name, version) = match rest.split_once('@') {
                    Some((name, version)) => (name, Some(version)),
                    None => (rest, None),
                };
                if version.is_some_and(|version| !is_version(version)) {
                    return Err(wrong(&"a version of a package is printable and has no spaces"));
                }
                let name = PackageName::normalised(name)
                    .ok_or_else(|| wrong(&"a package has letters, digits, `-`, `_` and `.`"))?;
                Ok(Self::Object(Object::Package { name, version: version.map(str::to_owned) }))
            }
            Some(_) => Err(wrong(&"before `:` stands dataset, snapshot, file, run, host, package or policy")),
            None => dataset(text).map_err(|error| wrong(&error)),
        }
    }
}

fn is_version(text: &str) -> bool {
    !text.is_empty() && text.len() <= VERSION_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn with_path(text: &str) -> Result<(&str, Option<FilePath>), crate::FilePathError> {
    match text.split_once('/') {
        Some((name, path)) => Ok((name, Some(path.parse()?))),
        None => Ok((text, None)),
    }
}

fn dataset(text: &str) -> Result<ObjectRef, Box<dyn std::error::Error>> {
    let (text, path) = with_path(text)?;
    let any = if text.contains('@') { VersionRef::Latest } else { VersionRef::Any };
    match text.parse()? {
        InputRef::Dataset { name, version } => {
            Ok(ObjectRef::Dataset { name, version: version.map_or(any, VersionRef::Number), path })
        }
        InputRef::Artifact { .. } => Err("a run is named `run:RUN`".into()),
    }
}

impl FromStr for Object {
    type Err = ObjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: &str| ObjectError {
            text: text.chars().take(200).flat_map(char::escape_debug).collect(),
            reason: reason.to_owned(),
        };
        match text.parse()? {
            ObjectRef::Object(object) => Ok(object),
            ObjectRef::Dataset { name, version: VersionRef::Any, path: None } => {
                Ok(Self::Dataset { name, version: None })
            }
            ObjectRef::Dataset { name, version: VersionRef::Number(number), path: None } => {
                Ok(Self::Dataset { name, version: Some(number) })
            }
            ObjectRef::Run { run, path } => {
                let run = run.as_id().ok_or_else(|| wrong("it needs the whole id of a run"))?;
                Ok(match path {
                    None => Self::Run(run),
                    Some(path) => Self::Artifact { run, path },
                })
            }
            ObjectRef::Dataset { .. } | ObjectRef::Digest(_) => Err(wrong("it needs to be looked up first")),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset { name, version: None } => write!(f, "dataset:{name}"),
            Self::Dataset { name, version: Some(version) } => write!(f, "dataset:{name}@{version}"),
            Self::Snapshot(digest) => write!(f, "snapshot:{digest}"),
            Self::File(digest) => write!(f, "file:{digest}"),
            Self::Run(run) => write!(f, "run:{run}"),
            Self::Artifact { run, path } => write!(f, "run:{run}/{path}"),
            Self::Host(name) => write!(f, "host:{name}"),
            Self::Package { name, version: None } => write!(f, "package:{name}"),
            Self::Package { name, version: Some(version) } => write!(f, "package:{name}@{version}"),
            Self::Policy(digest) => write!(f, "policy:{digest}"),
        }
    }
}

serde_as_text!(Object);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_read_back() {
        let digest = Digest::of(b"");
        for text in [
            "dataset:digits".to_owned(),
            "dataset:digits@3".to_owned(),
            format!("snapshot:{digest}"),
            format!("file:{digest}"),
            format!("policy:{digest}"),
            "run:7jmg7qmxnc0m".to_owned(),
            "run:7jmg7qmxnc0m/out/model.pkl".to_owned(),
            "host:gpu-7.example".to_owned(),
            "package:numpy".to_owned(),
            "package:numpy@1.26.4+local".to_owned(),
        ] {
            assert_eq!(text.parse::<Object>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_a_person_names_may_need_looking_up() {
        let path = Some("a/b.csv".parse().unwrap());
        let name = || "digits".parse().unwrap();
        for (text, version, path) in [
            ("digits", VersionRef::Any, None),
            ("digits@latest/a/b.csv", VersionRef::Latest, path.clone()),
            ("dataset:digits@3/a/b.csv", VersionRef::Number(3), path),
        ] {
            let expected = ObjectRef::Dataset { name: name(), version, path };
            assert_eq!(text.parse::<ObjectRef>().unwrap(), expected, "{text}");
        }
        let package = Object::Package { name: "scikit-learn".parse().unwrap(), version: None };
        assert_eq!("package:Scikit_Learn".parse(), Ok(ObjectRef::Object(package)));
        for bad in
            ["", "x:y", "run:", "run:a/../b", "package:", "package:a@", "package:a@1 2", "host:", "a@0"]
        {
            assert!(bad.parse::<ObjectRef>().is_err(), "{bad}");
        }
        for partial in ["run:latest", "digits@latest", "digits@1/a", &Digest::of(b"").to_string()] {
            assert!(partial.parse::<Object>().is_err(), "{partial}");
        }
    }
}
