//! A question that was asked before, as other policies would be asked it.

use std::collections::BTreeSet;

use aseptic_model::{ByteSize, Grant, Label};

use crate::ask::labels::{NAMES_MAX, is_sensitive, kept_away, setting};
use crate::ask::requests::too_many_metrics;
use crate::text::listed;
use crate::{Action, Policies, Principal, Question, Request, Role, Settings, Value, risk};

impl Policies {
    /// `question` as these policies would be asked it: facts and plan are those of then, what settings say and which
    /// roles the user has are those of now.
    #[must_use]
    pub fn restate(&self, question: &Question) -> Question {
        let principal = self.principal(&question.principal.user, true);
        self.restate_as(question, principal, self.settings())
    }

    /// As [`Self::restate`], for somebody else and with other settings.
    #[must_use]
    pub fn restate_as(&self, question: &Question, principal: Principal, settings: &Settings) -> Question {
        let mut restated = Question { policy: self.digest(), principal, ..question.clone() };
        for request in &mut restated.requests {
            set(request, settings);
        }
        if restated.risk.is_some() {
            let risk = risk(&restated.requests);
            let starts = restated.requests.iter_mut().filter(|request| request.action == Action::Start);
            for request in starts.filter(|request| !request.says("otherFormat")) {
                request.context.insert("risk".to_owned(), Value::Long(i64::from(risk.score)));
            }
            restated.risk = Some(risk);
        }
        restated
    }

    /// What `user` is. Without a roles file, whoever `owns` the state directory is its owner, and nobody else is
    /// anything: the administrator of the machine too.
    #[must_use]
    pub fn principal(&self, user: &str, owns: bool) -> Principal {
        match self.roles() {
            Some(roles) => roles.principal(user),
            None => {
                let roles = owns.then_some(Role::Owner).into_iter().collect();
                Principal { user: user.to_owned(), roles, ..Principal::default() }
            }
        }
    }
}

/// Sets everything that settings say in what policies may look at.
fn set(request: &mut Request, settings: &Settings) {
    if let Some(strict) = request.context.get_mut("strict") {
        *strict = Value::Bool(settings.strict);
    }
    if let Some(most) = request.context.get_mut("evaluationsMax") {
        *most = Value::Long(i64::from(settings.evaluations));
    }
    if let Some(evaluation) = request.shown.get_mut("evaluation")
        && let Some((number, _)) = evaluation.split_once(" of ")
    {
        *evaluation = format!("{number} of {}", settings.evaluations);
    }
    if let Some(most) = request.shown.get_mut("metricsMax") {
        *most = ByteSize(settings.metrics_bytes).exact();
    }
    set_bound(request, settings);
    let (Some(Value::Set(labels)), true) =
        (request.context.get("labels"), request.context.contains_key("sensitive"))
    else {
        return;
    };
    let labels: BTreeSet<Label> = labels.iter().filter_map(|label| label.parse().ok()).collect();
    let sensitive: Vec<&Label> = match (request.action, request.value.parse::<Grant>()) {
        (Action::Connect, Ok(grant)) => kept_away(&labels, &grant, settings),
        // The wish to see what the job wants reaches nothing.
        (Action::Connect, Err(_)) => Vec::new(),
        _ => labels.iter().filter(|label| is_sensitive(label, settings)).collect(),
    };
    let names = Value::Set(sensitive.iter().map(ToString::to_string).collect());
    if request.context.get("sensitive") != Some(&names) {
        request.context.insert("sensitive".to_owned(), names);
        say(request, &sensitive);
    }
}

/// Sets whether the plan lets no more metrics leave the run than these settings permit, where a limit of it decides
/// that. Questions of earlier versions do not have the limit, and keep the answer of then.
fn set_bound(request: &mut Request, settings: &Settings) {
    let planned = request.shown.get("metricsPlanned").and_then(|planned| planned.parse().ok());
    let (Some(planned), Some(bounded)) = (planned, request.context.get_mut("bounded")) else { return };
    let unbounded = too_many_metrics(planned, settings);
    *bounded = Value::Bool(unbounded.is_none());
    request.shown.remove("unbounded");
    if request.shown.contains_key("heldOut") {
        request.shown.extend(unbounded.map(|why| ("unbounded".to_owned(), why)));
    }
}

/// Says which labels are sensitive now; where each came from, a question does not keep.
fn say(request: &mut Request, sensitive: &[&Label]) {
    request.shown.remove("labelled");
    request.shown.remove("setting");
    if sensitive.is_empty() {
        return;
    }
    let labelled = listed(sensitive, NAMES_MAX, |label| format!("`{label}`"));
    request.shown.insert("labelled".to_owned(), labelled);
    if request.action == Action::Connect {
        let line = setting(&request.value);
        request.shown.insert("setting".to_owned(), listed(sensitive, NAMES_MAX, line));
    }
}
