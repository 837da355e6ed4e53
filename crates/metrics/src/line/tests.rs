use super::*;

fn values(line: &str) -> Read<(When, Vec<(String, f64)>)> {
    let mut found = Vec::new();
    let when = read(line, &mut String::new(), &mut |name, value| found.push((name.to_owned(), value)))?;
    Ok((when, found))
}

fn named(line: &str) -> Vec<(String, f64)> {
    values(line).unwrap().1
}

#[test]
fn a_line_has_a_step_a_time_and_metrics() {
    let (when, found) = values(r#" {"step": 7, "time": 1.5, "loss": 0.25, "accuracy":-1e-3} "#).unwrap();
    assert_eq!((when.step, when.time), (Some(7), Some(1.5)));
    assert_eq!(found, [("loss".to_owned(), 0.25), ("accuracy".to_owned(), -0.001)]);
}

#[test]
fn nested_objects_are_joined_and_only_the_outermost_step_is_one() {
    let found = named(r#"{"train": {"loss": 1, "step": 3, "by": {"class": 2}}, "test": {}}"#);
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["train/loss", "train/step", "train/by/class"]);
    let nested =
        |depth: usize| format!("{}{{\"a\":1}}{}", "{\"a\":".repeat(depth - 1), "}".repeat(depth - 1));
    assert_eq!(named(&nested(DEPTH_MAX))[0].0, ["a"; DEPTH_MAX].join("/"));
    assert_eq!(values(&nested(DEPTH_MAX + 1)), Err(Unreadable));
}

#[test]
fn what_is_no_number_is_no_metric() {
    let line = r#"{"a": true, "b": false, "c": null, "d": "5", "e": [1, [NaN, {"x": 1}], []], "f": 6}"#;
    assert_eq!(named(line), [("f".to_owned(), 6.0)]);
    assert!(named("{}").is_empty());
}

#[test]
fn numbers_that_are_not_finite_are_values() {
    let line =
        r#"{"a": NaN, "b": Infinity, "c": -Infinity, "d": nan, "e": -nan, "f": inf, "g": -inf, "h": 1e999}"#;
    let found = named(line);
    assert_eq!(found.len(), 8);
    assert!(found.iter().all(|(_, value)| !value.is_finite()));
    assert_eq!((found[2].1, found[7].1), (f64::NEG_INFINITY, f64::INFINITY));
}

#[test]
fn a_step_is_a_whole_number() {
    let step = |text: &str| values(&format!("{{\"step\": {text}}}")).map(|(when, _)| when.step);
    assert_eq!(step("-9007199254740991"), Ok(Some(-9_007_199_254_740_991)));
    assert_eq!(step("3.0"), Ok(Some(3)));
    assert_eq!(step("1e3"), Ok(Some(1000)));
    assert_eq!(step("null"), Ok(None));
    for text in
        ["1.5", "\"1\"", "NaN", "1e300", "9007199254740993", "-9223372036854775808", "true", "[1]", "{}"]
    {
        assert_eq!(step(text), Err(Unreadable), "{text}");
    }
    assert_eq!(values(r#"{"time": Infinity}"#), Err(Unreadable));
}

#[test]
fn names_may_be_escaped() {
    assert_eq!(named(r#"{"a\u00e9\"\\\/\ud83d\ude00": 1}"#)[0].0, "aé\"\\/😀");
    for line in
        [r#"{"\ud800": 1}"#, r#"{"\ud800\u0041": 1}"#, r#"{"\udc00": 1}"#, r#"{"\x": 1}"#, r#"{"\u12g4": 1}"#]
    {
        assert_eq!(values(line), Err(Unreadable), "{line}");
    }
}

#[test]
fn what_is_no_object_cannot_be_read() {
    let lines = [
        "",
        "1",
        "null",
        "[]",
        "{",
        "{}}",
        "{} {}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":0x1}",
        "{\"a\":nul}",
        "{\"a",
        "{\"a\":tru}",
        "{'a':1}",
        "{\"a\u{0}\":1}",
        "\u{feff}{}",
        "{\"a\":[1,]}",
        "{\"a\":1 \"b\":2}",
        "{\"\\",
    ];
    for line in lines {
        assert_eq!(values(line), Err(Unreadable), "{line}");
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(values(&deep), Err(Unreadable));
}

proptest::proptest! {
    #[test]
    fn what_another_reader_takes_has_the_same_numbers(
        object in proptest::collection::btree_map("[a-z\"\\\\é]{1,4}", proptest::num::f64::NORMAL, 0..8)
    ) {
        let line = serde_json::to_string(&object).unwrap();
        let found: std::collections::BTreeMap<_, _> =
            named(&line).into_iter().filter(|(name, _)| name != "step" && name != "time").collect();
        let wanted: std::collections::BTreeMap<_, _> =
            object.into_iter().filter(|(name, _)| name != "step" && name != "time").collect();
        proptest::prop_assert_eq!(found, wanted);
    }

    #[test]
    fn any_text_is_read_or_not(line in "\\PC{0,60}|[{}\\[\\]:,\"0-9eE.+\\-naNI\\\\u ]{0,60}") {
        let _ = values(&line);
    }
}
