//! Diff: what differs between two runs, what most likely explains a changed result first, and what came of it.
//!
//! Everything that differs is listed; [`Likelihood`] only orders it. `files` compares code and inputs, `rows` says
//! what differs in one file.

mod files;
mod rows;

use std::collections::BTreeSet;
use std::fmt;

use aseptic_model::{
    Effects, Environment, FileComparison, Given, Log, Plan, ProjectName, RunId, RunRecord, RunRef, Status,
    Tolerance, Verdict,
};
use aseptic_policy::Act;
use serde::Serialize;
use serde_json::Value;

use crate::effects::effects;
use crate::environment::EnvironmentPart;
use crate::environment::changes::changes;
use crate::home::{Home, HomeError};
use crate::results::{ResultError, seen};

/// Two runs, and what differs.
#[derive(Debug)]
pub struct RunDiff {
    /// The first run and how it ended.
    pub before: (RunId, Option<Status>),
    /// The second.
    pub after: (RunId, Option<Status>),
    /// What went in and differs, the likeliest explanation first.
    pub causes: Vec<Cause>,
    /// What came of both; nothing while one of them has no record.
    pub effects: Option<Effects>,
}

impl RunDiff {
    /// Whether anything differs by more than the tolerance.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        let effects = self.effects.as_ref().map(|effects| effects.verdict);
        let same_end = effects.map_or(self.before.1 == self.after.1, |verdict| verdict < Verdict::Different);
        self.causes.is_empty() && same_end
    }
}

