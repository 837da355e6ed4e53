use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::{Class, MetaValue, ObjectRef};
use aseptic_runner::incident::{Exported, Verification};
use aseptic_runner::{Incident, VerifierKey};
use serde_json::json;

use super::quarantine::{confirm, describe, handled, print_handled, text};
use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;

/// Answer a leak or a poisoning: quarantine, stop, and keep evidence that others can check
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Open(Open),
    List(List),
    Show(Show),
    Close(Close),
    Export(Export),
    Verify(Verify),
}

/// Put something in quarantine, stop the runs that have it, and write the evidence
///
/// The quarantine comes first, so that nothing goes on while evidence is written. The evidence is a directory: a
/// report for people, documents for programs, and proofs that the ledger has what they say.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic incident open --dataset holdout@1 --reason \"it was published\"\n  \
                        aseptic incident open --package numpy@1.26.4 --host gpu-7 --reason CVE --yes --out evidence"
)]
struct Open {
    /// What it is about, as for `aseptic quarantine add`
    objects: Vec<ObjectRef>,
    /// A dataset, or a version of one
    #[arg(long, value_name = "NAME[@VERSION]")]
    dataset: Vec<String>,
    /// A run
    #[arg(long, value_name = "RUN")]
    run: Vec<String>,
    /// A file, wherever it lies
    #[arg(long, value_name = "DIGEST")]
    file_digest: Vec<String>,
    /// A machine
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// A package, or a version of one
    #[arg(long, value_name = "NAME[@VERSION]")]
    package: Vec<String>,
    /// What happened; it can be erased later
    #[arg(long, value_name = "TEXT")]
    reason: MetaValue,
    /// Directory for the evidence [default: incident-ID]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// List incidents
#[derive(Debug, clap::Args)]
struct List {}

/// Show an incident, and what it reaches now
#[derive(Debug, clap::Args)]
struct Show {
    /// Incident: an id, the start of one, or `latest`
    incident: String,
}

/// Close an incident; what is in quarantine stays there
#[derive(Debug, clap::Args)]
struct Close {
    /// Incident: an id, the start of one, or `latest`
    incident: String,
    /// How it ended; it can be erased later
    #[arg(long, value_name = "TEXT")]
    reason: MetaValue,
}

/// Write the evidence of an incident as it is now
#[derive(Debug, clap::Args)]
struct Export {
    /// Incident: an id, the start of one, or `latest`
    incident: String,
    /// Directory; it must not be there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Check evidence, on any machine and without a ledger
///
/// Every file, every entry and every signature is checked, and the report is made again and compared. What cannot
/// be known from the evidence alone is listed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic incident verify incident-7jmg7qmxnc0m --key \"$(cat verifier)\""
)]
struct Verify {
    /// Directory
    dir: PathBuf,
    /// Verifier key of the ledger, as its file `verifier` has it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Open(args) => open(context, args),
        Command::List(_) => list(context),
        Command::Show(args) => show(context, args),
        Command::Close(args) => close(context, args),
        Command::Export(args) => export(context, args),
        Command::Verify(args) => verify(context, args),
    }
}

/// Everything that an incident is about.
fn objects(args: &Open) -> Result<Vec<ObjectRef>, Failure> {
    let named = [
        ("dataset", &args.dataset),
        ("run", &args.run),
        ("file", &args.file_digest),
        ("host", &args.host),
        ("package", &args.package),
    ];
    let mut objects = args.objects.clone();
    for (kind, values) in named {
        for value in values {
            let parsed: Result<ObjectRef, _> = format!("{kind}:{value}").parse();
            objects.push(parsed.map_err(|error| {
                let help = "`aseptic incident open --help` says how each is named";
                Failure::new(Class::User, "incident/object", error.to_string(), help)
            })?);
        }
    }
    if objects.is_empty() {
        let help = "name it, or use --dataset, --run, --file-digest, --host or --package";
        let message = "nothing says what the incident is about".to_owned();
        return Err(Failure::new(Class::User, "incident/object", message, help));
    }
    Ok(objects)
}

