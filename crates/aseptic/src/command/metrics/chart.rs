//! `--plot`: a chart in an SVG file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use aseptic_model::Class;
use aseptic_runner::{Chart, Curve, Envelope, Horizontal, Panel, Scale, read_metrics, svg};
use serde_json::json;

use super::table::Start;
use super::{Args, Axis, Wanted, no_such_name, remarks};
use crate::context::Context;
use crate::failure::Failure;

/// Most points of a curve, unless another number is asked for: about one for each pixel.
const POINTS: u16 = 300;

/// Most panels, and most curves in all of them: what a person can look at and a browser draws at once.
const PANELS_MAX: usize = 100;
const CURVES_MAX: usize = 1_000;

/// One metric of one run, while it is read.
struct Drawn {
    run: usize,
    envelope: Envelope,
    left_out: u64,
}

pub(super) fn run(context: &Context, args: &Args, path: &Path) -> Result<ExitCode, Failure> {
    let most = usize::from(args.points.unwrap_or(POINTS));
    let (mut panels, mut found, mut runs) = (BTreeMap::<String, Vec<Drawn>>::new(), Vec::new(), Vec::new());
    let (project, home) = (context.project()?, context.home()?);
    let (mut curves, mut too_many) = (0, false);
    for run in &args.runs {
        let (mut wanted, mut start) = (Wanted::new(args), Start::default());
        let mut drawn: Vec<Option<(String, Drawn)>> = Vec::new();
        let read = read_metrics(&home, &project, run, args.of(), &mut |point| {
            if drawn.len() <= point.series {
                drawn.resize_with(point.series + 1, || None);
            }
            let slot = drawn.get_mut(point.series).filter(|_| wanted.has(&point));
            let Some(slot) = slot else { return Ok(()) };
            if slot.is_none() {
                curves += 1;
                too_many |= curves > CURVES_MAX;
                if too_many {
                    return Err(io::ErrorKind::Other.into()); // Nothing of it is drawn.
                }
            }
            let new = || Drawn { run: runs.len(), envelope: Envelope::new(most), left_out: 0 };
            let (_, drawn) = slot.get_or_insert_with(|| (point.name.to_owned(), new()));
            let at = start.place(&point, args.x);
            let shown = at.is_finite() && point.value.is_finite() && (!args.log || point.value > 0.0);
            if shown {
                drawn.envelope.add(at, point.value);
            } else {
                drawn.left_out += 1;
            }
            Ok(())
        });
        if too_many {
            return Err(too_many_curves());
        }
        let read = read?;
        if let Some(read) = &read {
            let experiment = read.experiment.as_ref().map(|experiment| format!("{experiment} "));
            runs.push(format!("{}{}", experiment.unwrap_or_default(), read.run));
        }
        found.push(read);
        for (name, drawn) in drawn.into_iter().flatten() {
            panels.entry(name).or_default().push(drawn);
        }
    }
    remarks(context, args, &found)?;
    if panels.is_empty() {
        return Err(no_such_name());
    }
    if panels.len() > PANELS_MAX {
        return Err(too_many_curves());
    }
    let count = panels.len();
    write(path, &svg(&chart(args, runs, panels))).map_err(|error| not_written(path, &error))?;
    if context.json() {
        let file = path.display().to_string();
        context.document(&json!({ "schema": "aseptic.metrics-chart/1", "file": file, "metrics": count }))?;
    } else {
        let metrics = if count == 1 { "metric" } else { "metrics" };
        context.say(format_args!("Drew {count} {metrics} into {}.", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn chart(args: &Args, runs: Vec<String>, panels: BTreeMap<String, Vec<Drawn>>) -> Chart {
    let curve = |drawn: Drawn| Curve {
        run: drawn.run,
        buckets: drawn.envelope.buckets().to_vec(),
        left_out: drawn.left_out,
    };
    let panel =
        |(name, drawn): (String, Vec<Drawn>)| Panel { name, curves: drawn.into_iter().map(curve).collect() };
    let mut panels: Vec<_> = panels.into_iter().map(panel).collect();
    panels.sort_by_key(|panel| panel.name.contains('/')); // What stands for the whole comes first.
    let horizontal = if args.x == Axis::Time { Horizontal::Time } else { Horizontal::Steps };
    let scale = if args.log { Scale::Logarithmic } else { Scale::Linear };
    Chart { runs, panels, horizontal, scale }
}

/// How every SVG file of ours begins.
const BEGINNING: &[u8] = b"<svg ";

/// Makes the file, or replaces one that is an SVG, too: with all of the new one or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let is_svg = |file: File| {
        let mut begins = Vec::new();
        file.take(BEGINNING.len() as u64).read_to_end(&mut begins).is_ok() && begins == BEGINNING
    };
    let replaced = match fs::symlink_metadata(path) {
        Ok(known) if known.is_file() && is_svg(File::open(path)?) => true,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there and no SVG file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = if replaced { path.with_file_name(name) } else { path.to_owned() };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = written.and_then(|()| if replaced { fs::rename(&new, path) } else { Ok(()) });
    written.inspect_err(|_| drop(fs::remove_file(&new)))
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let message = format!("could not write `{}`: {error}", path.display());
    Failure::new(
        Class::User,
        "metrics/plot",
        message,
        "name a new file, or an SVG file to replace, with `--plot`",
    )
}

fn too_many_curves() -> Failure {
    let message =
        format!("this is more than {PANELS_MAX} metrics or {CURVES_MAX} curves, too many for one chart");
    Failure::new(
        Class::User,
        "metrics/too-many",
        message,
        "choose some of them with `--name`, or name fewer runs",
    )
}
