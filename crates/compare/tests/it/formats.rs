//! What each format says is equal, nearly equal and different.

use std::sync::Arc;

use aseptic_model::{FileComparison, FileFormat, Verdict};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::{compared, doubles, npy, npz};

/// The place, the value before and the value after of the first difference.
fn first(found: &FileComparison) -> (&str, Option<&str>, Option<&str>) {
    let first = found.first.first().unwrap_or_else(|| panic!("{found:?}"));
    (&first.at, first.before.as_deref(), first.after.as_deref())
}

#[track_caller]
fn equivalent(found: &FileComparison, within: u64) {
    assert_eq!((found.verdict, found.within, found.differing), (Verdict::Equivalent, within, 0), "{found:?}");
}

#[track_caller]
fn different(found: &FileComparison, differing: u64) {
    assert_eq!((found.verdict, found.differing), (Verdict::Different, differing), "{found:?}");
}

#[test]
fn json() {
    let before = r#"{"loss": 0.5, "epochs": [1, 2], "best": NaN, "name": "a"}"#;
    equivalent(&compared("m.json", before, r#"{ "name":"a","best":NaN,"epochs":[1,2],"loss":5e-1}"#), 0);
    equivalent(&compared("m.json", before, before.replace("0.5", "0.5000000001")), 1);
    let found = compared("m.json", before, before.replace("0.5", "0.6"));
    different(&found, 1);
    assert_eq!(first(&found), ("/loss", Some("0.5"), Some("0.6")));
    assert!((found.largest_relative.unwrap() - 0.2).abs() < 1e-9);
    let found = compared("m.json", before, r#"{"loss": 0.5, "epochs": [1], "best": 1.0, "title": "a"}"#);
    different(&found, 4);
    assert_eq!(first(&found), ("/best", Some("NaN"), Some("1")));
    let big = ("[9007199254740992]", "[9007199254740993]");
    different(&compared("a.json", big.0, big.1), 1); // They are the same number of 64 bits.
    different(&compared("a.json", "true", "false"), 1);
    different(&compared("a.json", "null", "0"), 1);
    let found = compared("a.json", r#"{"a/b~": {"": 1.5}}"#, r#"{"a/b~": {"": 2.5}}"#);
    assert_eq!(first(&found).0, "/a~1b~0/");
}

#[test]
fn json_lines() {
    let before = "{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":0.25}\n";
    equivalent(&compared("m.jsonl", before, before.replace("0.25", "0.2500000001")), 1);
    let found = compared("m.jsonl", before, before.replace("0.25", "0.3"));
    different(&found, 1);
    assert_eq!(first(&found), ("line 2 /loss", Some("0.25"), Some("0.3")));
    different(&compared("m.jsonl", before, format!("{before}{before}")), 2);
    let found = compared("m.jsonl", before, format!("{before}x\n"));
    assert_eq!(first(&found), ("line 3", None, Some("x")));
}

#[test]
fn tables() {
    let before = "id,loss\n1,0.5\n2,0.25\n";
    equivalent(&compared("a.csv", before, "id,loss\r\n1,0.50\r\n2,2.5e-1\r\n"), 0);
    let found = compared("a.csv", before, "id,loss\n1,0.5\n2,0.75\n");
    different(&found, 1);
    assert_eq!(first(&found), ("line 3, column loss", Some("0.25"), Some("0.75")));
    assert_eq!(found.largest_absolute, Some(0.5));
    different(&compared("a.csv", before, "id,loss\n1,0.5\n3,0.25\n"), 1);
    different(&compared("a.csv", before, "id,loss\n1,0.5\n"), 1);
    different(&compared("a.csv", before, "id,loss,x\n1,0.5\n2,0.25\n"), 1);
    let quoted = compared("a.csv", "a,b\n\"x, y\",1.0\n", "a,b\n\"x, y\",2.0\n");
    assert_eq!(first(&quoted).0, "line 2, column b");
    let found = compared("a.tsv", "a\tb\n1,5\t2\n", "a\tb\n1,6\t2\n");
    assert_eq!(first(&found), ("line 2, column a", Some("1,5"), Some("1,6")));
}

#[test]
fn arrays() {
    equivalent(&compared("a.npy", doubles(&[1.0, f64::NAN]), doubles(&[1.0 + 1e-9, f64::NAN])), 1);
    let found = compared("a.npy", doubles(&[1.0, 2.0, 3.0]), doubles(&[1.0, 2.5, 3.0]));
    different(&found, 1);
    assert_eq!(first(&found), ("[1]", Some("2"), Some("2.5")));
    let big: Vec<_> = [1.0_f64, 2.0].iter().flat_map(|value| value.to_be_bytes()).collect();
    equivalent(&compared("a.npy", doubles(&[1.0, 2.0]), npy(">f8", "(2,)", &big)), 0);
    let found = compared(
        "a.npy",
        npy("<i4", "(2, 2)", &[0; 16]),
        npy("<i4", "(2, 2)", &[[0; 12].as_slice(), &[1, 0, 0, 0]].concat()),
    );
    assert_eq!(first(&found), ("[1, 1]", Some("0"), Some("1")));
    let found = compared("a.npy", doubles(&[1.0, 2.0]), npy("<f8", "(1, 2)", &[0; 16]));
    assert_eq!(first(&found), ("shape", Some("[2]"), Some("[1, 2]")));
    let found = compared("a.npy", npy("<f4", "(1,)", &[0; 4]), doubles(&[0.0]));
    assert_eq!(first(&found), ("type", Some("float32"), Some("float64")));
    let found = compared(
        "a.npy",
        npy("<c16", "()", &[0; 16]),
        npy("<c16", "()", &[[0; 8].as_slice(), &1_f64.to_le_bytes()].concat()),
    );
    assert_eq!(first(&found), ("[] imaginary", Some("0"), Some("1")));
    let found = compared("a.npy", npy("<U1", "(1,)", &[65, 0, 0, 0]), npy("<U1", "(1,)", &[66, 0, 0, 0]));
    assert_eq!(first(&found), ("[0]", Some("A"), Some("B")));
}

#[test]
fn archives_of_arrays() {
    let before = npz(&[("a.npy", doubles(&[1.0])), ("b.npy", doubles(&[2.0]))]);
    let found =
        compared("a.npz", &before, npz(&[("b.npy", doubles(&[2.0 + 1e-9])), ("a.npy", doubles(&[1.0]))]));
    equivalent(&found, 1);
    let found = compared("a.npz", &before, npz(&[("a.npy", doubles(&[1.5])), ("c.npy", doubles(&[1.0]))]));
    different(&found, 3);
    assert_eq!(first(&found), ("a.npy [0]", Some("1"), Some("1.5")));
}

/// A table of ids, names and losses, in pages and row groups of its own.
fn parquet_of(rows: &[(i64, &str, f64)], rows_per_group: usize) -> Vec<u8> {
    let schema = "message m { required int64 id; required byte_array name (UTF8); required double loss; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for rows in rows.chunks(rows_per_group) {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let ids: Vec<_> = rows.iter().map(|row| row.0).collect();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let names: Vec<_> = rows.iter().map(|row| ByteArray::from(row.1)).collect();
        column.typed::<ByteArrayType>().write_batch(&names, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let losses: Vec<_> = rows.iter().map(|row| row.2).collect();
        column.typed::<DoubleType>().write_batch(&losses, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

#[test]
fn parquet() {
    let rows = [(1, "a", 0.5), (2, "b", 0.25), (3, "c", f64::NAN)];
    let before = parquet_of(&rows, 3);
    equivalent(&compared("a.parquet", &before, parquet_of(&rows, 1)), 0);
    let found = compared("a.parquet", &before, parquet_of(&[rows[0], (2, "b", 0.75), rows[2]], 2));
    different(&found, 1);
    assert_eq!(first(&found), ("row 1, column loss", Some("0.25"), Some("0.75")));
    let found = compared("a.parquet", &before, parquet_of(&[rows[0], (2, "x", 0.25), rows[2]], 2));
    assert_eq!(first(&found), ("row 1, column name", Some("\"b\""), Some("\"x\"")));
    different(&compared("a.parquet", &before, parquet_of(&rows[..2], 3)), 1);
}

fn tensors(head: &str, data: &[u8]) -> Vec<u8> {
    [(head.len() as u64).to_le_bytes().as_slice(), head.as_bytes(), data].concat()
}

#[test]
fn safetensors() {
    let head = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let data = |a: f32, b: f32| [a.to_le_bytes(), b.to_le_bytes()].concat();
    let before = tensors(head, &data(1.0, 2.0));
    equivalent(&compared("m.safetensors", &before, tensors(&format!("{head} "), &data(1.0, 2.0))), 0);
    let found = compared("m.safetensors", &before, tensors(head, &data(1.0, 3.0)));
    assert_eq!(first(&found), ("w element 1", Some("2"), Some("3")));
    let renamed = head.replace("\"w\"", "\"v\"");
    different(&compared("m.safetensors", &before, tensors(&renamed, &data(1.0, 2.0))), 2);
    let half = r#"{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}"#;
    let found = compared("m.safetensors", tensors(half, &[0x80, 0x3f]), tensors(half, &[0, 0x40]));
    assert_eq!(first(&found), ("w element 0", Some("1"), Some("2")));
}

#[test]
fn pickles_are_never_loaded() {
    // Either would start a program if anything unpickled it.
    let pickle = |word: &str| format!("\u{80}cposix\nsystem\n(S'{word}'\ntR.").into_bytes();
    for name in ["model.pkl", "model.joblib", "model.pt"] {
        let bytes = |word: &str| [b"\x80\x04".as_slice(), &pickle(word)].concat();
        let found = compared(name, bytes("true"), bytes("false"));
        assert_eq!((found.format, found.verdict), (FileFormat::Pickle, Verdict::Different), "{name}");
        assert!(found.not_compared.unwrap().contains("not loaded"));
    }
    let found = compared("a.npy", npy("|O", "(1,)", &pickle("true")), npy("|O", "(1,)", &pickle("false")));
    assert!(found.not_compared.unwrap().contains("not loaded") && found.verdict == Verdict::Different);
}

#[test]
fn text_and_bytes() {
    let found = compared("log", "a\nb\n", "a\nc\n");
    assert_eq!((first(&found), found.format), (("line 2", Some("b"), Some("c")), FileFormat::Text));
    different(&compared("log", "a\n", "a"), 1);
    different(&compared("log", "a\n", "a\r\n"), 1);
    let found = compared("x", b"\xff\x00", b"\xff\x01");
    assert_eq!((found.format, found.verdict), (FileFormat::Bytes, Verdict::Different));
    let found = compared("x.json", "{}", "\u{0}");
    assert!(found.not_compared.unwrap().contains("one is JSON, the other bytes"));
}
