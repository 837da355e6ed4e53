//! What a witness knows: its key, the logs that it trusts, and the last checkpoint of each.
//!
//! **Invariant:** a cosignature leaves only after the checkpoint that it is over is on disk, and what was
//! remembered never gets smaller: both happen under one lock, for threads and processes alike.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use aseptic_model::{Class, Diagnose, Diagnosis};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::request::{AddCheckpoint, RequestError};
use crate::checkpoint::SignatureLine;
use crate::cosign::{Cosigner, WitnessKey};
use crate::error::StorageError;
use crate::merkle::TreeHash;
use crate::note::{Checkpoint, NOTE_BYTES_MAX, NoteError, VerifierKey, is_origin};
use crate::proof::{ProofError, verify_consistency};
use crate::storage::{Disk, Lock, Private, Storage, create_dir, read_private, read_text};

/// Longest key file: two names and two base64 fields fit several times.
const KEY_BYTES_MAX: usize = 1024;

/// Why a witness does not cosign. The witness works; what it was asked is not in order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not a request of `add-checkpoint`.
    #[error("the request cannot be read")]
    Malformed(#[source] RequestError),
    /// The old size is more than the new one.
    #[error("the old size is more than the size of the checkpoint")]
    Sizes,
    /// The witness does not know this log.
    #[error("the log `{origin}` is not one of those that this witness knows")]
    UnknownLog {
        /// Its origin.
        origin: String,
    },
    /// No key that the witness trusts signed the checkpoint.
    #[error("no key that this witness trusts for the log signed the checkpoint")]
    NotSigned,
    /// The witness saw another checkpoint last than the request says.
    #[error("this witness last saw {size} entries of the log")]
    Conflict {
        /// How many entries it has; 0 if it never saw the log.
        size: u64,
    },
    /// The checkpoint does not continue the one that the witness saw: the log shows different histories.
    #[error("the checkpoint does not continue the {size} entries that this witness saw")]
    Inconsistent {
        /// How many entries these are.
        size: u64,
        /// Why not.
        #[source]
        source: ProofError,
    },
}

impl Refused {
    /// The status of the answer over HTTP. Source: C2SP tlog-witness, add-checkpoint.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Sizes => 400,
            Self::NotSigned => 403,
            Self::UnknownLog { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent { .. } => 422,
        }
    }
}

/// Why there is no answer of a witness.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The file system refused. Nothing was cosigned.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The name cannot be that of a witness.
    #[error("`{}` cannot be the name of a witness", name.escape_debug())]
    Name {
        /// The refused name.
        name: String,
    },
    /// There is a key already.
    #[error("there is a key already, of `{name}`")]
    KeyExists {
        /// Its name.
        name: String,
    },
    /// The private key can be read by others, so its signatures prove nothing.
    #[error("the key of the witness has mode {mode:04o}: others can read it")]
    KeyExposed {
        /// Permission bits of the file.
        mode: u32,
    },
    /// There is no usable key.
    #[error("the key of the witness cannot be used")]
    Key(#[source] NoteError),
    /// What the witness remembers of a log is damaged. It cosigns nothing of this log until that is repaired.
    #[error("what this witness remembers of `{origin}` is damaged")]
    Memory {
        /// The log.
        origin: String,
    },
    /// It does not cosign this.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Diagnose for WitnessError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Storage(error) => error.diagnosis(),
            Self::Name { .. } => Diagnosis::new(
                Class::User,
                "ledger/witness-key",
                "choose 1 to 255 bytes without spaces, control characters and `+`, such as `witness.example/one`",
            ),
            Self::KeyExists { .. } => {
                Diagnosis::new(Class::User, "ledger/witness-key", "use it, or choose another directory")
            }
            Self::KeyExposed { .. } => Diagnosis::new(
                Class::Host,
                "ledger/key-exposed",
                "if nobody else can have read it, run `chmod 600` on the file `key`; otherwise make a new key",
            ),
            Self::Key(_) => Diagnosis::new(
                Class::User,
                "ledger/witness-key",
                "make one with `aseptic witness key NAME`, or restore the file `key` from a backup",
            ),
            Self::Memory { .. } => Diagnosis::new(
                Class::Damaged,
                "ledger/witness-memory",
                "restore the directory of the witness from a backup; it must not be older than its last answer",
            ),
            Self::Refused(Refused::Malformed(error)) => error.diagnosis(),
            Self::Refused(Refused::Sizes | Refused::Conflict { .. }) => Diagnosis::new(
                Class::User,
                "ledger/witness-size",
                "make the request anew for the size that the witness has, with `--old SIZE`",
            ),
            Self::Refused(Refused::UnknownLog { .. } | Refused::NotSigned) => Diagnosis::new(
                Class::Denied,
                "ledger/witness-unknown",
                "name the verifier key of the log to the witness with `--log VKEY`",
            ),
            Self::Refused(Refused::Inconsistent { .. }) => Diagnosis::new(
                Class::Damaged,
                "ledger/witness-fork",
                "keep the request as evidence: someone with the key of the log rewrote its history",
            ),
        }
    }
}

