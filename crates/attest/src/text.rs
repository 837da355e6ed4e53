//! Small text forms that several documents share.

use data_encoding::{BASE64, HEXLOWER};
use serde_json::Value;
use sha2::Digest as _;

/// A SHA-256 digest in 64 lowercase hexadecimal digits.
pub type Sha256 = String;

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256 {
    HEXLOWER.encode(&sha2::Sha256::digest(bytes))
}

/// SHA-256 of bytes that come in pieces.
#[derive(Clone, Debug, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        HEXLOWER.encode(&self.0.finalize())
    }
}

/// The bytes of standard Base64. A text that is not the one text of its bytes is refused, which the decoder does not do
/// by itself where padding stands inside.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

/// A document with the names in every object sorted: its text is the same bytes whether or not another crate of the
/// program has `serde_json` keep the order in which names were added.
pub(crate) fn sorted(mut document: Value) -> Value {
    document.sort_all_objects();
    document
}

/// Percent-encodes everything but the unreserved characters of RFC 3986 and those in `also`.
pub(crate) fn percent(text: &str, also: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    encoded
}

/// The package URL of a Python package.
///
/// Source: purl-spec, type `pypi`: lowercase, `_` is `-`.
pub(crate) fn pypi(name: &str, version: &str) -> String {
    let name = name.to_lowercase().replace('_', "-");
    format!("pkg:pypi/{}@{}", percent(&name, b""), percent(version, b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(from_base64("e30=").as_deref(), Some(&b"{}"[..]));
        for bad in ["e30", "e31=", "GvQM=01702569", "e3 0="] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(pypi("Zope_Interface", "1.0+cpu"), "pkg:pypi/zope-interface@1.0%2Bcpu");
        assert_eq!(percent("ä b/c", b"/"), "%C3%A4%20b/c");
    }
}
