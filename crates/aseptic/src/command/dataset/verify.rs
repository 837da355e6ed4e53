use aseptic_model::InputRef;
use aseptic_runner::dataset::{Portion, Share, Verification};
use serde_json::json;

use super::{row, title};
use crate::context::{Context, Shown};
use crate::failure::Failure;
use crate::table::amount;

/// Read a version again and compare every byte with its digest
///
/// The view that runs see is compared, too. The first hundred files that are damaged are named, and the others
/// counted. With `--sample` or `--changed` only some files are read, and the answer says how many.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aseptic dataset verify digits\n  \
                        aseptic dataset verify digits@2 --sample 5%\n  \
                        aseptic dataset verify digits --changed")]
pub(crate) struct Args {
    /// DATASET or DATASET@VERSION
    dataset: InputRef,
    /// Read so many files, chosen at random: a percentage or a number
    #[arg(long, value_name = "SHARE", conflicts_with = "changed")]
    sample: Option<Share>,
    /// Choose the same files as the sample that said this number
    #[arg(long, value_name = "N", requires = "sample")]
    seed: Option<u64>,
    /// Read only what was written since it was last verified, by size, inode and times of change. Bits that
    /// change on the medium change none of these: only reading finds them
    #[arg(long)]
    changed: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let (project, home) = (context.project()?, context.home()?);
    let portion = match (args.sample, args.changed) {
        (Some(share), _) => Portion::Sample { share, seed: args.seed },
        (None, true) => Portion::Changed,
        (None, false) => Portion::Whole,
    };
    let Verification { version, verified, seed } = {
        let mut observer = context.observer(Shown::Nothing);
        let verified =
            aseptic_runner::dataset::verify(&home, &project, &args.dataset, portion, &mut observer);
        verified.map_err(|error| {
            let damaged = error.damaged();
            Failure::from(error).because(damaged)
        })?
    };
    if context.json() {
        let portion = match portion {
            Portion::Whole => "whole",
            Portion::Sample { .. } => "sample",
            Portion::Changed => "changed",
        };
        return context.document(&json!({
            "schema": "aseptic.dataset-verify/1", "dataset": row(&version), "portion": portion,
            "sample_seed": seed, "verified_files": verified.files, "verified_bytes": verified.bytes,
        }));
    }
    let (read, all, title) =
        (amount(verified.files, verified.bytes), amount(version.files, version.bytes), title(&version));
    context.out(match (portion, seed) {
        (Portion::Changed, _) => format!("verified what was written of {title} ({read} of {all})"),
        (_, None) => format!("verified {title} ({read})"),
        (_, Some(seed)) => format!("verified a sample of {title} ({read} of {all}, seed {seed})"),
    });
    Ok(())
}
