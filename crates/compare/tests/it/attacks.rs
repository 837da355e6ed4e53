//! Files that want more than their share, or are no files of their format.

use aseptic_compare::{Content, compare};
use aseptic_model::{Tolerance, Verdict};
use proptest::prelude::*;

use crate::{compared, doubles, npy, npz};

#[track_caller]
fn refused(name: &str, bytes: impl AsRef<[u8]>, why: &str) {
    let found = compared(name, bytes.as_ref(), [bytes.as_ref(), b" "].concat());
    assert_eq!(found.verdict, Verdict::Different);
    let reason = found.not_compared.unwrap_or_default();
    assert!(reason.contains(why), "{name}: {reason}");
    assert!(reason.len() < 1000 && !reason.contains('\u{1b}'), "{reason}");
}

#[test]
fn heads_that_promise_more_than_there_is() {
    refused("a.npy", npy("<f8", "(1000000000000,)", &[0; 8]), "to its end");
    refused("a.npy", npy("<f8", "(4294967296, 4294967296)", &[]), "not as NumPy writes it");
    refused("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "over 10000 bytes");
    refused("a.npy", b"\x93NUMPY\x09\x00", "version 9");
    refused("a.safetensors", [0xff; 8], "longer than it may be");
    refused(
        "a.safetensors",
        [8_u64.to_le_bytes().as_slice(), b"{\"a\":{}}"].concat(),
        "not as the format has it",
    );
    let outside =
        r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551607,18446744073709551615]}}"#;
    refused(
        "a.safetensors",
        [(outside.len() as u64).to_le_bytes().as_slice(), outside.as_bytes()].concat(),
        "outside",
    );
    refused("a.parquet", b"PAR1\xff\xff\xff\x7fPAR1", "");
}

#[test]
fn endless_rows_lines_and_depths() {
    let row = format!("a,b\n1,\"{}", "x".repeat(9 << 20));
    refused("a.csv", row, "a row is over");
    refused("a.jsonl", "x".repeat(5 << 20), "a line is over");
    refused("a.json", "[".repeat(1 << 20), "deeper than 128");
    refused("a.json", format!("[0{}]", ",0".repeat(1_000_000)), "more than 1000000 values");
    refused("a.json", "{\"a\u{1b}[31m", "control character");
}

/// Small on disk and large in memory: a member is read piece by piece.
#[test]
fn a_bomb_costs_no_memory() {
    let zeros = vec![0; 64 << 20];
    let before = npz(&[("a.npy", npy("<f8", "(8388608,)", &zeros))]);
    assert!(before.len() < 1 << 20);
    let found = compared(
        "a.npz",
        &before,
        npz(&[("a.npy", npy("<f8", "(8388608,)", &zeros)), ("b.npy", doubles(&[1.0]))]),
    );
    assert_eq!((found.differing, found.values), (1, 8_388_609));
}

/// One row that is a list of more values than there may be: a page of a few bytes.
#[test]
fn a_row_that_is_a_long_list() {
    let list = |length: usize| {
        let schema = parquet::schema::parser::parse_message_type("message m { repeated int32 a; }").unwrap();
        let mut bytes = Vec::new();
        let mut writer =
            parquet::file::writer::SerializedFileWriter::new(&mut bytes, schema.into(), Default::default())
                .unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let mut repetitions = vec![1; length];
        repetitions[0] = 0;
        column
            .typed::<parquet::data_type::Int32Type>()
            .write_batch(&vec![0; length], Some(&vec![1; length]), Some(&repetitions))
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    };
    let found = compared("a.parquet", list(3), list(4));
    assert_eq!((found.differing, found.not_compared), (1, None));
    let long = list(4_000_001);
    assert!(long.len() < 1 << 20);
    let found = compared("a.parquet", &long, list(3));
    assert!(found.not_compared.unwrap().contains("over 4000000 values"));
}

#[test]
fn a_damaged_archive() {
    let mut bytes = npz(&[("a.npy", doubles(&[1.0; 1000]))]);
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    refused("a.npz", &bytes, "");
}

#[test]
fn what_is_shown_of_a_value_is_short_and_plain() {
    let found =
        compared("a.json", format!("{{\"{}\": 1}}", "é".repeat(100_000)), "{\"\u{9b}\\u001b[31m\": 2}");
    for difference in &found.first {
        let shown = format!("{}{:?}{:?}", difference.at, difference.before, difference.after);
        assert!(shown.len() < 2000 && !shown.contains(['\u{1b}', '\u{9b}']), "{shown}");
    }
}

const NAMES: [&str; 10] =
    ["a.json", "a.jsonl", "a.csv", "a.tsv", "a.npy", "a.npz", "a.parquet", "a.safetensors", "a.pkl", "a"];

fn start() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        b"".as_slice(),
        b"PAR1",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', ",
        b"{\"a\":",
        b"\x08\0\0\0\0\0\0\0{",
    ])
}

proptest! {
    #[test]
    fn nothing_panics(name in prop::sample::select(NAMES.to_vec()), start in start(), a: Vec<u8>, b: Vec<u8>, end in start()) {
        let file = |rest: &[u8]| Content::bytes([start, rest, end].concat());
        let found = compare(name.as_bytes(), &file(&a), &file(&b), Tolerance::default());
        prop_assert!(found.verdict >= Verdict::Equivalent);
    }

    #[test]
    fn numbers_differ_where_the_tolerance_says(values: Vec<(f64, f64)>) {
        let (before, after): (Vec<_>, Vec<_>) = values.iter().copied().unzip();
        let found = compared("a.npy", doubles(&before), doubles(&after));
        let tolerance = Tolerance::default();
        let expected = values.iter().filter(|(a, b)| !tolerance.covers(*a, *b)).count() as u64;
        prop_assert_eq!(found.differing, expected);
        let rows = |values: &[f64]| values.iter().map(|value| format!("{value:?}\n")).collect::<String>();
        let found = compared("a.csv", rows(&before), rows(&after));
        prop_assert_eq!(found.differing, expected);
        let list = |values: &[f64]| format!("[{}]", values.iter().map(|value| match value {
            value if value.is_nan() => "NaN".to_owned(),
            value if value.is_infinite() => if *value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
            value => format!("{value:?}"),
        }).collect::<Vec<_>>().join(","));
        let found = compared("a.json", list(&before), list(&after));
        prop_assert_eq!(found.differing, expected, "{:?}", found);
    }
}
