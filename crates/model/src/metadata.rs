//! What people say about a dataset: licence, owner, source, and whatever else they want to find again.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What is said about a version of a dataset, by key. `licence`, `owner`, `source` and `role` have
/// options of their own; any other key may be used.
pub type Metadata = BTreeMap<MetaKey, MetaValue>;

/// Key of one statement: 1 to 64 lowercase letters, digits, `.`, `_` or `-`, the first a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetaKey(String);

/// Value of one statement: 1 to 1024 bytes of text without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetaValue(String);

/// Most statements about one version, so that a ledger entry holds them.
pub const METADATA_MAX: usize = 32;

const KEY_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 1024;

/// The text is not a key or a value of a statement about a dataset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}")]
pub struct MetadataError {
    text: String,
    what: &'static str,
}

fn wrong(text: &str, what: &'static str) -> MetadataError {
    MetadataError { text: text.chars().take(80).flat_map(char::escape_debug).collect(), what }
}

impl FromStr for MetaKey {
    type Err = MetadataError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let also = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let valid = text.len() <= KEY_BYTES_MAX
            && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
            && text.bytes().all(also);
        let what = "key: 1 to 64 lowercase letters, digits, `.`, `_` or `-`, the first a letter";
        if valid { Ok(Self(text.to_owned())) } else { Err(wrong(text, what)) }
    }
}

impl FromStr for MetaValue {
    type Err = MetadataError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = (1..=VALUE_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        let what = "value: 1 to 1024 bytes of text on one line";
        if valid { Ok(Self(text.to_owned())) } else { Err(wrong(text, what)) }
    }
}

impl MetaKey {
    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MetaValue {
    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MetaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MetaValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(MetaKey, MetaValue);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_bounded() {
        for good in ["licence", "a", "x.y-z_1"] {
            assert!(good.parse::<MetaKey>().is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "a b", "a=b", "ü", &"a".repeat(65)] {
            assert!(bad.parse::<MetaKey>().is_err(), "{bad}");
        }
        for good in ["CC-BY-4.0", "https://example.org/x?y=z", "Größe"] {
            assert!(good.parse::<MetaValue>().is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\u{1b}[31m", &"a".repeat(1025)] {
            assert!(bad.parse::<MetaValue>().is_err(), "{bad}");
        }
    }
}
