use std::collections::BTreeSet;
use std::process::ExitCode;

use aseptic_model::{Label, MetaValue, ObjectRef};

use super::label::{has_others, print};
use crate::context::Context;
use crate::failure::Failure;

/// Take labels off a dataset, off what a run left or off one output, with a reason
///
/// Whatever was made from it loses them, too, unless they came another way. It stays without them until somebody gives
/// them again. The ledger keeps who did it, when and why.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        aseptic declassify run:evaluate/out/metrics.json --label pii --reason \"only averages\"\n  \
                        aseptic declassify scans@2 --label pii --reason \"faces are blurred\"")]
pub(crate) struct Args {
    /// DATASET or DATASET@VERSION, run:RUN or run:RUN/PATH
    object: ObjectRef,
    /// Label that it has no more; repeat the option for several
    #[arg(long, required = true, value_name = "LABEL")]
    label: Vec<Label>,
    /// Why; it can be erased later
    #[arg(long, value_name = "TEXT")]
    reason: MetaValue,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let (project, mut home) = (context.project()?, context.home()?);
    let labels: BTreeSet<_> = args.label.iter().cloned().collect();
    let done = aseptic_runner::declassify(&mut home, &project, &args.object, &labels, &args.reason)?;
    print(context, &done, &has_others(&done.labels))?;
    Ok(ExitCode::SUCCESS)
}
