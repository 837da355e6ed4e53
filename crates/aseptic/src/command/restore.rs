use std::process::ExitCode;

use aseptic_model::{DatasetName, Digest};
use aseptic_runner::{Restore, Restored};
use serde_json::json;

use super::archive::{place, variables};
use crate::context::{Context, Shown};
use crate::failure::Failure;
use crate::table::amount;

/// Bring an archive back
///
/// A version or run of this ledger becomes what it was, after its bytes were given up. A dataset of another ledger
/// becomes the next version of its name here, or of the one that `--as` says, with its labels and what is said about
/// it. Everything is compared with the list of the archive, and with the digests of the version or run. Its
/// time counts anew: what had expired with class `0d` goes with the next `aseptic gc --now` again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic restore /mnt/backup/digits-1\n  \
                        aseptic restore s3://archive/digits/1 --as digits-2026")]
pub(crate) struct Args {
    /// Directory or URL of the archive
    #[arg(value_name = "URL")]
    url: String,
    /// Name of the dataset that it becomes
    #[arg(long = "as", value_name = "NAME")]
    name: Option<DatasetName>,
    /// Refuse another archive than this one, as `aseptic archive` printed it
    #[arg(long, value_name = "DIGEST")]
    manifest: Option<Digest>,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let url = place(&args.url)?;
    let (project, mut home) = (context.project()?, context.home()?);
    let wanted = Restore { url: url.clone(), name: args.name.clone(), manifest: args.manifest };
    let restored = {
        let mut observer = context.observer(Shown::Nothing).until(context.interrupt()?);
        aseptic_runner::restore(&mut home, &project, &wanted, variables(), &mut observer)?
    };
    let Restored { manifest, digest, object, recorded, added } = &restored;
    if context.json() {
        context.document(&json!({
            "schema": "aseptic.restored/1", "object": object, "archived": manifest.object,
            "url": url.to_string(), "manifest": digest, "new": recorded,
            "files": manifest.files, "bytes": manifest.bytes,
            "version": added.as_ref().map(|added| super::dataset::row(&added.version)),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let what = amount(manifest.files, manifest.bytes);
    let state = if *recorded { "restored" } else { "unchanged" };
    context.out(format_args!("{state} {object} from {url} ({what})"));
    if let Some(added) = added {
        super::dataset::print_recorded(context, &added.recorded);
    }
    Ok(ExitCode::SUCCESS)
}
