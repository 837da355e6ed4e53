//! Keys of signed notes: what ledgers and witnesses sign with, and what their signatures are checked with.
//!
//! Source: C2SP signed-note, with Ed25519.

use std::fmt;
use std::io;
use std::str::FromStr;

use aseptic_model::{Class, Diagnose, Diagnosis};
use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::base64::from_base64;
pub use crate::checkpoint::Checkpoint;
use crate::checkpoint::checkpoint_text;
use crate::merkle::TreeHash;

/// Longest origin in bytes: room for a host name, little enough to print on one line.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// Longest note that is read, in bytes: a checkpoint with more than sixteen witnesses fits.
pub const NOTE_BYTES_MAX: usize = 8192;

pub(crate) const SIGNATURE_BYTES: usize = 64;

/// Type of Ed25519 signatures in the key formats of signed notes.
const ED25519: u8 = 1;

/// Type of timestamped Ed25519 cosignatures.
pub(crate) const COSIGNATURE: u8 = 4;

/// Why a text is not the key or checkpoint it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoteError(pub(crate) &'static str);

impl Diagnose for NoteError {
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(
            Class::User,
            "ledger/checkpoint",
            "pass the whole text as it was published, from the origin line to the signature line",
        )
    }
}

/// Whether `origin` can name a ledger: 1 to 255 bytes without white space, control characters or `+`.
pub(crate) fn is_origin(origin: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    (1..=ORIGIN_BYTES_MAX).contains(&origin.len()) && !origin.contains(odd)
}

/// A public key; its text form is `name+id+key`. `TYPE` is the type of signature that it checks: keys of one type
/// are none of another.
///
/// Source: C2SP signed-note, verifier keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteKey<const TYPE: u8> {
    pub(crate) name: String,
    pub(crate) id: [u8; 4],
    pub(crate) key: VerifyingKey,
}

/// The public key of a ledger.
pub type VerifierKey = NoteKey<ED25519>;

impl<const TYPE: u8> NoteKey<TYPE> {
    const IS_NONE: NoteError = NoteError(match TYPE {
        COSIGNATURE => "not the verifier key of a witness",
        _ => "not a verifier key of a signed note",
    });

    fn new(name: &str, key: VerifyingKey) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', TYPE])
            .chain_update(key.as_bytes())
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        Self { name: name.to_owned(), id: [a, b, c, d], key }
    }

    /// The name that it signs with; of a ledger its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short id as eight hexadecimal digits: enough to tell keys apart, not to trust one.
    #[must_use]
    pub fn id(&self) -> String {
        HEXLOWER.encode(&self.id)
    }

    /// The text form of a key with this name and id, whose bytes are `key`.
    fn text(&self, key: &[u8; 32]) -> String {
        let typed = [&[TYPE], key.as_slice()].concat();
        format!("{}+{}+{}", self.name, self.id(), BASE64.encode(&typed))
    }

    /// Whether `id` is that of this key.
    fn checked(self, id: &str) -> Result<Self, NoteError> {
        if self.id() == id {
            Ok(self)
        } else {
            Err(NoteError("the id of the key is not that of its name and bytes"))
        }
    }
}

impl<const TYPE: u8> fmt::Display for NoteKey<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(self.key.as_bytes()))
    }
}

impl<const TYPE: u8> FromStr for NoteKey<TYPE> {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, id, bytes) = key_parts::<TYPE>(text).ok_or(Self::IS_NONE)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NoteError("not an Ed25519 public key"))?;
        Self::new(name, key).checked(id)
    }
}

/// Name, id and 32 bytes of `name+id+base64(type || bytes)`.
fn key_parts<const TYPE: u8>(text: &str) -> Option<(&str, &str, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (id, encoded) = rest.split_once('+')?;
    let bytes = from_base64(encoded)?;
    let (_, key) = bytes.split_first().filter(|(first, _)| **first == TYPE)?;
    is_origin(name).then_some((name, id, key.try_into().ok()?))
}

/// A private key; its text form is `PRIVATE+KEY+name+id+seed`.
pub(crate) struct NoteSigner<const TYPE: u8> {
    pub(crate) key: SigningKey,
    public: NoteKey<TYPE>,
}

/// The private key of a ledger.
pub(crate) type Signer = NoteSigner<ED25519>;

const PRIVATE_KEY_PREFIX: &str = "PRIVATE+KEY+";

impl<const TYPE: u8> NoteSigner<TYPE> {
    const IS_NONE: NoteError = NoteError(match TYPE {
        COSIGNATURE => "not the private key of a witness",
        _ => "not a private key of a signed note",
    });

    pub(crate) fn from_seed(name: &str, seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let public = NoteKey::new(name, key.verifying_key());
        Self { key, public }
    }

    /// A new key from the random numbers of the operating system.
    pub(crate) fn generate(name: &str) -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self::from_seed(name, &seed))
    }

    /// The key with this text form.
    pub(crate) fn from_text(text: &str) -> Result<Self, NoteError> {
        let parts = text.strip_prefix(PRIVATE_KEY_PREFIX).and_then(key_parts::<TYPE>);
        let (name, id, seed) = parts.ok_or(Self::IS_NONE)?;
        let Self { key, public } = Self::from_seed(name, &seed);
        Ok(Self { key, public: public.checked(id)? })
    }

    pub(crate) fn to_text(&self) -> String {
        format!("{PRIVATE_KEY_PREFIX}{}", self.public.text(self.key.as_bytes()))
    }

    pub(crate) fn public(&self) -> &NoteKey<TYPE> {
        &self.public
    }
}

impl VerifierKey {
    /// The key of the same origin with these bytes.
    pub(crate) fn successor(&self, bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().map(|key| Self::new(&self.name, key))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether `signature` is by this key over the tree of `size` entries with this root, handed over to
    /// `next`.
    pub(crate) fn accepts(
        &self,
        size: u64,
        root: TreeHash,
        next: Option<&Self>,
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool {
        let extensions: Vec<_> = next.map(Self::extension).into_iter().collect();
        self.accepts_text(&checkpoint_text(&self.name, size, root, &extensions), signature)
    }

    /// Whether `signature` is by this key over `text`.
    pub(crate) fn accepts_text(&self, text: &str, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.key.verify_strict(text.as_bytes(), &Signature::from_bytes(signature)).is_ok()
    }

    /// The line of a checkpoint that hands over to this key.
    pub(crate) fn extension(&self) -> String {
        format!("aseptic-key {self}")
    }
}

impl Signer {
    /// Signs the tree of `size` entries with this root, and hands over to `next`, if any.
    pub(crate) fn sign(
        &self,
        size: u64,
        root: TreeHash,
        next: Option<&VerifierKey>,
    ) -> [u8; SIGNATURE_BYTES] {
        let extensions: Vec<_> = next.map(VerifierKey::extension).into_iter().collect();
        self.key.sign(checkpoint_text(&self.public.name, size, root, &extensions).as_bytes()).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example key of golang.org/x/mod/sumdb/note.
    #[test]
    fn keys_are_those_of_other_implementations() {
        let private = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let signer = Signer::from_text(private).unwrap();
        assert_eq!(signer.to_text(), private);
        assert_eq!(signer.public().to_string(), public);
        assert_eq!(public.parse(), Ok(signer.public().clone()));
        for bad in [public.replace("c74f", "c74e"), public.replace("+AR", "+AQ"), format!("{public}\n")] {
            bad.parse::<VerifierKey>().unwrap_err();
        }
    }
}
