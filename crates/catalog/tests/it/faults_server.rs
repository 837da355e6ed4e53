//! Schemas of a server that are no catalog any more, and values that a server does not take.

use aseptic_catalog::{Catalog, CatalogError, Place, Server};
use aseptic_model::{Event, Status};
use tokio_postgres::NoTls;

use crate::private::Private;
use crate::server::Spot;
use crate::world::{Job, World, path, project};

fn server(private: &Private) -> Server {
    Server::parse(&private.line, "example/faults").unwrap()
}

/// Runs statements as another client of the same database, within the schema.
fn alter(private: &Private, sql: &str) {
    let sql = format!("SET search_path = {}; {sql}", server(private).schema());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&private.line, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&sql).await.unwrap();
    });
}

#[test]
fn what_is_no_catalog_is_refused_and_made_again() {
    let private = Private::start(&[]);
    let place = Place::from(server(&private));
    let mut world = World::default();
    world.run(&Job::default(), Status::Succeeded);
    let mut catalog = Catalog::open(&place).unwrap();
    world.apply(&mut catalog).unwrap();
    let dump = catalog.dump().unwrap();
    drop(catalog);
    for damage in [
        "DROP TABLE run",
        "ALTER TABLE run DROP COLUMN plan",
        "UPDATE run SET plan = 'x'; UPDATE catalog_version SET version = 99",
        "DELETE FROM catalog_version",
        "DELETE FROM applied",
    ] {
        alter(&private, damage);
        let read = |catalog: Catalog| {
            catalog.applied()?;
            catalog.runs(&project(), 9, &aseptic_catalog::RunFilter::default())
        };
        let error = Catalog::open(&place).and_then(read).unwrap_err();
        assert!(matches!(error, CatalogError::Unusable { .. }), "{damage}: {error:?}");
        let mut catalog = Catalog::reset(&place).unwrap();
        world.apply(&mut catalog).unwrap();
        assert_eq!(catalog.dump().unwrap(), dump, "{damage}");
    }
    // An older version is emptied.
    alter(&private, "UPDATE catalog_version SET version = 4");
    let mut catalog = Catalog::open(&place).unwrap();
    assert_eq!(catalog.applied().unwrap(), None);
    world.apply(&mut catalog).unwrap();
    assert_eq!(catalog.dump().unwrap(), dump);

    alter(
        &private,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL",
    );
    let error = catalog.dump().unwrap_err();
    assert!(matches!(error, CatalogError::Server { .. }), "{error:?}");
}

#[test]
fn values_of_a_hostile_job_are_the_same_on_a_server() {
    let private = Private::start(&[]);
    let mut world = World::default();
    let long: Vec<u8> =
        (0..15).flat_map(|part| [vec![b'a' + part; 250], b"/".to_vec()].concat()).chain(*b"end").collect();
    let job = Job { outputs: vec![path(&long), path(b"out/\xff\n")], ..Job::default() };
    let run = world.run(&job, Status::Succeeded);
    world.push(Event::RunDescribed {
        run,
        name: None,
        added: [].into(),
        removed: [].into(),
        note: Some("nul \0 and \u{1f980}".to_owned()),
    });
    let (_spot, file): (Spot, Catalog) = world.catalog();
    let mut catalog = Catalog::open(server(&private)).unwrap();
    world.apply(&mut catalog).unwrap();
    assert_eq!(catalog.dump().unwrap(), file.dump().unwrap());
    assert!(file.dump().unwrap().contains("nul \u{fffd} and"));
}
