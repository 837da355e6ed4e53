//! Decide: every request of a question is asked, and what comes of it is said in words.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{Decision, Outcome, ProjectName, Reason};
use cedar_policy::{Authorizer, Effect};

use crate::entity::{Ask, Asker};
use crate::reading::NEEDS_APPROVAL;
use crate::rule::{Rule, read_together};
use crate::slice::{principal, speaks_of};
use crate::words::{filled, shown};
use crate::{
    Act, Action, Kind, Policies, Principal, QUESTION_FORMAT, Question, Request, Resource, Role, Value,
};

/// What was said about one request.
#[derive(Debug, Default)]
pub(crate) struct Judged<'p> {
    /// The policies that permit it, by id.
    pub(crate) permits: Vec<&'p Rule>,
    /// The policies that forbid it, by id.
    pub(crate) forbids: Vec<&'p Rule>,
    /// Why it is not allowed; nothing when it is.
    pub(crate) reasons: Vec<Reason>,
}

/// A request, or an act of a command.
struct Asked<'q> {
    action: &'static str,
    /// What the action does, as in "may …".
    deed: &'static str,
    request: &'q Request,
}

/// Most characters of an element or a value in a reason.
const VALUE_CHARS_MAX: usize = 500;

/// Most users that an advice names.
const USERS_MAX: usize = 5;

impl Policies {
    /// Decides. Allowed when every request is permitted and none is forbidden, and the question fits these policies.
    #[must_use]
    pub fn decide(&self, question: &Question) -> Decision {
        if let Some(reason) = self.misfit(question) {
            return Decision::of([reason]);
        }
        Decision::of(self.judge(question).flat_map(|judged| judged.reasons))
    }

    /// Whether `principal` may do something in a project, to the `object` if it is about one.
    #[must_use]
    pub fn allows(
        &self,
        principal: &Principal,
        act: Act,
        project: &ProjectName,
        object: Option<&str>,
    ) -> Decision {
        let object = object.unwrap_or_default();
        let request = Request {
            element: act.as_str().to_owned(),
            value: if object.is_empty() { project.to_string() } else { object.to_owned() },
            at: None,
            // No policy sees it: the act is what is asked.
            action: Action::Start,
            resource: Resource { kind: Kind::Project, name: project.to_string() },
            within: Vec::new(),
            context: BTreeMap::from([("object".to_owned(), Value::Text(object.to_owned()))]),
            shown: BTreeMap::new(),
        };
        let asked = Asked { action: act.as_str(), deed: act.deed(), request: &request };
        let asker = Asker::of(principal);
        Decision::of(self.judged(&Authorizer::new(), principal, asker.as_ref(), &asked).reasons)
    }

    /// What somebody with `role` alone may do in `project`.
    pub fn acts_of(&self, role: Role, project: &ProjectName) -> impl Iterator<Item = Act> {
        let principal = Principal { roles: [role].into(), ..Principal::default() };
        let may = move |act: &Act| self.allows(&principal, *act, project, None).outcome == Outcome::Allow;
        Act::ALL.into_iter().filter(may)
    }

    /// Whether a shipped policy permits somebody with `role` to start runs, which other policies then decide one by one.
    #[must_use]
    pub fn starts(&self, role: Role) -> bool {
        role == Role::Owner || self.roles_for(Action::Start.as_str()).contains(role.as_str())
    }

    /// Why the question as a whole cannot be asked of these policies, if it cannot.
    pub(crate) fn misfit(&self, question: &Question) -> Option<Reason> {
        let about = |element: &str, message: String, advice: &str| Reason {
            rule: "policy/question".to_owned(),
            element: element.to_owned(),
            message,
            advice: advice.to_owned(),
            ..Reason::default()
        };
        if question.format != QUESTION_FORMAT {
            let format = shown(&question.format, 80);
            let message = format!("questions of the format `{format}` cannot be asked");
            return Some(about("format", message, "use the version of aseptic that asked it"));
        }
        if question.policy != self.digest() {
            let message = format!("it was asked of other policies, `{}`", question.policy.short());
            return Some(about("policy", message, "ask the policies that the question names"));
        }
        if question.requests.is_empty() {
            return Some(about("requests", "nothing is asked".to_owned(), "plan the run again"));
        }
        None
    }

