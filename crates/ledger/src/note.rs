//! Signed notes: the key of a ledger, and checkpoints that it signed.
//!
//! Source: C2SP signed-note and C2SP tlog-checkpoint, with Ed25519 (signature type 1).

use std::fmt;
use std::io;
use std::str::FromStr;

use aseptic_model::{Class, Diagnose, Diagnosis};
use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::merkle::TreeHash;

/// Longest origin in bytes: room for a host name, little enough to print on one line.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// Longest note that is read, in bytes: a checkpoint with more than sixteen witnesses fits.
pub const NOTE_BYTES_MAX: usize = 8192;

pub(crate) const SIGNATURE_BYTES: usize = 64;

/// Signature type of Ed25519 in the key formats of signed notes.
const ED25519: u8 = 1;

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

/// The text that is signed for a tree.
fn checkpoint_text(origin: &str, size: u64, root: TreeHash) -> String {
    format!("{origin}\n{size}\n{root}\n")
}

/// The public key of a ledger; its text form is `name+id+key`.
///
/// Source: C2SP signed-note, verifier keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, key: VerifyingKey) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', ED25519])
            .chain_update(key.as_bytes())
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        Self { name: name.to_owned(), id: [a, b, c, d], key }
    }

    /// The origin whose checkpoints this key signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short id as eight hexadecimal digits: enough to tell keys apart, not to trust one.
    #[must_use]
    pub fn id(&self) -> String {
        HEXLOWER.encode(&self.id)
    }

    /// Whether `signature` is by this key over the tree of `size` entries with this root.
    pub(crate) fn accepts(&self, size: u64, root: TreeHash, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let text = checkpoint_text(&self.name, size, root);
        self.key.verify_strict(text.as_bytes(), &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, self.id(), BASE64.encode(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, id, bytes) = key_parts(text).ok_or(NoteError("not a verifier key of a signed note"))?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NoteError("not an Ed25519 public key"))?;
        let verifier = Self::new(name, key);
        if verifier.id() != id {
            return Err(NoteError("the id of the key is not that of its name and bytes"));
        }
        Ok(verifier)
    }
}

/// Name, id and 32 bytes of `name+id+base64(type || bytes)`.
fn key_parts(text: &str) -> Option<(&str, &str, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (id, encoded) = rest.split_once('+')?;
    let bytes = BASE64.decode(encoded.as_bytes()).ok()?;
    let (&ED25519, key) = bytes.split_first()? else { return None };
    is_origin(name).then_some((name, id, key.try_into().ok()?))
}

/// The private key of a ledger.
pub(crate) struct Signer {
    key: SigningKey,
    verifier: VerifierKey,
}

const PRIVATE_KEY_PREFIX: &str = "PRIVATE+KEY+";

impl Signer {
    pub(crate) fn from_seed(name: &str, seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, key.verifying_key());
        Self { key, verifier }
    }

    /// A new key from the random numbers of the operating system.
    pub(crate) fn generate(name: &str) -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self::from_seed(name, &seed))
    }

    /// The key with this text form: `PRIVATE+KEY+name+id+seed`.
    pub(crate) fn from_text(text: &str) -> Result<Self, NoteError> {
        let parts = text.strip_prefix(PRIVATE_KEY_PREFIX).and_then(key_parts);
        let (name, id, seed) = parts.ok_or(NoteError("not a private key of a signed note"))?;
        let signer = Self::from_seed(name, &seed);
        if signer.verifier.id() != id {
            return Err(NoteError("the id of the key is not that of its name and bytes"));
        }
        Ok(signer)
    }

    pub(crate) fn to_text(&self) -> String {
        let mut seed = vec![ED25519];
        seed.extend_from_slice(self.key.as_bytes());
        let VerifierKey { name, .. } = &self.verifier;
        format!("{PRIVATE_KEY_PREFIX}{name}+{}+{}", self.verifier.id(), BASE64.encode(&seed))
    }

    pub(crate) fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(crate) fn sign(&self, size: u64, root: TreeHash) -> [u8; SIGNATURE_BYTES] {
        self.key.sign(checkpoint_text(&self.verifier.name, size, root).as_bytes()).to_bytes()
    }
}

/// What a ledger held at some moment, signed: its number of entries and the root of their tree.
///
/// The text form (`Display`, `FromStr`) is the signed note itself, byte for byte. Parsing is strict and
/// bounded by [`NOTE_BYTES_MAX`], and does not check the signature: [`Checkpoint::is_signed_by`] does.
///
/// Source: C2SP tlog-checkpoint; extension lines are refused, other signatures are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: TreeHash,
    signatures: Vec<NoteSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Checkpoint {
    pub(crate) fn new(
        key: &VerifierKey,
        size: u64,
        root: TreeHash,
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Self {
        let signature = NoteSignature { name: key.name.clone(), id: key.id, bytes: signature.to_vec() };
        Self { origin: key.name.clone(), size, root, signatures: vec![signature] }
    }

    /// The name of the ledger.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree of these entries.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        self.root
    }

    /// Whether `key` is the key of this origin and signed this checkpoint.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        self.origin == key.name
            && self.signatures.iter().any(|signature| {
                signature.name == key.name
                    && signature.id == key.id
                    && <&[u8; SIGNATURE_BYTES]>::try_from(signature.bytes.as_slice())
                        .is_ok_and(|bytes| key.accepts(self.size, self.root, bytes))
            })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", checkpoint_text(&self.origin, self.size, self.root))?;
        for NoteSignature { name, id, bytes } in &self.signatures {
            writeln!(f, "\u{2014} {name} {}", BASE64.encode(&[id, bytes.as_slice()].concat()))?;
        }
        Ok(())
    }
}

