//! Decides whether a plan may run: plan and facts in, allow or deny with every reason out.
//!
//! A rule never allows, it only denies: [`decide`] allows a plan when no rule has anything against it,
//! and a plan that this version does not understand is denied whole.
//!
//! **Invariant:** pure. Equal plans and facts have equal decisions, reasons in the order of the rules below
//! and, within a rule, in the order of the elements.
//! **Absent on purpose:** looking facts up. The caller does, and passes all that it found.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{
    Decision, Digest, InputSource, Object, Outcome, PLAN_FORMAT, Plan, ProjectName, Reason, escape_bytes,
};

/// Version of the rules of [`decide`]. Raised with every change of what they deny.
const RULES: &str = "aseptic.rules/2";

/// Digest that names the rules of this version, for the record of what decided.
#[must_use]
pub fn version() -> Digest {
    Digest::of(RULES.as_bytes())
}

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
    /// Walls that this host cannot make, with the reason: names such as `landlock`.
    pub missing_walls: BTreeMap<&'static str, &'static str>,
    /// Why the GPUs of the plan cannot be given to it, if they cannot.
    pub gpus: Option<String>,
    /// Elements that a plan may accept as not enforced, such as `memory`.
    pub acceptable: BTreeSet<&'static str>,
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

/// Decides on `plan`. Denied with every reason that was found, or allowed without one.
///
/// | Rule | Denies |
/// |---|---|
/// | `plan/format` | a plan of another version; no other rule looks at it |
/// | `input/missing` | code or an input that the store does not have |
/// | `input/quarantined` | code, an input, a package, a host or rules that something in quarantine reaches |
/// | `network/unavailable` | a destination, where the host has no way for it; nothing can accept that away |
/// | `limit/not-enforced` | a limit that this host does not enforce, unless the plan accepts that |
/// | `gpu/unavailable` | GPUs that are not there, or that this user may not open |
/// | `wall/not-enforced` | a run, where the host cannot make a wall, unless the plan accepts that |
/// | `accept/unknown` | accepting something that cannot be accepted |
#[must_use]
pub fn decide(plan: &Plan, facts: &Facts) -> Decision {
    let reasons = if plan.format == PLAN_FORMAT {
        [missing(plan, facts), quarantined(plan, facts), network(plan, facts), limits(plan, facts)]
            .into_iter()
            .chain([gpus(facts), walls(plan, facts), accepted(plan, facts)])
            .flatten()
            .collect()
    } else {
        vec![Reason {
            rule: "plan/format".to_owned(),
            element: "format".to_owned(),
            message: format!("the plan has the format `{}`", escape_bytes(plan.format.as_bytes())),
            advice: format!("plan the run again with this version, which decides on `{PLAN_FORMAT}`"),
        }]
    };
    let outcome = if reasons.is_empty() { Outcome::Allow } else { Outcome::Deny };
    Decision { outcome, reasons }
}

/// The snapshots of a plan: what to look up for [`Facts`].
pub fn snapshots(plan: &Plan) -> impl Iterator<Item = Digest> {
    elements(plan).map(|(_, snapshot, _)| snapshot)
}

/// Every snapshot with the name of its element and its source; code has no source.
fn elements(plan: &Plan) -> impl Iterator<Item = (String, Digest, Option<&InputSource>)> {
    let code = plan.code.iter().map(|code| ("code".to_owned(), code.snapshot, None));
    let inputs =
        plan.inputs.iter().map(|(name, input)| (format!("data.{name}"), input.snapshot, Some(&input.source)));
    code.chain(inputs)
}

fn missing(plan: &Plan, facts: &Facts) -> Vec<Reason> {
    let absent = |(element, snapshot, source): (_, Digest, Option<&InputSource>)| {
        let advice = match source {
            None => "plan the run again, which captures the code again".to_owned(),
            Some(InputSource::Dataset { name, .. }) => {
                format!("import `{name}` again, or name a version that the store has")
            }
            Some(InputSource::Artifact { run, .. }) => {
                format!("repeat the run `{run}`, or name another one")
            }
        };
        let message = format!("the store does not have the snapshot {}", snapshot.short());
        Reason { rule: "input/missing".to_owned(), element, message, advice }
    };
    elements(plan).filter(|(_, snapshot, _)| !facts.present.contains(snapshot)).map(absent).collect()
}

