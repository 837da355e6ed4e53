//! Which entries of a ledger somebody asks for.

use std::fmt;
use std::str::FromStr;

use aseptic_model::{DatasetName, Digest, InputRef, Retained, RunId, Timestamp};

use super::Recorded;

/// Which entries; the default is all of them. An entry that this version does not understand fits no condition.
#[derive(Clone, Debug, Default)]
pub struct EntryFilter {
    /// Of this run.
    pub run: Option<RunId>,
    /// By this actor: `user:NAME`, or the name alone.
    pub actor: Option<String>,
    /// Of one of these types, if there are any; `run.*` is every type that begins so.
    pub kinds: Vec<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// About this.
    pub object: Option<EntryObject>,
}

impl EntryFilter {
    /// Whether the filter lets everything through.
    #[must_use]
    pub fn is_all(&self) -> bool {
        let Self { run, actor, kinds, since, until, object } = self;
        kinds.is_empty()
            && run.is_none()
            && actor.is_none()
            && since.is_none()
            && until.is_none()
            && object.is_none()
    }

    /// Whether an entry fits every condition.
    #[must_use]
    pub fn fits(&self, recorded: &Recorded) -> bool {
        let Some(entry) = &recorded.entry else { return self.is_all() };
        let kind = entry.event.kind();
        let is_kind = |wanted: &String| match wanted.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => kind == wanted,
        };
        let by = |actor: &String| entry.actor == *actor || entry.actor.strip_prefix("user:") == Some(actor);
        self.run.as_ref().is_none_or(|run| entry.event.run() == Some(run))
            && self.actor.as_ref().is_none_or(by)
            && (self.kinds.is_empty() || self.kinds.iter().any(is_kind))
            && self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && self.object.as_ref().is_none_or(|object| object.is_in(recorded))
    }
}

/// What an entry is about. Text form: `NAME`, `NAME@VERSION`, `run:RUN`, or a digest of 64 digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryObject {
    /// A dataset, or one version of it.
    Dataset {
        /// Its name.
        name: DatasetName,
        /// Its version.
        version: Option<u32>,
    },
    /// A run.
    Run(RunId),
    /// Whatever has this digest: a tree, a plan, a record.
    Digest(Digest),
}

/// The text is not an [`EntryObject`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither NAME, NAME@VERSION, run:RUN nor a digest of 64 digits")]
pub struct EntryObjectError(String);

impl FromStr for EntryObject {
    type Err = EntryObjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(digest) = text.parse() {
            return Ok(Self::Digest(digest));
        }
        let wrong = || EntryObjectError(text.chars().take(80).flat_map(char::escape_debug).collect());
        match text.parse::<InputRef>().map_err(|_| wrong())? {
            InputRef::Dataset { name, version } if !text.ends_with("@latest") => {
                Ok(Self::Dataset { name, version })
            }
            InputRef::Artifact { run, path: None } => run.as_id().map(Self::Run).ok_or_else(wrong),
            InputRef::Dataset { .. } | InputRef::Artifact { .. } => Err(wrong()),
        }
    }
}

impl fmt::Display for EntryObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset { name, version: None } => write!(f, "{name}"),
            Self::Dataset { name, version: Some(version) } => write!(f, "{name}@{version}"),
            Self::Run(run) => write!(f, "run:{run}"),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl EntryObject {
    fn is_in(&self, recorded: &Recorded) -> bool {
        let Some(entry) = &recorded.entry else { return false };
        match self {
            Self::Run(run) => entry.event.run() == Some(run),
            Self::Dataset { name, version } => match entry.event.dataset() {
                Some(Retained::Dataset { name: its, version: number }) => {
                    its == *name && version.is_none_or(|version| version == number)
                }
                Some(Retained::Run(_)) | None => false,
            },
            // Canonical bytes hold a digest as a whole string, and nothing else of theirs looks like one.
            Self::Digest(digest) => {
                let quoted = format!("\"{digest}\"");
                recorded.bytes.windows(quoted.len()).any(|window| window == quoted.as_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_one_text_form() {
        let digest = "0".repeat(64);
        for text in ["digits", "digits@2", "run:7jmg7qmxnc0m", digest.as_str()] {
            assert_eq!(text.parse::<EntryObject>().unwrap().to_string(), text);
        }
        for text in ["", "digits@0", "digits@latest", "run:latest", "run:7jmg7qmxnc0m/out/a", "a b"] {
            assert!(text.parse::<EntryObject>().is_err(), "{text}");
        }
    }
}
