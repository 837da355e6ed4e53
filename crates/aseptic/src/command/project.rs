use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_model::{Class, Timestamp};
use aseptic_runner::report::{self, ProjectReport};

use crate::command::ledger::time;
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Line;

/// Say how a project stands
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Report(Report),
}

/// Write a risk assessment and evidence of controls
///
/// The ledger is verified and counted, and the page says where in it every number can be checked. It names the
/// position of the ledger that it is about: the same position gives the same page. Controls of standards are said to
/// be helped with; whether they are met is for people to say. Nothing that can be erased is in it, and no command,
/// parameter or variable of a run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  aseptic project report
  aseptic project report --output report.html
  aseptic project report --since 2026-01-01 --format markdown
  aseptic project report --json")]
struct Report {
    /// Form of the report; without it what the name of the file says, or Markdown
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// New file for it, which only this user may read; without it, standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Count runs and entries from this time on: 2026-03-01, 2026-03-01T08:00:00Z, or 90d for 90 days ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people and version control
    Markdown,
    /// One page without script, which prints
    Html,
    /// For programs; as --json
    Json,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Report(args) => report(context, args),
    }
}

fn report(context: &Context, args: &Report) -> Result<ExitCode, Failure> {
    let format = format(context, args)?;
    let (project, mut home) = (context.project()?, context.home()?);
    let mut line = (!context.quiet()).then(Line::new);
    let interrupt = context.interrupt()?;
    let report = report::project_report(&mut home, &project, args.since, &mut |done, total| {
        if let Some(line) = &mut line {
            line.counted(done, total);
        }
        !interrupt.is_seen()
    })?;
    drop(line);
    let text = written(&report, format)?;
    match &args.output {
        Some(path) => write_new(path, &text)?,
        None => context.out_exactly(text),
    }
    let at = &report.position;
    context.say(format_args!("verified {} entries of the ledger, root {}", at.entries, at.root));
    context.say(format_args!("the report lists {} things that were not verified", report.not_verified.len()));
    Ok(ExitCode::SUCCESS)
}

/// The form that was asked for, in whatever way.
fn format(context: &Context, args: &Report) -> Result<Format, Failure> {
    let of_name = args.output.as_ref().and_then(|path| of_name(path));
    let other = args.output.as_ref().filter(|path| of_name.is_none() && path.extension().is_some());
    if let (Some(path), None, false) = (other, args.format, context.json()) {
        return Err(mixed(format!("nothing of the form that `{}` ends with can be written", path.display())));
    }
    let asked = match args.format {
        None if context.json() => Some(Format::Json),
        format => format,
    };
    let format = asked.or(of_name).unwrap_or(Format::Markdown);
    if context.json() && format != Format::Json {
        return Err(mixed("--json asks for another form than --format".to_owned()));
    }
    match of_name {
        Some(of_name) if of_name != format => Err(mixed("the name of the file says another form".to_owned())),
        _ => Ok(format),
    }
}

fn mixed(message: String) -> Failure {
    let help = "name a file that ends with .md, .html or .json, or say with --format which of them it has";
    Failure::new(Class::User, "report/format", message, help)
}

fn of_name(path: &Path) -> Option<Format> {
    match path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase().as_str() {
        "md" | "markdown" => Some(Format::Markdown),
        "html" | "htm" | "xhtml" => Some(Format::Html),
        "json" => Some(Format::Json),
        _ => None,
    }
}

fn written(report: &ProjectReport, format: Format) -> Result<String, Failure> {
    match format {
        Format::Markdown => Ok(report::markdown(report)),
        Format::Html => Ok(report::html(report)),
        Format::Json => serde_json::to_string_pretty(report).map(|text| text + "\n").map_err(|error| {
            let help = "report this: every report can be written";
            Failure::new(Class::Internal, "cli/document", error.to_string(), help)
        }),
    }
}

/// Writes a new file, for this user alone. Nothing that is there is replaced, and no part of it stays when it cannot
/// be written whole.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let message = format!("could not write `{}`: {error}", path.display());
        let help = "name a new file in a directory that you may write to and that has room";
        Failure::new(Class::User, "report/file", message, help)
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        let _ = fs::remove_file(path);
        failed(error)
    })
}
