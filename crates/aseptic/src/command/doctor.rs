use std::process::ExitCode;

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;

/// Try every mechanism of the sandbox on this machine
///
/// Says for each whether it works, what blocks it and how to fix that, and lists the walls that do
/// not stand here. What is `not here` only some plans ask for, such as GPUs. The exit code is 5 when
/// a run could not be sealed here.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &mut Context, _args: &Args) -> Result<ExitCode, Failure> {
    let report = aseptic_runner::doctor(&context.home_dir()?)?;
    let works = report.findings.iter().all(|finding| finding.works || !finding.needed);
    if context.json() {
        let findings: Vec<_> = report
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "mechanism": finding.mechanism, "works": finding.works,
                    "detail": finding.detail, "fix": finding.fix, "needed": finding.needed,
                })
            })
            .collect();
        context.document(&json!({
            "schema": "aseptic.doctor/1", "works": works, "findings": findings, "walls": report.walls,
        }))?;
    } else {
        let rows: Vec<_> = report
            .findings
            .iter()
            .map(|finding| {
                let state = match (finding.works, finding.needed) {
                    (true, _) => "works",
                    (false, true) => "BLOCKED",
                    (false, false) => "not here",
                };
                [finding.mechanism.to_owned(), state.to_owned(), finding.detail.clone()]
            })
            .collect();
        context.out(table(["mechanism", "here", "detail"], &rows));
        let mut fixes: Vec<(&str, Vec<String>)> = Vec::new();
        for finding in &report.findings {
            let Some(fix) = finding.fix.as_deref() else { continue };
            let mechanism = format!("`{}`", finding.mechanism);
            match fixes.iter_mut().find(|(other, _)| *other == fix) {
                Some((_, mechanisms)) => mechanisms.push(mechanism),
                None => fixes.push((fix, vec![mechanism])),
            }
        }
        for (fix, mechanisms) in fixes {
            context.out(format_args!("fix for {}: {fix}", mechanisms.join(", ")));
        }
        context.out("\nNot enforced here:");
        for wall in report.walls.iter().filter(|wall| wall.state != aseptic_model::WallState::Done) {
            context.out(format_args!("  {}: {}", wall.name, wall.detail.as_deref().unwrap_or("")));
        }
    }
    Ok(ExitCode::from(if works { 0 } else { 5 }))
}
