use std::process::ExitCode;

use aseptic_model::{Decision, Digest, Keep, Label, Outcome, Plan};
use aseptic_runner::Evaluations;
use serde::Serialize;
use serde_json::json;

use super::env::{documents, print_findings};
use super::label::warn_of_typos;
use super::run::Wanted;
use crate::context::{Context, Shown};
use crate::failure::Failure;
use crate::table;

/// Show what a run would see and whether it would be allowed
///
/// Every name is resolved to a digest. Nothing starts and nothing is recorded; only the code tree is
/// taken into the store, as `run` would. The digest names the plan: equal plans have equal digests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic plan train\n  aseptic plan --json train > plan.json")]
pub(crate) struct Args {
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    digest: String,
    plan: &'a Plan,
    decision: &'a Decision,
    /// The directory of policies that decided it although they are not in force yet.
    unapplied: Option<String>,
    /// How often each input that is hold-out data was looked at before, by element.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    evaluations: serde_json::Map<String, serde_json::Value>,
    /// How risky it is, with what that was counted from.
    risk: Option<serde_json::Value>,
    /// What somebody should know, whatever is decided.
    notes: Vec<String>,
    /// What stands out about its environment.
    findings: Vec<serde_json::Value>,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let request = args.wanted.request(context);
    let mut home = context.home()?;
    let planned = aseptic_runner::plan(&mut home, &request, &mut context.observer(Shown::Nothing))?;
    let decided = aseptic_runner::decide(&home, &planned)?;
    let notes = decided.notes();
    let findings = aseptic_runner::plan_findings(&home, &planned)?;
    let digest = planned.digest.to_string();
    if context.json() {
        let plan = &planned.plan;
        let findings = documents(&findings);
        let schema = "aseptic.plan-report/1";
        let unapplied = planned.unapplied();
        let evaluations = decided.evaluations().map(|(element, Evaluations { used, permitted })| {
            (element.to_owned(), json!({ "used": used, "permitted": permitted }))
        });
        let evaluations = evaluations.collect();
        let decision = &decided.decision;
        context.document(&Document {
            schema,
            digest,
            plan,
            decision,
            unapplied,
            evaluations,
            risk: decided.question.risk.as_ref().map(table::risk_document),
            notes,
            findings,
        })?;
    } else {
        context.out(describe(&planned.plan, &digest));
        if !findings.is_empty() {
            context.out("findings");
            print_findings(context, &findings);
        }
        for note in &notes {
            context.out(format_args!("note      {note}"));
        }
        if let Some(risk) = &decided.question.risk {
            context.out(format_args!("risk      {}", table::risk(risk)));
        }
        print_decision(context, &decided.decision, &planned.digest);
    }
    warn_of_typos(context, &planned.plan.labels);
    if let Some(directory) = planned.unapplied() {
        context.say(format_args!(
            "note: decided by `{directory}`, which is not in force yet: `aseptic policy diff {directory}` shows what \
             differs, `aseptic run` puts it in force if it only takes and you may"
        ));
    }
    Ok(match decided.decision.outcome {
        Outcome::Allow => ExitCode::SUCCESS,
        Outcome::Deny | Outcome::NeedsApproval => ExitCode::from(3),
    })
}

/// The plan as text, one element a line.
pub(crate) fn describe(plan: &Plan, digest: &str) -> String {
    let mut rows =
        vec![["plan".to_owned(), digest.to_owned()], ["project".to_owned(), plan.project.to_string()]];
    if let Some(experiment) = &plan.experiment {
        rows.push(["experiment".to_owned(), experiment.to_string()]);
    }
    rows.push(["command".to_owned(), table::command(&plan.command)]);
    for (name, value) in &plan.params {
        rows.push([format!("param {name}"), value.to_string()]);
    }
    if let Some(code) = &plan.code {
        let commit =
            code.git_commit.as_ref().map_or(String::new(), |commit| format!(", commit {commit:.12}"));
        let amount = table::amount(code.files, code.bytes);
        rows.push(["code /work".to_owned(), format!("{} ({amount}{commit})", code.snapshot.short())]);
    }
    for (name, input) in &plan.inputs {
        let amount = table::amount(input.files, input.bytes);
        let labels = table::labels(&input.labels);
        let text = format!("{} from {} ({amount}) labels {labels}", input.snapshot.short(), input.source);
        rows.push([format!("input /data/{name}"), text]);
    }
    if let Some(python) = &plan.environment.python {
        let text = format!("{} at {} ({} packages)", python.version, python.prefix, python.packages.len());
        rows.push(["python".to_owned(), text]);
    }
    let host = &plan.environment.host;
    rows.push(["host".to_owned(), format!("Linux {} {}, {}", host.kernel, host.architecture, host.cpu)]);
    let mut network: Vec<_> = plan.network.iter().map(ToString::to_string).collect();
    network.extend(plan.observe_network.then(|| "observe".to_owned()));
    let network = if network.is_empty() { "none".to_owned() } else { network.join(" ") };
    rows.push(["network".to_owned(), network]);
    if let Some(ports) = &plan.ports {
        let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
        rows.push([
            "own ports".to_owned(),
            if ports.is_empty() { "none".to_owned() } else { ports.join(" ") },
        ]);
    }
    if let Some(gpus) = &plan.gpus {
        rows.push(["gpus".to_owned(), gpus.to_string()]);
    }
    if !plan.clock.is_host() {
        rows.push(["clock".to_owned(), "begins with the run".to_owned()]);
    }
    if !plan.labels.is_empty() {
        let labels: Vec<_> = plan.labels.iter().map(Label::as_str).collect();
        rows.push(["labels".to_owned(), labels.join(" ")]);
    }
    if plan.keep != Keep::Everything {
        rows.push(["keep".to_owned(), format!("nothing but {}", plan.keep.as_str())]);
    }
    if let Some(policy) = &plan.policy {
        rows.push(["policies".to_owned(), policy.short().to_string()]);
    }
    let wall = plan.limits.wall_ms.map_or("none".to_owned(), aseptic_model::describe_ms);
    rows.push(["limit wall".to_owned(), wall]);
    rows.push(["limit processes".to_owned(), plan.limits.processes.to_string()]);
    let limits = &plan.limits;
    let size = |bytes: u64| aseptic_model::ByteSize(bytes).to_string();
    for (key, value) in [
        ("memory", limits.memory_bytes.map(size)),
        ("cpus", limits.cpus.map(|cpus| cpus.to_string())),
        ("files", limits.files.map(|files| files.to_string())),
        ("scratch", limits.scratch_bytes.map(size)),
        ("scratch-files", limits.scratch_files.map(|files| files.to_string())),
        ("outputs", limits.outputs_bytes.map(size)),
        ("metrics", limits.metrics_bytes.map(size)),
        ("connections", limits.connections.map(|count| count.to_string())),
        ("traffic", limits.traffic_bytes.map(size)),
        ("bandwidth", limits.bandwidth_bytes.map(|bytes| format!("{}/s", size(bytes)))),
    ] {
        rows.extend(value.map(|value| [format!("limit {key}"), value]));
    }
    let table = table::table(["", ""], &rows);
    table.trim_start().to_owned()
}

pub(crate) fn print_decision(context: &Context, decision: &Decision, plan: &Digest) {
    context.out(format_args!("decision  {}", decision.outcome.as_str()));
    if !decision.reasons.is_empty() {
        context.out(table::reasons(decision));
    }
    if let Some(line) = table::approval(decision, plan) {
        context.out(line);
    }
}
