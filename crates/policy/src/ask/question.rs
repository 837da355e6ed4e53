//! What is asked of the policies: a question with one request for each element of a plan.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{CanonicalError, Digest, ProjectName, canonical_digest};
use serde::{Deserialize, Serialize};

use crate::{Risk, Role};

/// Version tag of [`Question`] on disk.
pub const QUESTION_FORMAT: &str = "aseptic.requests/1";

/// Everything that was asked about one plan. With the policies it gives the decision again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// [`QUESTION_FORMAT`].
    pub format: String,
    /// Digest of the policies that are asked.
    pub policy: Digest,
    /// Digest of the plan.
    pub plan: Digest,
    /// The project.
    pub project: ProjectName,
    /// Who wants it.
    pub principal: Principal,
    /// What, element by element.
    pub requests: Vec<Request>,
    /// How much there is to look at, with what it was counted from; none in questions of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
}

impl Question {
    /// Digest of its canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`], which none has.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        canonical_digest(self)
    }
}

/// Who wants something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Name of the user of the operating system.
    pub user: String,
    /// Groups of the roles file.
    pub groups: BTreeSet<String>,
    /// Roles, of the user and of the groups.
    pub roles: BTreeSet<Role>,
}

/// What an element of a plan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// To run at all.
    Start,
    /// To see a tree: an input or the code.
    Mount,
    /// To have a secret used for it.
    UseSecret,
    /// To reach a destination.
    Connect,
    /// To leave something.
    Write,
    /// To see an environment.
    UseEnv,
    /// To use a GPU.
    UseGpu,
    /// To go without something that this machine cannot enforce.
    Accept,
}

impl Action {
    /// Its name in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Mount => "Mount",
            Self::UseSecret => "UseSecret",
            Self::Connect => "Connect",
            Self::Write => "Write",
            Self::UseEnv => "UseEnv",
            Self::UseGpu => "UseGpu",
            Self::Accept => "Accept",
        }
    }
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Mount,
        Self::UseSecret,
        Self::Connect,
        Self::Write,
        Self::UseEnv,
        Self::UseGpu,
        Self::Accept,
    ];

    /// What it is to do, as in "nobody may …".
    #[must_use]
    pub fn deed(self) -> &'static str {
        match self {
            Self::Start => "start runs",
            Self::Mount => "give a run code or data",
            Self::UseSecret => "use secrets",
            Self::Connect => "give a run a network",
            Self::Write => "keep what a run leaves",
            Self::UseEnv => "run in an environment",
            Self::UseGpu => "use GPUs",
            Self::Accept => "run without what cannot be enforced",
        }
    }

    /// Names that its requests have in [`Request::shown`], where they apply.
    #[must_use]
    pub fn shown(self) -> &'static [&'static str] {
        match self {
            Self::Start => &["format", "formatKnown"],
            Self::Mount => &[
                "alternative",
                "command",
                "dataset",
                "evaluation",
                "quarantine",
                "recognised",
                "remedy",
                "snapshot",
                "unpinned",
            ],
            Self::UseSecret => &[],
            Self::Connect => &["heldOut", "labelled", "setting", "why"],
            Self::Write => &["heldOut", "labelled", "licensed", "metricsMax", "metricsPlanned", "unbounded"],
            Self::UseEnv => &["alternative", "command", "quarantine", "unpinned"],
            Self::UseGpu => &["why"],
            Self::Accept => &["labelled", "name", "remedy", "why"],
        }
    }
}

/// Kind of a [`Resource`]: an entity type of the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A project.
    Project,
    /// A dataset, whatever version.
    Dataset,
    /// A version of a dataset.
    Version,
    /// What a run left.
    Artifact,
    /// A code tree.
    Code,
    /// A host name or address.
    Host,
    /// A host and a port.
    Endpoint,
    /// What a run may leave.
    Output,
    /// An environment, a package of it, or the machine.
    Environment,
    /// A GPU.
    Gpu,
    /// A wall or a limit.
    Wall,
    /// A secret.
    Secret,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Project,
        Self::Dataset,
        Self::Version,
        Self::Artifact,
        Self::Code,
        Self::Host,
        Self::Endpoint,
        Self::Output,
        Self::Environment,
        Self::Gpu,
        Self::Wall,
        Self::Secret,
    ];

    /// Its name in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "Project",
            Self::Dataset => "Dataset",
            Self::Version => "Version",
            Self::Artifact => "Artifact",
            Self::Code => "Code",
            Self::Host => "Host",
            Self::Endpoint => "Endpoint",
            Self::Output => "Output",
            Self::Environment => "Environment",
            Self::Gpu => "Gpu",
            Self::Wall => "Wall",
            Self::Secret => "Secret",
        }
    }
}

/// On what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its kind.
    pub kind: Kind,
    /// Its name, such as `digits@3`.
    pub name: String,
}

/// One element of a plan, with everything that a policy may look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The element, such as `data.train`.
    pub element: String,
    /// The value that it has, such as `digits@3`.
    pub value: String,
    /// Where that was said: `aseptic.toml:12`, or the option; nothing where nobody said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What it needs.
    pub action: Action,
    /// On what.
    pub resource: Resource,
    /// What the resource is part of, from the inside out: `digits` for `digits@3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<Resource>,
    /// What policies may look at: the context of the action in the schema, complete.
    pub context: BTreeMap<String, Value>,
    /// What messages may show of it, by placeholder, besides the context. No policy sees it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shown: BTreeMap<String, String>,
}

impl Request {
    /// Whether the context says so; no if it does not know.
    pub(crate) fn says(&self, key: &str) -> bool {
        matches!(self.context.get(key), Some(Value::Bool(true)))
    }

    /// The texts that the context has of this name.
    pub(crate) fn texts(&self, key: &str) -> BTreeSet<&str> {
        match self.context.get(key) {
            Some(Value::Set(texts)) => texts.iter().map(String::as_str).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// What messages show of this name.
    pub(crate) fn shows(&self, key: &str) -> &str {
        self.shown.get(key).map_or("", String::as_str)
    }
}

/// A value of a context.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A text.
    Text(String),
    /// A set of texts.
    Set(BTreeSet<String>),
}
