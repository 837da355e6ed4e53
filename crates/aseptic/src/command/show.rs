use std::fmt::Write as _;
use std::process::ExitCode;

use aseptic_model::{ByteSize, Given, RunRecord, RunRef, Wall, WallState, describe_ms};
use aseptic_runner::Shown;
use serde_json::json;

use super::run::whole_ms;
use super::{network, plan, runs};
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
    /// Run: an id, the start of one, `latest`, or an experiment for its newest success
    run: RunRef,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let home = context.home()?;
    match aseptic_runner::show(&home, &project, &args.run)? {
        Shown::Sealed(record, gone) => {
            if context.json() {
                context.document(&record)?;
            } else {
                context.out(describe(&record).trim_end());
            }
            if let Some(gone) = gone {
                let when = format!("by retention class {} on {}", gone.class, gone.day());
                context.say(format_args!("note: its outputs, code and logs were deleted {when}"));
            }
        }
        Shown::Planned(summary, plan) if context.json() => {
            let run = runs::row(&summary);
            context.document(&json!({ "schema": "aseptic.run-summary/1", "run": run, "plan": plan }))?;
        }
        Shown::Planned(summary, plan) => {
            context.out(format_args!("run {} is {}", summary.run, runs::state(&summary)));
            context.out(plan::describe(&plan, &summary.plan.to_string()));
            if let Some(decision) = &summary.decision {
                plan::print_decision(context, decision);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(record: &RunRecord) -> String {
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
        let read = record.lineage.read.get(name).map_or(0, std::collections::BTreeSet::len);
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
