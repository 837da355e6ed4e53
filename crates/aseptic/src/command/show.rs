use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use aseptic_model::{
    ByteSize, Given, MetricSummary, Metrics, ProjectName, RunRecord, RunRef, Tag, Wall, WallState,
    describe_ms, escape_bytes,
};
use aseptic_runner::policy::{Noted, PolicyUseError, noted};
use aseptic_runner::quarantine::Marks;
use aseptic_runner::{Home, Letters, MetricsOf, RunSummary, Shown, summarise_metrics};
use serde_json::json;

use super::metrics::metric_lines;
use super::run::whole_ms;
use super::{effects, network, plan, runs};
use crate::context::Context;
use crate::failure::Failure;
use crate::table;

/// Show everything known of a run
///
/// Its plan, its inputs and which of their files it opened, its outputs with their digests, the walls
/// that stood and those that did not.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic show latest\n  aseptic show --json train")]
pub(crate) struct Args {
    /// Run: an id, the start of one, `latest`, an experiment for its newest success, or a name
    run: RunRef,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let home = context.home()?;
    match aseptic_runner::show(&home, &project, &args.run)? {
        Shown::Sealed { record, summary, tags, gone } => {
            if context.json() {
                context.document(&record)?;
            } else {
                let machine = machine(&home, &project, &record);
                let text = describe(&record, &machine, context.letters());
                context.out(format_args!("{}{}", said(&summary, &tags), text.trim_end()));
                context.out(format_args!("{:<12}{}", "risk", risk(&noted(&home, &project, &record.run))));
                let replays = aseptic_runner::replays(&home, &project, &record.run)?;
                effects::replays(&record, &replays).into_iter().for_each(|line| context.out(line));
            }
            let marked = Marks::new(&home)?.run(&project, &record.run)?;
            if let Some(found) = marked {
                context.say(format_args!("note: in quarantine: {}", found.describe()));
            }
            if let Some(gone) = gone {
                let when = format!("by retention class {} on {}", gone.class, gone.day());
                context.say(format_args!("note: its outputs, code and logs were deleted {when}"));
            }
        }
        Shown::Planned { summary, tags, plan } if context.json() => {
            let mut run = runs::row(&summary);
            run["tags"] = json!(tags);
            let metrics = so_far(&home, &project, &summary)?;
            context.document(&json!({
                "schema": "aseptic.run-summary/1", "run": run, "plan": plan, "metrics": metrics,
            }))?;
        }
        Shown::Planned { summary, tags, plan } => {
            context.out(format_args!("run {} is {}", summary.run, runs::state(&summary)));
            let said = said(&summary, &tags);
            if !said.is_empty() {
                context.out(said.trim_end());
            }
            context.out(plan::describe(&plan, &summary.plan.to_string()));
            if let Some(metrics) = so_far(&home, &project, &summary)? {
                context.out(format_args!("{} in {} so far", plural(metrics.lines, "line"), metrics.file));
                for line in metric_lines(&metrics.series, context.letters()) {
                    context.out(format_args!("metric  {line}"));
                }
            }
            if let Some(decision) = &summary.decision {
                let noted = noted(&home, &project, &summary.run);
                for note in noted.iter().flat_map(|noted| &noted.notes) {
                    context.out(format_args!("note      {note}"));
                }
                context.out(format_args!("risk      {}", risk(&noted)));
                plan::print_decision(context, decision, &summary.plan);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The risk of a run as it was counted when it was decided. What cannot be read hides nothing else of a run.
fn risk(noted: &Result<Noted, PolicyUseError>) -> String {
    match noted.as_ref().map(|noted| &noted.risk) {
        Ok(Some(risk)) => table::risk(risk),
        Ok(None) => "not known: it was decided before there was one".to_owned(),
        Err(error) => format!("not known: {}", escape_bytes(error.to_string().as_bytes())),
    }
}

/// What people said about a run, line by line.
fn said(run: &RunSummary, tags: &BTreeSet<Tag>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12}{}", escape_bytes(value.as_bytes()));
    };
    if let Some(name) = &run.name {
        line("name", name.as_str());
    }
    if !tags.is_empty() {
        line("tags", &tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "));
    }
    if let Some(note) = &run.note {
        line("note", note);
    }
    text
}

/// What a run that goes on has measured until now.
fn so_far(home: &Home, project: &ProjectName, run: &RunSummary) -> Result<Option<Metrics>, Failure> {
    if run.status.is_some() {
        return Ok(None);
    }
    let exact = run.run.to_string().parse::<RunRef>();
    let summarised = exact.map(|run| summarise_metrics(home, project, &run, MetricsOf::Job));
    let Ok(summarised) = summarised else { return Ok(None) };
    match summarised {
        // Sealed or gone meanwhile: the next look says so.
        Ok(found) => Ok(found.map(|(_, metrics)| metrics)),
        Err(error) => Err(error.into()),
    }
}

/// The two most telling metrics of the machine, if there are any and they are not deleted.
fn machine(home: &Home, project: &ProjectName, record: &RunRecord) -> BTreeMap<String, MetricSummary> {
    let run = record.system.as_ref().and_then(|_| record.run.to_string().parse::<RunRef>().ok());
    let read = run.and_then(|run| summarise_metrics(home, project, &run, MetricsOf::Machine).ok().flatten());
    let mut series = read.map(|(_, metrics)| metrics.series).unwrap_or_default();
    series.retain(|name, _| ["cpu_cores", "memory_bytes"].contains(&name.as_str()));
    series
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn describe(record: &RunRecord, machine: &BTreeMap<String, MetricSummary>, letters: Letters) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line("run", record.run.to_string());
    if let Some(experiment) = &record.experiment {
        line("experiment", experiment.to_string());
    }
    line("command", table::command(&record.command));
    let code = record.exit_code.map(|code| format!(", exit code {code}"));
    let signal = record.signal.map(|signal| format!(", signal {signal}"));
    line("status", format!("{}{}{}", record.status, code.unwrap_or_default(), signal.unwrap_or_default()));
    if let Some(reason) = &record.reason {
        line("reason", reason.clone());
    }
    line("planned", record.planned.to_string());
    line("took", describe_ms(whole_ms(record.duration_ms)));
    if let Some(usage) = &record.usage {
        line("used", table::usage(usage));
        if let Some(disks) = table::disks(usage) {
            line("disks", disks);
        }
        line("counted by", usage.source.clone());
    }
    for text in metric_lines(machine, letters) {
        line("machine", text);
    }
    line("plan", record.plan.to_string());
    for (name, value) in &record.params {
        line("param", format!("{name} = {value}"));
    }
    if let Some(code) = &record.code {
        let commit = code.git_commit.as_ref().map_or(String::new(), |commit| format!(", commit {commit}"));
        let amount = table::amount(code.files, code.bytes);
        line("code", format!("{} ({amount}{commit})", code.snapshot.short()));
    }
    if let Some(python) = &record.environment.python {
        let packages = python.packages.len();
        line("python", format!("{} at {} ({packages} packages)", python.version, python.prefix));
    }
    let host = &record.environment.host;
    line("host", format!("Linux {} {}, {}", host.kernel, host.architecture, host.cpu));
    line("labels", table::labels(&record.labels));
    for (name, input) in &record.inputs {
        let read = record.lineage.read.get(name).map_or(0, BTreeSet::len);
        let short = input.snapshot.short();
        line("input", format!("/data/{name}  {short}, {read} of {} files opened", input.files));
    }
    if !record.lineage.complete {
        let why = record.lineage.incomplete_because.as_deref().unwrap_or("unknown");
        line("lineage", format!("not complete: {why}"));
    }
    match &record.logs.stdin {
        None => {}
        Some(Given::Terminal) => line("stdin", "typed on a terminal, not kept".to_owned()),
        Some(Given::Piped(log)) => {
            let dropped = if log.dropped > 0 {
                format!(", {} more not kept", ByteSize(log.dropped))
            } else {
                String::new()
            };
            line("stdin", format!("{}  {}{dropped}", ByteSize(log.size), log.blake3.short()));
        }
    }
    if let Some(metrics) = &record.metrics {
        let mut said = format!("{} in {}", plural(metrics.lines, "line"), metrics.file);
        if metrics.unreadable > 0 {
            let _ = write!(said, ", {} of them not read, or not all of their values", metrics.unreadable);
        }
        if metrics.unread_bytes > 0 {
            let _ = write!(said, ", the last {} not read", ByteSize(metrics.unread_bytes));
        }
        line("metrics", said);
        for text in metric_lines(&metrics.series, letters) {
            line("metric", text);
        }
    }
    for output in &record.outputs {
        let size = ByteSize(output.size);
        line("output", format!("{}  {size}  {}", output.path, output.blake3.short()));
    }
    for link in &record.links {
        line("link", format!("{} -> {}", link.path, link.target));
    }
    for path in &record.deleted {
        line("deleted", path.to_string());
    }
    for skipped in &record.skipped {
        line("not kept", format!("{}: {}", skipped.path, skipped.reason));
    }
    if let Some(egress) = &record.egress {
        for used in &egress.grants {
            let revoked = if used.revoked { ", revoked" } else { "" };
            line("network", format!("{}  {}{revoked}", used.grant, network::traffic(&used.traffic)));
        }
        for host in egress.hosts.iter().filter(|host| host.traffic.connections > 0) {
            let addresses: Vec<_> = host.addresses.iter().map(ToString::to_string).collect();
            line("reached", format!("{}  {}", host.host, addresses.join(" ")));
        }
        if let Some(proxy) = &egress.proxy {
            line("proxy", proxy.clone());
        }
        if let Some(why) = &egress.incomplete_because {
            line("network", format!("not all of it is counted: {why}"));
        }
    }
    for told in &record.told {
        line("was told", escape_bytes(told.as_bytes()));
    }
    for denied in &record.denied {
        let why = denied.reason.map_or("", |reason| reason.as_str());
        let times = super::denied::times(denied.count);
        line("denied", format!("{} {} ({times}): {why}", denied.action, denied.target));
    }
    let (unlimited, walls): (Vec<_>, Vec<_>) = record.walls.iter().partition(|wall| wall.is_unasked());
    for wall in walls {
        let detail = wall.detail.as_deref().unwrap_or("");
        match wall.state {
            _ if wall.name == Wall::ATTEMPTS => line("report", format!("{}: {detail}", wall.name)),
            WallState::Done => line("wall", format!("{}: {detail}", wall.name)),
            WallState::NotEnforced => line("NO WALL", format!("{}: {detail}", wall.name)),
        }
    }
    let unlimited: Vec<_> = unlimited.iter().map(|wall| wall.name.trim_start_matches("limit: ")).collect();
    if !unlimited.is_empty() {
        line("no limit", unlimited.join(", "));
    }
    text
}
