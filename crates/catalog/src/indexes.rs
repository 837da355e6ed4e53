//! The indexes of a file while very many entries are applied: made at the end, they are made from sorted rows. Which of
//! them are there is the only note of it, so that whoever is interrupted leaves nothing to repair but them.

use crate::CatalogError;
use crate::database::Database;
use crate::schema::TABLES;

/// Indexes that only questions need, with the statements that create them; the fold looks for runs by their outputs.
fn deferred() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES.split(';').map(str::trim).filter_map(|statement| {
        let name = statement.strip_prefix("CREATE INDEX ")?.split(' ').next()?;
        (name.starts_with("run_") && name != "run_outputs").then_some((name, statement))
    })
}

/// Takes those away; within a transaction, and of a file only.
pub(crate) fn drop(database: &Database) -> Result<(), CatalogError> {
    let Database::Sqlite(_) = database else { return Ok(()) };
    deferred().try_for_each(|(name, _)| database.batch(&format!("DROP INDEX IF EXISTS {name}")))
}

/// Creates those that are missing, all or none.
pub(crate) fn create(database: &Database) -> Result<(), CatalogError> {
    if database.indexes()?.is_none_or(|there| deferred().all(|(name, _)| there.contains(name))) {
        return Ok(());
    }
    database.write(|database| {
        let there = database.indexes()?.unwrap_or_default();
        let mut missing = deferred().filter(|(name, _)| !there.contains(*name));
        missing.try_for_each(|(_, statement)| database.batch(statement))
    })?;
    database.settle(false);
    Ok(())
}

/// Creates those of `names` that are missing, within a transaction: a fold that begins to follow labels while very many
/// entries are applied would otherwise look through all runs for each.
pub(crate) fn need(database: &Database, names: &[&str]) -> Result<(), CatalogError> {
    let Some(there) = database.indexes()? else { return Ok(()) };
    let mut missing = deferred().filter(|(name, _)| names.contains(name) && !there.contains(*name));
    missing.try_for_each(|(_, statement)| database.batch(statement))
}
