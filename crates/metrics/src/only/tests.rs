use proptest::prelude::*;

use super::*;
use crate::Reader;

fn only(text: impl AsRef<[u8]>, bytes_max: usize) -> Only {
    only_metrics(&mut text.as_ref(), bytes_max).unwrap()
}

fn lines(text: impl AsRef<[u8]>) -> String {
    only(text, 1 << 16).lines
}

fn left_out(text: impl AsRef<[u8]>) -> Vec<LeftOut> {
    only(text, 1 << 16).left_out.into_iter().collect()
}

#[test]
fn equal_metrics_have_one_form() {
    let one = r#"{"step":3,"a":0.5,"b":{"c":100}}"#;
    assert_eq!(lines(one), "{\"step\":3,\"a\":0.5,\"b/c\":100.0}\n");
    for other in [
        r#" { "b" : {"c": 1e2} , "a" : 0.50 , "step" : 3.0 } "#,
        r#"{"a":0.5000000000000000001,"step":3,"b/c":100}"#,
        r#"{"\u0061":0.5,"step":3,"time":1700000000.123,"b/c":100,"note":"a secret","rows":[1,2,3],"yes":true}"#,
        "\n\n  {\"a\":7,\"a\":0.5,\"step\":3,\"b\":{\"c\":1.0e+2}}\r\n\n",
    ] {
        assert_eq!(lines(other), lines(one), "{other}");
    }
    assert_eq!(
        lines("{\"a\":-0.0,\"b\":-nan,\"c\":nan,\"d\":inf,\"e\":-inf}"),
        "{\"a\":0.0,\"b\":NaN,\"c\":NaN,\"d\":Infinity,\"e\":-Infinity}\n"
    );
}

#[test]
fn what_is_no_metric_is_not_kept() {
    for (text, why) in [
        ("secret\n{\"a\":1}", LeftOut::Unreadable),
        ("{\"a\":1}\n{\"a\":2", LeftOut::Unreadable),
        ("{\"a\":1}\n\"secret\"", LeftOut::Unreadable),
        ("{\"a\":1}\n{\"step\":12345}", LeftOut::NoMetric),
        ("{\"a\":1}\n{}", LeftOut::NoMetric),
        ("{\"a\":1,\"a secret\":2}", LeftOut::Name),
        ("{\"a\":1,\"\":2}", LeftOut::Name),
        ("{\"a\":1,\"naïve\":2}", LeftOut::Name),
        ("{\"a\":1}\n{\"step\":-1,\"a\":2}", LeftOut::Step),
        ("{\"a\":1}\n{\"step\":1000000001,\"a\":2}", LeftOut::Step),
    ] {
        assert_eq!((lines(text).as_str(), left_out(text)), ("{\"a\":1.0}\n", vec![why]), "{text}");
    }
    let long = format!("{{\"a\":1,\"{}\":2}}\n", "n".repeat(65));
    assert_eq!((lines(&long).as_str(), left_out(&long)), ("{\"a\":1.0}\n", vec![LeftOut::Name]));
    let long = format!("{{\"note\":\"{}\",\"a\":2}}\n{{\"a\":1}}\n", "n".repeat(1 << 20));
    assert_eq!((lines(&long).as_str(), left_out(&long)), ("{\"a\":1.0}\n", vec![LeftOut::Unreadable]));
    let binary = [b"{\"a\":\xff}\n".as_slice(), b"{\"a\":1}\n"].concat();
    assert_eq!((lines(&binary).as_str(), left_out(&binary)), ("{\"a\":1.0}\n", vec![LeftOut::Unreadable]));
}

#[test]
fn names_are_few_on_one_line_and_on_many() {
    let members: Vec<_> = (0..300).map(|number| format!("\"n{number:03}\":1")).collect();
    let one = only(format!("{{{}}}", members.join(",")), 1 << 16);
    assert_eq!(one.lines.matches(':').count(), NAMES_MAX);
    assert_eq!(one.left_out, [LeftOut::Names].into());
    let many: String = (0..300).map(|number| format!("{{\"n{number}\":1}}\n")).collect();
    let many = only(many, 1 << 16);
    assert_eq!(many.lines.lines().count(), NAMES_MAX);
    assert!(many.left_out.contains(&LeftOut::Names));
}

#[test]
fn it_ends_with_the_first_line_that_has_no_room() {
    let text = "{\"a\":1}\n{\"a\":22222222222222}\n{\"a\":3}\n";
    let only = only(text, 20);
    assert_eq!((only.lines.as_str(), only.left_out), ("{\"a\":1.0}\n", [LeftOut::TooMuch].into()));
}

#[test]
fn a_file_without_end_is_read_in_part() {
    let mut endless = io::repeat(b'\n');
    assert_eq!(only_metrics(&mut endless, 10).unwrap().left_out, [LeftOut::TooMuch].into());
    let mut endless = io::repeat(b'x');
    assert!(only_metrics(&mut endless, 10).unwrap().left_out.contains(&LeftOut::Unreadable));
}

proptest! {
    #[test]
    fn whatever_comes_it_is_bounded_and_readable(
        bytes in prop::collection::vec(any::<u8>(), 0..300), max in 0_usize..200,
    ) {
        check(&bytes, max);
    }

    #[test]
    fn lines_of_numbers_too(
        rows in prop::collection::vec(prop::collection::btree_map("[a-z /é]{0,3}", any::<f64>(), 0..5), 0..9),
        max in 0_usize..400,
    ) {
        let text: String = rows.iter().map(|row| {
            let members: Vec<_> = row.iter().map(|(name, value)| format!("{name:?}:{value:?}")).collect();
            format!("{{{}}}\n", members.join(","))
        }).collect();
        check(text.as_bytes(), max);
    }
}

fn check(bytes: &[u8], max: usize) {
    let once = only(bytes, max);
    assert!(once.lines.len() <= max);
    let again = only(&once.lines, max);
    assert_eq!(again.lines, once.lines, "what was written is written the same again");
    assert!(again.left_out.is_empty(), "{again:?}");
    let mut reader = Reader::new();
    let mut ignored = |_: crate::Point<'_>| Ok(());
    reader.read(&mut once.lines.as_bytes(), &mut ignored).unwrap();
    reader.finish(&mut ignored).unwrap();
    assert_eq!(reader.unreadable(), 0);
}
