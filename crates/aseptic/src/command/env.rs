use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::{ExperimentName, Finding, RunRef, escape_bytes};
use aseptic_runner::{CodeChoice, EnvironmentRef, Request};
use serde_json::{Value, json};

use crate::context::{Context, directory_of, home_directory, shown_from_here};
use crate::failure::Failure;

mod diff;
mod list;
mod verify;

/// See what runs have beneath them: packages with licences and origins, the system, the machine
///
/// When a run starts, an inventory of its environment is made from files, and kept with its record. Nothing of the
/// environment is executed for that.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    List(list::Args),
    Diff(diff::Args),
    Verify(verify::Args),
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::List(args) => list::run(context, args),
        Action::Diff(args) => diff::run(context, args),
        Action::Verify(args) => verify::run(context, args),
    }
}

/// Which environment is that of now.
#[derive(Debug, clap::Args)]
pub(super) struct Present {
    /// The environment that a run of this experiment would have now
    #[arg(long, value_name = "NAME")]
    experiment: Option<ExperimentName>,
    /// Python environment of now: a venv or an interpreter [default: the spec's, else $VIRTUAL_ENV]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

impl Present {
    fn request(&self, context: &Context) -> Request {
        let spec = context.spec();
        let root = spec.as_deref().map_or_else(|| PathBuf::from("."), directory_of);
        Request {
            spec_shown: spec.as_deref().map(shown_from_here).unwrap_or_default(),
            spec,
            project: context.project_option(),
            experiment: self.experiment.clone(),
            python: self.python.clone(),
            default_python: std::env::var_os("VIRTUAL_ENV").map(PathBuf::from),
            code: CodeChoice::Directory(root),
            home_directory: home_directory(),
            ..Request::default()
        }
    }
}

/// `now`, or a run.
pub(super) fn environment(text: &str) -> Result<EnvironmentRef, String> {
    match text {
        "now" => Ok(EnvironmentRef::Now),
        text => text.parse::<RunRef>().map(EnvironmentRef::Run).map_err(|error| error.to_string()),
    }
}

/// Text that anybody may have written, for a terminal.
pub(super) fn plain(text: &str) -> String {
    escape_bytes(text.as_bytes())
}

/// Findings of one kind that are printed; all are in the document.
const FINDINGS_SHOWN: usize = 8;

/// Findings as lines, the worst first, each kind with what to do once.
pub(crate) fn print_findings(context: &Context, findings: &[Finding]) {
    let mut kinds: BTreeMap<_, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        let kind = (std::cmp::Reverse(finding.code.severity()), finding.code);
        kinds.entry(kind).or_default().push(finding);
    }
    for ((_, code), findings) in kinds {
        for finding in findings.iter().take(FINDINGS_SHOWN) {
            let place =
                finding.place.as_ref().map(|place| format!(" ({})", plain(place))).unwrap_or_default();
            let (subject, detail) = (plain(&finding.subject), plain(&finding.detail));
            context.out(format_args!("  {} {code}: {subject}{place}: {detail}", code.severity().as_str()));
        }
        if findings.len() > FINDINGS_SHOWN {
            context.out(format_args!("  and {} more, which `--json` has", findings.len() - FINDINGS_SHOWN));
        }
        context.out(format_args!("    help: {}", code.help()));
    }
}

/// Findings for a document.
pub(crate) fn documents(findings: &[Finding]) -> Vec<Value> {
    let document = |finding: &Finding| {
        json!({
            "code": finding.code, "severity": finding.code.severity(), "subject": finding.subject,
            "place": finding.place, "detail": finding.detail, "help": finding.code.help(),
        })
    };
    findings.iter().map(document).collect()
}
