//! The list of files that an installer leaves: `RECORD`.
//!
//! Source: "Recording installed projects", the RECORD file: lines of CSV, `path,algorithm=digest,size`, the digest in
//! URL-safe base64 without padding.

use std::path::Path;

use super::super::python::{Longer, RECORD_BYTES_MAX, read};

/// The list in the description `directory` of a package; nothing where there is none of a reasonable size.
pub(crate) fn read_record(directory: &Path) -> Option<Vec<u8>> {
    read(&directory.join("RECORD"), RECORD_BYTES_MAX, Longer::Refuse).ok()
}

/// One file of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its path, relative to the site directory or absolute.
    pub(crate) path: String,
    /// Its SHA-256 as base64; nothing where it has another digest or none.
    pub(crate) sha256: Option<String>,
    /// Its size in bytes.
    pub(crate) size: Option<u64>,
}

/// Each line that names a file. Lines that do not are left out.
pub(crate) fn listed(bytes: &[u8]) -> impl Iterator<Item = Listed> + '_ {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| parse(&String::from_utf8_lossy(line)))
}

fn parse(line: &str) -> Option<Listed> {
    let line = line.trim_end_matches('\r');
    let (path, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted_field(quoted)?,
        None => line.split_once(',').map_or((line.to_owned(), ""), |(path, rest)| (path.to_owned(), rest)),
    };
    if path.is_empty() || path.contains('\0') {
        return None;
    }
    let (digest, size) = rest.split_once(',').unwrap_or((rest, ""));
    let sha256 = digest.strip_prefix("sha256=").map(|digits| digits.trim_end_matches('=').to_owned());
    Some(Listed { path, sha256, size: size.trim().parse().ok() })
}

/// A field up to its closing quote, in which `""` stands for `"`; and what follows its comma.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after.strip_prefix(',').unwrap_or(after))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_installers() {
        let text = "a/b.py,sha256=q-_w,12\r\n\"c,\"\"d\"\".py\",sha256=x=,\na.dist-info/RECORD,,\nbare\n\n\"open\n,x,1\n";
        let files: Vec<_> = listed(text.as_bytes()).collect();
        let of = |path: &str, sha256: Option<&str>, size| Listed {
            path: path.to_owned(),
            sha256: sha256.map(str::to_owned),
            size,
        };
        let expected = [
            of("a/b.py", Some("q-_w"), Some(12)),
            of("c,\"d\".py", Some("x"), None),
            of("a.dist-info/RECORD", None, None),
            of("bare", None, None),
        ];
        assert_eq!(files, expected);
    }
}
