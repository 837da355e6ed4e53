//! The key of attestations: ECDSA on P-256 with SHA-256, which every verifier of DSSE takes.

use data_encoding::BASE64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::json;

use crate::AttestError;
use crate::text::{from_base64, sha256};

/// DER of a `SubjectPublicKeyInfo` with the algorithm `id-ecPublicKey` on `prime256v1`, up to the point.
///
/// Source: RFC 5480, section 2.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// An uncompressed point: the byte 4 and two coordinates.
const POINT_BYTES: usize = 65;

/// A PEM file of either key is a tenth of this.
const PEM_BYTES_MAX: usize = 4_096;

/// The private key. Its memory is not wiped: `ring` keeps it, and a process of aseptic is short.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    point: Vec<u8>,
    pem: String,
    id: String,
}

impl SigningKey {
    /// A new key, as the text of its file: PKCS#8 in PEM.
    ///
    /// # Errors
    /// [`AttestError::Random`].
    pub fn generate() -> Result<String, AttestError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| AttestError::Random)?;
        Ok(to_pem("PRIVATE KEY", document.as_ref()))
    }

    /// The key in the text of its file.
    ///
    /// # Errors
    /// [`AttestError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, AttestError> {
        const WHAT: AttestError = AttestError::Key("private key (PKCS#8)");
        let document = from_pem("PRIVATE KEY", text).ok_or(WHAT)?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &document, &random)
            .map_err(|_| WHAT)?;
        let public = PublicKey::from_point(pair.public_key().as_ref());
        Ok(Self { pair, public })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature over `message`, in DER.
    ///
    /// # Errors
    /// [`AttestError::Random`]: ECDSA takes a fresh number for each signature.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AttestError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| AttestError::Random)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl PublicKey {
    fn from_point(point: &[u8]) -> Self {
        let pem = to_pem("PUBLIC KEY", &[&SPKI_HEAD, point].concat());
        // As securesystemslib: SHA-256 of the key in canonical JSON, which escapes only `\` and `"`, of which
        // PEM has none; line ends stay as they are.
        let keyed =
            format!(r#"{{"keytype":"ecdsa","keyval":{{"public":"{pem}"}},"scheme":"ecdsa-sha2-nistp256"}}"#);
        Self { point: point.to_vec(), id: sha256(keyed.as_bytes()), pem }
    }

    /// The key in `text`: PEM of a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`AttestError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, AttestError> {
        const WHAT: AttestError = AttestError::Key("public key (SubjectPublicKeyInfo)");
        let document = from_pem("PUBLIC KEY", text).ok_or(WHAT)?;
        let point = document.strip_prefix(&SPKI_HEAD).ok_or(WHAT)?;
        if point.len() != POINT_BYTES || point.first() != Some(&4) {
            return Err(WHAT);
        }
        Ok(Self::from_point(point))
    }

    /// PEM of a `SubjectPublicKeyInfo`, with a line end at its end.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The id by which DSSE envelopes name it: that of securesystemslib, 64 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key as in-toto layouts list it.
    pub(crate) fn as_layout_key(&self) -> serde_json::Value {
        json!({
            "keyid": self.id, "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256",
            "keyval": { "public": self.pem },
        })
    }

    /// # Errors
    /// [`AttestError::Signature`].
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), AttestError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point)
            .verify(message, signature)
            .map_err(|_| AttestError::Signature { keyid: self.id.clone() })
    }
}

/// Source: RFC 7468: lines of 64 characters.
fn to_pem(label: &str, document: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = BASE64.encode(document);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, left) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = left;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn from_pem(label: &str, text: &str) -> Option<Vec<u8>> {
    if text.len() > PEM_BYTES_MAX {
        return None;
    }
    let inner = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let inner = inner.strip_suffix(&format!("-----END {label}-----"))?;
    let encoded: String = inner.split_ascii_whitespace().collect();
    from_base64(&encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl ecparam -genkey -name prime256v1`; the id is what securesystemslib says of it.
    const PUBLIC: &str = include_str!("../tests/golden/key.pem");
    const ID: &str = include_str!("../tests/golden/key.id");

    #[test]
    fn the_id_is_that_of_securesystemslib() {
        let key = PublicKey::from_pem(PUBLIC).unwrap();
        assert_eq!((key.id(), key.pem()), (ID.trim(), PUBLIC));
    }

    #[test]
    fn a_key_reads_back_and_signs() {
        let text = SigningKey::generate().unwrap();
        let key = SigningKey::from_pem(&text).unwrap();
        let public = PublicKey::from_pem(key.public().pem()).unwrap();
        assert_eq!(&public, key.public());
        let signature = key.sign(b"message").unwrap();
        public.verify(b"message", &signature).unwrap();
        assert!(public.verify(b"Message", &signature).is_err());
        assert!(!format!("{key:?}").contains(text.lines().nth(1).unwrap()));
    }

    #[test]
    fn other_keys_are_refused() {
        let text = SigningKey::generate().unwrap();
        for bad in ["", "x", &text.replace("PRIVATE", "EC PRIVATE"), &text[..100], &"x".repeat(10_000)] {
            assert!(SigningKey::from_pem(bad).is_err(), "{bad}");
        }
        let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        for bad in [ed25519, &text, &PUBLIC.replace('M', "N")] {
            assert!(PublicKey::from_pem(bad).is_err(), "{bad}");
        }
    }
}