fn quarantined(plan: &Plan, facts: &Facts) -> Vec<Reason> {
    let reason = |(element, found): (&String, &InQuarantine)| {
        let input = element.strip_prefix("data.").and_then(|name| plan.inputs.get(&name.parse().ok()?));
        let other = match (input.map(|input| &input.source), element.as_str()) {
            (Some(InputSource::Dataset { .. }), _) => "name another version",
            (Some(InputSource::Artifact { .. }), _) => "name another run",
            (None, "code") => "change the code",
            (None, "host") => "use another host",
            (None, "policy") => "use another version of aseptic",
            (None, _) => "use an environment without it",
        };
        Reason {
            rule: "input/quarantined".to_owned(),
            element: element.clone(),
            message: format!("in quarantine: {}", found.describe()),
            advice: format!(
                "{other}; `aseptic quarantine show {} --project {}` says who put it there and why",
                found.object, found.project
            ),
        }
    };
    facts.quarantined.iter().map(reason).collect()
}

fn network(plan: &Plan, facts: &Facts) -> Vec<Reason> {
    let Egress::Unavailable(why) = &facts.egress else { return Vec::new() };
    let reason = |element: String| Reason {
        rule: "network/unavailable".to_owned(),
        element,
        message: format!("this host cannot give a run a network: {why}"),
        advice:
            "`aseptic doctor` says what is missing; or remove it, and import what the job needs as a dataset"
                .to_owned(),
    };
    let grants = plan.network.iter().map(|grant| reason(format!("network.{grant}")));
    grants.chain(plan.observe_network.then(|| reason("network.observe".to_owned()))).collect()
}

fn limits(plan: &Plan, facts: &Facts) -> Vec<Reason> {
    let planned = [
        ("bandwidth", plan.limits.bandwidth_bytes.is_some()),
        ("connections", plan.limits.connections.is_some()),
        ("cpus", plan.limits.cpus.is_some()),
        ("files", plan.limits.files.is_some()),
        ("memory", plan.limits.memory_bytes.is_some()),
        ("outputs", plan.limits.outputs_bytes.is_some()),
        ("scratch", plan.limits.scratch_bytes.is_some()),
        ("scratch-files", plan.limits.scratch_files.is_some()),
        ("traffic", plan.limits.traffic_bytes.is_some()),
    ];
    planned
        .into_iter()
        .filter(|(name, set)| *set && !facts.enforced_limits.contains(name) && !plan.accept.contains(*name))
        .map(|(name, _)| Reason {
            rule: "limit/not-enforced".to_owned(),
            element: format!("limits.{name}"),
            message: format!("this host cannot enforce the limit `{name}`"),
            advice: format!("remove it, or add `{name}` to `accept` to run without it"),
        })
        .collect()
}

fn gpus(facts: &Facts) -> Vec<Reason> {
    let reason = |why: &String| Reason {
        rule: "gpu/unavailable".to_owned(),
        element: "gpus".to_owned(),
        message: why.clone(),
        advice: "remove `gpus`, name one that is there, or ask who administers this machine for access"
            .to_owned(),
    };
    facts.gpus.iter().map(reason).collect()
}

fn walls(plan: &Plan, facts: &Facts) -> Vec<Reason> {
    let missing = facts.missing_walls.iter().filter(|(name, _)| !plan.accept.contains(**name));
    let reason = |(name, why): (&&str, &&str)| Reason {
        rule: "wall/not-enforced".to_owned(),
        element: format!("walls.{name}"),
        message: format!("this host cannot make the wall `{name}`: {why}"),
        advice: format!("use another host, or add `{name}` to `accept` to run without it"),
    };
    missing.map(reason).collect()
}

fn accepted(plan: &Plan, facts: &Facts) -> Vec<Reason> {
    let names: Vec<_> = facts.acceptable.iter().map(|name| format!("`{name}`")).collect();
    let advice = match names.as_slice() {
        [] => "remove it: nothing can be accepted here".to_owned(),
        names => format!("remove it, or name one of {}", names.join(", ")),
    };
    plan.accept
        .iter()
        .filter(|name| !facts.acceptable.contains(name.as_str()))
        .map(|name| {
            let name = escape_bytes(name.as_bytes());
            Reason {
                rule: "accept/unknown".to_owned(),
                message: format!("`{name}` is nothing that a plan may accept as not enforced"),
                element: format!("accept.{name}"),
                advice: advice.clone(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
