//! The summaries, as a table or a document.

use std::collections::BTreeMap;
use std::process::ExitCode;

use aseptic_model::{MetricSummary, RunRef};
use aseptic_runner::{
    Bucket, Envelope, Home, Letters, MetricsRead, Point, metric_value, read_metrics, sparkline,
    summarise_metrics,
};
use serde_json::{Value, json};

use super::{Args, Axis, Wanted, no_such_name, remarks};
use crate::context::Context;
use crate::failure::Failure;
use crate::table::{name, table};

/// The metrics of one run.
struct Measured {
    read: MetricsRead,
    series: BTreeMap<String, MetricSummary>,
    points: Option<BTreeMap<String, Vec<Bucket>>>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let home = context.home()?;
    let (mut all, mut found) = (Vec::new(), Vec::new());
    for run in &args.runs {
        let summary = summarise_metrics(&home, &project, run, args.of())?;
        found.push(summary.as_ref().map(|(read, _)| read.clone()));
        let Some((read, mut metrics)) = summary else { continue };
        metrics.series.retain(|name, _| args.wants(name));
        let points = match args.points {
            Some(most) if context.json() => Some(points(&home, &project, run, args, usize::from(most))?),
            _ => None,
        };
        all.push(Measured { read, series: metrics.series, points });
    }
    remarks(context, args, &found)?;
    if !args.names.is_empty() && all.iter().all(|one| one.series.is_empty()) {
        return Err(no_such_name());
    }
    if context.json() {
        let runs: Vec<_> = all.iter().map(document).collect();
        context.document(&json!({ "schema": "aseptic.metrics/1", "runs": runs }))?;
    } else {
        context.out(text(&all, context.letters()));
    }
    Ok(ExitCode::SUCCESS)
}

fn points(
    home: &Home,
    project: &aseptic_model::ProjectName,
    run: &RunRef,
    args: &Args,
    most: usize,
) -> Result<BTreeMap<String, Vec<Bucket>>, Failure> {
    let (mut series, mut wanted) = (BTreeMap::<usize, (String, Envelope)>::new(), Wanted::new(args));
    let mut start = Start::default();
    read_metrics(home, project, run, args.of(), &mut |point| {
        if wanted.has(&point) {
            let new = || (point.name.to_owned(), Envelope::new(most));
            let (_, envelope) = series.entry(point.series).or_insert_with(new);
            envelope.add(start.place(&point, args.x), point.value);
        }
        Ok(())
    })?;
    Ok(series.into_values().map(|(name, envelope)| (name, envelope.buckets().to_vec())).collect())
}

/// When the first value of a run was measured.
#[derive(Default)]
pub(super) struct Start(Option<f64>);

impl Start {
    /// Where a value is on the way to the right; nowhere, if it has no time and is to have one.
    pub(super) fn place(&mut self, point: &Point<'_>, x: Axis) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a place in a chart")]
        match (x, point.time) {
            (Axis::Step, _) => point.step as f64,
            (Axis::Time, Some(time)) => time - *self.0.get_or_insert(time),
            (Axis::Time, None) => f64::NAN,
        }
    }
}

fn document(one: &Measured) -> Value {
    let MetricsRead { run, experiment, goes_on, lines, unreadable, unread_bytes } = &one.read;
    let metric = |(name, summary): (&String, &MetricSummary)| {
        let mut document = json!(summary);
        document["name"] = json!(name);
        if let Some(points) = &one.points {
            let buckets = points.get(name).into_iter().flatten();
            document["points"] = buckets.map(bucket).collect();
        }
        document
    };
    json!({
        "run": run,
        "experiment": experiment,
        "goes_on": goes_on,
        "lines": lines,
        "unreadable": unreadable,
        "unread_bytes": unread_bytes,
        "metrics": one.series.iter().map(metric).collect::<Vec<_>>(),
    })
}

fn bucket(bucket: &Bucket) -> Value {
    let Bucket { from, to, min, max, mean, count } = bucket;
    json!({ "from": from, "to": to, "min": min, "max": max, "mean": mean, "count": count })
}

fn text(all: &[Measured], letters: Letters) -> String {
    let mut rows = Vec::new();
    for Measured { read, series, .. } in all {
        let mut series: Vec<_> = series.iter().collect();
        series.sort_by_key(|(name, _)| name.contains('/')); // What stands for the whole comes first.
        for (name, summary) in series {
            let [values, step, last, min, max, shape] = cells(name, summary, letters);
            rows.push([read.run.to_string(), crate::table::name(name), values, step, last, min, max, shape]);
        }
    }
    let titles = ["run", "metric", "values", "step", "last", "min", "max", "shape"];
    if all.len() > 1 {
        return table(titles, &rows);
    }
    let rows: Vec<_> = rows.into_iter().map(|[_, a, b, c, d, e, f, g]| [a, b, c, d, e, f, g]).collect();
    let [_, a, b, c, d, e, f, g] = titles;
    table([a, b, c, d, e, f, g], &rows)
}

fn cells(name: &str, summary: &MetricSummary, letters: Letters) -> [String; 6] {
    let values = match summary.not_finite {
        0 => summary.count.to_string(),
        not_finite => format!("{} ({not_finite} not finite)", summary.count),
    };
    let step = summary.last_step.map_or_else(|| "-".to_owned(), |step| step.to_string());
    let value =
        |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| metric_value(name, number));
    let shape = sparkline(&summary.shape, letters);
    [values, step, value(summary.last), value(summary.min), value(summary.max), shape]
}

/// Metrics that `aseptic show` has; the others are a command away.
const SHOWN_MAX: usize = 20;

/// A line for each of the first metrics: name, shape, last, smallest and largest value.
pub(crate) fn lines(series: &BTreeMap<String, MetricSummary>, letters: Letters) -> Vec<String> {
    let row = |(metric, summary): (&String, &MetricSummary)| {
        let [_, _, last, min, max, shape] = cells(metric, summary, letters);
        let diverged = match summary.not_finite {
            0 => String::new(),
            count => format!("  {count} of {} values not finite", summary.count),
        };
        [name(metric), shape, format!("last {last}"), format!("min {min}"), format!("max {max}{diverged}")]
    };
    let mut chosen: Vec<_> = series.iter().collect();
    chosen.sort_by_key(|(name, _)| name.contains('/'));
    let rows: Vec<_> = chosen.into_iter().take(SHOWN_MAX).map(row).collect();
    let mut lines = crate::table::columns(&rows);
    if series.len() > SHOWN_MAX {
        lines.push(format!("{} more: `aseptic metrics RUN`", series.len() - SHOWN_MAX));
    }
    lines
}
