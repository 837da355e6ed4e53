//! A plan with what is known about it, to be changed by one thing after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::LazyLock;

use aseptic_model::{
    Code, Decision, Digest, Environment, Gpus, Input, InputName, InputSource, Keep, Limits, Object, Outcome,
    Plan, Python, Reason, RunId,
};
use aseptic_policy::{
    Egress, Facts, InQuarantine, Policies, PolicyDocument, Principal, Question, Role, Settings, is_held_out,
};

pub(crate) static SHIPPED: LazyLock<Policies> =
    LazyLock::new(|| Policies::parse(PolicyDocument::new(BTreeMap::new())).unwrap());

/// A plan, the facts about it, the settings of the project, and who wants it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) plan: Plan,
    pub(crate) facts: Facts,
    pub(crate) settings: Settings,
    pub(crate) role: Role,
}

/// An experimenter trains on `digits-train@3`, with pinned code and environment and a few limits, on a host that has
/// everything.
pub(crate) fn trains() -> Case {
    let case =
        Case { plan: empty(), facts: facts(), settings: Settings::default(), role: Role::Experimenter };
    case.input("train", "digits-train@3", &[])
}

/// The same person evaluates on `digits-test@1`, which is held out, as the rules want it.
pub(crate) fn evaluates() -> Case {
    trains()
        .input("test", "digits-test@1", &["holdout"])
        .evaluations(2)
        .keeps_metrics()
        .outputs(1 << 20)
        .metrics(1 << 10)
}

fn empty() -> Plan {
    let code =
        Code { snapshot: Digest::of(b"code"), files: 1, bytes: 1, git_commit: None, labels: BTreeSet::new() };
    let python = Python {
        prefix: "/home/ada/digits/.venv".to_owned(),
        base_prefix: "/usr".to_owned(),
        version: "3.11.7".to_owned(),
        interpreter: Digest::of(b"python"),
        packages: Vec::new(),
    };
    Plan {
        experiment: Some("train".parse().unwrap()),
        code: Some(code),
        environment: Environment { python: Some(python), ..Environment::default() },
        limits: Limits {
            memory_bytes: Some(1 << 30),
            cpus: Some(2),
            scratch_bytes: Some(1 << 30),
            ..Limits::default()
        },
        ..Plan::bare("digits".parse().unwrap(), vec!["python".to_owned(), "train.py".to_owned()])
    }
}

fn facts() -> Facts {
    Facts {
        present: [Digest::of(b"code")].into(),
        egress: Egress::Gateway,
        enforced_limits: BTreeSet::from(["cpus", "memory", "outputs", "scratch"]),
        acceptable: BTreeSet::from(["cpus", "landlock", "memory", "scratch"]),
        ..Facts::default()
    }
}

/// `digits@1` or `run:8m3k00000000`.
fn source(text: &str) -> InputSource {
    match text.split_once('@') {
        Some((name, version)) => {
            InputSource::Dataset { name: name.parse().unwrap(), version: version.parse().unwrap() }
        }
        None => {
            InputSource::Artifact { run: text.strip_prefix("run:").unwrap().parse().unwrap(), path: None }
        }
    }
}

impl Case {
    pub(crate) fn input(mut self, name: &str, from: &str, labels: &[&str]) -> Self {
        let snapshot = Digest::of(from.as_bytes());
        let labels = labels.iter().map(|label| label.parse().unwrap()).collect();
        let input = Input { source: source(from), snapshot, files: 1, bytes: 1, labels };
        self.plan.inputs.insert(name.parse().unwrap(), input);
        self.facts.present.insert(snapshot);
        self.counted(name)
    }

    /// As the runner counts: every input that is hold-out data, from 0.
    fn counted(mut self, name: &str) -> Self {
        let name: InputName = name.parse().unwrap();
        if is_held_out(&self.plan.inputs[&name].labels) {
            self.facts.evaluations.entry(name).or_insert(0);
        }
        self
    }

    pub(crate) fn uncounted(mut self) -> Self {
        self.facts.evaluations.clear();
        self
    }

    /// A label on the training data.
    pub(crate) fn labelled(mut self, label: &str) -> Self {
        let train: InputName = "train".parse().unwrap();
        self.plan.inputs.get_mut(&train).unwrap().labels.insert(label.parse().unwrap());
        self.counted("train")
    }

    /// A label of the run itself.
    pub(crate) fn own_label(mut self, label: &str) -> Self {
        self.plan.labels.insert(label.parse().unwrap());
        self
    }

    pub(crate) fn network(mut self, grant: &str) -> Self {
        self.plan.network.insert(grant.parse().unwrap());
        self
    }

    pub(crate) fn observes(mut self) -> Self {
        self.plan.observe_network = true;
        self
    }

    pub(crate) fn accepts(mut self, name: &str) -> Self {
        self.plan.accept.insert(name.to_owned());
        self
    }

