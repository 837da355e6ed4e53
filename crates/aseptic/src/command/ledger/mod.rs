//! The commands about the ledger, one file each.

mod check;
mod erase;
mod export;
mod filter;
mod follow;
mod proofs;
mod rotate_key;
mod show;
mod verify;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_model::Class;

use crate::context::Context;
use crate::failure::Failure;

pub(crate) use filter::time;
pub(crate) use proofs::{read_text, write_text};

/// Show and verify the record of everything that was decided and done
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Show(show::Args),
    Follow(follow::Args),
    Export(export::Args),
    Verify(verify::Args),
    Checkpoint(proofs::Show),
    Prove(proofs::Prove),
    Check(check::Args),
    Publish(proofs::Publish),
    Witness(witness::Args),
    Erase(erase::Args),
    RotateKey(rotate_key::Args),
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Show(args) => show::run(context, args),
        Action::Follow(args) => follow::run(context, args),
        Action::Export(args) => export::run(context, args),
        Action::Erase(args) => erase::run(context, args),
        Action::RotateKey(args) => rotate_key::run(context, args),
        Action::Verify(args) => verify::run(context, args),
        Action::Checkpoint(args) => proofs::checkpoint(context, args),
        Action::Prove(args) => proofs::prove(context, args),
        Action::Check(args) => check::run(context, args),
        Action::Publish(args) => proofs::publish(context, args),
        Action::Witness(args) => witness::run(context, args),
    }
}

/// The directory of a ledger whose entries are shown. That of the state is shown to whoever may look at the project.
fn shown(context: &Context, named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let dir = directory(context, named)?;
    if named.is_none() {
        context.may_view()?;
    }
    Ok(dir)
}

fn directory(context: &Context, named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let dir = match named {
        Some(dir) => dir.clone(),
        None => context.home_dir()?.join("ledger"),
    };
    if !dir.join("log").exists() {
        let message = format!("there is no ledger in `{}`", dir.display());
        let help =
            "the first run or import makes one; name another directory with `--ledger DIR` or `--home DIR`";
        return Err(Failure::new(Class::User, "ledger/none", message, help));
    }
    Ok(dir)
}
