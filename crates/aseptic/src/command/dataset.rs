use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::{DatasetName, InputRef, Label};
use aseptic_runner::DatasetVersion;
use serde_json::json;

use crate::context::{Context, Shown};
use crate::failure::Failure;
use crate::table::{amount, labels, table};

/// Import, list, show and verify datasets
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Import a file or directory as the next version of a dataset
    ///
    /// The source is only read; the version is immutable. Bytes and labels that are already the newest
    /// version stay that version. A new version keeps the labels of the one before. Links out of the directory and special files are refused, since a run
    /// would not see what they stand for.
    #[command(after_help = "Examples:\n  aseptic dataset add ./digits --name digits --label public\n  \
                            aseptic dataset add penguins.parquet --name penguins")]
    Add {
        /// File or directory
        path: PathBuf,
        /// Name of the dataset
        #[arg(long)]
        name: DatasetName,
        /// Label that flows to every output made from it
        #[arg(long, value_name = "LABEL")]
        label: Vec<Label>,
    },
    /// List the datasets of the project, each in its newest version
    List,
    /// Show every version of a dataset
    Show {
        /// Name of the dataset
        name: DatasetName,
    },
    /// Read a version again and compare every byte with its digest
    Verify {
        /// DATASET or DATASET@VERSION
        dataset: InputRef,
    },
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let project = context.project()?;
    let mut home = context.home()?;
    match &args.action {
        Action::Add { path, name, label } => {
            let label = label.iter().cloned().collect();
            let added = {
                let mut observer = context.observer(Shown::Nothing);
                aseptic_runner::dataset::add(&mut home, &project, path, name, &label, &mut observer)?
            };
            let version = &added.version;
            if context.json() {
                context.document(&json!({
                    "schema": "aseptic.dataset/1", "new": added.new, "versions": [row(version)],
                }))?;
            } else {
                let state = if added.new { "added" } else { "unchanged" };
                let what = amount(version.files, version.bytes);
                context.out(format_args!(
                    "{state} {}@{} {} ({what})",
                    version.name,
                    version.version,
                    version.snapshot.short()
                ));
            }
        }
        Action::List => list(context, &aseptic_runner::dataset::list(&home, &project)?)?,
        Action::Show { name } => {
            list(context, &aseptic_runner::dataset::versions(&home, &project, name)?)?;
        }
        Action::Verify { dataset } => {
            let mut observer = context.observer(Shown::Nothing);
            let (version, verified) =
                aseptic_runner::dataset::verify(&home, &project, dataset, &mut observer)?;
            drop(observer);
            if context.json() {
                context.document(&json!({
                    "schema": "aseptic.dataset-verify/1", "dataset": row(&version),
                    "verified_files": verified.files, "verified_bytes": verified.bytes,
                }))?;
            } else {
                let what = amount(verified.files, verified.bytes);
                context.out(format_args!("verified {}@{} ({what})", version.name, version.version));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context, versions: &[DatasetVersion]) -> Result<(), Failure> {
    if context.json() {
        let rows: Vec<_> = versions.iter().map(row).collect();
        return context.document(&json!({ "schema": "aseptic.datasets/1", "versions": rows }));
    }
    if versions.is_empty() {
        context.say("No datasets. Add one with `aseptic dataset add PATH --name NAME`.");
        return Ok(());
    }
    let rows: Vec<_> = versions
        .iter()
        .map(|version| {
            [
                format!("{}@{}", version.name, version.version),
                amount(version.files, version.bytes),
                version.snapshot.short(),
                version.added.to_string(),
                labels(&version.labels),
            ]
        })
        .collect();
    context.out(table(["dataset", "content", "snapshot", "added", "labels"], &rows));
    Ok(())
}

fn row(version: &DatasetVersion) -> serde_json::Value {
    json!({
        "name": version.name, "version": version.version, "snapshot": version.snapshot,
        "files": version.files, "bytes": version.bytes, "labels": version.labels,
        "added": version.added, "actor": version.actor,
    })
}
