//! Everything that was said about a question: which policies spoke for each element, and where they stand.

use aseptic_model::{Decision, Digest, Outcome, REASONS_MAX, Reason};
use serde::{Deserialize, Serialize};

use crate::decide::Judged;
use crate::read::problem::Place;
use crate::read::rule::Rule;
use crate::{Policies, Question, Request};

/// Version tag of [`Explanation`].
pub const EXPLANATION_FORMAT: &str = "aseptic.explanation/1";

/// A decision with everything that led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// [`EXPLANATION_FORMAT`].
    pub format: String,
    /// Digest of the policies that were asked.
    pub policy: Digest,
    /// The decision.
    pub decision: Decision,
    /// Each request, in the order of the question; nothing when the question as a whole could not be asked.
    pub elements: Vec<Explained>,
}

/// What was said about one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// What was asked.
    pub request: Request,
    /// What follows for it.
    pub outcome: Outcome,
    /// The policies that permit it, by id.
    pub permits: Vec<Spoke>,
    /// The policies that forbid it, by id.
    pub forbids: Vec<Spoke>,
    /// Why it is not allowed, at most [`REASONS_MAX`] reasons; nothing when it is.
    pub reasons: Vec<Reason>,
}

/// A policy that said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spoke {
    /// Its id.
    pub id: String,
    /// Where it begins: `base/run.cedar:7`.
    pub at: String,
}

impl Spoke {
    fn of(policies: &Policies, rule: &Rule) -> Self {
        Self { id: rule.id.clone(), at: policies.place_of(rule) }
    }
}

impl Policies {
    /// Decides, and says how each element fared. The decision is the one of [`Policies::decide`].
    #[must_use]
    pub fn explain(&self, question: &Question) -> Explanation {
        let mut elements = Vec::new();
        let decision = match self.misfit(question) {
            Some(reason) => Decision::of([reason]),
            None => Decision::of(question.requests.iter().zip(self.judge(question)).flat_map(
                |(request, judged)| {
                    let reasons = judged.reasons.clone();
                    elements.push(self.explained(request, judged));
                    reasons
                },
            )),
        };
        Explanation { format: EXPLANATION_FORMAT.to_owned(), policy: self.digest(), decision, elements }
    }

    /// Where a policy begins, such as `base/run.cedar:7`; nothing for a rule that is no policy.
    #[must_use]
    pub fn place(&self, id: &str) -> Option<String> {
        self.rule(id).map(|rule| self.place_of(rule))
    }

    /// Where `rule` begins. Counting lines takes long for many policies, so that it is done when somebody asks.
    pub(crate) fn place_of(&self, rule: &Rule) -> String {
        let text = self.document().files.get(&rule.path).map_or("", String::as_str);
        format!("{}:{}", rule.path, Place::of(text, rule.range.clone()).line)
    }

    fn explained(&self, request: &Request, mut judged: Judged<'_>) -> Explained {
        let outcome = judged.reasons.iter().map(|reason| reason.outcome).max().unwrap_or(Outcome::Allow);
        judged.reasons.truncate(REASONS_MAX);
        let spoke = |rules: Vec<&Rule>| rules.into_iter().map(|rule| Spoke::of(self, rule)).collect();
        Explained {
            request: request.clone(),
            outcome,
            permits: spoke(judged.permits),
            forbids: spoke(judged.forbids),
            reasons: judged.reasons,
        }
    }
}
