//! Cosignatures: what a witness says about a checkpoint, with the time at which it said so.
//!
//! Source: C2SP tlog-cosignature, with Ed25519 (signature type 4).

use std::fmt;
use std::io;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::base64::from_base64;
use crate::note::{Checkpoint, NoteError, is_origin};

/// Signature type of timestamped Ed25519 cosignatures in the key formats of signed notes.
const COSIGNATURE: u8 = 4;
const TIME_BYTES: usize = 8;
const SIGNATURE_BYTES: usize = 64;
/// Latest time that a cosignature can have.
const TIME_MAX: u64 = i64::MAX as u64;
const PRIVATE_KEY_PREFIX: &str = "PRIVATE+KEY+";

/// The public key of a witness; its text form is `name+id+key`, as for a ledger's but of another type.
///
/// Source: C2SP signed-note, verifier keys; C2SP tlog-cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl WitnessKey {
    fn new(name: &str, key: VerifyingKey) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', COSIGNATURE])
            .chain_update(key.as_bytes())
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        Self { name: name.to_owned(), id: [a, b, c, d], key }
    }

    /// The name that the witness signs with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short id as eight hexadecimal digits: enough to tell keys apart, not to trust one.
    #[must_use]
    pub fn id(&self) -> String {
        HEXLOWER.encode(&self.id)
    }

    /// When this witness cosigned `checkpoint`, in seconds since 1970; nothing if it did not.
    ///
    /// # Errors
    /// [`NoteError`]: there is a cosignature in the name of this key that is not by it, so none of the note
    /// should be believed.
    pub fn cosigned(&self, checkpoint: &Checkpoint) -> Result<Option<u64>, NoteError> {
        let note = checkpoint.to_string();
        let Some((text, lines)) = note.split_once("\n\n") else { return Ok(None) };
        let mut latest = None;
        for line in lines.lines().filter_map(SignatureLine::parse) {
            if line.name == self.name && line.id == self.id {
                let time = self.accepts(text, &line.bytes);
                latest = latest.max(Some(time.ok_or(NoteError("a cosignature is not by the key it names"))?));
            }
        }
        Ok(latest)
    }

    /// The time of a cosignature over the note with this text (without its last newline), if it is by this key.
    fn accepts(&self, text: &str, bytes: &[u8]) -> Option<u64> {
        let (time, signature) = bytes.split_first_chunk::<TIME_BYTES>()?;
        let signature: &[u8; SIGNATURE_BYTES] = signature.try_into().ok()?;
        let time = Some(u64::from_be_bytes(*time)).filter(|time| *time <= TIME_MAX)?;
        let signed = signed_text(time, text);
        let accepted = self.key.verify_strict(signed.as_bytes(), &Signature::from_bytes(signature));
        accepted.ok().map(|()| time)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", key_text(&self.name, self.id, self.key.as_bytes()))
    }
}

impl FromStr for WitnessKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, id, bytes) = key_parts(text).ok_or(NoteError("not the verifier key of a witness"))?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NoteError("not an Ed25519 public key"))?;
        let key = Self::new(name, key);
        if key.id() != id {
            return Err(NoteError("the id of the key is not that of its name and bytes"));
        }
        Ok(key)
    }
}

fn key_text(name: &str, id: [u8; 4], bytes: &[u8; 32]) -> String {
    let typed = [&[COSIGNATURE], bytes.as_slice()].concat();
    format!("{name}+{}+{}", HEXLOWER.encode(&id), BASE64.encode(&typed))
}

/// Name, id and 32 bytes of `name+id+base64(type || bytes)`.
fn key_parts(text: &str) -> Option<(&str, &str, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (id, encoded) = rest.split_once('+')?;
    let bytes = from_base64(encoded)?;
    let (&COSIGNATURE, key) = bytes.split_first()? else { return None };
    is_origin(name).then_some((name, id, key.try_into().ok()?))
}

/// What a cosignature at `time` is over; `text` is without its last newline.
fn signed_text(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}\n")
}

/// The private key of a witness.
pub(crate) struct Cosigner {
    key: SigningKey,
    public: WitnessKey,
}

impl Cosigner {
    pub(crate) fn from_seed(name: &str, seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let public = WitnessKey::new(name, key.verifying_key());
        Self { key, public }
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
        let (name, id, seed) = parts.ok_or(NoteError("not the private key of a witness"))?;
        let cosigner = Self::from_seed(name, &seed);
        if cosigner.public.id() != id {
            return Err(NoteError("the id of the key is not that of its name and bytes"));
        }
        Ok(cosigner)
    }

    pub(crate) fn to_text(&self) -> String {
        let key = key_text(&self.public.name, self.public.id, self.key.as_bytes());
        format!("{PRIVATE_KEY_PREFIX}{key}")
    }

    pub(crate) fn public(&self) -> &WitnessKey {
        &self.public
    }

