//! Files as programs write them, compared; and hostile ones.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a failed test")]

mod attacks;
mod formats;

use aseptic_compare::{Content, compare};
use aseptic_model::{FileComparison, Tolerance};

fn compared(name: &str, before: impl AsRef<[u8]>, after: impl AsRef<[u8]>) -> FileComparison {
    let content = |bytes: &[u8]| Content::bytes(bytes.to_vec());
    compare(name.as_bytes(), &content(before.as_ref()), &content(after.as_ref()), Tolerance::default())
}

/// An array as NumPy writes it.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut head = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (head.len() + 11) % 64 != 0 {
        head.push(' ');
    }
    head.push('\n');
    let length = u16::try_from(head.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, head.as_bytes(), data].concat()
}

fn doubles(values: &[f64]) -> Vec<u8> {
    let data: Vec<_> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    npy("<f8", &format!("({},)", values.len()), &data)
}

fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options.compression_method(zip::CompressionMethod::Deflated)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
