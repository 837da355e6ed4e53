//! Cosignatures: what a witness says about a checkpoint, with the time at which it said so.
//!
//! Source: C2SP tlog-cosignature, with Ed25519 (signature type 4).

use ed25519_dalek::{Signature, Signer as _};

use crate::checkpoint::SignatureLine;
use crate::note::{COSIGNATURE, Checkpoint, NoteError, NoteKey, NoteSigner, SIGNATURE_BYTES};

const TIME_BYTES: usize = 8;
/// Latest time that a cosignature can have.
const TIME_MAX: u64 = i64::MAX as u64;

/// The public key of a witness.
///
/// Source: C2SP signed-note, verifier keys; C2SP tlog-cosignature.
pub type WitnessKey = NoteKey<COSIGNATURE>;

/// The private key of a witness.
pub(crate) type Cosigner = NoteSigner<COSIGNATURE>;

impl WitnessKey {
    /// When this witness cosigned `checkpoint`, in seconds since 1970; nothing if it did not.
    ///
    /// # Errors
    /// [`NoteError`]: there is a cosignature in the name of this key that is not by it, so none of the note
    /// should be believed.
    pub fn cosigned(&self, checkpoint: &Checkpoint) -> Result<Option<u64>, NoteError> {
        let text = checkpoint.text();
        let mut latest = None;
        for line in checkpoint.signatures().iter().filter(|line| line.names(self)) {
            let time = self.accepts_at(&text, &line.bytes);
            latest = latest.max(Some(time.ok_or(NoteError("a cosignature is not by the key it names"))?));
        }
        Ok(latest)
    }

    /// The time of a cosignature over `text`, if it is by this key.
    fn accepts_at(&self, text: &str, bytes: &[u8]) -> Option<u64> {
        let (time, signature) = bytes.split_first_chunk::<TIME_BYTES>()?;
        let signature: &[u8; SIGNATURE_BYTES] = signature.try_into().ok()?;
        let time = Some(u64::from_be_bytes(*time)).filter(|time| *time <= TIME_MAX)?;
        let signed = signed_text(time, text);
        let accepted = self.key.verify_strict(signed.as_bytes(), &Signature::from_bytes(signature));
        accepted.ok().map(|()| time)
    }
}

/// What a cosignature at `time` over `text` is over.
fn signed_text(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl Cosigner {
    /// The signature by which this witness cosigns `checkpoint` at `time`.
    pub(crate) fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> SignatureLine {
        let time = time.min(TIME_MAX);
        let signature = self.key.sign(signed_text(time, &checkpoint.text()).as_bytes()).to_bytes();
        let bytes = [&time.to_be_bytes(), signature.as_slice()].concat();
        SignatureLine { name: self.public().name.clone(), id: self.public().id, bytes }
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

    fn with(checkpoint: &Checkpoint, line: &SignatureLine) -> Checkpoint {
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
        let mut parts = SignatureLine::parse(line.to_string().trim_end()).unwrap();
        assert_eq!(parts, line);
        for place in 0..parts.bytes.len() {
            parts.bytes[place] ^= 1;
            witness.public().cosigned(&with(&checkpoint(), &parts)).unwrap_err();
            parts.bytes[place] ^= 1;
        }
        parts.bytes.pop();
        witness.public().cosigned(&with(&checkpoint(), &parts)).unwrap_err();
    }

    #[test]
    fn keys_have_one_text_form() {
        let witness = Cosigner::from_seed("witness.example/w1", &[8; 32]);
        let public = witness.public().to_string();
        assert_eq!(public.parse(), Ok(witness.public().clone()));
        assert_eq!(Cosigner::from_text(&witness.to_text()).unwrap().public(), witness.public());
        let ledger = Signer::from_seed("witness.example/w1", &[8; 32]).public().to_string();
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