/// Makes the key of a new witness in the directory `dir`, durably, and returns its public half.
///
/// # Errors
/// [`WitnessError`]; a key that is there is never replaced.
pub fn create_witness_key(dir: &Path, name: &str) -> Result<WitnessKey, WitnessError> {
    if !is_origin(name) {
        return Err(WitnessError::Name { name: name.to_owned() });
    }
    create_dir(dir).map_err(StorageError::at("create", dir))?;
    let (_, lock) = open_lock(dir)?;
    let path = dir.join("lock");
    let _held = lock.exclusive().map_err(StorageError::at("lock", &path))?;
    let path = dir.join("key");
    if path.symlink_metadata().is_ok() {
        let name = read_key(dir)?.public().name().to_owned();
        return Err(WitnessError::KeyExists { name });
    }
    let key = Cosigner::generate(name).map_err(StorageError::at("make", &path))?;
    let text = key.to_text() + "\n";
    Disk.create(&path, text.as_bytes()).map_err(StorageError::at("create", &path))?;
    Ok(key.public().clone())
}

/// The public key of the witness in the directory `dir`.
///
/// # Errors
/// [`WitnessError`].
pub fn witness_key(dir: &Path) -> Result<WitnessKey, WitnessError> {
    Ok(read_key(dir)?.public().clone())
}

fn open_lock(dir: &Path) -> Result<(PathBuf, Lock), StorageError> {
    let path = dir.join("lock");
    let lock = Lock::create(&path).map_err(StorageError::at("open", &path))?;
    Ok((path, lock))
}

fn read_key(dir: &Path) -> Result<Cosigner, WitnessError> {
    let text = match read_private(&dir.join("key"), KEY_BYTES_MAX)? {
        Private::Missing => return Err(WitnessError::Key(NoteError("there is no file `key`"))),
        Private::Exposed { mode } => return Err(WitnessError::KeyExposed { mode }),
        Private::Text(text) => text,
    };
    let text =
        text.strip_suffix('\n').ok_or(WitnessError::Key(NoteError("the file `key` is not one line")))?;
    Cosigner::from_text(text).map_err(WitnessError::Key)
}

/// A witness: may be used by several threads, and several processes may use one directory.
pub struct Witness {
    dir: PathBuf,
    key: Cosigner,
    logs: Vec<VerifierKey>,
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").field("key", self.key.public()).field("logs", &self.logs).finish()
    }
}

