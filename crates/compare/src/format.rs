//! As what a file is read: by its first bytes where these say it, by the end of its name otherwise.

use std::path::Path;

use aseptic_model::FileFormat;

use crate::content::Content;

/// So many bytes at the start say whether a file is text.
const START_BYTES: u64 = 4096;

pub(crate) fn of(name: &[u8], content: &Content) -> FileFormat {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let extension = Path::new(&name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let Ok(start) = content.start(START_BYTES) else { return FileFormat::Bytes };
    match (start.as_slice(), extension) {
        ([0x93, b'N', b'U', b'M', b'P', b'Y', ..], _) => FileFormat::Npy,
        ([b'P', b'A', b'R', b'1', ..], _) => FileFormat::Parquet,
        ([b'P', b'K', 3 | 5, 4 | 6, ..], "npz") => FileFormat::Npz,
        (_, "safetensors") => FileFormat::Safetensors,
        (_, "pkl" | "pickle" | "joblib" | "pt" | "pth" | "ckpt" | "bin") if !is_text(&start) => {
            FileFormat::Pickle
        }
        ([0x80, 2..=5, ..], _) => FileFormat::Pickle, // The head of every pickle since Python 2.3.
        _ if !is_text(&start) => FileFormat::Bytes,
        (_, "json" | "geojson" | "ipynb") => FileFormat::Json,
        (_, "jsonl" | "ndjson") => FileFormat::JsonLines,
        (_, "csv") => FileFormat::Csv,
        (_, "tsv") => FileFormat::Tsv,
        _ => FileFormat::Text,
    }
}

/// UTF-8 without NUL; the last character may be cut.
fn is_text(start: &[u8]) -> bool {
    let valid = match std::str::from_utf8(start) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && start.len() - error.valid_up_to() < 4,
    };
    valid && !start.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_before_names() {
        for (name, bytes, format) in [
            ("a.json", b"\x93NUMPY\x01".as_slice(), FileFormat::Npy),
            ("a.json", b"{}", FileFormat::Json),
            ("A.CSV", b"a,b", FileFormat::Csv),
            ("a.csv", b"a\0b", FileFormat::Bytes),
            ("a.pt", b"PK\x03\x04\0", FileFormat::Pickle),
            ("a.npz", b"PK\x03\x04", FileFormat::Npz),
            ("model", b"\x80\x04\x95", FileFormat::Pickle),
            ("metrics.jsonl", b"{}\n{}", FileFormat::JsonLines),
            ("notes", "grüße".as_bytes(), FileFormat::Text),
            ("notes", b"cut \xc3", FileFormat::Text),
            ("notes", b"\xff\xfe", FileFormat::Bytes),
            ("empty", b"", FileFormat::Text),
        ] {
            assert_eq!(of(name.as_bytes(), &Content::bytes(bytes)), format, "{name}");
        }
    }
}
