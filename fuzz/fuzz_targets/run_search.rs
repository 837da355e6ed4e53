//! Searches for runs, their orders, columns and cursors, and the SQL that is made of them.
#![no_main]

use std::cell::OnceCell;

use aseptic_catalog::{Catalog, Cursor, Field, Question, SEARCH_BYTES_MAX, Search, SearchFailed, Sort};
use aseptic_model::Timestamp;

thread_local! {
    static EMPTY: OnceCell<Catalog> = const { OnceCell::new() };
}

fn catalog() -> Catalog {
    Catalog::open(&aseptic_fuzz::directory("catalog").join("catalog.sqlite")).expect("a catalog")
}

// Lines: a search, an order, a column, a cursor.
libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let search = line().parse::<Search>();
    if let Err(error) = &search {
        assert!(error.at() <= text.len());
        assert!(
            !error.to_string().chars().any(|c| c != '\n' && c.is_control()),
            "a terminal is not told what to do"
        );
    }
    if let Ok(search) = &search {
        let written = search.to_string();
        // Quotes and units may make it longer than what was read.
        if written.len() <= SEARCH_BYTES_MAX {
            assert_eq!(written.parse().as_ref(), Ok(search), "a search reads back");
        }
    }
    let sort = line().parse::<Sort>().unwrap_or_default();
    assert_eq!(sort.to_string().parse().as_ref(), Ok(&sort), "an order reads back");
    let column = line().parse::<Field>();
    let cursor = line().parse::<Cursor>();
    let Ok(search) = search else { return };
    let project = "fuzz".parse().expect("a name");
    let question = Question { project, search: Some(search), sort };
    let columns: Vec<_> = column.into_iter().collect();
    EMPTY.with(|empty| {
        let catalog = empty.get_or_init(catalog);
        let now = Timestamp::UNIX_EPOCH;
        let page = catalog.search(&question, &columns, None, 3, now).expect("every search is SQL");
        assert!(page.runs.is_empty() && page.next.is_none());
        assert_eq!(catalog.count(&question, now).expect("every search is SQL"), 0);
        if let Ok(cursor) = cursor {
            match catalog.search(&question, &columns, Some(&cursor), 3, now) {
                Ok(page) => assert!(page.runs.is_empty()),
                Err(SearchFailed::Cursor(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
});
