//! Steps between versions of the tables.

use super::{STEPS, Step, TABLES, VERSION, migrate, open};
use crate::CatalogError;
use crate::column::get;
use crate::database::Database;

const NEXT: i64 = VERSION + 1;

fn catalog() -> (tempfile::TempDir, Database) {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&(&directory.path().join("catalog.db")).into()).unwrap();
    database.batch("INSERT INTO attestation_key VALUES (7, 'key')").unwrap();
    (directory, database)
}

fn keys(database: &Database) -> Vec<String> {
    let sql = "SELECT public_key FROM attestation_key ORDER BY entry";
    database.rows(sql, [], |row| get(row, "public_key")).unwrap()
}

#[test]
fn every_version_is_reached() {
    assert_eq!(STEPS.last().map(|(to, _)| *to), Some(VERSION));
    assert!(STEPS.is_sorted_by_key(|(to, _)| *to));
}

#[test]
fn statements_keep_what_is_there_and_are_taken_once() {
    let (_directory, database) = catalog();
    let steps = [STEPS[0], (NEXT, Step::Sql("INSERT INTO attestation_key VALUES (8, 'next')"))];
    for _ in 0..2 {
        migrate(&database, &steps, NEXT).unwrap();
        assert_eq!(database.version().unwrap(), NEXT);
        assert_eq!(keys(&database), ["key", "next"]);
    }
}

#[test]
fn a_step_that_breaks_off_changes_nothing() {
    let (_directory, database) = catalog();
    let step = Step::Sql("INSERT INTO attestation_key VALUES (8, 'next'); INSERT INTO absent VALUES (1)");
    let error = migrate(&database, &[STEPS[0], (NEXT, step)], NEXT).unwrap_err();
    assert!(matches!(error, CatalogError::Unusable { .. }), "{error:?}");
    assert_eq!(database.version().unwrap(), VERSION);
    assert_eq!(keys(&database), ["key"]);
}

#[test]
fn an_older_catalog_is_emptied_to_be_filled_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("catalog.db");
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE applied (entries, offset, time); CREATE TABLE run (run)",
    )
    .unwrap();
    old.execute_batch("INSERT INTO run VALUES ('moritz'); PRAGMA user_version = 4").unwrap();
    drop(old);
    let database = open(&(&file).into()).unwrap();
    assert_eq!(database.version().unwrap(), VERSION);
    assert_eq!(crate::applied::applied(&database).unwrap().index, 0);
    for file in ["catalog.db", "catalog.db-wal"] {
        let bytes = std::fs::read(directory.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(6).any(|part| part == b"moritz"), "{file}");
    }
    assert!(!TABLES.contains("OR REPLACE"));
}
