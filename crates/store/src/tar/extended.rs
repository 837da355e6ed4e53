//! What stands before an entry and changes it: records of pax headers, and maps of sparse files.

use super::sparse::Map;

/// Largest extended header: names have at most 4095 bytes, attributes 64 KiB each.
pub(super) const EXTENDED_BYTES_MAX: u64 = 4 << 20;

/// What extended headers say about the entry that follows them.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) sparse: Option<Sparse>,
}

/// What pax records say about a sparse file, in the three ways that GNU tar has had.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    pub(super) major: u64,
    pub(super) minor: u64,
    /// Of the file with its holes.
    pub(super) size: Option<u64>,
    /// Of versions 0.0 and 0.1; that of 1.0 stands before the content.
    pub(super) map: Map,
    /// A start of a piece whose length comes next (version 0.0).
    offset: Option<u64>,
}

impl Extended {
    /// Takes over what the records of a pax header say.
    ///
    /// Source: pax in POSIX.1-2017, "pax Extended Header"; GNU tar manual, "Storing Sparse Files".
    pub(super) fn read(&mut self, mut rest: &[u8]) -> Result<(), &'static str> {
        while !rest.is_empty() {
            let (key, value, after) =
                record(rest).ok_or("a record of an extended header is not well-formed")?;
            rest = after;
            // An empty value takes back what a global header said; those say nothing here.
            if value.is_empty() {
                continue;
            }
            match key {
                b"path" => {
                    // The name of a sparse file is in a record of its own; `path` is a stand-in.
                    if self.sparse.is_none() || self.path.is_none() {
                        self.path = Some(value.to_vec());
                    }
                }
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => self.size = Some(number(value)?),
                _ => {
                    if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                        self.sparse(key, value)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn sparse(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if key == b"name" {
            self.path = Some(value.to_vec());
        }
        let sparse = self.sparse.get_or_insert_default();
        match key {
            b"major" => sparse.major = number(value)?,
            b"minor" => sparse.minor = number(value)?,
            b"size" | b"realsize" => sparse.size = Some(number(value)?),
            b"offset" => sparse.offset = Some(number(value)?),
            b"numbytes" => {
                let offset = sparse.offset.take().ok_or("a piece of a sparse file has no start")?;
                sparse.map.push(offset, number(value)?)?;
            }
            b"map" => {
                let mut numbers = value.split(|byte| *byte == b',');
                while let Some(offset) = numbers.next() {
                    let length = numbers.next().ok_or("a piece of a sparse file has no length")?;
                    sparse.map.push(number(offset)?, number(length)?)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether nothing was said.
    pub(super) fn is_empty(&self) -> bool {
        self.path.is_none() && self.target.is_none() && self.size.is_none() && self.sparse.is_none()
    }
}

/// Key, value and what follows the first record, `LENGTH KEY=VALUE\n`, where the length counts all of it.
/// The value is any bytes, newlines among them.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&bytes[..space]).ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

/// A decimal number without sign.
pub(super) fn number(text: &[u8]) -> Result<u64, &'static str> {
    let wrong = "a number of an extended header is not one";
    if !text.iter().all(u8::is_ascii_digit) {
        return Err(wrong);
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_may_hold_anything() {
        let mut extended = Extended::default();
        extended.read(b"14 path=a\nb=\xff\n15 linkpath=xy\n").unwrap();
        assert_eq!(extended.path.unwrap(), b"a\nb=\xff");
        assert_eq!(extended.target.unwrap(), b"xy");
    }

    #[test]
    fn records_that_are_none() {
        for bad in [
            b"path=a\n".as_slice(),
            b"9 path=a\n\n",
            b"11 path=a\n",
            b"0 ",
            b"3 a",
            b"18446744073709551616 path=a\n",
            b"+9 path=a\n",
            b"10 size=-1\n",
            b"9 size=x\n",
        ] {
            assert!(Extended::default().read(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
