use aseptic_model::{DatasetName, InputRef, Label, MetaKey, MetaValue, Metadata, ProjectName, Retention};
use aseptic_runner::ImportOptions;
use aseptic_runner::dataset::{Added, Said};
use serde_json::json;

use super::unpack::{self, Source};
use super::{print_recorded, row, title};
use crate::command::label::warn_of_typos;
use crate::context::{Context, Shown};
use crate::failure::Failure;
use crate::table::amount;

/// Import a file, a directory or an archive as the next version of a dataset
///
/// The source is only read; the version is immutable. Bytes that are the newest version already stay that
/// version: labels, statements and a retention class that are new are added to it. A new version keeps the
/// labels and statements of the one before, except `source`. Links out of the directory and special files are
/// refused, since a run would not see what they stand for. An import that was stopped, with Ctrl-C or otherwise,
/// goes on where it was when the same command is run again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic dataset add ./digits --name digits --label public\n  \
                        aseptic dataset add penguins.parquet --name penguins --licence CC0-1.0 --owner data-team\n  \
                        aseptic dataset add ./scans --name scans --label pii --role holdout --retention 90d\n  \
                        aseptic dataset add photos.tar.zst --unpack --name photos\n  \
                        curl https://example.org/rows.csv | aseptic dataset add - --file rows.csv --name rows")]
pub(crate) struct Args {
    #[command(flatten)]
    from: Source,
    /// Name of the dataset
    #[arg(long)]
    name: DatasetName,
    /// Label that flows to every output made from it
    #[arg(long, value_name = "LABEL")]
    label: Vec<Label>,
    /// Licence of the data, such as CC-BY-4.0
    #[arg(long, alias = "license", value_name = "TEXT")]
    licence: Option<MetaValue>,
    /// Who answers for the data
    #[arg(long, value_name = "TEXT")]
    owner: Option<MetaValue>,
    /// Where the data comes from
    #[arg(long, value_name = "URL")]
    source: Option<MetaValue>,
    /// What the data is for, such as train or holdout
    #[arg(long, value_name = "TEXT")]
    role: Option<MetaValue>,
    /// Anything else that is said about the data
    #[arg(long, value_name = "KEY=VALUE", value_parser = statement)]
    meta: Vec<(MetaKey, MetaValue)>,
    /// How long the bytes are kept: days such as 90d, keep or hold [default: as the project]
    #[arg(long, value_name = "CLASS")]
    retention: Option<Retention>,
    /// Read files that are known to be unchanged, too, and store again what is damaged in the store
    #[arg(long)]
    paranoid: bool,
}

/// `KEY=VALUE`.
pub(super) fn statement(text: &str) -> Result<(MetaKey, MetaValue), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let key = key.parse().map_err(|error: aseptic_model::MetadataError| error.to_string())?;
    let value = value.parse().map_err(|error: aseptic_model::MetadataError| error.to_string())?;
    Ok((key, value))
}

/// What is said with options; two values for one key are a mistake.
fn metadata(args: &Args) -> Result<Metadata, Failure> {
    let mut said = Metadata::new();
    let named =
        [("licence", &args.licence), ("owner", &args.owner), ("source", &args.source), ("role", &args.role)];
    let named = named.into_iter().filter_map(|(key, value)| Some((key.parse().ok()?, value.clone()?)));
    for (key, value) in named.chain(args.meta.iter().cloned()) {
        super::describe::say(&mut said, key, value)?;
    }
    Ok(said)
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let said = Said {
        labels: args.label.iter().cloned().collect(),
        metadata: metadata(args)?,
        retention: args.retention,
        ..Said::default()
    };
    let (project, mut home) = (context.project()?, context.home()?);
    let options = ImportOptions { paranoid: args.paranoid, ..ImportOptions::default() };
    let added = unpack::add(context, &mut home, &project, (&args.from, &options), &args.name, &said)?;
    for label in &added.implied {
        context.say(format_args!("labelled `{label}`, as its role or licence says"));
    }
    warn_of_typos(context, &args.label);
    if context.json() {
        return context.document(&document(&added));
    }
    print(context, if added.new { "added" } else { "unchanged" }, &added);
    Ok(())
}

fn document(added: &Added) -> serde_json::Value {
    json!({
        "schema": "aseptic.dataset/1", "new": added.new, "versions": [row(&added.version)],
        "recorded": added.recorded,
    })
}

fn print(context: &Context, state: &str, added: &Added) {
    let version = &added.version;
    let what = amount(version.files, version.bytes);
    context.out(format_args!("{state} {} {} ({what})", title(version), version.snapshot.short()));
    print_recorded(context, &added.recorded);
}

/// Give a version of a dataset to another project
///
/// The other project gets a copy of every byte, checked on the way, as the next version of a dataset of its own;
/// labels and what is said about it go with it. Both histories say so. Nothing else of this project can be
/// reached from the other one, and what is done to one of the two versions later does not reach the other.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic dataset share digits --to evaluation\n  \
                        aseptic dataset share digits@2 --to evaluation --as digits-2026")]
pub(crate) struct ShareArgs {
    /// DATASET or DATASET@VERSION
    dataset: InputRef,
    /// Project that gets it
    #[arg(long, value_name = "PROJECT")]
    to: ProjectName,
    /// Name there [default: the same]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<DatasetName>,
}

pub(super) fn share(context: &Context, args: &ShareArgs) -> Result<(), Failure> {
    let ShareArgs { dataset, to, name } = args;
    let (project, mut home) = (context.project()?, context.home()?);
    let shared = {
        let mut observer = context.observer(Shown::Nothing);
        aseptic_runner::dataset::share(&mut home, &project, dataset, to, name.as_ref(), &mut observer)?
    };
    if context.json() {
        let mut document = document(&shared.added);
        document["schema"] = json!("aseptic.dataset-share/1");
        document["project"] = json!(to);
        document["from"] = row(&shared.from);
        document["copied_files"] = json!(shared.files_copied);
        document["copied_bytes"] = json!(shared.bytes_copied);
        return context.document(&document);
    }
    let (from, there) = (title(&shared.from), title(&shared.added.version));
    let copied = amount(shared.files_copied, shared.bytes_copied);
    match shared.added.new {
        true => context.out(format_args!("shared {from} with project {to} as {there} ({copied} copied)")),
        false => context.out(format_args!("unchanged {from} is {there} of project {to}")),
    }
    print_recorded(context, &shared.added.recorded);
    Ok(())
}
