//! What comes of a case, and how that differs from what must come of it.

use std::collections::BTreeSet;

use aseptic_model::{Decision, Reason};

use super::{Asked, Case, Expected, Who};
use crate::{Policies, Principal, Question, Role, Settings};

/// The user of a case that names none.
const USER: &str = "somebody";

/// Something that is not as a case expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What: `outcome`, `rules`, `elements` or `help`.
    pub what: &'static str,
    /// What the case expects, in words.
    pub expected: String,
    /// What there is.
    pub got: String,
}

impl Case {
    /// What is asked of `policies`; `recorded` is what was asked about the run that it names, if it names one.
    /// Nothing when it names a run and there is no such question.
    #[must_use]
    pub fn question(&self, policies: &Policies, recorded: Option<&Question>) -> Option<Question> {
        let settings = Settings {
            strict: self.who.strict.unwrap_or(policies.settings().strict),
            ..policies.settings().clone()
        };
        Some(match &self.asked {
            Asked::Recorded(_) => {
                let recorded = recorded?;
                let principal = match self.who.names_somebody() {
                    true => self.who.principal(policies),
                    false => policies.principal(&recorded.principal.user, true),
                };
                policies.restate_as(recorded, principal, &settings)
            }
            Asked::Given(given) => given.question(policies, self.who.principal(policies), &settings),
        })
    }
}

impl Who {
    fn names_somebody(&self) -> bool {
        self.user.is_some() || self.roles.is_some() || self.groups.is_some()
    }

    /// Who asks: somebody who may run experiments, where neither the case nor the roles file says otherwise.
    fn principal(&self, policies: &Policies) -> Principal {
        let user = self.user.as_deref().unwrap_or(USER);
        let known = match (policies.roles(), &self.user) {
            (Some(roles), Some(user)) => roles.principal(user),
            _ => Principal { roles: [Role::Experimenter].into(), ..Principal::default() },
        };
        Principal {
            user: user.to_owned(),
            roles: self.roles.clone().unwrap_or(known.roles),
            groups: self.groups.clone().unwrap_or(known.groups),
        }
    }
}

impl Expected {
    /// What of `decision` is not as expected.
    #[must_use]
    pub fn differences(&self, decision: &Decision) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut differs = |what, expected: String, got: String| {
            differences.extend((expected != got).then_some(Difference { what, expected, got }));
        };
        differs("outcome", self.outcome.as_str().to_owned(), decision.outcome.as_str().to_owned());
        let named = |name: fn(&Reason) -> &String| decision.reasons.iter().map(name).cloned().collect();
        if let Some(rules) = &self.rules {
            differs("rules", list(rules), list(&named(|reason| &reason.rule)));
        }
        if let Some(elements) = &self.elements {
            differs("elements", list(elements), list(&named(|reason| &reason.element)));
        }
        for words in &self.help {
            let says = |reason: &Reason| reason.message.contains(words) || reason.advice.contains(words);
            if !decision.reasons.iter().any(says) {
                let got =
                    decision.reasons.iter().map(|reason| format!("{}; {}", reason.message, reason.advice));
                let got: Vec<_> = got.collect();
                let got = if got.is_empty() { "no reason".to_owned() } else { got.join("; ") };
                differences.push(Difference { what: "help", expected: format!("`{words}`"), got });
            }
        }
        differences
    }
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}
