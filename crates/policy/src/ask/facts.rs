//! What the caller looked up about a plan and this host.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Digest, InputName, Object, ProjectName};

/// What the caller looked up about a plan and this host. The default is a host that has nothing.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Snapshots of the plan that the store has.
    pub present: BTreeSet<Digest>,
    /// What of the plan something in quarantine reaches, by the name of the element: `code`, `data.NAME`, `host`,
    /// `policy`, `environment.NAME`.
    pub quarantined: BTreeMap<String, InQuarantine>,
    /// Whether a destination outside can be reached at all.
    pub egress: Egress,
    /// Limits that this host enforces: names as in the spec, such as `memory`.
    pub enforced_limits: BTreeSet<&'static str>,
    /// Those of them that something watches and nothing holds: a fast enough job can be over one for a moment.
    pub soft_limits: BTreeSet<&'static str>,
    /// Walls that this host cannot make, with the reason: names such as `landlock`.
    pub missing_walls: BTreeMap<&'static str, &'static str>,
    /// Why the GPUs of the plan cannot be given to it, if they cannot.
    pub gpus: Option<String>,
    /// Elements that a plan may accept as not enforced, such as `memory`.
    pub acceptable: BTreeSet<&'static str>,
    /// Every input that is hold-out data ([`crate::is_held_out`]), by name, with the runs of the project that were let at
    /// it before. One that is missing counts as looked at too often.
    pub evaluations: BTreeMap<InputName, u64>,
    /// What of the plan is not pinned, in words, by element: `code` that no commit has, an environment that may change.
    pub unpinned: BTreeMap<String, String>,
    /// Files with labelled data in the code, in words.
    pub recognised: Option<String>,
    /// Whether the run repeats another.
    pub is_replay: bool,
    /// Where each element was said: `aseptic.toml:12`, or the option.
    pub places: BTreeMap<String, String>,
}

/// What in quarantine reaches an element of a plan, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InQuarantine {
    /// The project where it is in quarantine.
    pub project: ProjectName,
    /// What is in quarantine.
    pub object: Object,
    /// Through what it came, from the object on; nothing when the element has the object itself.
    pub path: Vec<Object>,
}

/// Most steps of a path that a message names: the first ones and the last ones.
const STEPS_MAX: usize = 4;

impl InQuarantine {
    /// It as one line: what is in quarantine, and through what it came. Not why: that can be erased, and what is
    /// decided is written where nothing can.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut steps: Vec<String> = self.path.iter().map(ToString::to_string).collect();
        if steps.len() > STEPS_MAX {
            let between = steps.len() - STEPS_MAX;
            let rest = steps.split_off(steps.len() - STEPS_MAX / 2);
            steps.truncate(STEPS_MAX / 2);
            steps.push(format!("{between} more"));
            steps.extend(rest);
        }
        let through =
            if steps.is_empty() { String::new() } else { format!(", through {}", steps.join(", ")) };
        format!("{}{through}", self.object)
    }
}

/// The way from a job to a destination outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Egress {
    /// There is none, for this reason: a job has its own loopback and nothing else.
    Unavailable(String),
    /// A gateway that lets through what the plan names.
    Gateway,
}

impl Default for Egress {
    fn default() -> Self {
        Self::Unavailable("nobody looked whether there is one".to_owned())
    }
}
