//! Explain a decision: once more from what was asked and the policies of then, or for a plan that does not run.

use aseptic_model::{Decision, Digest, ProjectName, RunId, RunRef};
use aseptic_policy::{Explained, Explanation, Policies, PolicyDocument, Principal, Question, Risk, notes};

use super::recorded::{PolicyUseError, recorded};
use crate::decide::{Decided, decide};
use crate::home::Home;
use crate::plan::Planned;
use crate::results::{not_sealed, seen};

/// A decision, element by element.
#[derive(Clone, Debug)]
pub struct ExplainedRun {
    /// The run; none for a plan.
    pub run: Option<RunId>,
    /// Digest of the plan.
    pub plan: Digest,
    /// Digest of the policies.
    pub policy: Digest,
    /// Who asked.
    pub principal: Principal,
    /// The decision.
    pub decision: Decision,
    /// What was decided about each element, in the order of the plan.
    pub elements: Vec<Explained>,
    /// The risk that was counted; none of runs that were decided before there was one.
    pub risk: Option<Risk>,
    /// What somebody should know whatever is decided, a line each.
    pub notes: Vec<String>,
}

impl ExplainedRun {
    fn of(run: Option<RunId>, question: Question, explanation: Explanation) -> Self {
        Self {
            run,
            plan: question.plan,
            policy: explanation.policy,
            decision: explanation.decision,
            elements: explanation.elements,
            notes: notes(&question),
            risk: question.risk,
            principal: question.principal,
        }
    }
}

/// Decides the plan of a run again, from what was recorded and nothing else, and explains it.
///
/// # Errors
/// [`PolicyUseError`]; [`PolicyUseError::Differs`] when the decision is not the recorded one, whatever words it has.
pub fn explain(home: &Home, project: &ProjectName, run: &RunRef) -> Result<ExplainedRun, PolicyUseError> {
    let summary = seen(home, project, run)?;
    let Some(found) = recorded(home, project, &summary.run)? else {
        return Err(not_sealed(&summary, "decision").into());
    };
    let Some((policy, question)) = found.asked else {
        return Err(PolicyUseError::NoQuestion { run: summary.run });
    };
    let document: PolicyDocument = home.object(project, &policy)?;
    let policies = Policies::parse(document)
        .map_err(|source| PolicyUseError::Unusable { digest: policy, source: Box::new(source) })?;
    let explanation = policies.explain(&question);
    if !explanation.decision.agrees_with(&found.decision) || policies.digest() != policy {
        return Err(PolicyUseError::Differs {
            run: summary.run,
            recorded: found.decision.outcome.as_str(),
            again: explanation.decision.outcome.as_str(),
        });
    }
    let is_reworded = explanation.decision != found.decision;
    let mut explained = ExplainedRun::of(Some(summary.run), question, explanation);
    if is_reworded {
        explained
            .notes
            .push("the decision is the recorded one; this version says why in other words".to_owned());
    }
    Ok(explained)
}

/// Decides a plan, which does not run, and explains it.
///
/// # Errors
/// [`PolicyUseError`].
pub fn explain_plan(home: &Home, planned: &Planned) -> Result<ExplainedRun, PolicyUseError> {
    let Decided { question, .. } = decide(home, planned)?;
    let explanation = planned.policies.explain(&question);
    Ok(ExplainedRun::of(None, question, explanation))
}

/// What was known of a run when it was decided, whatever was decided.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// The risk that was counted; none of runs that were decided before there was one.
    pub risk: Option<Risk>,
    /// One line for each thing that somebody should know.
    pub notes: Vec<String>,
}

/// What was known of a run when it was decided; nothing where its question was not recorded.
///
/// # Errors
/// [`PolicyUseError`].
pub fn noted(home: &Home, project: &ProjectName, run: &RunId) -> Result<Noted, PolicyUseError> {
    let asked = recorded(home, project, run)?.and_then(|found| found.asked);
    Ok(asked
        .map_or_else(Noted::default, |(_, question)| Noted { notes: notes(&question), risk: question.risk }))
}
