use std::process::ExitCode;

use aseptic_model::{InstalledPackage, Licence};
use aseptic_runner::{
    Aspect, EnvironmentDiff, EnvironmentRef, EnvironmentShown, FactChange, PackageChange, SystemChange,
};
use serde_json::{Value, json};

use super::list::origin;
use super::{Present, environment, plain};
use crate::context::Context;
use crate::failure::Failure;

/// Say what differs between the environments of two runs, or of one and now
///
/// Packages that were added, removed or changed: in their version, in their files although the version is the same,
/// in licence, origin or installer. Then interpreter, machine and the packages of the operating system.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aseptic env diff latest now\n  aseptic env diff 1g7kq2v4m0xz latest --json"
)]
pub(crate) struct Args {
    /// A run, or `now`
    #[arg(value_name = "RUN|now", value_parser = environment)]
    before: EnvironmentRef,
    /// A run, or `now`
    #[arg(value_name = "RUN|now", value_parser = environment)]
    after: EnvironmentRef,
    #[command(flatten)]
    present: Present,
}

/// Changes of the system's packages that are printed; all are in the document.
const SYSTEM_SHOWN: usize = 30;

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, home) = (context.project()?, context.home()?);
    let request = args.present.request(context);
    let (before, after, diff) =
        aseptic_runner::diff_environments(&home, &project, &args.before, &args.after, &request)?;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.env-diff/1", "before": side(&before), "after": side(&after), "equal": diff.is_empty(),
            "facts": diff.facts, "packages": diff.packages, "system": diff.system, "unknown": diff.unknown,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(context, &diff);
    for why in &diff.unknown {
        context.say(format_args!("note: {}", plain(why)));
    }
    Ok(ExitCode::SUCCESS)
}

fn side(shown: &EnvironmentShown) -> Value {
    json!({ "run": shown.run, "inventory": shown.digest })
}

fn print(context: &Context, diff: &EnvironmentDiff) {
    for change in &diff.packages {
        context.out(package(change));
    }
    for FactChange { name, before, after } in &diff.facts {
        let value = |value: &Option<String>| value.as_deref().map_or("unknown".to_owned(), plain);
        context.out(format_args!("~ {name}: {} -> {}", value(before), value(after)));
    }
    for change in diff.system.iter().take(SYSTEM_SHOWN) {
        context.out(system(change));
    }
    if diff.system.len() > SYSTEM_SHOWN {
        let more = diff.system.len() - SYSTEM_SHOWN;
        context.out(format_args!("  and {more} more of the system, which `--json` has"));
    }
    if diff.is_empty() {
        context.out("no difference");
    }
}

fn package(PackageChange { name, before, after, aspects }: &PackageChange) -> String {
    let name = plain(name);
    match (before, after) {
        (Some(before), Some(after)) => {
            let all: Vec<_> = aspects.iter().map(|aspect| changed(*aspect, before, after)).collect();
            format!("~ {name}: {}", all.join(", "))
        }
        (Some(before), None) => format!("- {name} {}", plain(&before.version)),
        (None, Some(after)) => format!("+ {name} {}", plain(&after.version)),
        (None, None) => name,
    }
}

fn changed(aspect: Aspect, before: &InstalledPackage, after: &InstalledPackage) -> String {
    let value = |package: &InstalledPackage| match aspect {
        Aspect::Version => Some(package.version.clone()),
        Aspect::Files => package.record.map(|digest| digest.short().to_string()),
        Aspect::Licence => package.licence.as_ref().map(|licence| Licence::as_str(licence).to_owned()),
        Aspect::Origin => package.origin.as_ref().map(origin),
        Aspect::Installer => package.installer.clone(),
        Aspect::Place => Some(package.place.clone()),
    };
    let shown = |package| value(package).map_or("none".to_owned(), |value| plain(&value));
    format!("{} {} -> {}", aspect.as_str(), shown(before), shown(after))
}

fn system(SystemChange { name, architecture, before, after }: &SystemChange) -> String {
    let name = format!("system {}:{}", plain(name), plain(architecture));
    match (before, after) {
        (Some(before), Some(after)) => format!("~ {name}: {} -> {}", plain(before), plain(after)),
        (Some(before), None) => format!("- {name} {}", plain(before)),
        (None, Some(after)) => format!("+ {name} {}", plain(after)),
        (None, None) => name,
    }
}