    /// What is said about each request of `question`.
    pub(crate) fn judge(&self, question: &Question) -> impl Iterator<Item = Judged<'_>> {
        let authorizer = Authorizer::new();
        let asker = Asker::of(&question.principal);
        self.read_for(question);
        question.requests.iter().map(move |request| {
            let action = request.action;
            let asked = Asked { action: action.as_str(), deed: action.deed(), request };
            self.judged(&authorizer, &question.principal, asker.as_ref(), &asked)
        })
    }

    /// Has Cedar read whatever can speak of the actions of `question`, at once and not action by action.
    fn read_for(&self, question: &Question) {
        let actions: BTreeSet<&str> =
            question.requests.iter().map(|request| request.action.as_str()).collect();
        let unread = self.rules.iter().filter(|rule| !rule.is_read());
        let concerned = unread.filter(|rule| actions.iter().any(|action| rule.can_speak_of(action)));
        read_together(&concerned.collect::<Vec<_>>());
    }

    fn judged(
        &self,
        authorizer: &Authorizer,
        principal: &Principal,
        asker: Option<&Asker>,
        asked: &Asked<'_>,
    ) -> Judged<'_> {
        let Request { resource, within, context, .. } = asked.request;
        let misfit = self.shapes.misfit(asked.action, resource, context);
        let ask = asker.and_then(|asker| asker.ask(asked.action, resource, within, context));
        let (None, Some(ask)) = (&misfit, ask) else {
            let message = misfit.unwrap_or_else(|| "no policy can be asked about this".to_owned());
            let advice = "this is a defect of aseptic, or the question is of another version";
            let reasons = vec![reason(asked, "policy/question", message, advice.to_owned())];
            return Judged { reasons, ..Judged::default() };
        };
        let (mut judged, errors) = self.heard(authorizer, asked, &ask);
        judged.reasons.extend(errors.into_iter().map(|error| unevaluated(asked, error)));
        if judged.permits.is_empty() {
            judged.reasons.push(self.by_default(asked, principal));
        }
        judged.reasons.extend(judged.forbids.iter().map(|rule| self.said(asked, rule)));
        judged
    }

    /// The policies that speak, and by id those that cannot be evaluated, with why.
    fn heard(
        &self,
        authorizer: &Authorizer,
        asked: &Asked<'_>,
        ask: &Ask,
    ) -> (Judged<'_>, BTreeSet<(String, String)>) {
        let slice = self.slice(asked.action, asked.request.resource.kind.as_str());
        let mut errors: BTreeSet<(String, String)> = slice.broken.iter().cloned().collect();
        let mut ids = BTreeSet::new();
        for set in slice.sets(&ask.named, &asked.request.context) {
            let response = authorizer.is_authorized(&ask.asked, set, &ask.entities);
            ids.extend(response.diagnostics().reason().map(ToString::to_string));
            errors.extend(response.diagnostics().errors().map(evaluation_error));
        }
        let mut judged = Judged::default();
        for rule in ids.iter().filter_map(|id| self.rule(id)) {
            match rule.policy().map(cedar_policy::Policy::effect) {
                Ok(Effect::Permit) => judged.permits.push(rule),
                Ok(Effect::Forbid) | Err(_) => judged.forbids.push(rule),
            }
        }
        (judged, errors)
    }

    /// Nothing permits it: who may, and who could change that.
    fn by_default(&self, asked: &Asked<'_>, principal: &Principal) -> Reason {
        let able = self.roles_for(asked.action);
        let own: Vec<&str> = principal.roles.iter().map(|role| role.as_str()).collect();
        let may = match able.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().split_last() {
            None => "no role may".to_owned(),
            Some((last, [])) => format!("{last} may"),
            Some((last, others)) => format!("{} and {last} may", others.join(", ")),
        };
        let has = match own.as_slice() {
            [] => "you have no role that".to_owned(),
            [one] => format!("your role `{one}` does not let you"),
            several => format!("none of your roles {{{}}} lets you", several.join(", ")),
        };
        let message = match own.as_slice() {
            [] => format!("{has} may {}; {may}", asked.deed),
            _ => format!("{has} {}; {may}", asked.deed),
        };
        let mut reason = reason(asked, "policy/default-deny", message, self.whom_to_ask(&able));
        reason.grant = (!able.is_empty()).then(|| "policy-author".to_owned());
        reason
    }

    /// Roles that a shipped policy permits this, sorted. The owner of a project without a roles file is not one that
    /// anybody can be given.
    fn roles_for(&self, action: &str) -> BTreeSet<String> {
        let concerned = self.rules.iter().filter(|rule| rule.is_shipped() && rule.can_speak_of(action));
        let policies = concerned.filter_map(|rule| rule.policy().ok());
        let permits = policies.filter(|policy| policy.effect() == Effect::Permit);
        let permits = permits.filter(|policy| speaks_of(policy, action));
        let names = permits.filter_map(principal).filter(|entity| entity.type_name().to_string() == "Role");
        names.map(|entity| entity.id().unescaped().to_owned()).filter(|role| role != "owner").collect()
    }

    fn whom_to_ask(&self, able: &BTreeSet<String>) -> String {
        let Some(roles) = self.roles() else {
            return "ask who owns the state directory; without `policy/roles.toml` nobody else may"
                .to_owned();
        };
        let with = |wanted: &dyn Fn(&str) -> bool| {
            let members = roles.members.iter().filter(|(role, _)| wanted(role.as_str()));
            let users: BTreeSet<&String> = members.flat_map(|(_, members)| members).collect();
            let some: Vec<String> =
                users.iter().take(USERS_MAX).map(|user| format!("`{}`", shown(user, 80))).collect();
            let more = users.len().saturating_sub(USERS_MAX);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            (!some.is_empty()).then(|| format!("{}{rest}", some.join(", ")))
        };
        let may = with(&|role| able.contains(role)).map(|users| format!("ask {users}, who may"));
        let gives = with(&|role| role == "policy-author")
            .map(|users| format!("a policy author gives roles in `policy/roles.toml`: {users}"));
        match (may, gives) {
            (Some(may), Some(gives)) => format!("{may}; {gives}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "nobody in `policy/roles.toml` has a role that may, nor gives roles".to_owned(),
        }
    }
}

