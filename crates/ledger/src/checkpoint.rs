//! Checkpoints: what a ledger held at some moment, signed.
//!
//! Source: C2SP signed-note and C2SP tlog-checkpoint.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::base64::from_base64;
use crate::merkle::TreeHash;
use crate::note::{NOTE_BYTES_MAX, NoteError, NoteKey, SIGNATURE_BYTES, VerifierKey, is_origin};

/// The text that is signed for a tree.
pub(crate) fn checkpoint_text(origin: &str, size: u64, root: TreeHash, extensions: &[String]) -> String {
    let mut text = format!("{origin}\n{size}\n{root}\n");
    for line in extensions {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// What a ledger held at some moment, signed: its number of entries and the root of their tree.
///
/// The text form (`Display`, `FromStr`) is the signed note itself, byte for byte. Parsing is strict and
/// bounded by [`NOTE_BYTES_MAX`], and does not check the signature: [`Checkpoint::is_signed_by`] does.
///
/// Source: C2SP tlog-checkpoint; extension lines and other signatures are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: TreeHash,
    extensions: Vec<String>,
    signatures: Vec<SignatureLine>,
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

    /// Whether it is in the name of `key`; it need not be by it.
    pub(crate) fn names<const TYPE: u8>(&self, key: &NoteKey<TYPE>) -> bool {
        self.name == key.name && self.id == key.id
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.bytes].concat();
        writeln!(f, "\u{2014} {} {}", self.name, BASE64.encode(&bytes))
    }
}

impl Checkpoint {
    pub(crate) fn new(
        key: &VerifierKey,
        size: u64,
        root: TreeHash,
        next: Option<&VerifierKey>,
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Self {
        let signature = SignatureLine { name: key.name.clone(), id: key.id, bytes: signature.to_vec() };
        let extensions = next.map(VerifierKey::extension).into_iter().collect();
        Self { origin: key.name.clone(), size, root, extensions, signatures: vec![signature] }
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

    /// Lines of the text behind the root, which the signatures cover too. That of a ledger which was handed
    /// over to another key is `aseptic-key ` and the verifier key.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// The text that the signatures are over.
    pub(crate) fn text(&self) -> String {
        checkpoint_text(&self.origin, self.size, self.root, &self.extensions)
    }

    pub(crate) fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// The checkpoint with this text and exactly these signatures, if that is a note.
    pub(crate) fn with_signatures(&self, signatures: &[SignatureLine]) -> Result<Self, NoteError> {
        let lines: String = signatures.iter().map(ToString::to_string).collect();
        format!("{}\n{lines}", self.text()).parse()
    }

    /// Whether `key` is the key of this origin and signed this checkpoint.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        self.signatures.iter().any(|line| line.names(key) && self.is_by(line, key))
    }

    /// Whether one of `keys` signed this checkpoint.
    ///
    /// # Errors
    /// [`NoteError`]: a signature in the name of one of them is not by it.
    pub(crate) fn is_signed_by_any(&self, keys: &[&VerifierKey]) -> Result<bool, NoteError> {
        let mut signed = false;
        for line in &self.signatures {
            if let Some(key) = keys.iter().find(|key| line.names(key)) {
                if !self.is_by(line, key) {
                    return Err(NoteError("a signature is not by the key it names"));
                }
                signed = true;
            }
        }
        Ok(signed)
    }

    fn is_by(&self, line: &SignatureLine, key: &VerifierKey) -> bool {
        let signature = <&[u8; SIGNATURE_BYTES]>::try_from(line.bytes.as_slice());
        self.origin == key.name && signature.is_ok_and(|bytes| key.accepts_text(&self.text(), bytes))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text())?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
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
        let lines: Vec<_> = text.split('\n').collect();
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(NoteError("the text of a checkpoint begins with three lines: origin, size, root"));
        };
        if extensions.iter().any(|line| line.is_empty() || line.chars().any(char::is_control)) {
            return Err(NoteError(
                "an extension line of a checkpoint is not empty, and has no control characters",
            ));
        }
        if !is_origin(origin) {
            return Err(NoteError("the origin line of a checkpoint is a name without spaces and `+`"));
        }
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == *size);
        let size = number.ok_or(NoteError("the size line of a checkpoint is a plain decimal number"))?;
        let root = root
            .parse()
            .map_err(|_| NoteError("the root line of a checkpoint is 32 bytes in padded base64"))?;
        let signatures = signatures.split('\n').map(SignatureLine::parse).collect::<Option<_>>();
        let signatures = signatures.ok_or(NoteError("a signature line is a dash, a name and base64"))?;
        let (origin, extensions) =
            ((*origin).to_owned(), extensions.iter().map(|&line| line.into()).collect());
        Ok(Self { origin, size, root, extensions, signatures })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::Tree;
    use crate::note::Signer;

    fn checkpoint(signer: &Signer) -> Checkpoint {
        let root = Tree::default().root();
        Checkpoint::new(signer.public(), 10, root, None, &signer.sign(10, root, None))
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
        assert!(checkpoint.is_signed_by(signer.public()));
        assert!(!checkpoint.is_signed_by(Signer::from_seed("example.com/log", &[8; 32]).public()));
        assert!(!checkpoint.is_signed_by(Signer::from_seed("example.com/lag", &[7; 32]).public()));

        let larger: Checkpoint = note.replace("\n10\n", "\n11\n").parse().unwrap();
        assert!(!larger.is_signed_by(signer.public()));
        let witnessed: Checkpoint = format!("{note}\u{2014} witness AAAAAAE=\n").parse().unwrap();
        assert!(witnessed.is_signed_by(signer.public()));
    }

    #[test]
    fn extension_lines_are_signed_and_kept() {
        let old = Signer::from_seed("log", &[7; 32]);
        let new = Signer::from_seed("log", &[8; 32]);
        let root = Tree::default().root();
        let signature = old.sign(10, root, Some(new.public()));
        let handover = Checkpoint::new(old.public(), 10, root, Some(new.public()), &signature);
        assert_eq!(handover.to_string().parse(), Ok(handover.clone()));
        assert!(handover.is_signed_by(old.public()) && !handover.is_signed_by(new.public()));
        assert_eq!(handover.extensions(), [format!("aseptic-key {}", new.public())]);
        let note = handover.to_string();
        for other in [note.replace("aseptic-key", "aseptic-kay"), note.replace("\n\n", "\nmore\n\n")] {
            assert!(!other.parse::<Checkpoint>().unwrap().is_signed_by(old.public()), "{other}");
        }
    }

    #[test]
    fn parsing_is_strict() {
        let note = checkpoint(&Signer::from_seed("log", &[7; 32])).to_string();
        let cases = [
            note.replace("\n10\n", "\n010\n"),
            note.replace("\n10\n", "\n+10\n"),
            note.replace("\n10\n", "\n10 \n"),
            note.replace("\n10\n", "\n18446744073709551616\n"),
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
