//! A plan as requests: one for each element, with its facts as context.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Digest, Input, InputSource, Label, PLAN_FORMAT, Plan, ProjectName, escape_bytes};

use crate::ask::labels::{Origins, is_held_out, is_release_label, is_sensitive};
use crate::{Action, Facts, InQuarantine, Kind, RISK_MAX, Request, Resource, Settings, Value, risk};

mod enforce;
mod leaves;

pub(crate) use leaves::too_many_metrics;

/// Most bytes of the question about a plan, so that it can be kept, and decided in seconds.
pub const QUESTION_BYTES_MAX: u64 = 16 << 20;

/// About how many bytes a request has without labels.
const ELEMENT_BYTES: u64 = 1 << 10;

/// Requests with the labels of the outputs that every plan may have: the run, what it leaves, limits and walls.
const LABELLED_AT_MOST: usize = 32;

/// The snapshots of a plan: what to look up for [`Facts`].
pub fn snapshots(plan: &Plan) -> impl Iterator<Item = Digest> {
    let code = plan.code.iter().map(|code| code.snapshot);
    code.chain(plan.inputs.values().map(|input| input.snapshot))
}

/// About how many bytes the question about `plan` has as JSON: what it names, and the labels of its outputs once for
/// each element that a rule about labels is asked of.
#[must_use]
pub fn question_bytes(plan: &Plan) -> u64 {
    let bytes =
        |labels: &BTreeSet<Label>| labels.iter().map(|label| label.as_str().len() as u64 + 3).sum::<u64>();
    let inputs = plan.inputs.values().map(|input| ELEMENT_BYTES + bytes(&input.labels)).sum::<u64>();
    let labelled = plan.network.len() + plan.accept.len() + LABELLED_AT_MOST;
    inputs + labelled as u64 * (ELEMENT_BYTES + 2 * bytes(&plan.output_labels()))
}

/// The requests of `plan`, in a fixed order: the run, its code and inputs, environment, network, output, GPUs, and
/// what cannot be enforced. Of a plan of another version only whether it may run: its elements may mean something else.
#[must_use]
pub(crate) fn requests(plan: &Plan, facts: &Facts, settings: &Settings) -> Vec<Request> {
    let labels = plan.output_labels();
    let sensitive = labels.iter().filter(|label| is_sensitive(label, settings)).collect();
    let asked = Asked { plan, facts, settings, labels: &labels, sensitive, origins: Origins::of(plan) };
    let mut requests = vec![asked.start()];
    if plan.format != PLAN_FORMAT {
        return requests;
    }
    requests.extend(asked.code());
    requests.extend(plan.inputs.iter().map(|(name, input)| asked.input(&format!("data.{name}"), input)));
    requests.extend(asked.environment());
    requests.extend(asked.network());
    requests.push(asked.output());
    requests.extend(asked.gpus());
    requests.extend(asked.limits());
    requests.extend(asked.walls());
    requests.extend(asked.accepted());
    let score = i64::from(risk(&requests).score);
    for request in &mut requests {
        if request.action == Action::Start {
            request.context.insert("risk".to_owned(), Value::Long(score));
        }
        if matches!(request.resource.kind, Kind::Version | Kind::Artifact | Kind::Code | Kind::Output) {
            request.within.push(Resource { kind: Kind::Project, name: plan.project.to_string() });
        }
        // Outputs to be given to others are that because of a label, wherever else something was said of them.
        let release = plan.labels.iter().find(|label| request.says("release") && is_release_label(label));
        let said = release.and_then(|label| facts.places.get(&format!("labels.{label}")));
        let place = |name: &str| facts.places.get(name);
        let near = || element_nearby(request).and_then(|name| place(&name));
        request.at = said.or_else(|| place(&request.element)).or_else(near).cloned();
    }
    requests
}

/// The element that somebody named, of one that nobody names: who accepts that a wall is missing has said so, and code is
/// there for a run.
fn element_nearby(request: &Request) -> Option<String> {
    match request.resource.kind {
        Kind::Wall if request.says("accepted") => Some(format!("accept.{}", request.value)),
        Kind::Code => Some("run".to_owned()),
        _ => None,
    }
}

