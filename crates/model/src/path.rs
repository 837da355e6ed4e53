//! Paths inside a snapshot or a run: bytes, relative, with one text form.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A relative path of plain components: never empty, no `.` or `..`, no leading, trailing or double
/// slash, no NUL byte. At most [`FilePath::BYTES_MAX`] bytes.
///
/// File names are bytes, not text. The text form is UTF-8 with `\xHH` for every byte that is not part
/// of valid UTF-8 or is a control character, and `\\` for a backslash: it is always printable on one
/// line and always reads back to the same bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(Vec<u8>);

impl FilePath {
    /// Longest path in bytes. Deeper trees than this cannot be opened by name on Linux either (4096).
    pub const BYTES_MAX: usize = 4095;

    /// Longest component in bytes (`NAME_MAX` of Linux file systems).
    pub const COMPONENT_BYTES_MAX: usize = 255;

    /// The path with these bytes.
    ///
    /// # Errors
    /// [`FilePathError`] when the bytes break one of the rules of the type.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, FilePathError> {
        let bytes = bytes.into();
        if bytes.len() > Self::BYTES_MAX {
            return Err(FilePathError::TooLong);
        }
        for component in bytes.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." | b".." => return Err(FilePathError::Component),
                long if long.len() > Self::COMPONENT_BYTES_MAX => return Err(FilePathError::TooLong),
                name if name.contains(&0) => return Err(FilePathError::Component),
                _ => {}
            }
        }
        Ok(Self(bytes))
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for use with the file system.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// This path followed by the component `name`.
    ///
    /// # Errors
    /// [`FilePathError`] when `name` is not one plain component, or the result is too long.
    pub fn join(&self, name: &[u8]) -> Result<Self, FilePathError> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        bytes.push(b'/');
        bytes.extend_from_slice(name);
        Self::from_bytes(bytes)
    }

    /// The components in order.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or(&self.0)
    }
}

/// Why bytes are not a [`FilePath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilePathError {
    /// A component is empty, `.`, `..` or holds a NUL byte.
    #[error("a path here is relative and has no empty, `.` or `..` component")]
    Component,
    /// The path or one component is longer than Linux can open.
    #[error("the path is too long")]
    TooLong,
    /// The text form holds a backslash that is neither `\\` nor `\xHH`.
    #[error("a backslash in a path is written `\\\\`, a raw byte `\\xHH`")]
    Escape,
}

/// `bytes` as printable text on one line: the text form of [`FilePath`], for any name.
#[must_use]
pub fn escape_bytes(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' {
                text.push_str("\\\\");
            } else if character.is_control() {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(text, "\\x{byte:02x}");
                }
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn unescape_bytes(text: &str) -> Result<Vec<u8>, FilePathError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest {
            [b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [b'x', high, low, tail @ ..] => {
                let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(FilePathError::Escape);
                let value = digit(*high)? * 16 + digit(*low)?;
                bytes.push(u8::try_from(value).map_err(|_| FilePathError::Escape)?);
                rest = tail;
            }
            _ => return Err(FilePathError::Escape),
        }
    }
    Ok(bytes)
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape_bytes(&self.0))
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilePath({self})")
    }
}

impl FromStr for FilePath {
    type Err = FilePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(unescape_bytes(text)?)
    }
}

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_names_have_a_readable_form() {
        let cases: [(&[u8], &str); 4] = [
            (b"a/b.txt", "a/b.txt"),
            (b"new\nline", "new\\x0aline"),
            (b"back\\slash", "back\\\\slash"),
            (b"latin\xe9", "latin\\xe9"),
        ];
        for (bytes, text) in cases {
            let path = FilePath::from_bytes(bytes).unwrap();
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse::<FilePath>().unwrap(), path);
        }
    }

    #[test]
    fn paths_that_leave_the_tree_are_refused() {
        for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/."] {
            assert!(FilePath::from_bytes(bad).is_err(), "{bad}");
        }
        assert!(FilePath::from_bytes(b"a\0b".as_slice()).is_err());
        assert_eq!(FilePath::from_bytes("a".repeat(256)), Err(FilePathError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(path) = FilePath::from_bytes(bytes) {
                let text = path.to_string();
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert_eq!(text.parse::<FilePath>().unwrap(), path);
            }
        }
    }
}
