use std::process::ExitCode;

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Rebuild or print the search index
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make the catalog anew from ledger and stores
    ///
    /// The catalog holds no fact of its own, so this is always safe.
    Rebuild,
    /// Print every row as text, to compare two catalogs
    Dump,
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    let mut home = context.home()?;
    match args.action {
        Action::Rebuild => {
            home.rebuild_catalog()?;
            if context.json() {
                context.document(&json!({ "schema": "aseptic.catalog-rebuild/1" }))?;
            }
            context.say("Rebuilt the catalog from the ledger and the stores.");
        }
        Action::Dump => context.out(home.dump_catalog()?.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}