struct Asked<'p> {
    plan: &'p Plan,
    facts: &'p Facts,
    settings: &'p Settings,
    /// Of the outputs.
    labels: &'p BTreeSet<Label>,
    /// Those of them that must not meet a network.
    sensitive: Vec<&'p Label>,
    origins: Origins<'p>,
}

/// A request without a place.
fn request(
    action: Action,
    element: &str,
    value: String,
    (kind, name): (Kind, &str),
    context: impl IntoIterator<Item = (&'static str, Value)>,
) -> Request {
    Request {
        element: element.to_owned(),
        value,
        at: None,
        action,
        resource: Resource { kind, name: name.to_owned() },
        within: Vec::new(),
        context: context.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        shown: BTreeMap::new(),
    }
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Value {
    Value::Set(values.into_iter().map(|value| value.to_string()).collect())
}

/// The largest whole number that canonical JSON keeps: its numbers are doubles (RFC 8785, section 3.2.2.3).
const WHOLE_MAX: i64 = (1 << 53) - 1;

/// A number, or the largest one that a question can keep.
fn whole(number: u64) -> Value {
    Value::Long(i64::try_from(number).unwrap_or(i64::MAX).min(WHOLE_MAX))
}

fn shown<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

impl Asked<'_> {
    fn project(&self) -> &ProjectName {
        &self.plan.project
    }

    fn strict(&self) -> (&'static str, Value) {
        ("strict", Value::Bool(self.settings.strict))
    }

    fn labels(&self) -> (&'static str, Value) {
        ("labels", texts(self.labels))
    }

    fn holdout(&self) -> (&'static str, Value) {
        ("holdout", Value::Bool(is_held_out(self.labels)))
    }

    fn keep(&self) -> (&'static str, Value) {
        ("keep", Value::Text(self.plan.keep.as_str().to_owned()))
    }

    fn quarantined(&self, element: &str) -> (&'static str, Value) {
        ("quarantined", Value::Bool(self.facts.quarantined.contains_key(element)))
    }

    /// What messages say of something in quarantine.
    fn quarantine(&self, element: &str, alternative: &str) -> BTreeMap<String, String> {
        let Some(found) = self.facts.quarantined.get(element) else { return BTreeMap::new() };
        let InQuarantine { project, object, .. } = found;
        shown([
            ("quarantine", found.describe()),
            ("alternative", alternative.to_owned()),
            ("command", format!("aseptic quarantine show {object} --project {project}")),
        ])
    }

    fn start(&self) -> Request {
        let context = [
            ("otherFormat", Value::Bool(self.plan.format != PLAN_FORMAT)),
            self.labels(),
            self.strict(),
            ("unpinned", texts(self.facts.unpinned.keys())),
            ("softLimits", texts(self.soft_limits())),
            ("replay", Value::Bool(self.facts.is_replay)),
            ("policyQuarantined", Value::Bool(self.facts.quarantined.contains_key("policy"))),
            ("hostQuarantined", Value::Bool(self.facts.quarantined.contains_key("host"))),
        ];
        let value = self.plan.experiment.as_ref().map_or_else(|| "run".to_owned(), ToString::to_string);
        let mut asked =
            request(Action::Start, "run", value, (Kind::Project, self.project().as_str()), context);
        asked.context.insert("risk".to_owned(), Value::Long(i64::from(RISK_MAX)));
        if self.plan.format != PLAN_FORMAT {
            let format = escape_bytes(self.plan.format.as_bytes());
            asked.shown = shown([("format", format), ("formatKnown", PLAN_FORMAT.to_owned())]);
        }
        asked
    }

    fn code(&self) -> Option<Request> {
        let code = self.plan.code.as_ref()?;
        let name = code.snapshot.to_string();
        let mut asked = self.mount("code", code.snapshot, &code.labels, (Kind::Code, &name));
        asked.context.insert("dirty".to_owned(), Value::Bool(self.facts.unpinned.contains_key("code")));
        asked.shown.extend(self.quarantine("code", "change the code"));
        asked.shown.extend(self.unpinned("code"));
        let recognised =
            self.facts.recognised.clone().unwrap_or_else(|| "data that was recognised".to_owned());
        asked.shown.insert("recognised".to_owned(), recognised);
        asked
            .shown
            .insert("remedy".to_owned(), "plan the run again, which captures the code again".to_owned());
        Some(asked)
    }

    fn input(&self, element: &str, input: &Input) -> Request {
        let source = input.source.to_string();
        let (kind, alternative, remedy) = match &input.source {
            InputSource::Dataset { name, .. } => (
                Kind::Version,
                "name another version",
                format!("import `{name}` again, or name a version that the store has"),
            ),
            InputSource::Artifact { run, .. } => {
                (Kind::Artifact, "name another run", format!("repeat the run `{run}`, or name another one"))
            }
        };
        let mut asked = self.mount(element, input.snapshot, &input.labels, (kind, &source));
        if let InputSource::Dataset { name, .. } = &input.source {
            asked.within.push(Resource { kind: Kind::Dataset, name: name.to_string() });
        }
        asked.value = source;
        asked.shown.extend(self.quarantine(element, alternative));
        if is_held_out(&input.labels) {
            asked.shown.extend(self.evaluation(element, &input.source));
        }
        asked.shown.insert("remedy".to_owned(), remedy);
        asked
    }

    fn mount(
        &self,
        element: &str,
        snapshot: Digest,
        labels: &BTreeSet<Label>,
        resource: (Kind, &str),
    ) -> Request {
        let context = [
            ("present", Value::Bool(self.facts.present.contains(&snapshot))),
            self.quarantined(element),
            ("labels", texts(labels)),
            ("holdout", Value::Bool(is_held_out(labels))),
            self.keep(),
            (
                "evaluations",
                whole(if is_held_out(labels) { self.evaluations(element).unwrap_or(u64::MAX) } else { 0 }),
            ),
            ("evaluationsMax", whole(u64::from(self.settings.evaluations))),
            self.strict(),
            ("dirty", Value::Bool(false)),
        ];
        let mut asked = request(Action::Mount, element, snapshot.short().to_string(), resource, context);
        asked.shown.insert("snapshot".to_owned(), snapshot.short().to_string());
        asked
    }

    /// How many runs of the project were let at this hold-out before; nothing where nobody counted.
    fn evaluations(&self, element: &str) -> Option<u64> {
        let name = element.strip_prefix("data.").and_then(|name| name.parse().ok());
        name.and_then(|name| self.facts.evaluations.get(&name)).copied()
    }

    /// What messages say of an evaluation on hold-out data.
    fn evaluation(&self, element: &str, source: &InputSource) -> BTreeMap<String, String> {
        let number = self.evaluations(element).map(|before| before.saturating_add(1).to_string());
        let number = number.unwrap_or_else(|| "?".to_owned());
        let name = match source {
            InputSource::Dataset { name, .. } => name.to_string(),
            InputSource::Artifact { .. } => source.to_string(),
        };
        shown([("dataset", name), ("evaluation", format!("{number} of {}", self.settings.evaluations))])
    }

    /// The Python environment, and whatever else of it, of the machine or of the policies is in quarantine or not
    /// pinned.
    fn environment(&self) -> Vec<Request> {
        let python = self.plan.environment.python.as_ref();
        let python = python.map(|python| ("environment", escape_bytes(python.prefix.as_bytes())));
        let found = self.facts.quarantined.keys().chain(self.facts.unpinned.keys()).map(String::as_str);
        let found = found.filter(|element| *element != "code" && !element.starts_with("data."));
        let mut elements: BTreeMap<&str, String> =
            found.map(|element| (element, element.to_owned())).collect();
        elements.extend(python);
        let ask = |(element, value): (&str, String)| {
            let alternative = match element {
                "environment" => "use another environment",
                "host" => "use another host",
                "policy" => "use other policies",
                _ if element.starts_with("environment.") => "use an environment without it",
                _ => "do without it",
            };
            let context = [
                self.quarantined(element),
                ("pinned", Value::Bool(!self.facts.unpinned.contains_key(element))),
                self.strict(),
            ];
            let resource = (Kind::Environment, value.as_str());
            let mut asked = request(Action::UseEnv, element, value.clone(), resource, context);
            asked.shown.extend(self.quarantine(element, alternative));
            asked.shown.extend(self.unpinned(element));
            asked
        };
        elements.into_iter().map(ask).collect()
    }

    /// What messages say of something that is not pinned.
    fn unpinned(&self, element: &str) -> Option<(String, String)> {
        self.facts.unpinned.get(element).map(|why| ("unpinned".to_owned(), why.clone()))
    }
}
