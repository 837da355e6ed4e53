//! DSSE: an envelope that says what kind of bytes it holds, and signs that too.
//!
//! Source: `protocol.md` and `envelope.md` of secure-systems-lab/dsse, v1.0.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::{from_base64, sorted};
use crate::{AttestError, PublicKey, SigningKey};

/// Payload type of every in-toto statement, link and layout.
pub const IN_TOTO_PAYLOAD: &str = "application/vnd.in-toto+json";

/// Largest envelope that is read: ten thousand subjects are 3 MB, and as many files read as much again.
pub const ENVELOPE_BYTES_MAX: usize = 32 << 20;

/// Largest file of envelopes that is read: more than one run has.
pub const BUNDLE_BYTES_MAX: usize = 2 * ENVELOPE_BYTES_MAX;

/// More keys than anybody signs one statement with.
const SIGNATURES_MAX: usize = 16;

/// A payload with its signatures. Its text is one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    keyid: String,
    bytes: Vec<u8>,
}

/// The JSON form. Members that we do not know are no part of what is signed, and are refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    payload: String,
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// The bytes that are signed.
pub(crate) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// Signs `payload`.
    ///
    /// # Errors
    /// [`AttestError::Random`].
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Result<Self, AttestError> {
        let bytes = key.sign(&pre_authentication_encoding(payload_type, &payload))?;
        let signatures = vec![Signature { keyid: key.public().id().to_owned(), bytes }];
        Ok(Self { payload_type: payload_type.to_owned(), payload, signatures })
    }

    /// The envelope in `text`, of which nothing is verified yet.
    ///
    /// # Errors
    /// [`AttestError::Format`]: no such JSON, an unknown member, no or too many signatures, bad Base64.
    pub fn parse(text: &[u8]) -> Result<Self, AttestError> {
        if text.len() > ENVELOPE_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let wire: Wire = serde_json::from_slice(text).map_err(|error| wrong(&error.to_string()))?;
        if !(1..=SIGNATURES_MAX).contains(&wire.signatures.len()) {
            return Err(wrong("it has no signature, or too many"));
        }
        let decode = |text: &str| from_base64(text).ok_or_else(|| wrong("its Base64 is damaged"));
        let signatures = wire
            .signatures
            .into_iter()
            .map(|one| Ok(Signature { keyid: one.keyid, bytes: decode(&one.sig)? }))
            .collect::<Result<_, AttestError>>()?;
        Ok(Self { payload: decode(&wire.payload)?, payload_type: wire.payload_type, signatures })
    }

    /// One line of JSON, without its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        self.to_value().to_string()
    }

    /// The envelope as a value, for documents that have one inside.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let signatures: Vec<_> = self
            .signatures
            .iter()
            .map(|one| serde_json::json!({ "keyid": one.keyid, "sig": BASE64.encode(&one.bytes) }))
            .collect();
        sorted(serde_json::json!({
            "payload": BASE64.encode(&self.payload), "payloadType": self.payload_type, "signatures": signatures,
        }))
    }

    /// The payload, once one of the signatures is by `key`.
    ///
    /// # Errors
    /// [`AttestError::Signature`].
    pub fn verify(&self, key: &PublicKey) -> Result<&[u8], AttestError> {
        let signed = pre_authentication_encoding(&self.payload_type, &self.payload);
        // An id is a hint; one that names another key is none of this one.
        let hinted = self.signatures.iter().filter(|one| one.keyid.is_empty() || one.keyid == key.id());
        for signature in hinted {
            if key.verify(&signed, &signature.bytes).is_ok() {
                return Ok(&self.payload);
            }
        }
        Err(AttestError::Signature { keyid: key.id().to_owned() })
    }

    /// Which keys it says it is signed by; a hint, not a proof.
    pub fn keyids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|one| one.keyid.as_str())
    }

    /// What kind of bytes the payload is.
    #[must_use]
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The payload, verified or not.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// The envelopes of a file, a line each; empty lines count for nothing.
///
/// # Errors
/// [`AttestError::Format`].
pub fn parse_lines(text: &[u8]) -> Result<Vec<Envelope>, AttestError> {
    if text.len() > BUNDLE_BYTES_MAX {
        return Err(wrong("it is too long"));
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let envelopes: Vec<_> = lines.map(Envelope::parse).collect::<Result<_, _>>()?;
    if envelopes.is_empty() { Err(wrong("it is empty")) } else { Ok(envelopes) }
}

fn wrong(why: &str) -> AttestError {
    AttestError::Format { what: "DSSE envelope", why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pem(&SigningKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn the_encoding_of_the_specification() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn an_envelope_reads_back_and_every_change_is_seen() {
        let key = key();
        let envelope = Envelope::sign(IN_TOTO_PAYLOAD, b"{}".to_vec(), &key).unwrap();
        let line = envelope.to_line();
        assert!(!line.contains('\n'));
        let read = Envelope::parse(line.as_bytes()).unwrap();
        assert_eq!(read, envelope);
        assert_eq!(read.verify(key.public()).unwrap(), b"{}");
        let stranger = self::key();
        assert!(matches!(read.verify(stranger.public()), Err(AttestError::Signature { .. })));

        let mut value: Value = serde_json::from_str(&line).unwrap();
        value["payload"] = BASE64.encode(b"{ }").into();
        assert!(Envelope::parse(value.to_string().as_bytes()).unwrap().verify(key.public()).is_err());
        value["payload"] = BASE64.encode(b"{}").into();
        value["payloadType"] = "application/json".into();
        assert!(Envelope::parse(value.to_string().as_bytes()).unwrap().verify(key.public()).is_err());
        value["payloadType"] = IN_TOTO_PAYLOAD.into();
        value["signatures"][0]["keyid"] = "".into();
        assert!(Envelope::parse(value.to_string().as_bytes()).unwrap().verify(key.public()).is_ok());
        value["signatures"][0]["keyid"] = stranger.public().id().into();
        assert!(Envelope::parse(value.to_string().as_bytes()).unwrap().verify(key.public()).is_err());
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let key = key();
        let line = Envelope::sign(IN_TOTO_PAYLOAD, b"{}".to_vec(), &key).unwrap().to_line();
        let value: Value = serde_json::from_str(&line).unwrap();
        let with = |name: &str, new: Value| {
            let mut other = value.clone();
            other[name] = new;
            other.to_string()
        };
        let many = vec![value["signatures"][0].clone(); SIGNATURES_MAX + 1];
        for bad in [
            String::new(),
            "[]".into(),
            line.replace("payloadType", "payload_type"),
            with("extra", 1.into()),
            with("signatures", Value::Array(Vec::new())),
            with("signatures", many.into()),
            with("payload", "e30".into()),
            format!("{line}{line}"),
        ] {
            assert!(matches!(Envelope::parse(bad.as_bytes()), Err(AttestError::Format { .. })), "{bad}");
        }
        assert_eq!(parse_lines(format!("{line}\n\n{line}\n").as_bytes()).unwrap().len(), 2);
        assert!(parse_lines(b"\n").is_err());
    }
}
