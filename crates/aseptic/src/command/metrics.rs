mod chart;
mod follow;
mod table;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::{Class, RunRef};
use aseptic_runner::{CSV_HEADER, MetricsOf, MetricsRead, Point, name_matches, read_metrics, write_csv};

pub(crate) use table::lines as metric_lines;

use crate::context::Context;
use crate::failure::Failure;

/// Show what runs measured
///
/// A program measures by appending lines such as {"step": 1, "loss": 0.5} to the file $ASEPTIC_METRICS. Of
/// each metric the table has the number of values, the step of the last one, the last, smallest and largest
/// value, and its shape. A chart has one panel for each metric, with all runs in it. Of a run that goes on,
/// these are the values so far.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic metrics latest\n  aseptic metrics train --follow\n  \
                        aseptic metrics train 7jmg7q --name 'train/*' --plot loss.svg --log\n  \
                        aseptic metrics latest --csv > points.csv\n  \
                        aseptic metrics latest --system --plot machine.svg --x time")]
pub(crate) struct Args {
    /// Runs: an id, the start of one, `latest`, an experiment for its newest success, or a name
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<RunRef>,
    /// Only these metrics: `*` is any text, `?` any character
    #[arg(long = "name", value_name = "GLOB")]
    names: Vec<String>,
    /// What the job used of the machine, instead of what it wrote
    #[arg(long)]
    system: bool,
    /// Draw a chart into this SVG file; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print every value as comma-separated values
    #[arg(long, conflicts_with_all = ["plot", "json"])]
    csv: bool,
    /// Print values as they come, until the run is over
    #[arg(long, conflicts_with = "plot")]
    follow: bool,
    /// Most points of a curve; with `--json` without `--plot`, print so many [default: 300 for charts]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=10_000))]
    #[arg(conflicts_with_all = ["csv", "follow"])]
    points: Option<u16>,
    /// What goes to the right
    #[arg(long, value_name = "AXIS", value_enum, default_value = "step")]
    x: Axis,
    /// Draw equal ratios equally far from each other; values that are not above zero are left out
    #[arg(long, requires = "plot")]
    log: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Axis {
    /// Steps
    Step,
    /// Time since the first value of the run
    Time,
}

impl Args {
    fn of(&self) -> MetricsOf {
        if self.system { MetricsOf::Machine } else { MetricsOf::Job }
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|pattern| name_matches(pattern, name))
    }
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    if args.follow {
        return follow::run(context, args);
    }
    if let Some(path) = &args.plot {
        return chart::run(context, args, path);
    }
    if args.csv {
        return csv(context, args);
    }
    table::run(context, args)
}

/// Which of the metrics of one run are wanted; each name is looked at once.
struct Wanted<'a> {
    args: &'a Args,
    known: Vec<bool>,
}

impl<'a> Wanted<'a> {
    fn new(args: &'a Args) -> Self {
        Self { args, known: Vec::new() }
    }

    fn has(&mut self, point: &Point<'_>) -> bool {
        if self.known.len() == point.series {
            self.known.push(self.args.wants(point.name));
        }
        self.known.get(point.series).copied().unwrap_or(false)
    }
}

fn csv(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let home = context.home()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut lost = out.write_all(CSV_HEADER.as_bytes()).err();
    let mut found = Vec::new();
    for run in &args.runs {
        let id = aseptic_runner::resolve_run(&home, &project, run)?;
        let mut wanted = Wanted::new(args);
        let read = read_metrics(&home, &project, run, args.of(), &mut |point| {
            if wanted.has(&point) { write_csv(&mut out, id.as_str(), &point) } else { Ok(()) }
        });
        match read {
            Err(aseptic_runner::MetricsError::Taken(error)) => {
                lost = lost.or(Some(error));
                break;
            }
            read => found.push(read?),
        }
    }
    context.written(lost.map_or_else(|| out.flush(), Err));
    drop(out);
    remarks(context, args, &found)?;
    Ok(ExitCode::SUCCESS)
}

/// Says what is not in the result, and fails when there is none at all.
fn remarks(context: &Context, args: &Args, found: &[Option<MetricsRead>]) -> Result<(), Failure> {
    for (run, read) in args.runs.iter().zip(found) {
        let Some(read) = read else {
            if found.iter().any(Option::is_some) {
                context.say(format_args!("note: {}", none(args, run)));
            }
            continue;
        };
        let MetricsRead { lines, unreadable, unread_bytes, .. } = read;
        if *unreadable > 0 {
            let whole = format!("{unreadable} of {lines} lines of run {}", read.run);
            context.say(format_args!("note: {whole} could not be read, or not all of their values"));
        }
        if *unread_bytes > 0 {
            let bytes = aseptic_model::ByteSize(*unread_bytes);
            context.say(format_args!("note: the last {bytes} of the file of run {} were not read", read.run));
        }
    }
    match (args.runs.first(), found.iter().any(Option::is_some) || found.is_empty()) {
        (Some(run), false) => Err(Failure::new(Class::User, "metrics/none", none(args, run), why_none(args))),
        _ => Ok(()),
    }
}

fn none(args: &Args, run: &RunRef) -> String {
    let what = if args.system { "no metrics of the machine" } else { "no metrics" };
    format!("run `{run}` has {what}")
}

fn why_none(args: &Args) -> &'static str {
    if args.system {
        "a run has these from its first second on"
    } else {
        "let its program append lines such as {\"step\": 1, \"loss\": 0.5} to the file $ASEPTIC_METRICS"
    }
}

/// No metric has a name that is asked for.
fn no_such_name() -> Failure {
    let message = "no metric has such a name".to_owned();
    Failure::new(Class::User, "metrics/no-name", message, "`aseptic metrics RUN` lists all names")
}
