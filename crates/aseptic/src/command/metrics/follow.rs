//! `--follow`: values as they come.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use aseptic_model::Class;
use aseptic_runner::{
    CSV_HEADER, MetricsError, Point, follow_metrics, metric_value, read_metrics, write_csv,
};
use serde_json::{Value, json};

use super::{Args, none, why_none};
use crate::command::follow::wait;
use crate::context::Context;
use crate::failure::Failure;
use crate::table;

/// How long a value may wait to be shown.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let [run] = args.runs.as_slice() else {
        let message = "one run can be followed at a time".to_owned();
        return Err(Failure::new(
            Class::User,
            "metrics/follow",
            message,
            "name one run, or leave `--follow` out",
        ));
    };
    let (project, home) = (context.project()?, context.home()?);
    let interrupt = context.interrupt()?;
    let run_id = aseptic_runner::resolve_run(&home, &project, run)?;
    let mut shown = Printer::new(context, args, run_id.to_string());
    let exact = run_id.to_string().parse().unwrap_or_else(|_| run.clone()); // `latest` may become another.
    let mut has_file = false;
    if let Some(mut followed) = follow_metrics(&home, &project, &exact, args.of())? {
        drop(home);
        loop {
            let goes_on = match followed.more(&mut |point| shown.take(&point)) {
                Err(MetricsError::Taken(_)) => false,
                goes_on => goes_on?,
            };
            let reads_on = shown.flush() && wait(LOOK_EVERY).map_err(|error| no_wait(&error))?;
            if !goes_on || !reads_on || interrupt.is_seen() {
                break;
            }
            context.home()?; // Seals the run if its supervisor died.
        }
        has_file = followed.has_file();
        if interrupt.is_seen() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !has_file && shown.lost.is_none() {
        // It was over before anything of it was seen.
        let home = context.home()?;
        let read = read_metrics(&home, &project, &exact, args.of(), &mut |point| shown.take(&point));
        let read = match read {
            Err(MetricsError::Taken(_)) => return Ok(ExitCode::SUCCESS), // Nobody reads any more.
            read => read?,
        };
        if read.is_none() {
            return Err(Failure::new(Class::User, "metrics/none", none(args, run), why_none(args)));
        }
    }
    shown.flush();
    Ok(ExitCode::SUCCESS)
}

fn no_wait(error: &io::Error) -> Failure {
    let message = format!("could not wait: {error}");
    Failure::new(Class::Host, "metrics/follow", message, "try again, or leave `--follow` out")
}

/// Prints the values of one line together.
struct Printer<'a> {
    context: &'a Context,
    args: &'a Args,
    run: String,
    out: BufWriter<io::Stdout>,
    /// The values of one step, by number and name.
    group: Vec<(usize, String, f64)>,
    step: i64,
    time: Option<f64>,
    lost: Option<io::ErrorKind>,
}

impl<'a> Printer<'a> {
    fn new(context: &'a Context, args: &'a Args, run: String) -> Self {
        let mut out = BufWriter::new(io::stdout());
        if args.csv {
            context.written(out.write_all(CSV_HEADER.as_bytes()));
        }
        Self { context, args, run, out, group: Vec::new(), step: 0, time: None, lost: None }
    }

    fn take(&mut self, point: &Point<'_>) -> io::Result<()> {
        if !self.args.wants(point.name) {
            return Ok(()); // By name, since a file that began again has other numbers.
        }
        if self.args.csv {
            return write_csv(&mut self.out, &self.run, point);
        }
        let known = self.group.iter().any(|(series, ..)| *series == point.series);
        if known || point.step != self.step || point.time != self.time {
            self.print()?;
        }
        (self.step, self.time) = (point.step, point.time);
        self.group.push((point.series, point.name.to_owned(), point.value));
        Ok(())
    }

    fn print(&mut self) -> io::Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        if self.context.json() {
            let values: serde_json::Map<_, _> =
                group.into_iter().map(|(_, name, value)| (name, number(value))).collect();
            let document = json!({
                "schema": "aseptic.metrics-line/1", "run": self.run, "step": self.step, "time": self.time,
                "values": values,
            });
            return writeln!(self.out, "{document}");
        }
        let value = |(_, name, value): &(usize, String, f64)| {
            format!("{} {}", table::name(name), metric_value(name, *value))
        };
        let values: Vec<_> = group.iter().map(value).collect();
        writeln!(self.out, "step {}  {}", self.step, values.join("  "))
    }

    /// False when nobody reads any more.
    fn flush(&mut self) -> bool {
        let flushed = self.print().and_then(|()| self.out.flush());
        self.lost = self.lost.or(flushed.as_ref().err().map(io::Error::kind));
        let fine = flushed.is_ok();
        self.context.written(flushed);
        fine
    }
}

/// JSON has no word for what is not finite.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}