impl FromStr for Checkpoint {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError("a checkpoint is at most 8192 bytes"));
        }
        let parts = note.split_once("\n\n").and_then(|(text, rest)| Some((text, rest.strip_suffix('\n')?)));
        let (text, signatures) =
            parts.ok_or(NoteError("a checkpoint is a text, an empty line, signatures"))?;
        let &[origin, size, root] = text.split('\n').collect::<Vec<_>>().as_slice() else {
            return Err(NoteError("the text of a checkpoint is three lines: origin, size, root"));
        };
        if !is_origin(origin) {
            return Err(NoteError("the origin line of a checkpoint is a name without spaces and `+`"));
        }
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let size = number.ok_or(NoteError("the size line of a checkpoint is a plain decimal number"))?;
        let root = root
            .parse()
            .map_err(|_| NoteError("the root line of a checkpoint is 32 bytes in padded base64"))?;
        let signatures = signatures.split('\n').map(parse_signature).collect::<Option<_>>();
        let signatures = signatures.ok_or(NoteError("a signature line is a dash, a name and base64"))?;
        Ok(Self { origin: origin.to_owned(), size, root, signatures })
    }
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = BASE64.decode(encoded.as_bytes()).ok()?;
    let (id, bytes) = bytes.split_first_chunk()?;
    (is_origin(name) && !bytes.is_empty()).then(|| NoteSignature {
        name: name.to_owned(),
        id: *id,
        bytes: bytes.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::Tree;

    fn checkpoint(signer: &Signer) -> Checkpoint {
        let root = Tree::default().root();
        Checkpoint::new(signer.verifier(), 10, root, &signer.sign(10, root))
    }

    /// The example key of golang.org/x/mod/sumdb/note.
    #[test]
    fn keys_are_those_of_other_implementations() {
        let private = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let signer = Signer::from_text(private).unwrap();
        assert_eq!(signer.to_text(), private);
        assert_eq!(signer.verifier().to_string(), public);
        assert_eq!(public.parse(), Ok(signer.verifier().clone()));
        for bad in [public.replace("c74f", "c74e"), public.replace("+AR", "+AQ"), format!("{public}\n")] {
            bad.parse::<VerifierKey>().unwrap_err();
        }
    }

    #[test]
    fn a_checkpoint_is_a_signed_note() {
        let signer = Signer::from_seed("example.com/log", &[7; 32]);
        let checkpoint = checkpoint(&signer);
        let note = checkpoint.to_string();
        let head =
            "example.com/log\n10\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u{2014} example.com/log ";
        assert!(note.starts_with(head), "{note}");
        assert_eq!(note.parse(), Ok(checkpoint.clone()));
        assert!(checkpoint.is_signed_by(signer.verifier()));
        assert!(!checkpoint.is_signed_by(Signer::from_seed("example.com/log", &[8; 32]).verifier()));
        assert!(!checkpoint.is_signed_by(Signer::from_seed("example.com/lag", &[7; 32]).verifier()));

        let larger: Checkpoint = note.replace("\n10\n", "\n11\n").parse().unwrap();
        assert!(!larger.is_signed_by(signer.verifier()));
        let witnessed: Checkpoint = format!("{note}\u{2014} witness AAAAAAE=\n").parse().unwrap();
        assert!(witnessed.is_signed_by(signer.verifier()));
    }

    #[test]
    fn parsing_is_strict() {
        let note = checkpoint(&Signer::from_seed("log", &[7; 32])).to_string();
        let cases = [
            note.replace("\n10\n", "\n010\n"),
            note.replace("\n10\n", "\n+10\n"),
            note.replace("\n10\n", "\n10 \n"),
            note.replace("\n10\n", "\n18446744073709551616\n"),
            note.replace("=\n\n", "=\nextension\n\n"),
            note.replace("log\n10", "lo g\n10"),
            note.replace('\n', "\r\n"),
            note.replace('\u{2014}', "-"),
            note.trim_end().to_owned(),
            format!("{note}\n"),
            format!("{note}{}", "\u{2014} witness AAAAAAE=\n".repeat(1000)),
            String::new(),
        ];
        for bad in cases {
            bad.parse::<Checkpoint>().unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(
            note in "[a-z+ ]{0,4}\n[0-9]{1,3}\n47DEQpj8HBSa[+]/TImW[+]5JCeuQeRkm5NMpJWZG3hSuF[UV]=\n\n(\u{2014} [a-z]{1,3} [A-Z]{7}=\n){0,2}",
        ) {
            if let Ok(checkpoint) = note.parse::<Checkpoint>() {
                prop_assert_eq!(checkpoint.to_string(), note);
            }
        }

        #[test]
        fn any_text_is_refused_without_a_panic(note in any::<String>()) {
            prop_assert!(note.parse::<Checkpoint>().is_err());
            prop_assert!(note.parse::<VerifierKey>().is_err());
        }
    }
}