fn open(context: &Context, args: &Open) -> Result<ExitCode, Failure> {
    let objects = objects(args)?;
    let (project, mut home) = (context.project()?, context.home()?);
    if let Some(out) = &args.out {
        aseptic_runner::incident::check_place(&home, out)?;
    }
    let previews = aseptic_runner::incident::preview(&mut home, &project, &objects)?;
    let question = "Put all of it in quarantine, stop what runs, and open an incident?";
    confirm(context, &previews, question, args.yes)?;
    let opened = aseptic_runner::incident::open(&mut home, &project, &objects, args.reason.as_str())?;
    print_handled(context, &opened.running);
    let incident = &opened.incident;
    context.say(format_args!("opened incident {incident}; what it is about is in quarantine"));
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("incident-{incident}")));
    let exported =
        aseptic_runner::incident::export(&mut home, &project, incident.as_str(), &out).map_err(|error| {
            let again = format!(
                "the incident is open; write its evidence with `aseptic incident export {incident} --out DIR`"
            );
            Failure::from(error).because([again])
        })?;
    if context.json() {
        let running: Vec<_> = opened.running.iter().map(handled).collect();
        let objects: Vec<_> = opened.previews.iter().map(|preview| &preview.object).collect();
        context.document(&json!({
            "schema": "aseptic.incident-open/1", "incident": incident, "objects": objects, "handled": running,
            "out": exported.path, "files": exported.files, "manifest": exported.manifest,
        }))?;
    } else {
        print_exported(context, &exported);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_exported(context: &Context, exported: &Exported) {
    context.out(format_args!(
        "evidence of incident {} is in {} ({} files)",
        exported.incident,
        exported.path.display(),
        exported.files
    ));
    context.say(format_args!(
        "check it anywhere: aseptic incident verify {} --key KEY",
        exported.path.display()
    ));
}

fn state(incident: &Incident) -> &'static str {
    if incident.closed.is_some() { "closed" } else { "open" }
}

fn list(context: &Context) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let incidents = aseptic_runner::incident::list(&mut home, &project)?;
    if context.json() {
        context.document(&json!({ "schema": "aseptic.incidents/1", "incidents": incidents }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if incidents.is_empty() {
        context.say(format_args!("No incidents in project `{project}`."));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = incidents
        .iter()
        .map(|one| {
            let objects: Vec<_> = one.objects.iter().map(ToString::to_string).collect();
            [
                one.incident.to_string(),
                state(one).to_owned(),
                one.opened.to_string(),
                one.actor.clone(),
                objects.join(" "),
                text(one.reason.as_deref()),
            ]
        })
        .collect();
    context.out(table(["incident", "state", "opened", "by", "about", "reason"], &rows));
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, args: &Show) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let incident = aseptic_runner::incident::find(&mut home, &project, &args.incident)?;
    let reached = aseptic_runner::incident::reached(&home, &project, &incident)?;
    if context.json() {
        let reached: Vec<_> = reached
            .iter()
            .map(|one| {
                json!({
                    "object": one.object, "runs": one.runs, "datasets": one.reached.datasets,
                    "given_away": one.given_away,
                })
            })
            .collect();
        context.document(&json!({
            "schema": "aseptic.incident-show/1", "incident": incident, "reached": reached,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    context.out(format_args!("incident {}, {}", incident.incident, state(&incident)));
    context.out(format_args!(
        "{}  opened by {}: {}",
        incident.opened,
        incident.actor,
        text(incident.reason.as_deref())
    ));
    if let (Some(closed), Some(by)) = (incident.closed, &incident.closed_by) {
        context.out(format_args!("{closed}  closed by {by}: {}", text(incident.closed_because.as_deref())));
    }
    for line in reached.iter().flat_map(describe) {
        context.out(line);
    }
    Ok(ExitCode::SUCCESS)
}

fn close(context: &Context, args: &Close) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let reason = args.reason.as_str();
    let incident = aseptic_runner::incident::close(&mut home, &project, &args.incident, reason)?;
    if context.json() {
        context.document(&json!({ "schema": "aseptic.incident-close/1", "incident": incident }))?;
    } else {
        context.out(format_args!("closed incident {incident}; `aseptic quarantine list` shows what stays"));
    }
    Ok(ExitCode::SUCCESS)
}

fn export(context: &Context, args: &Export) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let exported = aseptic_runner::incident::export(&mut home, &project, &args.incident, &args.out)?;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.incident-export/1", "incident": exported.incident, "out": exported.path,
            "files": exported.files, "manifest": exported.manifest,
        }))?;
    } else {
        print_exported(context, &exported);
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(context: &Context, args: &Verify) -> Result<ExitCode, Failure> {
    let key: Option<VerifierKey> = match &args.key {
        None => None,
        Some(text) => Some(text.trim().parse().map_err(|error: aseptic_runner::NoteError| {
            let help = "give the line of the file `verifier` of the ledger";
            Failure::new(Class::User, "incident/key", error.to_string(), help)
        })?),
    };
    let verified = aseptic_runner::incident::verify(&args.dir, key.as_ref())?;
    let Verification { document, timeline, checkpoint, statements, key, not_proven } = &verified;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.incident-verify/1", "incident": document.incident, "ledger": document.ledger,
            "entries": timeline.len(), "of": checkpoint.size(), "statements": statements, "key": key,
            "runs": document.runs.len(), "not_proven": not_proven,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let ledger = aseptic_model::escape_bytes(document.ledger.as_bytes());
    context.out(format_args!("incident {} of ledger {ledger}", document.incident));
    context.out(format_args!(
        "proven: {} entries are in the ledger of {} entries, {} runs have signed statements, and the report says what \
         they say",
        timeline.len(),
        checkpoint.size(),
        statements
    ));
    for one in not_proven {
        context.out(format_args!("not proven: {}", aseptic_model::escape_bytes(one.as_bytes())));
    }
    Ok(ExitCode::SUCCESS)
}
