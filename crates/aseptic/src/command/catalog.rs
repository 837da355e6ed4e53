use std::process::ExitCode;

use aseptic_model::Class;
use aseptic_runner::{Difference, Home};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Rebuild, verify or print the search index
///
/// It is a file of the state directory, or a schema of the PostgreSQL database whose URL is in ASEPTIC_CATALOG.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aseptic catalog verify     say whether it is what the ledger and the stores make of it
  ASEPTIC_CATALOG=postgresql://ada@db.example/lab aseptic catalog rebuild";

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make the catalog anew from ledger and stores
    ///
    /// The catalog holds no fact of its own, so this is always safe.
    Rebuild,
    /// Compare the catalog with what ledger and stores make of it
    ///
    /// Says the first row that differs. Makes a second catalog in memory for it.
    Verify,
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
        Action::Verify => return verify(context, &mut home),
        Action::Dump => {
            let dump = home.dump_catalog(&context.project()?)?;
            context.out(dump.trim_end());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(context: &Context, home: &mut Home) -> Result<ExitCode, Failure> {
    if let Some(Difference { table, kept, fresh }) = home.verify_catalog()? {
        let row = |row: Option<String>| row.unwrap_or_else(|| "no such row".to_owned());
        let message = format!("the table {table} has ({}) where it should have ({})", row(kept), row(fresh));
        let help = "nothing is lost: `aseptic catalog rebuild` makes it again from the ledger and the store";
        return Err(Failure::new(Class::Damaged, "catalog/different", message, help));
    }
    if context.json() {
        context.document(&json!({ "schema": "aseptic.catalog-verify/1" }))?;
    }
    context.say("The catalog is what the ledger and the stores make of it.");
    Ok(ExitCode::SUCCESS)
}