/// One thing that went into two runs and differs.
#[derive(Clone, Debug, Serialize)]
pub struct Cause {
    /// To which part of the plan it belongs.
    pub part: Part,
    /// How likely it explains a changed result.
    pub likelihood: Likelihood,
    /// What it is: `lr`, `train/rows.csv`, `numpy`.
    pub name: String,
    /// What it was; nothing if it is new.
    pub before: Option<String>,
    /// What it is; nothing if it is gone.
    pub after: Option<String>,
    /// Of a file of an input: whether one of the runs opened it; nothing where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<bool>,
    /// What differs in it, as far as it is listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What differs in its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<FileComparison>,
    /// Of a text file of the code: the difference, as patch(1) takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// A part of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Program and arguments.
    Command,
    /// Parameters.
    Parameters,
    /// Inputs, and standard input.
    Data,
    /// The code.
    Code,
    /// Packages, the interpreter, variables.
    Environment,
    /// Network, limits, ports, clock, GPUs, what may go unenforced.
    Settings,
    /// The machine.
    Host,
    /// The rules that decided.
    Policy,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 8] = [
        Self::Command,
        Self::Parameters,
        Self::Data,
        Self::Code,
        Self::Environment,
        Self::Settings,
        Self::Host,
        Self::Policy,
    ];

    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Parameters => "parameters",
            Self::Data => "data",
            Self::Code => "code",
            Self::Environment => "environment",
            Self::Settings => "settings",
            Self::Host => "host",
            Self::Policy => "policy",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How likely a difference explains a changed result, the likeliest first. See `docs/diff.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likelihood {
    /// Another program or other arguments.
    Command,
    /// A parameter.
    Parameter,
    /// A file of an input that a run opened, or may have opened.
    OpenedFile,
    /// What it was given on standard input.
    StandardInput,
    /// A file of the code that can be run or read by what runs.
    Source,
    /// A package in another version, Python in another version.
    Package,
    /// Other files under the same versions.
    Files,
    /// An environment variable.
    Variable,
    /// GPUs.
    Gpu,
    /// Another processor or architecture.
    Processor,
    /// Network and limits.
    Setting,
    /// A file of an input that no run opened.
    UnopenedFile,
    /// A file of the code that is written for people.
    Document,
    /// Another kernel.
    Kernel,
    /// The rules that decided.
    Policy,
    /// The same bytes under another name.
    Name,
}

/// One of the two runs.
struct Side {
    run: RunId,
    status: Option<Status>,
    policy: Option<String>,
    plan: Plan,
    record: Option<RunRecord>,
}

impl Side {
    fn read(home: &Home, project: &ProjectName, run: &RunRef) -> Result<Self, ResultError> {
        let summary = seen(home, project, run)?;
        let record = summary.record.map(|digest| home.object(project, &digest)).transpose()?;
        Ok(Self {
            plan: home.object(project, &summary.plan)?,
            policy: summary.policy.map(|digest| digest.short()),
            status: summary.status,
            run: summary.run,
            record,
        })
    }

    fn environment(&self) -> &Environment {
        &self.plan.environment
    }
}

/// Compares two runs of `project`, whatever became of them.
///
/// # Errors
/// [`ResultError`].
pub fn diff(
    home: &Home,
    project: &ProjectName,
    before: &RunRef,
    after: &RunRef,
    tolerance: Tolerance,
) -> Result<RunDiff, ResultError> {
    home.allowed(project, Act::View, None)?;
    let store = home.store(project)?;
    let _lease = store.lease()?; // What is deleted while it is read would look damaged.
    let (before, after) = (Side::read(home, project, before)?, Side::read(home, project, after)?);
    let mut causes = Vec::new();
    command(&before, &after, &mut causes);
    parameters(&before.plan, &after.plan, &mut causes);
    files::inputs(home, &before, &after, &mut causes)?;
    standard_input(&before, &after, &mut causes);
    files::code(home, &before, &after, &mut causes)?;
    environment(&before, &after, &mut causes);
    settings(&before.plan, &after.plan, &mut causes);
    let policies = (before.policy.clone(), after.policy.clone());
    causes.extend(Cause::new(Part::Policy, Likelihood::Policy, "rules", policies.0, policies.1));
    causes.sort_by(|one, other| {
        (one.likelihood, one.part, one.opened == Some(false)).cmp(&(
            other.likelihood,
            other.part,
            other.opened == Some(false),
        ))
    });
    let effects = match (&before.record, &after.record) {
        (Some(before), Some(after)) => effects(home, before, after, tolerance, &mut || false)?,
        _ => None,
    };
    Ok(RunDiff { before: (before.run, before.status), after: (after.run, after.status), causes, effects })
}

impl Cause {
    /// Nothing if both are the same.
    fn new(
        part: Part,
        likelihood: Likelihood,
        name: &str,
        before: Option<String>,
        after: Option<String>,
    ) -> Option<Self> {
        (before != after).then(|| Self {
            part,
            likelihood,
            name: name.to_owned(),
            before,
            after,
            opened: None,
            details: Vec::new(),
            values: None,
            patch: None,
        })
    }
}

fn command(before: &Side, after: &Side, causes: &mut Vec<Cause>) {
    let words = |side: &Side| serde_json::to_string(&side.plan.command).ok();
    causes.extend(Cause::new(Part::Command, Likelihood::Command, "command", words(before), words(after)));
    let experiment = |side: &Side| side.plan.experiment.as_ref().map(ToString::to_string);
    causes.extend(Cause::new(
        Part::Command,
        Likelihood::Name,
        "experiment",
        experiment(before),
        experiment(after),
    ));
}

fn parameters(before: &Plan, after: &Plan, causes: &mut Vec<Cause>) {
    let names: BTreeSet<_> = before.params.keys().chain(after.params.keys()).collect();
    for name in names {
        let value = |plan: &Plan| plan.params.get(name).map(Value::to_string);
        causes.extend(Cause::new(Part::Parameters, Likelihood::Parameter, name, value(before), value(after)));
    }
}

fn standard_input(before: &Side, after: &Side, causes: &mut Vec<Cause>) {
    // Of a run without a record it is not known.
    let (Some(before), Some(after)) = (&before.record, &after.record) else { return };
    let given = |record: &RunRecord| match &record.logs.stdin {
        None => None,
        Some(Given::Terminal) => Some("typed on a terminal".to_owned()),
        Some(Given::Piped(Log { blake3, size, .. })) => Some(format!("{size} bytes, {}", blake3.short())),
    };
    let name = "standard input";
    causes.extend(Cause::new(Part::Data, Likelihood::StandardInput, name, given(before), given(after)));
}

fn environment(before: &Side, after: &Side, causes: &mut Vec<Cause>) {
    for change in changes(before.environment(), after.environment()) {
        let (part, likelihood) = match change.kind {
            EnvironmentPart::Package | EnvironmentPart::Python => (Part::Environment, Likelihood::Package),
            EnvironmentPart::Files | EnvironmentPart::Interpreter | EnvironmentPart::Place => {
                (Part::Environment, Likelihood::Files)
            }
            EnvironmentPart::Variable => (Part::Environment, Likelihood::Variable),
            EnvironmentPart::Architecture | EnvironmentPart::Processor => (Part::Host, Likelihood::Processor),
            EnvironmentPart::Kernel => (Part::Host, Likelihood::Kernel),
        };
        let kind = change.kind.as_str();
        let name = change.name.map_or(kind.to_owned(), |name| format!("{kind} {name}"));
        causes.extend(Cause::new(part, likelihood, &name, change.before, change.after));
    }
    let host =
        |side: &Side| side.record.as_ref().and_then(|record| record.host.as_ref()).map(ToString::to_string);
    if before.record.is_some() && after.record.is_some() {
        causes.extend(Cause::new(Part::Host, Likelihood::Name, "machine", host(before), host(after)));
    }
}

fn settings(before: &Plan, after: &Plan, causes: &mut Vec<Cause>) {
    let mut push = |likelihood, name: &str, before, after| {
        causes.extend(Cause::new(Part::Settings, likelihood, name, before, after));
    };
    for grant in before.network.symmetric_difference(&after.network) {
        let granted = |plan: &Plan| plan.network.contains(grant).then(|| "granted".to_owned());
        push(Likelihood::Setting, &format!("network {grant}"), granted(before), granted(after));
    }
    let gpus = |plan: &Plan| plan.gpus.as_ref().map(ToString::to_string);
    push(Likelihood::Gpu, "GPUs", gpus(before), gpus(after));
    let limits = |plan: &Plan| match serde_json::to_value(&plan.limits) {
        Ok(Value::Object(limits)) => limits,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (limits(before), limits(after));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let text = |value: Option<&Value>| value.filter(|value| !value.is_null()).map(Value::to_string);
        push(Likelihood::Setting, &format!("limit {name}"), text(old.get(name)), text(new.get(name)));
    }
    let text = |value: Result<Value, serde_json::Error>| {
        value.ok().filter(|value| !value.is_null()).map(|value| value.to_string())
    };
    let others = |plan: &Plan| {
        [
            ("ports", text(serde_json::to_value(&plan.ports))),
            ("clock", text(serde_json::to_value(plan.clock))),
            ("accept", text(serde_json::to_value(&plan.accept))),
            ("observe network", text(serde_json::to_value(plan.observe_network))),
            ("labels", text(serde_json::to_value(&plan.labels))),
            ("keep", text(serde_json::to_value(plan.keep))),
        ]
    };
    for ((name, old), (_, new)) in others(before).into_iter().zip(others(after)) {
        push(Likelihood::Setting, name, old, new);
    }
}

/// Why a comparison of two trees is not there: their bytes were deleted or damaged.
fn unless_gone<T>(result: Result<T, aseptic_store::StoreError>) -> Result<Result<T, String>, HomeError> {
    match result {
        Ok(found) => Ok(Ok(found)),
        Err(error @ aseptic_store::StoreError::Io { .. }) => Err(error.into()),
        Err(aseptic_store::StoreError::Missing { .. }) => Ok(Err("its bytes were deleted".to_owned())),
        Err(error) => Ok(Err(error.to_string())),
    }
}