    /// The signature line, with its newline, by which this witness cosigns `checkpoint` at `time`.
    pub(crate) fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> String {
        let time = time.min(TIME_MAX);
        let signature = self.key.sign(signed_text(time, &text_of(checkpoint)).as_bytes()).to_bytes();
        let bytes = [&time.to_be_bytes(), signature.as_slice()].concat();
        SignatureLine { name: self.public.name.clone(), id: self.public.id, bytes }.to_string()
    }
}

/// The text of a checkpoint without its last newline.
pub(crate) fn text_of(checkpoint: &Checkpoint) -> String {
    let note = checkpoint.to_string();
    note.split_once("\n\n").map_or_else(String::new, |(text, _)| text.to_owned())
}

/// The signature lines of a checkpoint.
pub(crate) fn signatures_of(checkpoint: &Checkpoint) -> Vec<SignatureLine> {
    let note = checkpoint.to_string();
    let lines = note.split_once("\n\n").map_or("", |(_, lines)| lines);
    lines.lines().filter_map(SignatureLine::parse).collect()
}

/// The checkpoint with this text (without its last newline) and exactly these signatures.
pub(crate) fn assemble(text: &str, lines: &[SignatureLine]) -> Result<Checkpoint, NoteError> {
    let lines: String = lines.iter().map(ToString::to_string).collect();
    format!("{text}\n\n{lines}").parse()
}

/// One line of a signed note's signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureLine {
    pub(crate) name: String,
    pub(crate) id: [u8; 4],
    pub(crate) bytes: Vec<u8>,
}

impl SignatureLine {
    /// The parts of one line without its newline.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let bytes = from_base64(encoded)?;
        let (id, bytes) = bytes.split_first_chunk()?;
        let whole = is_origin(name) && !bytes.is_empty();
        whole.then(|| Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }

    /// Whether it is in the name of the key with this name and id.
    pub(crate) fn names(&self, name: &str, id: &str) -> bool {
        self.name == name && HEXLOWER.encode(&self.id) == id
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.bytes].concat();
        writeln!(f, "\u{2014} {} {}", self.name, BASE64.encode(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::TreeHash;
    use crate::note::Signer;

    fn checkpoint() -> Checkpoint {
        let root = TreeHash::empty();
        format!("example.com/log\n9\n{root}\n\n\u{2014} example.com/log AAAAAAE=\n").parse().unwrap()
    }

    fn with(checkpoint: &Checkpoint, line: &str) -> Checkpoint {
        format!("{checkpoint}{line}").parse().unwrap()
    }

    #[test]
    fn a_cosignature_names_its_time_and_its_witness() {
        let witness = Cosigner::from_seed("witness.example/w1", &[8; 32]);
        let line = witness.cosign(&checkpoint(), 1_679_315_147);
        let cosigned = with(&checkpoint(), &line);
        assert_eq!(witness.public().cosigned(&cosigned), Ok(Some(1_679_315_147)));
        assert_eq!(witness.public().cosigned(&checkpoint()), Ok(None));
        let other = Cosigner::from_seed("witness.example/w2", &[8; 32]);
        assert_eq!(other.public().cosigned(&cosigned), Ok(None), "a key of another name is another key");
        let later = with(&cosigned, &witness.cosign(&checkpoint(), 1_700_000_000));
        assert_eq!(witness.public().cosigned(&later), Ok(Some(1_700_000_000)));

        let moved: Checkpoint = cosigned.to_string().replace("\n9\n", "\n8\n").parse().unwrap();
        witness.public().cosigned(&moved).unwrap_err();
        let Some(mut parts) = SignatureLine::parse(line.trim_end()) else { panic!("{line}") };
        for place in 0..parts.bytes.len() {
            parts.bytes[place] ^= 1;
            witness.public().cosigned(&with(&checkpoint(), &parts.to_string())).unwrap_err();
            parts.bytes[place] ^= 1;
        }
        parts.bytes.pop();
        witness.public().cosigned(&with(&checkpoint(), &parts.to_string())).unwrap_err();
    }

    #[test]
    fn keys_have_one_text_form() {
        let witness = Cosigner::from_seed("witness.example/w1", &[8; 32]);
        let public = witness.public().to_string();
        assert_eq!(public.parse(), Ok(witness.public().clone()));
        assert_eq!(Cosigner::from_text(&witness.to_text()).unwrap().public(), witness.public());
        let ledger = Signer::from_seed("witness.example/w1", &[8; 32]).verifier().to_string();
        ledger.parse::<WitnessKey>().unwrap_err();
        public.parse::<crate::note::VerifierKey>().unwrap_err();
        assert_ne!(public.split('+').nth(1), ledger.split('+').nth(1), "each type has ids of its own");
    }

    proptest! {
        #[test]
        fn any_text_is_refused_without_a_panic(text in any::<String>()) {
            prop_assert!(text.parse::<WitnessKey>().is_err());
            prop_assert!(SignatureLine::parse(&text).is_none());
        }
    }
}
