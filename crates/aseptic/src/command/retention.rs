use std::process::ExitCode;

use aseptic_model::{RetainedKind, Retention};
use aseptic_runner::{Standing, Standings};
use clap::ValueHint;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;

/// Choose for how long bytes are kept, and show it
///
/// A class is a number of days such as `7d`, counted from the import of a dataset version or the end of a run,
/// or from when it was restored; `keep`, which is until another is chosen; or `hold`, which nothing deletes.
/// Choosing deletes nothing: `aseptic gc --now` does.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Choose the class of a dataset version or a run
    ///
    /// Of a run, its outputs, code and logs are kept so long; its record is kept for ever. A run on hold keeps also
    /// what it read.
    #[command(after_help = "Examples:\n  aseptic retention set digits@1 90d\n  \
                            aseptic retention set run:train hold --reason \"used in the report\"\n  \
                            aseptic retention set digits@1 default")]
    Set {
        /// NAME@VERSION, NAME for its newest version, or run:RUN
        #[arg(value_name = "OBJECT", value_hint = ValueHint::Other)]
        object: String,
        /// Days such as `7d`, `keep`, `hold`, or `default` to leave it to the project
        #[arg(value_name = "CLASS", value_parser = class)]
        class: Chosen,
        /// Why; needed to lift a hold
        #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        reason: Option<String>,
    },
    /// Choose the class of all datasets or runs of the project that have none of their own
    #[command(after_help = "Examples:\n  aseptic retention default runs 90d")]
    Default {
        /// `datasets` or `runs`
        #[arg(value_name = "KIND", value_parser = kind)]
        kind: RetainedKind,
        /// Days such as `90d`, or `keep`
        #[arg(value_name = "CLASS")]
        class: Retention,
    },
    /// Show the classes of a project, or of one dataset version or run
    #[command(after_help = "Examples:\n  aseptic retention show\n  aseptic retention show digits@1")]
    Show {
        /// NAME@VERSION, NAME for its newest version, or run:RUN; without it, everything that is not simply kept
        #[arg(value_name = "OBJECT", value_hint = ValueHint::Other)]
        object: Option<String>,
    },
}

/// A class, or none so that the project's counts.
#[derive(Clone, Copy, Debug)]
struct Chosen(Option<Retention>);

fn class(text: &str) -> Result<Chosen, String> {
    match text {
        "default" => Ok(Chosen(None)),
        text => text
            .parse()
            .map(Some)
            .map(Chosen)
            .map_err(|error: aseptic_model::RetentionError| error.to_string()),
    }
}

fn kind(text: &str) -> Result<RetainedKind, String> {
    let found = RetainedKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| "expected `datasets` or `runs`".to_owned())
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let mut home = context.home()?;
    match &args.action {
        Action::Set { object, class: Chosen(class), reason } => {
            let standings =
                aseptic_runner::set_retention(&mut home, &project, object, *class, reason.as_deref())?;
            if context.json() {
                return document(context, &standings);
            }
            for Standing { object, class, expires, .. } in &standings.objects {
                let when = expires.map_or_else(String::new, |expires| format!(", until {expires}"));
                context.out(format_args!("{object} has class {class}{when}"));
            }
        }
        Action::Default { kind, class } => {
            let standings = aseptic_runner::set_default_retention(&mut home, &project, *kind, *class)?;
            if context.json() {
                return document(context, &standings);
            }
            context.out(format_args!("{} of project {project} have class {class}", kind.as_str()));
        }
        Action::Show { object } => {
            let standings = aseptic_runner::retention(&home, &project, object.as_deref())?;
            if context.json() {
                return document(context, &standings);
            }
            show(context, &standings, object.is_none());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, standings: &Standings, defaults: bool) {
    if defaults {
        for (kind, class) in &standings.defaults {
            context.out(format_args!("default for {}: {class}", kind.as_str()));
        }
    }
    if standings.objects.is_empty() {
        return;
    }
    let rows: Vec<_> = standings
        .objects
        .iter()
        .map(|standing| {
            let chosen = if standing.own { "" } else { " (default)" };
            let what = match (standing.expired, standing.expires) {
                (Some(expired), _) => format!("deleted {expired}"),
                (None, Some(expires)) => format!("expires {expires}"),
                (None, None) => "kept".to_owned(),
            };
            let archived = standing.archived.as_ref().map_or_else(|| "-".to_owned(), Clone::clone);
            [standing.object.to_string(), format!("{}{chosen}", standing.class), what, archived]
        })
        .collect();
    context.out(table(["object", "class", "bytes", "archived"], &rows));
}

fn document(context: &Context, standings: &Standings) -> Result<ExitCode, Failure> {
    let objects: Vec<_> = standings.objects.iter().map(row).collect();
    let defaults = &standings.defaults;
    context
        .document(&json!({ "schema": "aseptic.retention/1", "defaults": defaults, "objects": objects }))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn row(standing: &Standing) -> serde_json::Value {
    json!({
        "object": standing.object, "class": standing.class, "own": standing.own, "since": standing.since,
        "expires": standing.expires, "expired": standing.expired, "archived": standing.archived,
    })
}
