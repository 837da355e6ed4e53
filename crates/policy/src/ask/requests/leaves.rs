//! Requests for the two ways by which something leaves a run: the network, and what is kept.

use aseptic_model::{ByteSize, Destination, Grant, Input, Label, TlsNames};

use super::{Asked, request, texts};
use crate::ask::labels::{NAMES_MAX, is_held_out, is_release, is_restricting, kept_away, setting};
use crate::text::listed;
use crate::{Action, Egress, Kind, Request, Resource, Settings, Value};

impl Asked<'_> {
    pub(super) fn network(&self) -> Vec<Request> {
        let mut asked: Vec<Request> =
            self.plan.network.iter().map(|grant| self.connect(Some(grant))).collect();
        asked.extend(self.plan.observe_network.then(|| self.connect(None)));
        asked
    }

    /// A destination, or the wish to see what the job wants.
    fn connect(&self, grant: Option<&Grant>) -> Request {
        let name = grant.map_or_else(|| "observe".to_owned(), ToString::to_string);
        let sensitive: Vec<&Label> =
            grant.map_or_else(Vec::new, |grant| kept_away(self.labels, grant, self.settings));
        let context = [
            ("available", Value::Bool(matches!(self.facts.egress, Egress::Gateway))),
            ("observe", Value::Bool(grant.is_none())),
            self.labels(),
            ("sensitive", texts(&sensitive)),
            self.holdout(),
            ("wildcard", Value::Bool(grant.is_some_and(|g| matches!(g.host, Destination::Below(_))))),
            ("literal", Value::Bool(grant.is_some_and(|g| matches!(g.host, Destination::Address(_))))),
            ("anyName", Value::Bool(grant.is_some_and(|g| g.tls == TlsNames::Any))),
            ("port", Value::Long(grant.map_or(0, |grant| i64::from(grant.port)))),
            self.strict(),
        ];
        let element = format!("network.{name}");
        let mut asked = request(Action::Connect, &element, name.clone(), (Kind::Endpoint, &name), context);
        if let Some(grant) = grant {
            asked.within.push(Resource { kind: Kind::Host, name: grant.host.to_string() });
        }
        if let Egress::Unavailable(why) = &self.facts.egress {
            asked.shown.insert("why".to_owned(), why.clone());
        }
        if !sensitive.is_empty() {
            asked.shown.insert("setting".to_owned(), listed(&sensitive, NAMES_MAX, setting(&name)));
            asked.shown.insert("labelled".to_owned(), self.origins.describe(&sensitive));
        }
        asked.shown.extend(self.held_out());
        asked
    }

    pub(super) fn output(&self) -> Request {
        let restricting: Vec<&Label> = self.labels.iter().filter(|label| is_restricting(label)).collect();
        let (unbounded, planned) = self.unbounded();
        let context = [
            self.labels(),
            ("sensitive", texts(&self.sensitive)),
            ("restricting", texts(&restricting)),
            ("release", Value::Bool(is_release(self.labels))),
            self.holdout(),
            ("evaluation", Value::Bool(self.held_out_inputs().next().is_some())),
            self.keep(),
            ("bounded", Value::Bool(unbounded.is_none())),
        ];
        let value = self.plan.keep.as_str().to_owned();
        let resource = (Kind::Output, self.project().as_str());
        let mut asked = request(Action::Write, "outputs", value, resource, context);
        if !self.sensitive.is_empty() {
            asked.shown.insert("labelled".to_owned(), self.origins.describe(&self.sensitive));
        }
        if !restricting.is_empty() {
            asked.shown.insert("licensed".to_owned(), self.origins.describe(&restricting));
        }
        // What settings are compared with, so that others can be.
        asked.shown.extend(planned.map(|planned| ("metricsPlanned".to_owned(), planned.exact())));
        if let Some(held_out) = self.held_out() {
            let most = ByteSize(self.settings.metrics_bytes).exact();
            asked.shown.extend([held_out, ("metricsMax".to_owned(), most)]);
            asked.shown.extend(unbounded.map(|why| ("unbounded".to_owned(), why)));
        }
        asked
    }

    /// Why more than metrics could leave the run, if it could; and the limit on metrics, where settings decide that.
    fn unbounded(&self) -> (Option<String>, Option<ByteSize>) {
        let limits = &self.plan.limits;
        match limits.metrics_bytes.map(ByteSize) {
            _ if limits.outputs_bytes.is_none() => (Some("it has no limit `outputs`".to_owned()), None),
            None => (Some("its plan does not limit metrics".to_owned()), None),
            Some(planned) => (too_many_metrics(planned, self.settings), Some(planned)),
        }
    }

    fn held_out_inputs(&self) -> impl Iterator<Item = &Input> {
        self.plan.inputs.values().filter(|input| is_held_out(&input.labels))
    }

    /// What messages say of the hold-out data that the run has.
    fn held_out(&self) -> Option<(String, String)> {
        let inputs = self.held_out_inputs().map(|input| format!("`{}`", input.source));
        let own = is_held_out(&self.plan.labels).then(|| "its own label".to_owned());
        let code =
            self.plan.code.iter().filter(|code| is_held_out(&code.labels)).map(|_| "`code`".to_owned());
        let names: Vec<String> = inputs.chain(code).chain(own).collect();
        (!names.is_empty()).then(|| ("heldOut".to_owned(), listed(&names, NAMES_MAX, Clone::clone)))
    }
}

/// Why a plan that limits metrics to `planned` lets too much of them leave the run, if it does.
pub(crate) fn too_many_metrics(planned: ByteSize, settings: &Settings) -> Option<String> {
    let most = ByteSize(settings.metrics_bytes);
    (planned > most)
        .then(|| format!("its plan lets {} of metrics leave it, where {} may", planned.exact(), most.exact()))
}
