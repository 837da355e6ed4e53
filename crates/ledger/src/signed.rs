//! Signed notes about something else than a ledger: a text, and who signed it.
//!
//! Source: C2SP signed-note, with Ed25519.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aseptic_model::{Class, Diagnose, Diagnosis};
use ed25519_dalek::Signer as _;

use crate::checkpoint::SignatureLine;
use crate::error::StorageError;
use crate::note::{NOTE_BYTES_MAX, NoteError, SIGNATURE_BYTES, Signer, VerifierKey, is_origin};
use crate::storage::{Private, create_exclusive, read_private};

/// Longest key file: a name and two base64 fields fit several times.
const KEY_BYTES_MAX: usize = 1024;

/// A text with the signatures over it. `FromStr` is strict and checks no signature: [`Self::is_signed_by`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl SignedNote {
    /// A note that nobody signed yet. `text` ends with a newline and has no empty line.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self { text, signatures: Vec::new() }
    }

    /// What the signatures are over.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `key` signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        self.signatures.iter().any(|line| is_by(line, key, &self.text))
    }

    /// Adds the signature by `key`, in the place of one in its name.
    pub fn sign(&mut self, key: &SigningKey) {
        let public = key.0.public();
        self.signatures.retain(|line| !line.names(public));
        let bytes = key.0.key.sign(self.text.as_bytes()).to_bytes().to_vec();
        self.signatures.push(SignatureLine { name: public.name.clone(), id: public.id, bytes });
    }

    /// Names of those in whose name there is a signature, which need not be by them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|line| line.name.as_str())
    }
}

fn is_by(line: &SignatureLine, key: &VerifierKey, text: &str) -> bool {
    let signature = <&[u8; SIGNATURE_BYTES]>::try_from(line.bytes.as_slice());
    line.names(key) && signature.is_ok_and(|bytes| key.accepts_text(text, bytes))
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

impl FromStr for SignedNote {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError("a signed note is at most 8192 bytes"));
        }
        let parts = note.split_once("\n\n").and_then(|(text, rest)| Some((text, rest.strip_suffix('\n')?)));
        let (text, signatures) =
            parts.ok_or(NoteError("a signed note is a text, an empty line, signatures"))?;
        if text.is_empty() || text.starts_with('\n') || text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError("the text of a signed note has lines without control characters"));
        }
        let signatures = signatures.split('\n').map(SignatureLine::parse).collect::<Option<_>>();
        let signatures = signatures.ok_or(NoteError("a signature line is a dash, a name and base64"))?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }
}

/// A private key that signs notes.
pub struct SigningKey(Signer);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(self.0.public()).finish()
    }
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The name cannot be that of a key.
    #[error("`{}` cannot be the name of a key", name.escape_debug())]
    Name {
        /// The refused name.
        name: String,
    },
    /// There is a file already.
    #[error("there is a file `{}` already", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Others can read it, so its signatures prove nothing.
    #[error("the key `{}` has mode {mode:04o}: others can read it", path.display())]
    Exposed {
        /// Where.
        path: PathBuf,
        /// Permission bits of the file.
        mode: u32,
    },
    /// The file is no key.
    #[error("the file `{}` cannot be used as a key", path.display())]
    Unusable {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: NoteError,
    },
}

impl Diagnose for SigningKeyError {
    fn diagnosis(&self) -> Diagnosis {
        let (class, code, help) = match self {
            Self::Storage(error) => return error.diagnosis(),
            Self::Name { .. } => (
                Class::User,
                "key/name",
                "choose 1 to 255 bytes without spaces, control characters and `+`, such as `ada@example.org`",
            ),
            Self::Exists { .. } => (Class::User, "key/exists", "use it, or name another file"),
            Self::Exposed { .. } => (
                Class::Host,
                "key/exposed",
                "if nobody else can have read it, run `chmod 600` on it; otherwise make a new key",
            ),
            Self::Unusable { .. } => {
                (Class::User, "key/unusable", "make one with `aseptic role key FILE`, or name the right file")
            }
        };
        Diagnosis::new(class, code, help)
    }
}