/// The id of a policy that cannot be evaluated, and why.
fn evaluation_error(error: &cedar_policy::AuthorizationError) -> (String, String) {
    let words = error.to_string();
    let cedar_policy::AuthorizationError::PolicyEvaluationError(evaluation) = error;
    let why = words.split_once("`: ").map_or(words.as_str(), |(_, why)| why);
    (evaluation.policy_id().to_string(), why.to_owned())
}

fn unevaluated(asked: &Asked<'_>, (id, why): (String, String)) -> Reason {
    let message = format!("the policy `{id}` cannot be evaluated: {why}");
    let advice = "correct the policy, or have it corrected; `aseptic policy check` shows what is the matter";
    reason(asked, "policy/error", message, advice.to_owned())
}

fn reason(asked: &Asked<'_>, rule: &str, message: String, advice: String) -> Reason {
    let short = |text: &str| shown(text, VALUE_CHARS_MAX);
    let request = asked.request;
    Reason {
        outcome: Outcome::Deny,
        rule: rule.to_owned(),
        element: short(&request.element),
        value: Some(short(&request.value)),
        at: request.at.as_deref().map(short),
        message: shown(&message, 2 * VALUE_CHARS_MAX),
        advice,
        grant: None,
    }
}

impl Policies {
    /// The words of a policy that forbids a request.
    fn said(&self, asked: &Asked<'_>, rule: &Rule) -> Reason {
        let annotation = |key: &str| rule.policy().ok().and_then(|policy| policy.annotation(key));
        let words = |key: &str| annotation(key).map(|text| filled(text, asked.request));
        let without = || format!("the policy `{}` forbids to {}", rule.id, asked.deed);
        let message = words("message").unwrap_or_else(without);
        let without = || format!("read {}, or ask who wrote it", self.place_of(rule));
        let advice = words("advice").unwrap_or_else(without);
        Reason {
            outcome: match rule.annotation("effect") {
                Some(NEEDS_APPROVAL) => Outcome::NeedsApproval,
                _ => Outcome::Deny,
            },
            grant: rule.annotation("grant").map(str::to_owned),
            ..reason(asked, &rule.id, message, advice)
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
