use std::process::ExitCode;

use aseptic_model::{ByteSize, InstalledPackage, Inventory, PackageOrigin, RunRef};
use aseptic_runner::{EnvironmentRef, EnvironmentShown};
use serde_json::json;

use super::{Present, documents, plain, print_findings};
use crate::context::Context;
use crate::failure::Failure;
use crate::table;

/// List the packages and the machine of a run, or of one that would start now
///
/// Below the packages stands what makes the environment hard to have again: requirements without exact versions,
/// editable installs, native libraries from elsewhere, packages that changed since the last run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic env list\n  aseptic env list latest --licences\n  \
                        aseptic env list --runs\n  aseptic env list --experiment train --json")]
pub(crate) struct Args {
    /// The run [default: what a run would have now]
    run: Option<RunRef>,
    #[command(flatten)]
    present: Present,
    /// Show the licence of each package
    #[arg(long)]
    licences: bool,
    /// List the packages of the operating system, too
    #[arg(long)]
    system: bool,
    /// List the environments that runs had, and how many runs each
    #[arg(long, conflicts_with_all = ["run", "experiment", "python", "licences", "system"])]
    runs: bool,
    /// At most so many environments
    #[arg(long, value_name = "N", default_value_t = 20, requires = "runs")]
    limit: usize,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, home) = (context.project()?, context.home()?);
    if args.runs {
        let rows = aseptic_runner::environment_runs(&home, &project, args.limit)?;
        return print_runs(context, &rows);
    }
    let of = args.run.clone().map_or(EnvironmentRef::Now, EnvironmentRef::Run);
    let shown = aseptic_runner::inspect_environment(&home, &project, &of, &args.present.request(context))?;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.env/1", "run": shown.run, "inventory": shown.digest, "environment": shown.inventory,
            "findings": documents(&shown.findings), "unknown": shown.unknown,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(context, args, &shown);
    Ok(ExitCode::SUCCESS)
}

fn print_runs(context: &Context, rows: &[aseptic_runner::EnvironmentRuns]) -> Result<ExitCode, Failure> {
    if context.json() {
        context.document(&json!({ "schema": "aseptic.env-runs/1", "environments": rows }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let short = |digest: Option<aseptic_model::Digest>| {
        digest.map_or("-".to_owned(), |digest| digest.short().to_string())
    };
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                short(row.inventory),
                row.python.clone().unwrap_or_else(|| "-".to_owned()),
                row.packages.to_string(),
                plain(&row.kernel),
                row.runs.to_string(),
                row.first.to_string(),
                row.last.to_string(),
                row.last_planned.to_string(),
            ]
        })
        .collect();
    let titles = ["INVENTORY", "PYTHON", "PACKAGES", "KERNEL", "RUNS", "FIRST", "LAST", "LAST PLANNED"];
    context.out(table::table(titles, &lines));
    Ok(ExitCode::SUCCESS)
}

fn print(context: &Context, args: &Args, shown: &EnvironmentShown) {
    let inventory = &shown.inventory;
    for line in table::columns(&facts(shown)) {
        context.out(line);
    }
    if !inventory.packages.is_empty() {
        context.out("");
        let rows: Vec<_> = inventory.packages.iter().map(|package| row(package, args.licences)).collect();
        let titles = ["PACKAGE", "VERSION", "BY", "FILES", if args.licences { "LICENCE" } else { "FROM" }];
        context.out(table::table(titles, &rows));
    }
    if let Some(system) = inventory.system.as_ref().filter(|_| args.system) {
        context.out("");
        let row = |package: &aseptic_model::SystemPackage| {
            [plain(&package.name), plain(&package.version), plain(&package.architecture)]
        };
        let rows: Vec<_> = system.packages.iter().map(row).collect();
        context.out(table::table(["SYSTEM PACKAGE", "VERSION", "ARCHITECTURE"], &rows));
    }
    if !shown.findings.is_empty() {
        context.out("");
        context.out("findings");
        print_findings(context, &shown.findings);
    }
    for why in &shown.unknown {
        context.say(format_args!("note: {}", plain(why)));
    }
}

fn facts(shown: &EnvironmentShown) -> Vec<[String; 2]> {
    let Inventory { python, packages, system, machine, .. } = &shown.inventory;
    let mut rows = Vec::new();
    let mut add = |name: &str, text: String| rows.push([name.to_owned(), plain(&text)]);
    if let Some(run) = &shown.run {
        add("run", run.to_string());
    }
    if let Some(digest) = &shown.digest {
        add("inventory", digest.to_string());
    }
    match python {
        Some(python) => {
            let implementation =
                python.implementation.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            let build = python.build.as_ref().map(|build| format!(" ({build})")).unwrap_or_default();
            add("python", format!("{}{implementation}{build} at {}", python.version, python.prefix));
            add("packages", packages.len().to_string());
        }
        None => add("python", "none".to_owned()),
    }
    if let Some(system) = system {
        let what = format!(
            "{} packages of {}, list {}",
            system.packages.len(),
            system.manager,
            system.digest.short()
        );
        add("system", what);
    }
    let parts = [
        machine.system.clone(),
        machine.glibc.as_ref().map(|version| format!("glibc {version}")),
        machine.memory_bytes.map(|bytes| format!("{} of memory", ByteSize(bytes))),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().map(|part| format!(", {part}")).collect();
    add("machine", format!("Linux {} {}{}", machine.kernel, machine.architecture, parts.concat()));
    let cores = machine.cores.map(|cores| format!(", {cores} online")).unwrap_or_default();
    add("cpu", format!("{}{cores}", machine.cpu));
    if !machine.gpus.is_empty() {
        add("gpus", machine.gpus.join(", "));
    }
    if let Some(driver) = &machine.gpu_driver {
        let cuda =
            machine.cuda_driver.as_ref().map(|version| format!(", libcuda {version}")).unwrap_or_default();
        add("gpu driver", format!("{driver}{cuda}"));
    }
    rows
}

fn row(package: &InstalledPackage, licences: bool) -> [String; 5] {
    let or_dash = |text: Option<&str>| text.map_or("-".to_owned(), plain);
    let installer = package.installer.as_deref().unwrap_or(package.kind.as_str());
    let files = package.record.map(|digest| digest.short().to_string());
    let last = match licences {
        true => or_dash(package.licence.as_ref().map(aseptic_model::Licence::as_str)),
        false => or_dash(package.origin.as_ref().map(origin).as_deref()),
    };
    [plain(&package.name), plain(&package.version), plain(installer), or_dash(files.as_deref()), last]
}

pub(super) fn origin(origin: &PackageOrigin) -> String {
    match origin {
        PackageOrigin::Vcs { vcs, url, commit: Some(commit) } => format!("{vcs} {url} at {commit:.12}"),
        PackageOrigin::Vcs { vcs, url, commit: None } => format!("{vcs} {url}"),
        PackageOrigin::Directory { path, editable: true } => format!("{path} (editable)"),
        PackageOrigin::Directory { path, editable: false } => path.clone(),
        PackageOrigin::Archive { url } => url.clone(),
        PackageOrigin::Channel { channel, build } => format!("{channel} {build}"),
    }
}