    pub(crate) fn gpus(mut self, gpus: &str) -> Self {
        self.plan.gpus = Some(gpus.parse::<Gpus>().unwrap());
        self
    }

    pub(crate) fn keeps_metrics(mut self) -> Self {
        self.plan.keep = Keep::Metrics;
        self
    }

    /// Data with this label lies in its code.
    pub(crate) fn in_code(mut self, label: &str, recognised: &str) -> Self {
        let code = self.plan.code.as_mut().unwrap();
        code.labels.insert(label.parse().unwrap());
        self.facts.recognised = Some(recognised.to_owned());
        self
    }

    pub(crate) fn keeps_everything(mut self) -> Self {
        self.plan.keep = Keep::Everything;
        self
    }

    pub(crate) fn outputs(mut self, bytes: u64) -> Self {
        self.plan.limits.outputs_bytes = Some(bytes);
        self
    }

    /// The plan lets so many bytes of metrics leave the run.
    pub(crate) fn metrics(mut self, bytes: u64) -> Self {
        self.plan.limits.metrics_bytes = Some(bytes);
        self
    }

    pub(crate) fn unbounded_outputs(mut self) -> Self {
        self.plan.limits.outputs_bytes = None;
        self
    }

    /// So many runs of the project were let at `data.test` before.
    pub(crate) fn evaluations(mut self, before: u64) -> Self {
        self.facts.evaluations.insert("test".parse().unwrap(), before);
        self
    }

    pub(crate) fn evaluations_max(mut self, most: u32) -> Self {
        self.settings.evaluations = most;
        self
    }

    pub(crate) fn without_landlock(mut self) -> Self {
        self.facts.missing_walls.insert("landlock", "this kernel has no Landlock");
        self
    }

    pub(crate) fn without_network(mut self) -> Self {
        self.facts.egress = Egress::Unavailable("this kernel has no nftables".to_owned());
        self
    }

    pub(crate) fn without_limit(mut self, name: &str) -> Self {
        self.facts.enforced_limits.retain(|limit| *limit != name);
        self
    }

    pub(crate) fn without_gpu(mut self) -> Self {
        self.facts.gpus = Some("this machine has no GPU 7; it has 0".to_owned());
        self
    }

    pub(crate) fn without_objects(mut self) -> Self {
        self.facts.present = [Digest::of(b"code")].into();
        self
    }

    pub(crate) fn unpinned(mut self, element: &str, why: &str) -> Self {
        self.facts.unpinned.insert(element.to_owned(), why.to_owned());
        self
    }

    pub(crate) fn soft(mut self, limit: &'static str) -> Self {
        self.facts.soft_limits.insert(limit);
        self
    }

    pub(crate) fn quarantined(mut self, element: &str, object: &str, through: &[u64]) -> Self {
        let path = through.iter().map(|run| Object::Run(RunId::from_random(*run))).collect();
        let found =
            InQuarantine { project: "digits".parse().unwrap(), object: object.parse().unwrap(), path };
        self.facts.quarantined.insert(element.to_owned(), found);
        self
    }

    pub(crate) fn strict(mut self) -> Self {
        self.settings.strict = true;
        self
    }

    /// `[labels.LABEL] hosts = [HOSTS]`.
    pub(crate) fn setting(mut self, label: &str, hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        self.settings.labels.insert(label.parse().unwrap(), hosts);
        self
    }

    pub(crate) fn wanted_by(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Where an element was said.
    pub(crate) fn at(mut self, element: &str, place: &str) -> Self {
        self.facts.places.insert(element.to_owned(), place.to_owned());
        self
    }

    pub(crate) fn of_format(mut self, format: &str) -> Self {
        self.plan.format = format.to_owned();
        self
    }

    pub(crate) fn replays(mut self) -> Self {
        self.facts.is_replay = true;
        self
    }

    pub(crate) fn question(&self) -> Question {
        let ada = Principal { user: "ada".to_owned(), roles: [self.role].into(), ..Principal::default() };
        SHIPPED.ask_with((&self.plan, self.plan.digest().unwrap()), &self.facts, ada, &self.settings)
    }

    pub(crate) fn decide(&self) -> Decision {
        SHIPPED.decide(&self.question())
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.decide().outcome
    }
}

/// A reason as people read it.
pub(crate) fn rendered(reason: &Reason) -> String {
    let mut text = format!("{}: {}", reason.outcome.as_str(), reason.element);
    if let Some(value) = &reason.value {
        let _ = write!(text, " = {value}");
    }
    if let Some(at) = &reason.at {
        let _ = write!(text, " ({at})");
    }
    let _ =
        write!(text, "\n  rule:  {}\n  what:  {}\n  help:  {}", reason.rule, reason.message, reason.advice);
    if let Some(role) = &reason.grant {
        let _ = write!(text, "\n  grant: {role}");
    }
    text
}