impl Witness {
    /// The witness in the directory `dir`, which trusts `logs`: several keys of one origin are all trusted.
    ///
    /// # Errors
    /// [`WitnessError`]: its key cannot be used.
    pub fn open(dir: &Path, logs: Vec<VerifierKey>) -> Result<Self, WitnessError> {
        Ok(Self { dir: dir.to_owned(), key: read_key(dir)?, logs })
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> &WitnessKey {
        self.key.public()
    }

    /// Answers one `add-checkpoint` at the time `now`, in seconds since 1970: the cosignature as a line.
    ///
    /// Blocks until the checkpoint is on disk. Requests for one witness are answered one after another, so
    /// that an older one never replaces a newer one.
    ///
    /// # Errors
    /// [`WitnessError::Refused`] with the reason that the client gets; otherwise the witness failed, and
    /// cosigned nothing.
    pub fn add_checkpoint(&self, body: &[u8], now: u64) -> Result<String, WitnessError> {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let request = AddCheckpoint::from_str(text).map_err(Refused::Malformed)?;
        let AddCheckpoint { old, proof, checkpoint } = &request;
        let signatures = self.signatures(checkpoint)?;
        if *old > checkpoint.size() {
            return Err(Refused::Sizes.into());
        }

        let (path, lock) = open_lock(&self.dir)?;
        let _held = lock.exclusive().map_err(StorageError::at("lock", &path))?;
        let last = self.remembered(&origin_hash(checkpoint.origin()), checkpoint.origin())?;
        let (size, root) = last.as_ref().map_or((0, TreeHash::empty()), |last| (last.size(), last.root()));
        if *old != size {
            return Err(Refused::Conflict { size }.into());
        }
        if let Err(source) = verify_consistency(size, root, checkpoint.size(), checkpoint.root(), proof) {
            if size == checkpoint.size() && root != checkpoint.root() {
                self.keep_evidence(checkpoint)?;
            }
            return Err(Refused::Inconsistent { size, source }.into());
        }
        let cosignature = self.key.cosign(checkpoint, now);
        let mut lines = signatures;
        lines.push(cosignature.clone());
        // Fails if there are more signatures than fit in a note.
        let cosigned = checkpoint.with_signatures(&lines);
        let cosigned = cosigned.map_err(|error| Refused::Malformed(error.into()))?;
        let path = self.path(&origin_hash(checkpoint.origin()));
        let kept = Disk.create(&path, cosigned.to_string().as_bytes());
        kept.map_err(StorageError::at("write", &path))?;
        Ok(cosignature.to_string())
    }

    /// The last checkpoint that was cosigned of the log with this origin hash, as [`origin_hash`] gives it.
    ///
    /// # Errors
    /// [`WitnessError`]: it cannot be read.
    pub fn checkpoint(&self, hash: &str) -> Result<Option<Checkpoint>, WitnessError> {
        let known = self.logs.iter().find(|log| origin_hash(log.name()) == hash);
        match known {
            Some(log) => self.remembered(hash, log.name()),
            None => Ok(None),
        }
    }

    /// The signatures by which the checkpoint is of a log that this witness knows.
    fn signatures(&self, checkpoint: &Checkpoint) -> Result<Vec<SignatureLine>, Refused> {
        let origin = checkpoint.origin();
        let keys: Vec<&VerifierKey> = self.logs.iter().filter(|log| log.name() == origin).collect();
        if keys.is_empty() {
            return Err(Refused::UnknownLog { origin: origin.to_owned() });
        }
        if !checkpoint.is_signed_by_any(&keys).unwrap_or(false) {
            return Err(Refused::NotSigned);
        }
        let lines = checkpoint.signatures().iter();
        Ok(lines.filter(|line| keys.iter().any(|key| line.names(key))).cloned().collect())
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}.checkpoint"))
    }

    /// The last checkpoint that this witness cosigned. Read as a whole by anybody: it is replaced by renaming.
    fn remembered(&self, hash: &str, origin: &str) -> Result<Option<Checkpoint>, WitnessError> {
        let path = self.path(hash);
        let text = read_text(&path, NOTE_BYTES_MAX).map_err(StorageError::at("read", &path))?;
        let Some(text) = text else { return Ok(None) };
        let damaged = || WitnessError::Memory { origin: origin.to_owned() };
        let checkpoint: Checkpoint = text.parse().map_err(|_| damaged())?;
        let ours = matches!(self.key.public().cosigned(&checkpoint), Ok(Some(_)));
        if ours && checkpoint.origin() == origin { Ok(Some(checkpoint)) } else { Err(damaged()) }
    }

    /// Keeps the first checkpoint that contradicts the one that was cosigned: together they prove a fork.
    fn keep_evidence(&self, checkpoint: &Checkpoint) -> Result<(), StorageError> {
        let path = self.dir.join(format!("{}.fork", origin_hash(checkpoint.origin())));
        if path.exists() {
            return Ok(());
        }
        Disk.create(&path, checkpoint.to_string().as_bytes()).map_err(StorageError::at("write", &path))
    }
}

/// The SHA-256 of an origin in lower-case hexadecimal digits, by which a witness serves its checkpoint.
#[must_use]
pub fn origin_hash(origin: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(origin))
}
