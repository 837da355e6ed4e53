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

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aseptic_model::Class;
use aseptic_runner::EntryViewer;

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

/// The directory of a ledger whose entries are shown, and which of them are: of that of the state, by whatever name, those
/// of projects that the user may look at.
fn shown(context: &Context, named: Option<&PathBuf>) -> Result<(PathBuf, EntryViewer), Failure> {
    let dir = directory(context, named)?;
    let real = |path: &Path| path.canonicalize().ok();
    let is_ours = real(&dir) == context.home_dir().ok().and_then(|home| real(&home.join("ledger")));
    let viewer = if is_ours { context.viewer()? } else { EntryViewer::of_everything() };
    Ok((dir, viewer))
}

/// Says that entries were left out, if some were.
fn say_left_out(context: &Context, viewer: &EntryViewer) {
    match viewer.left_out() {
        0 => {}
        1 => context.say("1 entry of a project that you may not look at was left out"),
        count => {
            context.say(format_args!("{count} entries of projects that you may not look at were left out"))
        }
    }
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
