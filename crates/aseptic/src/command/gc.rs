use std::process::ExitCode;

use aseptic_model::ByteSize;
use aseptic_runner::{Collected, Collection};
use serde_json::json;

use super::retention;
use crate::context::{Context, Shown};
use crate::failure::Failure;

/// Delete what nothing needs any more
///
/// That is what expired by its retention class, and what nothing ever named, such as the files of an import that
/// was killed. What goes is written into the ledger first: each version and run that expires, and a list of every
/// object. Records of runs are kept for ever. In every project, unless `--project` names one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic gc                 what would go, and how much space it takes\n  \
                        aseptic gc --now\n  aseptic retention show     what expires, and when"
)]
pub(crate) struct Args {
    /// Only say what would be deleted; this is the default
    #[arg(long)]
    dry_run: bool,
    /// Delete it
    #[arg(long, conflicts_with = "dry_run")]
    now: bool,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project_option();
    let mut home = context.home()?;
    let collection = if args.now { Collection::Now } else { Collection::DryRun };
    let collected = {
        let mut observer = context.observer(Shown::Nothing);
        aseptic_runner::collect(&mut home, project.as_ref(), collection, &mut observer)?
    };
    if context.json() {
        let projects: Vec<_> = collected.iter().map(row).collect();
        context.document(&json!({ "schema": "aseptic.gc/1", "deleted": args.now, "projects": projects }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let would = if args.now { "" } else { "would be " };
    for Collected { project, expired, objects, bytes, views, .. } in &collected {
        for standing in expired {
            let since = standing.since.map_or_else(String::new, |since| format!(" since {since}"));
            context.out(format_args!(
                "{project}: {} {would}deleted ({}{since})",
                standing.object, standing.class
            ));
        }
        let things = if *objects == 1 { "object" } else { "objects" };
        let shown = match views {
            0 => String::new(),
            1 => ", and 1 view".to_owned(),
            views => format!(", and {views} views"),
        };
        let size = ByteSize(*bytes);
        context.out(format_args!("{project}: {objects} {things}, {size}{shown} {would}deleted"));
    }
    if collected.is_empty() {
        context.say("Nothing was ever stored.");
    } else if !args.now {
        context.say("Nothing was deleted. `aseptic gc --now` does it.");
    }
    Ok(ExitCode::SUCCESS)
}

fn row(collected: &Collected) -> serde_json::Value {
    let expired: Vec<_> = collected.expired.iter().map(retention::row).collect();
    json!({
        "project": collected.project, "expired": expired, "objects": collected.objects,
        "bytes": collected.bytes, "views": collected.views, "list": collected.list,
    })
}
