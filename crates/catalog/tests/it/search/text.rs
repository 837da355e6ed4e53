//! The text of searches, cursors and orders.

use aseptic_catalog::{Cursor, Field, SEARCH_BYTES_MAX, SEARCH_DEPTH_MAX, SEARCH_TERMS_MAX, Search, Sort};
use aseptic_model::Diagnose;
use proptest::prelude::*;

use super::generate;

fn parse(text: &str) -> Search {
    text.parse().unwrap()
}

/// Where it goes wrong, and with what.
fn wrong(text: &str) -> (usize, String, String) {
    let error = text.parse::<Search>().unwrap_err();
    (error.at(), error.to_string(), error.diagnosis().help)
}

proptest! {
    #[test]
    fn what_is_written_reads_back(search in generate::search(true)) {
        let text = search.to_string();
        if text.len() <= SEARCH_BYTES_MAX {
            prop_assert_eq!(text.parse::<Search>(), Ok(search), "{}", text);
        }
    }

    #[test]
    fn no_text_stops_it(text in any::<String>()) {
        if let Ok(search) = text.parse::<Search>() {
            prop_assert_eq!(search.to_string().parse::<Search>(), Ok(search));
        }
        let _ = (text.parse::<Sort>(), text.parse::<Field>(), text.parse::<Cursor>());
    }

    #[test]
    fn no_half_search_stops_it(search in generate::search(true), cut in any::<prop::sample::Index>()) {
        let text = search.to_string();
        let cut = cut.index(text.len() + 1);
        if let Some(half) = text.get(..cut) && let Err(error) = half.parse::<Search>() {
            prop_assert!(error.at() <= half.len());
            prop_assert!(half.is_char_boundary(error.at()));
        }
    }
}

#[test]
fn each_form_has_one_meaning() {
    for (text, written) in [
        ("metric.accuracy>0.9 AND data.digits", "metric.accuracy > 0.9 and data.digits"),
        ("has tag:a or exists note", "tag:a or note"),
        ("not(status=succeeded)", "not status = succeeded"),
        ("((a.b:c))", ""),
        ("label:role=train", "label:role=train"),
        ("metric.'val loss'.min<1", "metric.\"val loss\".min < 1"),
        ("metric.\"a.min\" = 1", "metric.\"a.min\" = 1"),
        ("metric.a.min.max = 1", "metric.\"a.min\".max = 1"),
        ("metric.a.last = 1e3", "metric.a = 1000"),
        ("param.lr = '0.1'", "param.lr = \"0.1\""),
        ("param.lr in (0.1, adam, 'x y')", "param.lr in (0.1, adam, \"x y\")"),
        ("package:Scikit_Learn@1.4", "package:scikit-learn@1.4"),
        ("planned > 2026-11-01", "planned > 2026-11-01"),
        ("planned > -7d", "planned > -604800000ms"),
        ("planned >= 2026-11-01T10:00", "planned >= 2026-11-01T10:00:00.000Z"),
        ("planned >= 2026-11-01T10:00:00+01:00", "planned >= 2026-11-01T09:00:00.000Z"),
        ("duration > 10m", "duration > 600000ms"),
        ("a or b and c", ""),
        ("name = a or name = b and not name = c", "name = a or name = b and not name = c"),
        ("(name = a or name = b) and name", "(name = a or name = b) and name"),
    ] {
        match text.parse::<Search>() {
            Ok(search) => assert_eq!(search.to_string(), written, "{text}"),
            Err(error) => assert_eq!(written, "", "{error}"),
        }
    }
}

