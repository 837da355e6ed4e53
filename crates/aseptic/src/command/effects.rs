//! What two runs came to, in lines of text: shared by `diff`, `replay` and `show`.

use aseptic_model::{
    Effects, Ending, FileComparison, MetricDifference, OutputDifference, RunRecord, Verdict, escape_bytes,
};
use aseptic_runner::Replay;

use crate::table::columns;

/// So many outputs are listed.
const OUTPUTS_SHOWN: usize = 20;

/// How they ended, their metrics and their outputs; with one line for what is equal.
pub(crate) fn describe(effects: &Effects) -> Vec<String> {
    let mut rows = Vec::new();
    if effects.before != effects.after {
        let both = format!("{} -> {}", ending(&effects.before), ending(&effects.after));
        rows.push(["different".to_owned(), "how it ended".to_owned(), both]);
    }
    rows.extend(effects.metrics.iter().map(metric));
    rows.extend(effects.outputs.iter().take(OUTPUTS_SHOWN).map(output));
    let mut lines = columns(&rows);
    let unlisted = effects.outputs.len().saturating_sub(OUTPUTS_SHOWN) as u64 + effects.unlisted;
    if unlisted > 0 {
        lines.push(format!("and {unlisted} more outputs that differ"));
    }
    let noun = if effects.identical == 1 { "output" } else { "outputs" };
    lines.push(format!("identical  {} {noun}", effects.identical));
    for (same, what) in [(effects.same_stdout, "standard output"), (effects.same_stderr, "standard error")] {
        if !same {
            lines.push(format!("{what} is not the same, which does not count"));
        }
    }
    lines
}

fn ending(ending: &Ending) -> String {
    let status = ending.status.map_or("running", aseptic_model::Status::as_str);
    match (ending.exit_code, ending.signal) {
        (Some(code @ 1..), _) => format!("{status} with exit code {code}"),
        (_, Some(signal)) => format!("{status} by signal {signal}"),
        _ => status.to_owned(),
    }
}

fn metric(metric: &MetricDifference) -> [String; 3] {
    let number = |value: Option<f64>| value.map_or("none".to_owned(), |value| value.to_string());
    let delta = match (metric.before, metric.after) {
        (Some(before), Some(after)) => format!(" ({:+})", after - before),
        _ => String::new(),
    };
    let values = format!("{} -> {}{delta}", number(metric.before), number(metric.after));
    let name = escape_bytes(metric.name.as_bytes());
    [metric.verdict.to_string(), format!("metric {name}"), values]
}

fn output(output: &OutputDifference) -> [String; 3] {
    let what = output.values.as_ref().map(values).unwrap_or_default();
    [output.change.as_str().to_owned(), output.path.to_string(), what]
}

/// What comparing the values of two files came to, in one line.
pub(crate) fn values(found: &FileComparison) -> String {
    let mut text = found.format.to_string();
    if found.differing > 0 {
        text += &format!(": {} of {} values", found.differing, found.values);
        if let Some(first) = found.first.first() {
            let shown = |value: &Option<String>| {
                value.as_ref().map_or("nothing".to_owned(), |text| format!("`{text}`"))
            };
            text += &format!(", first {}: {} -> {}", first.at, shown(&first.before), shown(&first.after));
        }
    } else if found.not_compared.is_none() && found.within > 0 {
        text += &format!(": {} of {} values differ within the tolerance", found.within, found.values);
    }
    if let Some(largest) = found.largest_absolute.filter(|largest| *largest > 0.0) {
        text += &format!(", at most by {largest:?}");
    }
    if let Some(why) = &found.not_compared {
        text += &format!(": not compared, since {why}");
    }
    text
}

/// Which run this repeats, and what came of its own replays.
pub(crate) fn replays(record: &RunRecord, replays: &[Replay]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(original) = &record.replays {
        let own = replays.iter().find(|replay| replay.run == record.run);
        let verdict = own.map_or("not compared", |replay| replay.verdict.as_str());
        lines.push(format!("{:<12}{original}: {verdict}", "replays"));
    }
    let verdicts: Vec<_> =
        replays.iter().filter(|replay| replay.replays == record.run).map(|replay| replay.verdict).collect();
    let counts = Verdict::ALL.into_iter().filter_map(|verdict| {
        let count = verdicts.iter().filter(|other| **other == verdict).count();
        (count > 0)
            .then(|| if count == verdicts.len() { verdict.to_string() } else { format!("{count} {verdict}") })
    });
    let counts: Vec<_> = counts.collect();
    if !counts.is_empty() {
        let times = if verdicts.len() == 1 { "once".to_owned() } else { format!("{} times", verdicts.len()) };
        lines.push(format!("{:<12}{times}: {}", "replayed", counts.join(", ")));
    }
    lines
}
