//! A plan in short, and what is found out about it: everything that a case does not name is as a small run without
//! inputs has it, on a host that can do everything.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aseptic_model::spec::set_limit;
use aseptic_model::{
    ByteSize, Code, Digest, Environment, ExperimentName, Gpus, Grant, Host, Input, InputName, InputRef,
    InputSource, Keep, Label, Limits, Object, Plan, Python,
};
use serde::Deserialize;
use toml::Spanned;

use super::File;
use crate::{
    Egress, Facts, InQuarantine, Policies, Principal, QUESTION_BYTES_MAX, Question, Settings, question_bytes,
};

/// What a plan may go without where the host cannot enforce it, if it says so.
pub const ACCEPTABLE: [&str; 7] =
    ["landlock", "memory", "cpus", "scratch", "connections", "traffic", "bandwidth"];

/// Limits that some host cannot enforce.
const LIMITS: [&str; 10] = [
    "bandwidth",
    "connections",
    "cpus",
    "files",
    "memory",
    "outputs",
    "processes",
    "scratch",
    "scratch-files",
    "traffic",
];

/// Walls that some host cannot make.
const WALLS: [&str; 1] = ["landlock"];

/// A plan and the facts about it.
#[derive(Clone, Debug)]
pub struct Given {
    plan: Plan,
    facts: Facts,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanText {
    experiment: Option<ExperimentName>,
    #[serde(default)]
    data: BTreeMap<InputName, InputText>,
    #[serde(default)]
    network: BTreeSet<Grant>,
    #[serde(default)]
    observe: bool,
    #[serde(default)]
    labels: BTreeSet<Label>,
    #[serde(default)]
    keep: Keep,
    #[serde(default)]
    accept: BTreeSet<String>,
    gpus: Option<Spanned<String>>,
    #[serde(default)]
    limits: BTreeMap<String, Spanned<String>>,
    /// Whether it has a Python environment.
    #[serde(default)]
    python: bool,
    /// Whether it has no code.
    #[serde(default, rename = "no-code")]
    no_code: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputText {
    from: Spanned<InputRef>,
    #[serde(default)]
    labels: BTreeSet<Label>,
    /// Runs that evaluated on it before.
    evaluations: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactsText {
    /// Elements whose snapshot the store does not have.
    #[serde(default)]
    missing: BTreeSet<Spanned<String>>,
    /// Elements that something in quarantine reaches.
    #[serde(default)]
    quarantined: BTreeSet<Spanned<String>>,
    /// Elements that are not pinned.
    #[serde(default)]
    unpinned: BTreeSet<Spanned<String>>,
    /// Why the host has no way out.
    #[serde(rename = "no-network")]
    no_network: Option<String>,
    /// Why it has none of the GPUs.
    #[serde(rename = "no-gpus")]
    no_gpus: Option<String>,
    /// Limits that it cannot enforce, and walls that it cannot make.
    #[serde(default, rename = "not-enforced")]
    not_enforced: BTreeSet<Spanned<String>>,
    /// Whether the run repeats another.
    #[serde(default)]
    replay: bool,
}

/// A digest that nothing but `name` has.
fn made_up(name: &str) -> Digest {
    Digest::of(format!("a case of policy tests: {name}").as_bytes())
}

impl File<'_> {
    /// The plan and the facts of the case whose name stands at `name`.
    pub(super) fn given(&mut self, name: Range<usize>, plan: PlanText, facts: FactsText) -> Given {
        let mut inputs = BTreeMap::new();
        let mut evaluations = BTreeMap::new();
        for (name, text) in plan.data {
            evaluations.extend(text.evaluations.map(|count| (name.clone(), count)));
            let input = self.input(&name, text);
            inputs.extend(input.map(|input| (name, input)));
        }
        let mut limits = Limits::default();
        for (key, text) in &plan.limits {
            if let Err(why) = set_limit(&mut limits, key, text.get_ref()) {
                self.source.problem(text.span(), format!("`{key}`: {why}"), "see `docs/spec.md`");
            }
        }
        let gpus = plan.gpus.and_then(|text| {
            let gpus = text.get_ref().parse::<Gpus>();
            gpus.map_err(|error| self.source.problem(text.span(), error, "write it as `--gpu` takes it")).ok()
        });
        let code =
            Code { snapshot: made_up("code"), files: 1, bytes: 1, git_commit: None, labels: BTreeSet::new() };
        let plan = Plan {
            experiment: plan.experiment,
            code: (!plan.no_code).then_some(code),
            environment: environment(plan.python),
            inputs,
            network: plan.network,
            limits,
            accept: plan.accept,
            gpus,
            observe_network: plan.observe,
            labels: plan.labels,
            keep: plan.keep,
            ..Plan::bare(self.project.clone(), vec!["true".to_owned()])
        };
        let bytes = question_bytes(&plan);
        if bytes > QUESTION_BYTES_MAX {
            let (bytes, most) = (ByteSize(bytes), ByteSize(QUESTION_BYTES_MAX));
            let message =
                format!("the policies would be asked {bytes}, and at most {most} are asked at once");
            self.source.problem(name, message, "name fewer labels or destinations");
        }
        let facts = self.facts(&plan, facts, evaluations);
        Given { plan, facts }
    }

    fn input(&mut self, name: &InputName, text: InputText) -> Option<Input> {
        let InputText { from, labels, .. } = text;
        let source = match from.get_ref() {
            InputRef::Dataset { name, version } => {
                InputSource::Dataset { name: name.clone(), version: version.unwrap_or(1) }
            }
            InputRef::Artifact { run, path } => {
                let Some(id) = run.as_id() else {
                    let help = "name a run of a case by a whole id, such as `run:000000000001/out/model`";
                    self.source.problem(from.span(), format!("`{run}` is no id of a run"), help);
                    return None;
                };
                InputSource::Artifact { run: id, path: path.clone() }
            }
        };
        Some(Input { snapshot: made_up(&format!("data.{name}")), source, files: 1, bytes: 1, labels })
    }

    fn facts(&mut self, plan: &Plan, text: FactsText, evaluations: BTreeMap<InputName, u64>) -> Facts {
        let mut known: BTreeSet<String> = plan.inputs.keys().map(|name| format!("data.{name}")).collect();
        known.extend(plan.code.is_some().then(|| "code".to_owned()));
        let trees = known.clone();
        let missing = self.elements(text.missing, |one| trees.contains(one), "`code`, `data.NAME`");
        let environment =
            |one: &str| ["environment", "host", "policy"].contains(&one) || one.starts_with("environment.");
        let any = "`code`, `data.NAME`, `environment`, `environment.PACKAGE`, `host`, `policy`";
        let quarantined = self.elements(text.quarantined, |one| known.contains(one) || environment(one), any);
        let unpinned = self.elements(text.unpinned, |one| known.contains(one) || environment(one), any);
        let unknown = |one: &str| LIMITS.contains(&one) || WALLS.contains(&one);
        let what = [&LIMITS[..], &WALLS[..]].concat().join("`, `");
        let not_enforced = self.elements(text.not_enforced, unknown, &format!("`{what}`"));
        let snapshots = plan.code.iter().map(|_| "code".to_owned()).chain(trees);
        Facts {
            present: snapshots.filter(|one| !missing.contains(one)).map(|one| made_up(&one)).collect(),
            quarantined: quarantined
                .into_iter()
                .map(|one| (one.clone(), in_quarantine(plan, &one)))
                .collect(),
            egress: text.no_network.map_or(Egress::Gateway, Egress::Unavailable),
            enforced_limits: LIMITS.into_iter().filter(|limit| !not_enforced.contains(*limit)).collect(),
            missing_walls: WALLS
                .into_iter()
                .filter(|wall| not_enforced.contains(*wall))
                .map(|wall| (wall, "a case says so"))
                .collect(),
            gpus: text.no_gpus,
            acceptable: ACCEPTABLE.into(),
            evaluations,
            unpinned: unpinned.into_iter().map(|one| (one, "a case says so".to_owned())).collect(),
            is_replay: text.replay,
            ..Facts::default()
        }
    }

    /// The elements of a list, each of which must be known.
    fn elements(
        &mut self,
        named: BTreeSet<Spanned<String>>,
        is_known: impl Fn(&str) -> bool,
        known: &str,
    ) -> BTreeSet<String> {
        for one in named.iter().filter(|one| !is_known(one.get_ref())) {
            let message = format!("`{}` is nothing that the plan of this case has", one.get_ref());
            self.source.problem(one.span(), message, format!("name one of {known}"));
        }
        named.into_iter().map(Spanned::into_inner).collect()
    }
}

fn environment(has_python: bool) -> Environment {
    let python = Python {
        prefix: "/venv".to_owned(),
        base_prefix: "/usr".to_owned(),
        version: "3".to_owned(),
        interpreter: made_up("python"),
        packages: Vec::new(),
    };
    let host = Host { kernel: "6".to_owned(), architecture: "x86_64".to_owned(), cpu: "one".to_owned() };
    Environment { python: has_python.then_some(python), variables: BTreeMap::new(), host }
}

impl Given {
    /// What is asked about it by `principal` under `policies` with `settings`.
    pub(super) fn question(
        &self,
        policies: &Policies,
        principal: Principal,
        settings: &Settings,
    ) -> Question {
        let digest = self.plan.digest().unwrap_or_else(|_| made_up("plan")); // It has no parameter, so it has a digest.
        policies.ask_with((&self.plan, digest), &self.facts, principal, settings)
    }
}

fn in_quarantine(plan: &Plan, element: &str) -> InQuarantine {
    let name = element.strip_prefix("data.").and_then(|name| name.parse().ok());
    let input = name.and_then(|name| plan.inputs.get::<InputName>(&name));
    let object = match input.map(|input| &input.source) {
        Some(InputSource::Dataset { name, version }) => {
            Object::Dataset { name: name.clone(), version: Some(*version) }
        }
        Some(InputSource::Artifact { run, .. }) => Object::Run(run.clone()),
        None => Object::Snapshot(made_up(element)),
    };
    InQuarantine { project: plan.project.clone(), object, path: Vec::new() }
}