impl SigningKey {
    /// Makes a new key with the name `name` in the file `path`, durably, for this user alone.
    ///
    /// # Errors
    /// [`SigningKeyError`]; a file that is there is never replaced.
    pub fn create(path: &Path, name: &str) -> Result<Self, SigningKeyError> {
        if !is_origin(name) {
            return Err(SigningKeyError::Name { name: name.to_owned() });
        }
        let key = Signer::generate(name).map_err(StorageError::at("make", path))?;
        let mut file = create_exclusive(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => SigningKeyError::Exists { path: path.to_owned() },
            _ => StorageError::at("create", path)(error).into(),
        })?;
        let written = writeln!(file, "{}", key.to_text()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Half a key is of no use, and would be in the way of the next one.
            let _ = fs::remove_file(path);
            return Err(StorageError::at("write", path)(error).into());
        }
        Ok(Self(key))
    }

    /// The key in the file `path`.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub fn read(path: &Path) -> Result<Self, SigningKeyError> {
        let unusable = |source| SigningKeyError::Unusable { path: path.to_owned(), source };
        let text = match read_private(path, KEY_BYTES_MAX)? {
            Private::Missing => return Err(unusable(NoteError("there is no such file"))),
            Private::Exposed { mode } => {
                return Err(SigningKeyError::Exposed { path: path.to_owned(), mode });
            }
            Private::Text(text) => text,
        };
        let line = text.strip_suffix('\n').ok_or_else(|| unusable(NoteError("a key is one line")))?;
        Signer::from_text(line).map(Self).map_err(unusable)
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &VerifierKey {
        self.0.public()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey(Signer::from_seed("ada", &[seed; 32]))
    }

    fn note(text: &str, keys: &[u8]) -> SignedNote {
        let mut note = SignedNote::new(text.to_owned());
        keys.iter().for_each(|seed| note.sign(&key(*seed)));
        note
    }

    /// The example of golang.org/x/mod/sumdb/note: its key, text and signature.
    #[test]
    fn notes_of_other_implementations_are_understood() {
        let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let line = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let note: SignedNote = format!("{text}\n{line}\n").parse().unwrap();
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        assert!(note.is_signed_by(&key));
        assert_eq!(note.text(), text);
    }

    #[test]
    fn several_sign_the_same_text() {
        let both = note("a\nb\n", &[1, 2]);
        let read: SignedNote = both.to_string().parse().unwrap();
        assert_eq!(read, both);
        for (seed, signed) in [(1, true), (2, true), (3, false)] {
            assert_eq!(read.is_signed_by(key(seed).public()), signed, "{seed}");
        }
        let other: SignedNote = both.to_string().replace("a\nb", "a\nc").parse().unwrap();
        assert!(!other.is_signed_by(key(1).public()));
        let mut again = both;
        again.sign(&key(1));
        assert_eq!(again.names().count(), 2, "a signature takes the place of the one before");
    }

    #[test]
    fn parsing_is_strict() {
        let good = note("a\n", &[1]).to_string();
        for bad in [
            good.replace("\n\n", "\n"),
            good.trim_end().to_owned(),
            good.replace('\u{2014}', "-"),
            good.replace("a\n", "a\r\n"),
            format!("\n{good}"),
            format!("{good}{good}"),
            good.repeat(200),
            String::new(),
        ] {
            bad.parse::<SignedNote>().unwrap_err();
        }
    }

    #[test]
    fn a_key_is_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = SigningKey::create(&path, "ada").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(SigningKey::read(&path).unwrap().public(), made.public());
        assert!(matches!(SigningKey::create(&path, "ada"), Err(SigningKeyError::Exists { .. })));
        assert!(!format!("{made:?}").contains("PRIVATE"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(SigningKey::read(&path), Err(SigningKeyError::Exposed { mode: 0o640, .. })));
        let other = dir.path().join("other");
        assert!(matches!(SigningKey::read(&other), Err(SigningKeyError::Unusable { .. })));
        assert!(matches!(SigningKey::create(&other, "a b"), Err(SigningKeyError::Name { .. })));
        assert!(!other.exists());
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(note in "[a-z ]{0,4}\n[a-z]{0,2}\n\n(\u{2014} [a-z]{1,3} [A-Z]{7}=\n){0,2}") {
            if let Ok(read) = note.parse::<SignedNote>() {
                prop_assert_eq!(read.to_string(), note);
            }
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(note in any::<String>()) {
            let _ = note.parse::<SignedNote>();
        }
    }
}
