//! Canonical JSON: one byte sequence for one value, so that a digest names it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Digest;

/// A value of ours could not be written as JSON.
///
/// Happens for a number that JSON cannot hold (NaN, infinity) and for nothing else.
#[derive(Debug, thiserror::Error)]
#[error("a value has no JSON form")]
pub struct CanonicalError(#[source] serde_json::Error);

/// The canonical bytes of `value`: sorted keys, no white space, shortest numbers.
///
/// # Errors
/// [`CanonicalError`] when `value` holds a number that JSON cannot hold.
///
/// Source: RFC 8785 (JSON Canonicalization Scheme).
pub fn to_canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    serde_json_canonicalizer::to_vec(value).map_err(CanonicalError)
}

/// The value whose canonical bytes are `bytes`.
///
/// # Errors
/// The parser's message: `bytes` is not JSON of this type, or has an unknown or missing field.
pub fn from_canonical<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// Digest of the canonical bytes of `value`.
///
/// # Errors
/// As for [`to_canonical`].
pub fn canonical_digest<T: Serialize>(value: &T) -> Result<Digest, CanonicalError> {
    Ok(Digest::of(&to_canonical(value)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    #[test]
    fn names_are_sorted_in_whatever_order_they_were_added() {
        let object = |names: [&str; 3]| {
            let inner: Map<String, Value> = Map::from_iter(names.map(|name| (name.to_owned(), json!(1.0))));
            json!({ "z": inner, "a": [inner] })
        };
        let bytes = to_canonical(&object(["b", "a", "é"])).unwrap();
        assert_eq!(bytes, r#"{"a":[{"a":1,"b":1,"é":1}],"z":{"a":1,"b":1,"é":1}}"#.as_bytes());
        assert_eq!(to_canonical(&object(["é", "a", "b"])).unwrap(), bytes);
        assert_eq!(to_canonical(&from_canonical::<Value>(&bytes).unwrap()).unwrap(), bytes);
    }
}
