mod drawing;
mod labels;
mod list;
mod tree;
mod words;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_model::{Class, ObjectRef};
use aseptic_runner::{Lineage, LineageGraph, LineageRequest};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Line;
use aseptic_runner::graph;

/// Follow what something came from and what came from it
///
/// The answer rests on what the sandbox let each run read, not on what its code says: an input that is
/// not in a plan cannot be read. Where the kernel saw every file that a run opened, a file that it did not open is
/// no part of its lineage, and the answer says `observed`; where that is not known, it says `declared`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  aseptic lineage run:train/out/model.joblib
  aseptic lineage digits@1/train.csv --down       who opened this file, also in other versions
  aseptic lineage package:numpy@1.26 --down       what came from runs with numpy 1.26 or 1.26.4
  aseptic lineage host:gpu-7 --down --csv
  aseptic lineage digits --html lineage.html
  aseptic lineage run:train --labels              where each label came from
  aseptic lineage latest --json")]
pub(crate) struct Args {
    /// DATASET, DATASET@VERSION, DATASET@VERSION/PATH, run:RUN, run:RUN/PATH, file:DIGEST, snapshot:DIGEST,
    /// policy:DIGEST, host:NAME, package:NAME, package:NAME@VERSION, or a digest of 64 digits
    object: ObjectRef,
    /// Only what it came from
    #[arg(long, conflicts_with = "down")]
    up: bool,
    /// Only where each of its labels came from, and which were taken off on the way
    #[arg(long, conflicts_with_all = ["up", "down", "depth", "limit", "cursor", "csv", "dot", "svg", "html"])]
    labels: bool,
    /// Only what came from it
    #[arg(long)]
    down: bool,
    /// Go so many steps, each from one run to the next; without it, to the end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    depth: Option<u32>,
    /// Edges in each direction on a page
    #[arg(long, value_name = "N", default_value = "500")]
    limit: NonZeroUsize,
    /// Begin where a page ended, which says with which number
    #[arg(long, value_name = "N", default_value_t = 0)]
    cursor: usize,
    /// Print a line for each edge, as comma-separated values
    #[arg(long, conflicts_with = "dot")]
    csv: bool,
    /// Print the graph in the language of Graphviz
    #[arg(long)]
    dot: bool,
    /// Write the graph to a new file, as an SVG picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the graph and the list to a new file, as a page that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let home = context.home()?;
    if args.labels {
        labels::run(context, &home, &project, &args.object)?;
        return Ok(ExitCode::SUCCESS);
    }
    let request = LineageRequest {
        up: !args.down,
        down: !args.up,
        depth: args.depth,
        skip: args.cursor,
        limit: args.limit.get(),
    };
    let mut line = (!context.quiet()).then(Line::new);
    let interrupt = context.interrupt()?;
    let lineage = aseptic_runner::lineage(&home, &project, &args.object, &request, &mut |done, total| {
        if let Some(line) = &mut line {
            line.searched_versions(done, total);
        }
        !interrupt.is_seen()
    })?;
    drop(line);
    if args.svg.is_some() || args.html.is_some() {
        let drawing = drawing::of(&lineage);
        if let Some(path) = &args.svg {
            write_new(path, &graph::svg(&drawing))?;
        }
        if let Some(path) = &args.html {
            write_new(path, &graph::html(&drawing, &list::rows(&lineage), &lineage.notes))?;
        }
    }
    if context.json() {
        let document = serde_json::to_value(&lineage).map_err(|error| {
            let help = "report this: every answer can be written";
            Failure::new(Class::Internal, "cli/document", error.to_string(), help)
        })?;
        let mut all = json!({ "schema": "aseptic.lineage/2" });
        if let (Some(all), serde_json::Value::Object(document)) = (all.as_object_mut(), document) {
            all.extend(document);
        }
        context.document(&all)?;
    } else if args.csv {
        context.out(list::csv(&lineage).trim_end());
    } else if args.dot {
        context.out(graph::dot(&drawing::of(&lineage)).trim_end());
    } else if args.svg.is_none() && args.html.is_none() {
        context.out(tree::text(&lineage).trim_end());
    }
    for note in &lineage.notes {
        context.say(format_args!("note: {note}"));
    }
    for (word, graph) in directions(&lineage) {
        if let Some(next) = graph.next {
            context.say(format_args!("note: there is more {word}; `--cursor {next}` shows it"));
        } else if graph.truncated {
            context.say(format_args!("note: there is more {word} than one question goes over"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The answers there are, each with the option that asks for it.
fn directions(lineage: &Lineage) -> impl Iterator<Item = (&'static str, &LineageGraph)> {
    [("up", &lineage.up), ("down", &lineage.down)]
        .into_iter()
        .filter_map(|(word, graph)| graph.as_ref().map(|graph| (word, graph)))
}

/// Nothing that is there is written over.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let message = format!("could not write `{}`: {error}", path.display());
        Failure::new(
            Class::User,
            "lineage/file",
            message,
            "name a new file in a directory that you may write to",
        )
    })
}