#[test]
fn an_error_shows_the_place_and_the_nearest_field() {
    let (at, shown, help) = wrong("label:pii and metrc.accuracy > 0.9");
    assert_eq!(at, 14);
    assert_eq!(shown, "there is no such field\n  label:pii and metrc.accuracy > 0.9\n                ^");
    assert!(help.starts_with("did you mean `metric.NAME`?"), "{help}");
    for (text, at, what) in [
        ("", 0, "expected a condition"),
        ("name =", 6, "expected a value"),
        ("name = a b", 9, "expected `and` or `or`"),
        ("(name = a", 0, "never closed"),
        ("name = a)", 8, "closes nothing"),
        ("name = 'a", 7, "never closed"),
        ("name = ''", 7, "empty"),
        ("name > a", 5, "cannot be compared with `>`"),
        ("metric.a ~ 1", 9, "cannot be compared with `~`"),
        ("metric.a > high", 11, "expected a number"),
        ("metric.a > nan", 11, "expected a number"),
        ("metric.a > 1e999", 11, "expected a number"),
        ("status = done", 9, "never this"),
        ("code = xyz", 7, "start of a digest"),
        ("planned > yesterday", 10, "expected a time"),
        ("planned > 2026-02-30", 10, "expected a time"),
        ("planned > -99999999999999999999d", 10, "expected a time"),
        ("duration > 10", 11, "length of time"),
        ("planned in (2026-11-01)", 11, "not with a list"),
        ("name in a", 8, "expected `(`"),
        ("name in (a b)", 11, "expected `,` or `)`"),
        ("name in ()", 9, "expected a value"),
        ("data.d = digits@0", 9, "no dataset"),
        ("dataset:digits@x", 8, "no dataset"),
        ("package:a@", 8, "version is empty"),
        ("name = \"a\\n\"", 9, "can escape"),
        ("not", 3, "expected a condition"),
        ("exit-code = 1", 0, "no such field"),
        ("param.x < abc", 10, "expected a number"),
    ] {
        let (found, shown, _) = wrong(text);
        assert!(found == at && shown.contains(what), "{text}: {found} {shown}");
    }
}

#[test]
fn a_terminal_is_not_told_what_to_do() {
    let (_, shown, _) = wrong("\u{1b}[2J\u{202e}\n\tx");
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    assert!(!shown.contains('\u{202e}'), "{shown:?}");
    let (_, shown, _) = wrong(&format!("name = {} $ {}", "a".repeat(1000), "b".repeat(1000)));
    assert!(shown.len() < 300, "{shown}");
}

#[test]
fn a_search_is_bounded() {
    let long = format!("name = {}", "a".repeat(SEARCH_BYTES_MAX));
    assert!(wrong(&long).1.contains("at most"), "length");
    let deep = |levels: usize| format!("{}name{}", "(".repeat(levels), ")".repeat(levels));
    parse(&deep(SEARCH_DEPTH_MAX));
    assert!(wrong(&deep(SEARCH_DEPTH_MAX + 1)).1.contains("levels"));
    assert!(wrong(&format!("{}name", "not ".repeat(SEARCH_DEPTH_MAX + 1))).1.contains("levels"));
    let many = |terms: usize| vec!["name"; terms].join(" or ");
    parse(&many(SEARCH_TERMS_MAX));
    assert!(wrong(&many(SEARCH_TERMS_MAX + 1)).1.contains("conditions"));
    let listed = format!("name in ({})", vec!["a"; SEARCH_TERMS_MAX].join(","));
    assert!(wrong(&listed).1.contains("conditions"));
}

#[test]
fn an_order_is_a_field_and_a_direction() {
    for (text, written) in [
        ("planned", "planned:desc"),
        ("planned:asc", "planned:asc"),
        ("metric.loss:asc", "metric.loss:asc"),
        ("metric.val:loss", "metric.val:loss:desc"),
        ("param.lr", "param.lr:desc"),
        ("duration:desc", "duration:desc"),
    ] {
        assert_eq!(text.parse::<Sort>().unwrap().to_string(), written);
    }
    for bad in ["", "code", "label:pii", "data.x", "duration:up", "name asc", "param."] {
        assert!(bad.parse::<Sort>().is_err(), "{bad}");
    }
}
