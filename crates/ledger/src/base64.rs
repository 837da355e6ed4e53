//! Base64 with exactly one text for the same bytes.

use data_encoding::BASE64;

/// The bytes that `text` is the standard, padded base64 of; nothing for any other text, such as padded pieces
/// one after another, which a lenient decoder takes.
///
/// Source: RFC 4648 section 4.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_text() {
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"abcd"] {
            assert_eq!(from_base64(&BASE64.encode(bytes)).as_deref(), Some(bytes));
        }
        for bad in ["YQ==YWI=", "GvQM=01702569", "YQ", "YR==", "YQ==\n", " YQ==", "_-8=", "YQ==YQ=="] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }
}
