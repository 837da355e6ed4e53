//! The words of an answer.

use std::fmt;

use aseptic_model::{
    DatasetName, Digest, FilePath, InputName, MachineName, Object, PackageName, ProjectName, RunId,
};
use serde::{Serialize, Serializer};

/// Something that data is in or goes through, or that runs depend on.
///
/// Text form: that of [`Object`], and `elsewhere:PROJECT/NAME@VERSION`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A run.
    Run {
        /// Its id.
        run: RunId,
    },
    /// A version of a dataset.
    Dataset {
        /// Name of the dataset.
        name: DatasetName,
        /// Its version, from 1.
        version: u32,
        /// Its tree.
        digest: Digest,
    },
    /// What a run left: a file, a directory, or all of it.
    Artifact {
        /// The run.
        run: RunId,
        /// Which output; nothing for all.
        path: Option<FilePath>,
        /// The file, or the tree.
        digest: Digest,
    },
    /// A tree: the code of runs, or an input whose plan and record could not be read.
    Snapshot {
        /// Its digest.
        digest: Digest,
    },
    /// The bytes of a file, wherever they lie.
    File {
        /// Their digest.
        digest: Digest,
    },
    /// A machine.
    Host {
        /// Its name.
        host: MachineName,
    },
    /// A package in one version.
    Package {
        /// Its name.
        name: PackageName,
        /// Its version.
        version: String,
    },
    /// The rules that decided.
    Policy {
        /// Their digest.
        digest: Digest,
    },
    /// A dataset of another project.
    Elsewhere {
        /// That project.
        project: ProjectName,
        /// Its name.
        name: DatasetName,
        /// Its version; nothing where only that project knows it.
        version: Option<u32>,
    },
}

impl Node {
    /// What kind of thing it is, as one word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::Dataset { .. } => "dataset",
            Self::Artifact { .. } => "artifact",
            Self::Snapshot { .. } => "snapshot",
            Self::File { .. } => "file",
            Self::Host { .. } => "host",
            Self::Package { .. } => "package",
            Self::Policy { .. } => "policy",
            Self::Elsewhere { .. } => "elsewhere",
        }
    }

    /// The digest that names it, if one does.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Dataset { digest, .. }
            | Self::Artifact { digest, .. }
            | Self::Snapshot { digest }
            | Self::File { digest }
            | Self::Policy { digest } => Some(digest),
            Self::Run { .. } | Self::Host { .. } | Self::Package { .. } | Self::Elsewhere { .. } => None,
        }
    }

    /// As a command takes it; nothing for a dataset of another project.
    #[must_use]
    pub fn object(&self) -> Option<Object> {
        Some(match self {
            Self::Run { run } | Self::Artifact { run, path: None, .. } => Object::Run(run.clone()),
            Self::Dataset { name, version, .. } => {
                Object::Dataset { name: name.clone(), version: Some(*version) }
            }
            Self::Artifact { run, path: Some(path), .. } => {
                Object::Artifact { run: run.clone(), path: path.clone() }
            }
            Self::Snapshot { digest } => Object::Snapshot(*digest),
            Self::File { digest } => Object::File(*digest),
            Self::Host { host } => Object::Host(host.clone()),
            Self::Package { name, version } => {
                Object::Package { name: name.clone(), version: Some(version.clone()) }
            }
            Self::Policy { digest } => Object::Policy(*digest),
            Self::Elsewhere { .. } => return None,
        })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.object()) {
            // All that a run left is not the run.
            (Self::Artifact { run, path: None, .. }, _) => write!(f, "run:{run}/"),
            (Self::Elsewhere { project, name, version }, _) => {
                write!(f, "elsewhere:{project}/{name}")?;
                version.map_or(Ok(()), |version| write!(f, "@{version}"))
            }
            (_, Some(object)) => object.fmt(f),
            (_, None) => Ok(()),
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One step that data took, or what a run depended on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct LineageEdge {
    /// Where it was.
    pub from: Node,
    /// Where it went.
    pub to: Node,
    /// How.
    #[serde(flatten)]
    pub kind: EdgeKind,
    /// Steps from the question, from 1; each goes from one run to the next.
    pub hops: u32,
}

/// How it is known that a run read something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The kernel saw every file that the run opened.
    Observed,
    /// The run had it as an input, and which files it opened is not known.
    Declared,
}

impl Evidence {
    /// As one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Declared => "declared",
        }
    }
}

/// How data took a step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EdgeKind {
    /// The run had it as an input.
    Read {
        /// The name of the input.
        input: InputName,
        /// How that is known.
        evidence: Evidence,
        /// How many files of the input the run opened; nothing where that is not known.
        #[serde(skip_serializing_if = "Option::is_none")]
        opened: Option<u64>,
        /// The file or directory in it that the question is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<FilePath>,
    },
    /// The run left it.
    Left,
    /// A dataset was added that is the bytes of what a run had left before.
    Became,
    /// Two datasets are the same bytes.
    Same,
    /// The file is part of it.
    Part {
        /// Where.
        path: FilePath,
    },
    /// One project gave it to the other.
    Shared,
    /// The run ran on it.
    Ran,
    /// The package was in the environment of the run.
    Used,
    /// The rules decided the run.
    Decided,
    /// It was the code of the run.
    Code,
}

impl EdgeKind {
    /// As one word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Left => "left",
            Self::Became => "became",
            Self::Same => "same",
            Self::Part { .. } => "part",
            Self::Shared => "shared",
            Self::Ran => "ran",
            Self::Used => "used",
            Self::Decided => "decided",
            Self::Code => "code",
        }
    }
}
