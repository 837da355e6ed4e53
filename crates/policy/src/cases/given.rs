//! A plan in short, and what is found out about it: everything that a case does not name is as a small run without
//! inputs has it, on a host that can do everything.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::spec::set_limit;
use aseptic_model::{
    Clock, Code, Digest, Environment, ExperimentName, Gpus, Grant, Host, Input, InputName, InputRef,
    InputSource, Keep, Label, Limits, Object, PLAN_FORMAT, Plan, Python,
};
use serde::Deserialize;
use toml::Spanned;

use super::{PROBLEMS_MAX, Source};
use crate::{
    Egress, Facts, InQuarantine, Policies, Principal, Problem, QUESTION_FORMAT, Question, Settings, requests,
    risk,
};

/// What a plan may go without where the host cannot enforce it, if it says so.
pub const ACCEPTABLE: [&str; 4] = ["landlock", "memory", "cpus", "scratch"];

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

impl Source<'_> {
    pub(super) fn given(&self, plan: PlanText, facts: FactsText) -> Result<Given, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut inputs = BTreeMap::new();
        let mut evaluations = BTreeMap::new();
        for (name, text) in plan.data {
            if problems.len() >= PROBLEMS_MAX {
                break;
            }
            evaluations.extend(text.evaluations.map(|count| (name.clone(), count)));
            match self.input(&name, text) {
                Ok(input) => drop(inputs.insert(name, input)),
                Err(problem) => problems.push(problem),
            }
        }
        let mut limits = Limits::default();
        // There are fewer limits than this, so that one of so many is wrong.
        for (key, text) in plan.limits.iter().take(PROBLEMS_MAX) {
            if let Err(why) = set_limit(&mut limits, key, text.get_ref()) {
                problems.push(self.problem(text.span(), format!("`{key}`: {why}"), "see `docs/spec.md`"));
            }
        }
        let gpus = plan.gpus.and_then(|text| {
            let wrong = |error: aseptic_model::GpusError| {
                problems.push(self.problem(text.span(), error.to_string(), "write it as `--gpu` takes it"));
            };
            text.get_ref().parse::<Gpus>().map_err(wrong).ok()
        });
        let code =
            Code { snapshot: made_up("code"), files: 1, bytes: 1, git_commit: None, labels: BTreeSet::new() };
        let plan = Plan {
            format: PLAN_FORMAT.to_owned(),
            project: self.project.clone(),
            experiment: plan.experiment,
            command: vec!["true".to_owned()],
            params: BTreeMap::new(),
            code: (!plan.no_code).then_some(code),
            environment: environment(plan.python),
            inputs,
            network: plan.network,
            limits,
            accept: plan.accept,
            gpus,
            ports: None,
            clock: Clock::Host,
            observe_network: plan.observe,
            labels: plan.labels,
            keep: plan.keep,
            policy: None,
        };
        let facts = self.facts(&plan, facts, evaluations, &mut problems);
        if problems.is_empty() { Ok(Given { plan, facts }) } else { Err(problems) }
    }

    fn input(&self, name: &InputName, text: InputText) -> Result<Input, Problem> {
        let InputText { from, labels, .. } = text;
        let source = match from.get_ref() {
            InputRef::Dataset { name, version } => {
                InputSource::Dataset { name: name.clone(), version: version.unwrap_or(1) }
            }
            InputRef::Artifact { run, path } => {
                let Some(id) = run.as_id() else {
                    let message = format!("`{run}` is no id of a run");
                    return Err(self.problem(
                        from.span(),
                        message,
                        "name a run of a case by a whole id, such as \
                                            `run:000000000001/out/model`",
                    ));
                };
                InputSource::Artifact { run: id, path: path.clone() }
            }
        };
        Ok(Input { snapshot: made_up(&format!("data.{name}")), source, files: 1, bytes: 1, labels })
    }

    fn facts(
        &self,
        plan: &Plan,
        text: FactsText,
        evaluations: BTreeMap<InputName, u64>,
        problems: &mut Vec<Problem>,
    ) -> Facts {
        let mut known: BTreeSet<String> = plan.inputs.keys().map(|name| format!("data.{name}")).collect();
        known.extend(plan.code.is_some().then(|| "code".to_owned()));
        let trees = known.clone();
        let missing = self.elements(text.missing, problems, |one| trees.contains(one), "`code`, `data.NAME`");
        let environment =
            |one: &str| ["environment", "host", "policy"].contains(&one) || one.starts_with("environment.");
        let any = "`code`, `data.NAME`, `environment`, `environment.PACKAGE`, `host`, `policy`";
        let quarantined =
            self.elements(text.quarantined, problems, |one| known.contains(one) || environment(one), any);
        let unpinned =
            self.elements(text.unpinned, problems, |one| known.contains(one) || environment(one), any);
        let unknown = |one: &str| LIMITS.contains(&one) || WALLS.contains(&one);
        let what = [&LIMITS[..], &WALLS[..]].concat().join("`, `");
        let not_enforced = self.elements(text.not_enforced, problems, unknown, &format!("`{what}`"));
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
        &self,
        named: BTreeSet<Spanned<String>>,
        problems: &mut Vec<Problem>,
        is_known: impl Fn(&str) -> bool,
        known: &str,
    ) -> BTreeSet<String> {
        for one in named.iter().filter(|one| !is_known(one.get_ref())).take(PROBLEMS_MAX) {
            let message = format!("`{}` is nothing that the plan of this case has", one.get_ref());
            problems.push(self.problem(one.span(), message, &format!("name one of {known}")));
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
        let requests = requests(&self.plan, &self.facts, settings);
        Question {
            format: QUESTION_FORMAT.to_owned(),
            policy: policies.digest(),
            plan: self.plan.digest().unwrap_or_else(|_| made_up("plan")), // It has no parameter, so it has a digest.
            project: self.plan.project.clone(),
            principal,
            risk: Some(risk(&requests)),
            requests,
        }
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
