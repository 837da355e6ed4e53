//! Decide: every request of a question is asked, and what comes of it is said in words.

mod entity;
pub(crate) mod policies;
pub(crate) mod slice;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aseptic_model::{Decision, Outcome, ProjectName, Reason};
use cedar_policy::{Authorizer, Effect};
use miette::Diagnostic as _;

use crate::decide::entity::{Ask, Asker};
use crate::decide::slice::{Index, principal, speaks_of};
use crate::decide::words::filled;
use crate::read::policy::NEEDS_APPROVAL;
use crate::read::problem::Place;
use crate::read::rule::{Body, Rule, read_together};
use crate::text::{listed, shown};
use crate::{
    About, Act, Action, Kind, Policies, Principal, QUESTION_FORMAT, Question, Request, Resource, Role, Value,
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

/// What Cedar said, by ids of policies: those that speak, and those that cannot be evaluated, with why.
#[derive(Clone, Debug, Default)]
struct Said {
    speak: BTreeSet<String>,
    fail: BTreeMap<String, Failed>,
}

/// Why a policy cannot be evaluated.
#[derive(Clone, Debug)]
struct Failed {
    why: String,
    /// The first byte of what failed and how many there are, as Cedar counts them in the policy.
    at: Option<(usize, usize)>,
}

/// What was said about requests of one question, by all that the policies which do not look at the resource can see.
type SaidOfKind<'q> = HashMap<(&'static str, Kind, &'q BTreeMap<String, Value>), Said>;

/// A request, or an act of a command.
struct Asked<'q> {
    action: &'static str,
    /// What the action does, as in "may …".
    deed: &'static str,
    request: &'q Request,
}

/// Most characters of an element or a value in a reason.
const VALUE_CHARS_MAX: usize = 500;

