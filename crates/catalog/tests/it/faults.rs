//! Files that are no catalog any more, and how to get one back.

use std::fs;
use std::path::Path;

use aseptic_catalog::{Catalog, CatalogError};
use aseptic_model::{Class, Diagnose, Status};
use tempfile::tempdir;

use crate::world::{Job, World};

/// The content is refused, at the latest when it is read, and a reset makes the same catalog again.
fn check(damage: impl FnOnce(&Path)) {
    let mut world = World::default();
    for _ in 0..50 {
        world.run(&Job::default(), Status::Succeeded);
    }
    let (spot, catalog) = world.catalog();
    let file = spot.file();
    let dump = catalog.dump().unwrap();
    drop(catalog);
    damage(&file);
    let error = Catalog::open(&file).and_then(|catalog| catalog.dump()).unwrap_err();
    assert!(matches!(error, CatalogError::Unusable { .. }), "{error:?}");
    assert_eq!(error.diagnosis().class, Class::Damaged);

    let mut catalog = Catalog::reset(&file).unwrap();
    assert_eq!(catalog.applied().unwrap(), None);
    world.apply(&mut catalog).unwrap();
    drop(catalog);
    assert_eq!(Catalog::open(&file).unwrap().dump().unwrap(), dump);
}

/// Moves the write-ahead log into the file, so that the file is all there is.
fn settle(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
}

#[test]
fn something_else() {
    check(|file| {
        settle(file);
        fs::write(file, "this is a letter to my grandmother\n".repeat(300)).unwrap();
    });
}

#[test]
fn cut_off() {
    check(|file| {
        settle(file);
        fs::File::options().write(true).open(file).unwrap().set_len(5_000).unwrap();
    });
}

#[test]
fn overwritten_after_the_first_page() {
    check(|file| {
        settle(file);
        let mut bytes = fs::read(file).unwrap();
        bytes[4096..].fill(0x5a);
        fs::write(file, bytes).unwrap();
    });
}

#[test]
fn another_version() {
    check(|file| {
        rusqlite::Connection::open(file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    });
}

#[test]
fn another_database() {
    check(|file| {
        settle(file);
        fs::remove_file(file).unwrap();
        rusqlite::Connection::open(file).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    });
}

#[test]
fn a_value_that_is_no_word_of_the_model() {
    let mut world = World::default();
    let run = world.run(&Job::default(), Status::Succeeded);
    let (spot, catalog) = world.catalog();
    let file = spot.file();
    rusqlite::Connection::open(&file).unwrap().execute("UPDATE run SET plan = x'00'", []).unwrap();
    let error = catalog.run(&crate::world::project(), &run).unwrap_err();
    assert!(matches!(error, CatalogError::Unusable { .. }), "{error:?}");
}

#[test]
fn a_reset_does_not_disturb_another_process() {
    let mut world = World::default();
    world.run(&Job::default(), Status::Succeeded);
    let (spot, mut other) = world.catalog();
    let dump = other.dump().unwrap();
    drop(Catalog::reset(spot.place()).unwrap());
    assert_eq!(other.applied().unwrap(), None, "it sees the empty catalog");
    world.apply(&mut other).unwrap();
    assert_eq!(other.dump().unwrap(), dump);
}

#[test]
fn a_catalog_that_cannot_be_written_is_no_damage() {
    let directory = tempdir().unwrap();
    for path in [directory.path().to_owned(), directory.path().join("absent/catalog.db")] {
        for result in [Catalog::open(&path), Catalog::reset(&path)] {
            let error = result.unwrap_err();
            assert!(matches!(error, CatalogError::Storage(_)), "{error:?}");
            assert_eq!(error.diagnosis().class, Class::Host);
        }
    }
}

#[test]
fn an_interrupted_refill_is_gone_on_with() {
    let mut world = World::default();
    for _ in 0..20 {
        world.run(&Job::default(), Status::Succeeded);
    }
    let (_spot, whole) = world.catalog();
    let directory = tempdir().unwrap();
    let file = directory.path().join("catalog.db");
    let indexes = || -> Vec<String> {
        let connection = rusqlite::Connection::open(&file).unwrap();
        let sql = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut catalog = Catalog::open(&file).unwrap();
    let all = indexes();
    catalog.begin_many().unwrap();
    assert!(indexes().len() < all.len());
    world.apply_some(&mut catalog, 0..5).unwrap();
    drop(catalog);

    let mut catalog = Catalog::open(&file).unwrap();
    assert_eq!(indexes(), all, "whoever opens it can ask");
    catalog.begin_many().unwrap();
    assert_eq!(indexes(), all, "it is not empty");
    world.apply(&mut catalog).unwrap();
    catalog.end_many().unwrap();
    assert_eq!(catalog.dump().unwrap(), whole.dump().unwrap());

    catalog.clear().unwrap();
    catalog.begin_many().unwrap();
    world.apply(&mut catalog).unwrap();
    catalog.end_many().unwrap();
    assert_eq!(indexes(), all);
    assert_eq!(catalog.dump().unwrap(), whole.dump().unwrap());
}
