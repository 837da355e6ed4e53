//! Decide: gather the facts that a decision needs, and ask policy once.

use std::collections::BTreeSet;

use aseptic_model::Decision;
use aseptic_policy::{
    ACCEPTABLE, Action, Egress, Facts, QUESTION_BYTES_MAX, Question, Value, question_bytes,
};
use aseptic_sandbox::Strength;

use crate::egress::support;
use crate::holdout::{self, Evaluations};
use crate::home::{Home, HomeError};
use crate::plan::Planned;
use crate::quarantine;
use crate::unpinned;

/// Limits that this version can enforce on this host, by their names in the spec.
pub(crate) fn enforced_limits(has_network: bool) -> BTreeSet<&'static str> {
    // All but one can be had in some way everywhere. How is in the record, and hard or soft.
    let mut limits =
        BTreeSet::from(["wall", "grace", "memory", "cpus", "files", "scratch", "scratch-files", "outputs"]);
    if has_network {
        limits.extend(["connections", "traffic", "bandwidth"]);
    }
    if aseptic_sandbox::enforces_task_limit() {
        limits.insert("processes");
    }
    limits
}

/// Limits that something watches and nothing holds.
fn soft_limits() -> BTreeSet<&'static str> {
    let in_jail = aseptic_sandbox::enforceable();
    let soft = in_jail.into_iter().filter(|enforcement| enforcement.strength == Strength::Soft);
    soft.map(|enforcement| enforcement.limit).chain(["scratch", "scratch-files"]).collect()
}

/// What was asked about a plan, and what came of it.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Everything that was asked.
    pub question: Question,
    /// What was decided.
    pub decision: Decision,
}

impl Decided {
    /// One line for each thing that somebody should know about the plan whatever is decided.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        aseptic_policy::notes(&self.question)
    }

    /// How often each input that is hold-out data was looked at before, by element.
    pub fn evaluations(&self) -> impl Iterator<Item = (&str, Evaluations)> {
        self.question.requests.iter().filter_map(|request| {
            let context = |key: &str| request.context.get(key);
            if request.action != Action::Mount || context("holdout") != Some(&Value::Bool(true)) {
                return None;
            }
            let (Some(Value::Long(used)), Some(Value::Long(permitted))) =
                (context("evaluations"), context("evaluationsMax"))
            else {
                return None;
            };
            let used = u64::try_from(*used).ok()?;
            let permitted = u32::try_from(*permitted).ok()?;
            Some((request.element.as_str(), Evaluations { used, permitted }))
        })
    }
}

/// Decides a plan by the policies that it was made under, on the facts of this moment.
///
/// # Errors
/// [`HomeError`] when a fact could not be found out. Nothing is decided then, so nothing starts.
pub fn decide(home: &Home, planned: &Planned) -> Result<Decided, HomeError> {
    let (plan, policies) = (&planned.plan, &planned.policies);
    let bytes = question_bytes(plan);
    if bytes > QUESTION_BYTES_MAX {
        return Err(HomeError::TooMuch { bytes });
    }
    let facts = facts(home, planned)?;
    let question = policies.ask((plan, planned.digest), &facts, home.principal(policies)?);
    let decision = policies.decide(&question);
    Ok(Decided { question, decision })
}

/// What is so at this moment about a plan and this host.
fn facts(home: &Home, planned: &Planned) -> Result<Facts, HomeError> {
    let plan = &planned.plan;
    let store = home.store(&plan.project)?;
    let network = support(home);
    let present = aseptic_policy::snapshots(plan).filter(|digest| store.snapshot(digest).is_ok()).collect();
    Ok(Facts {
        present,
        quarantined: quarantine::of_plan(home, plan)?,
        enforced_limits: enforced_limits(network.is_ok()),
        egress: match network {
            Ok(()) => Egress::Gateway,
            Err(why) => Egress::Unavailable(why),
        },
        soft_limits: soft_limits(),
        missing_walls: aseptic_sandbox::missing_walls().into_iter().collect(),
        gpus: plan
            .gpus
            .as_ref()
            .and_then(|gpus| aseptic_sandbox::gpu_mounts(gpus).err())
            .map(|e| e.to_string()),
        acceptable: ACCEPTABLE.into(),
        evaluations: holdout::evaluations(home, plan)?,
        unpinned: unpinned::of_plan(plan),
        recognised: planned.recognised.clone(),
        is_replay: planned.replays.is_some(),
        places: planned.places.clone(),
    })
}
