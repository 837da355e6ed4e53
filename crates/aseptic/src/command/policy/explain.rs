use std::process::ExitCode;

use aseptic_model::{ExperimentName, Reason, RunRef};
use aseptic_runner::policy::{Explained, ExplainedRun, Spoke};
use serde_json::{Value, json};

use crate::command::run::Wanted;
use crate::context::{Context, Shown};
use crate::failure::Failure;
use crate::table;

/// Show how the plan of a run was decided, element by element, with the policies that did
///
/// The plan of a run is decided once more, from what was recorded and nothing else: a decision that is another one then
/// is an error. What policies say of a plan that does not run is shown with `--plan`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic policy explain latest\n  aseptic policy explain train --json\n  \
                        aseptic policy explain --plan train"
)]
pub(super) struct Args {
    /// Run: its id, the start of it, `latest`, or an experiment
    #[arg(required_unless_present = "plan")]
    run: Option<RunRef>,
    /// The plan that this experiment of the spec has now
    #[arg(long, value_name = "EXPERIMENT", conflicts_with = "run")]
    plan: Option<ExperimentName>,
    /// Show only what is not allowed
    #[arg(long)]
    denied: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let explained = match (&args.run, &args.plan) {
        (Some(run), _) => aseptic_runner::policy::explain(&context.home()?, &context.project()?, run)?,
        (None, experiment) => {
            let request = Wanted::experiment(experiment.clone()).request(context);
            let mut home = context.home()?;
            let planned = aseptic_runner::plan(&mut home, &request, &mut context.observer(Shown::Nothing))?;
            aseptic_runner::policy::explain_plan(&home, &planned)?
        }
    };
    if context.json() {
        context.document(&document(&explained))?;
    } else {
        print(context, &explained, args.denied);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(context: &Context, explained: &ExplainedRun, only_denied: bool) {
    let ExplainedRun { run, plan, policy, principal, decision, elements, risk, notes } = explained;
    let roles: Vec<_> = principal.roles.iter().map(|role| role.as_str()).collect();
    let mut rows = vec![["decision".to_owned(), decision.outcome.as_str().to_owned()]];
    rows.extend(run.as_ref().map(|run| ["run".to_owned(), run.to_string()]));
    rows.push(["plan".to_owned(), plan.to_string()]);
    rows.push(["policies".to_owned(), policy.to_string()]);
    rows.push(["asked by".to_owned(), format!("{} ({})", table::name(&principal.user), roles.join(", "))]);
    rows.extend(risk.iter().map(|risk| ["risk".to_owned(), table::risk(risk)]));
    rows.extend(notes.iter().map(|note| ["note".to_owned(), table::name(note)]));
    for line in table::columns(&rows) {
        context.out(line);
    }
    for element in elements.iter().filter(|one| !only_denied || !one.reasons.is_empty()) {
        context.out("");
        for line in describe(element) {
            context.out(line);
        }
    }
    if decision.unlisted > 0 {
        context.out(format_args!("\nand {} reasons more", decision.unlisted));
    }
}

/// One element: what it is, where it was said, which policies spoke, and what they said.
fn describe(element: &Explained) -> Vec<String> {
    let request = &element.request;
    let (name, value) = (table::name(&request.element), table::name(&request.value));
    let mut lines = vec![format!("{name} = {value}: {}", element.outcome.as_str())];
    lines.extend(request.at.as_ref().map(|at| format!("  said at   {}", table::name(at))));
    let policies = |spoke: &[Spoke]| {
        let one = |one: &Spoke| format!("{} ({})", table::name(&one.id), table::name(&one.at));
        spoke.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    if !element.permits.is_empty() {
        lines.push(format!("  permitted {}", policies(&element.permits)));
    }
    if !element.forbids.is_empty() {
        lines.push(format!("  forbidden {}", policies(&element.forbids)));
    }
    for reason in &element.reasons {
        lines.extend(because(reason));
    }
    lines
}

fn because(reason: &Reason) -> Vec<String> {
    let mut lines = vec![format!("  because   {}", table::name(&reason.message))];
    lines.push(format!("  help      {}", table::name(&reason.advice)));
    lines.push(match &reason.grant {
        Some(role) => format!("  may grant {}", table::name(role)),
        None => "  may grant nobody: change the plan".to_owned(),
    });
    lines.push(format!("  rule      {}", table::name(&reason.rule)));
    lines
}

fn document(explained: &ExplainedRun) -> Value {
    let ExplainedRun { run, plan, policy, principal, decision, elements, risk, notes } = explained;
    let spoke = |all: &[Spoke]| -> Vec<Value> {
        all.iter().map(|one| json!({ "id": one.id, "at": one.at })).collect()
    };
    let elements: Vec<Value> = elements
        .iter()
        .map(|one| {
            json!({
                "element": one.request.element, "value": one.request.value, "at": one.request.at,
                "action": one.request.action, "resource": one.request.resource,
                "context": one.request.context, "outcome": one.outcome, "permits": spoke(&one.permits),
                "forbids": spoke(&one.forbids), "reasons": one.reasons,
            })
        })
        .collect();
    json!({
        "schema": "aseptic.policy-explain/1", "run": run, "plan": plan, "policy": policy,
        "principal": principal, "decision": decision, "elements": elements,
        "risk": risk.as_ref().map(table::risk_document), "notes": notes,
    })
}