/// Most characters of a policy that an advice repeats.
const SAID_CHARS_MAX: usize = 120;

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

    /// Whether `principal` may do something in a project, and to what.
    #[must_use]
    pub fn allows(&self, principal: &Principal, act: Act, project: &ProjectName, about: &About) -> Decision {
        let About { object, labels } = about;
        let labels = labels.iter().map(ToString::to_string).collect();
        let request = Request {
            element: act.as_str().to_owned(),
            value: if object.is_empty() { project.to_string() } else { object.clone() },
            at: None,
            // No policy sees it: the act is what is asked.
            action: Action::Start,
            resource: Resource { kind: Kind::Project, name: project.to_string() },
            within: Vec::new(),
            context: BTreeMap::from([
                ("object".to_owned(), Value::Text(object.clone())),
                ("labels".to_owned(), Value::Set(labels)),
            ]),
            shown: BTreeMap::new(),
        };
        let asked = Asked { action: act.as_str(), deed: act.deed(), request: &request };
        let asker = Asker::of(principal);
        Decision::of(self.judged(&mut SaidOfKind::new(), principal, asker.as_ref(), &asked).reasons)
    }

    /// What somebody with `role` alone may do in `project`.
    pub fn acts_of(&self, role: Role, project: &ProjectName) -> impl Iterator<Item = Act> {
        let principal = Principal { roles: [role].into(), ..Principal::default() };
        let may = move |act: &Act| {
            self.allows(&principal, *act, project, &About::default()).outcome == Outcome::Allow
        };
        Act::ALL.into_iter().filter(may)
    }

    /// Whether a policy of the project may decide `act` by what it is about. Otherwise only roles decide it.
    #[must_use]
    pub fn tells_apart(&self, act: Act) -> bool {
        let own: Vec<&Rule> = self.rules.iter().filter(|rule| !rule.is_shipped()).collect();
        read_together(&own);
        own.into_iter().any(|rule| rule.policy().map_or(true, |policy| speaks_of(policy, act.as_str())))
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
        let mut said = SaidOfKind::new();
        let asker = Asker::of(&question.principal);
        self.read_for(question);
        question.requests.iter().map(move |request| {
            let action = request.action;
            let asked = Asked { action: action.as_str(), deed: action.deed(), request };
            self.judged(&mut said, &question.principal, asker.as_ref(), &asked)
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

    fn judged<'q>(
        &self,
        said: &mut SaidOfKind<'q>,
        principal: &Principal,
        asker: Option<&Asker>,
        asked: &Asked<'q>,
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
        let (mut judged, errors) = self.heard(said, asked, &ask);
        judged.reasons.extend(errors.iter().map(|(id, failed)| self.unevaluated(asked, id, failed)));
        if judged.permits.is_empty() {
            judged.reasons.push(self.by_default(asked, principal));
        }
        judged.reasons.extend(judged.forbids.iter().map(|rule| self.said(asked, rule)));
        judged
    }

    /// The policies that speak, and by id those that cannot be evaluated.
    fn heard<'q>(
        &self,
        said: &mut SaidOfKind<'q>,
        asked: &Asked<'q>,
        ask: &Ask,
    ) -> (Judged<'_>, BTreeMap<String, Failed>) {
        let Request { resource, context, .. } = asked.request;
        let slice = self.slice(asked.action, resource.kind.as_str());
        let of_kind = said
            .entry((asked.action, resource.kind, context))
            .or_insert_with(|| Said::about(ask, context, &slice.of_kind));
        let of_resource = Said::about(ask, context, &slice.of_resource);
        let mut judged = Judged::default();
        for rule in of_kind.speak.union(&of_resource.speak).filter_map(|id| self.rule(id)) {
            match rule.policy().map(cedar_policy::Policy::effect) {
                Ok(Effect::Permit) => judged.permits.push(rule),
                Ok(Effect::Forbid) | Err(_) => judged.forbids.push(rule),
            }
        }
        let mut failed = of_kind.fail.clone();
        failed.extend(of_resource.fail);
        failed
            .extend(slice.broken.iter().map(|(id, why)| (id.clone(), Failed { why: why.clone(), at: None })));
        (judged, failed)
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
            let user = |user: &String| format!("`{}`", shown(user, 80));
            (!users.is_empty()).then(|| listed(users, USERS_MAX, user))
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

impl Said {
    fn about(ask: &Ask, context: &BTreeMap<String, Value>, index: &Index) -> Self {
        let authorizer = Authorizer::new();
        let mut said = Self::default();
        for set in index.sets(&ask.named, context) {
            let response = authorizer.is_authorized(&ask.asked, set, &ask.entities);
            said.speak.extend(response.diagnostics().reason().map(ToString::to_string));
            said.fail.extend(response.diagnostics().errors().map(evaluation_error));
        }
        said
    }
}

/// The id of a policy that cannot be evaluated, and why.
fn evaluation_error(error: &cedar_policy::AuthorizationError) -> (String, Failed) {
    let words = error.to_string();
    let cedar_policy::AuthorizationError::PolicyEvaluationError(evaluation) = error;
    let why = words.split_once("`: ").map_or(words.as_str(), |(_, why)| why).to_owned();
    let label = evaluation.inner().labels().and_then(|mut labels| labels.next());
    (evaluation.policy_id().to_string(), Failed { why, at: label.map(|label| (label.offset(), label.len())) })
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
    fn unevaluated(&self, asked: &Asked<'_>, id: &str, failed: &Failed) -> Reason {
        let message = format!("the policy `{id}` cannot be evaluated: {}", failed.why);
        let advice = match self.rule(id) {
            Some(rule) if !rule.is_shipped() => {
                format!(
                    "correct {}, or ask who wrote it; until then it denies",
                    self.place_in(rule, failed.at)
                )
            }
            _ => "this is a defect of aseptic: the policy is a shipped one".to_owned(),
        };
        reason(asked, "policy/error", message, advice)
    }

    /// What a policy says at a place that Cedar names, and where that is; where the policy is, if Cedar names none.
    fn place_in(&self, rule: &Rule, at: Option<(usize, usize)>) -> String {
        let text = self.document().files.get(&rule.path).map_or("", String::as_str);
        let Some((offset, length)) = at.filter(|_| matches!(rule.body, Body::Text(_))) else {
            return format!("the policy at {}", self.place_of(rule));
        };
        let start = rule.byte(offset);
        let Place { line, column, .. } = Place::of(text, start..start);
        let said = text.get(start..start + length).unwrap_or_default();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("`{}` at {}:{line}:{column}", shown(&said, SAID_CHARS_MAX), rule.path)
    }

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
