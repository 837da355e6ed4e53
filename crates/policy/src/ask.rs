//! Ask: a plan becomes a question with a request for each element, and what a command does becomes an act.

pub(crate) mod act;
pub(crate) mod facts;
pub(crate) mod labels;
pub(crate) mod notes;
pub(crate) mod question;
pub(crate) mod requests;
mod restate;
pub(crate) mod risk;

use aseptic_model::{Digest, Plan};

use self::requests::requests;
use crate::{Facts, Policies, Principal, QUESTION_FORMAT, Question, Settings, risk};

impl Policies {
    /// What these policies are asked about `plan`, whose digest is `digest`, when `principal` wants it.
    #[must_use]
    pub fn ask(&self, (plan, digest): (&Plan, Digest), facts: &Facts, principal: Principal) -> Question {
        self.ask_with((plan, digest), facts, principal, self.settings())
    }

    /// As [`Self::ask`], with other settings.
    #[must_use]
    pub fn ask_with(
        &self,
        (plan, digest): (&Plan, Digest),
        facts: &Facts,
        principal: Principal,
        settings: &Settings,
    ) -> Question {
        let requests = requests(plan, facts, settings);
        Question {
            format: QUESTION_FORMAT.to_owned(),
            policy: self.digest(),
            plan: digest,
            project: plan.project.clone(),
            principal,
            risk: Some(risk(&requests)),
            requests,
        }
    }
}
