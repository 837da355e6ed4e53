//! Which database the test at hand uses.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use aseptic_catalog::{Catalog, Place, Server};
use tempfile::TempDir;

use crate::private::Private;

thread_local! {
    static URL: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where one catalog is; a file goes with this.
pub(crate) struct Spot {
    directory: TempDir,
    server: Option<Server>,
}

impl Spot {
    /// A new one, on the database that the test at hand uses.
    pub(crate) fn new() -> Self {
        static SPOTS: AtomicU32 = AtomicU32::new(0);
        let origin = format!("example/{}", SPOTS.fetch_add(1, Ordering::Relaxed));
        let server = URL.with_borrow(|url| url.as_ref().map(|url| Server::parse(url, &origin).unwrap()));
        Self { directory: tempfile::tempdir().unwrap(), server }
    }

    /// The file, when it is one.
    pub(crate) fn file(&self) -> PathBuf {
        assert!(self.server.is_none(), "a server has no file");
        self.directory.path().join("catalog.db")
    }

    pub(crate) fn place(&self) -> Place {
        match &self.server {
            Some(server) => server.clone().into(),
            None => self.file().as_path().into(),
        }
    }

    pub(crate) fn open(&self) -> Catalog {
        Catalog::open(self.place()).unwrap()
    }
}

/// How many cases of a property: fewer on a server, where each makes a catalog.
pub(crate) fn cases(on_sqlite: u32) -> u32 {
    if URL.with_borrow(Option::is_some) { on_sqlite.div_ceil(6) } else { on_sqlite }
}

/// Runs `tests`, all but `others` of those in `source`, on a PostgreSQL server.
pub(crate) fn on_postgresql(source: &str, tests: &[(&str, fn())], others: &[&str]) {
    let mut lines = source.lines();
    while lines.by_ref().any(|line| line.trim() == "#[test]") {
        let name = lines.next().unwrap().trim().trim_start_matches("fn ").split('(').next().unwrap();
        let known = tests.iter().any(|(test, _)| *test == name) || others.contains(&name);
        assert!(known || name == "the_same_on_postgresql", "{name} runs on one database alone");
    }
    let server = Private::start(&[]);
    URL.set(Some(server.line.clone()));
    for (_, test) in tests {
        test();
    }
    URL.set(None);
}

/// The names of functions with the functions.
macro_rules! named {
    ($($test:ident),* $(,)?) => { &[$((stringify!($test), $test as fn())),*] };
}
pub(crate) use named;
