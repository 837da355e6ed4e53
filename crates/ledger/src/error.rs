//! What can go wrong with a ledger, and whose move it is then.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aseptic_model::{Class, Diagnose, Diagnosis};

use crate::frame::{APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, Damage, ENTRY_BYTES_MAX};
use crate::note::NoteError;

const KEEP: &str = "keep this directory as evidence, and compare it with a checkpoint kept elsewhere";

const RESTORE: &str = "restore the files `key` and `verifier` of this ledger from a backup";

/// The file system refused a step.
#[derive(Clone, Debug, thiserror::Error)]
#[error("could not {step} `{path}`")]
pub struct StorageError {
    step: &'static str,
    path: PathBuf,
    #[source]
    source: Arc<io::Error>,
}

impl StorageError {
    /// Turns an I/O error into one that names the step and the file.
    pub(crate) fn at(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { step, path: path.to_owned(), source: Arc::new(source) }
    }
}

impl Diagnose for StorageError {
    fn diagnosis(&self) -> Diagnosis {
        let help = "check that the disk has space and works, and who may use the directory, then try again";
        Diagnosis::new(Class::Host, "ledger/storage", help)
    }
}

/// Why entries could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log does not begin as one of a known version: it is something else, or its first bytes are damaged.
    #[error("the log does not begin with the line of a ledger of version 1 or 2")]
    Format,
    /// The frame where this entry belongs is not what was written. The entries before it are whole.
    #[error("the log is broken at entry {index}: {damage}")]
    Broken {
        /// Zero-based index of the entry that should be there. Of entries that were appended together, and of
        /// which no single one can be told to be wrong, the first.
        index: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// The position to read from is past the end: entries that were there are gone.
    #[error("the log ends before entry {index}")]
    Truncated {
        /// Index of the position.
        index: u64,
    },
}

impl Diagnose for ReadError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Storage(error) => error.diagnosis(),
            Self::Format => Diagnosis::new(Class::Damaged, "ledger/format", KEEP),
            Self::Broken { .. } => Diagnosis::new(Class::Damaged, "ledger/broken", KEEP),
            Self::Truncated { .. } => Diagnosis::new(Class::Damaged, "ledger/truncated", KEEP),
        }
    }
}

/// Why a ledger could not be opened or created. Nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The origin cannot name a ledger.
    #[error("`{}` cannot be the origin of a ledger", origin.escape_debug())]
    Origin {
        /// The refused origin.
        origin: String,
    },
    /// The directory holds the ledger of another origin.
    #[error("this is the ledger of `{found}`, not of `{wanted}`")]
    OtherOrigin {
        /// The origin that it has.
        found: String,
        /// The origin that was asked for.
        wanted: String,
    },
    /// The private key can be read by others, so its signatures prove nothing.
    #[error("the key of the ledger has mode {mode:04o}: others can read it")]
    KeyExposed {
        /// Permission bits of the file.
        mode: u32,
    },
    /// There is a ledger but no usable key for it. A new key is never made for an existing log.
    #[error("the key of the ledger cannot be used")]
    Key(#[source] NoteError),
    /// The published checkpoint of the directory is by another key, or has another root.
    #[error("the checkpoint of the directory does not belong to its log")]
    Checkpoint(#[source] NoteError),
    /// The log holds fewer entries than its own checkpoint acknowledges.
    #[error("the log holds {found} entries, and {acknowledged} were acknowledged")]
    Truncated {
        /// Entries of the checkpoint.
        acknowledged: u64,
        /// Entries in the log.
        found: u64,
    },
    /// The log is damaged.
    #[error(transparent)]
    Log(#[from] ReadError),
}

impl Diagnose for OpenError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Storage(error) => error.diagnosis(),
            Self::Origin { .. } => Diagnosis::new(
                Class::User,
                "ledger/origin",
                "choose 1 to 255 bytes without spaces, control characters and `+`",
            ),
            Self::OtherOrigin { found, .. } => {
                let help = format!("open it as `{found}`, or choose another directory");
                Diagnosis::new(Class::User, "ledger/origin", help)
            }
            Self::KeyExposed { .. } => Diagnosis::new(
                Class::Host,
                "ledger/key-exposed",
                "if nobody else can have read it, run `chmod 600` on the file `key`; otherwise start a new ledger",
            ),
            Self::Key(_) => Diagnosis::new(Class::Damaged, "ledger/key", RESTORE),
            Self::Checkpoint(_) => Diagnosis::new(Class::Damaged, "ledger/checkpoint", KEEP),
            Self::Truncated { .. } => Diagnosis::new(Class::Damaged, "ledger/truncated", KEEP),
            Self::Log(error) => error.diagnosis(),
        }
    }
}

/// Why entries were not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// An entry is empty or longer than [`ENTRY_BYTES_MAX`]; nothing was written.
    #[error("an entry has {bytes} bytes, and 1 to {ENTRY_BYTES_MAX} are possible")]
    EntrySize {
        /// Its length.
        bytes: usize,
    },
    /// The entries of one append need more than [`APPEND_BYTES_MAX`] or are more than
    /// [`APPEND_ENTRIES_MAX`]; nothing was written.
    #[error(
        "one append writes at most {APPEND_ENTRIES_MAX} entries and {APPEND_BYTES_MAX} bytes, and this one has \
         {entries} and {bytes}"
    )]
    TooMuch {
        /// Its entries.
        entries: usize,
        /// What it would write.
        bytes: u64,
    },
    /// The file system refused; none of the entries is in the log.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The disk did not confirm: the entries may or may not be in the log after a restart.
    #[error("the disk did not confirm the entries from {index}")]
    Unconfirmed {
        /// Index of the first of them.
        index: u64,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// An earlier append through this handle ended without a known outcome.
    #[error("an earlier append has no known outcome")]
    Closed,
    /// The ledger was handed over to another key, which is not there. Nothing was written.
    #[error("the key of the ledger cannot be used")]
    Key(#[source] NoteError),
    /// The ledger was handed over to another key since the next one was made; nothing was written.
    #[error("the ledger was handed over to another key meanwhile")]
    HandedOver,
    /// The log was replaced or shortened since this handle last saw it; nothing was written.
    #[error("the log no longer holds the {size} entries that it held")]
    Changed {
        /// Number of entries that were there.
        size: u64,
    },
    /// What another process appended meanwhile is damaged; nothing was written.
    #[error(transparent)]
    Log(#[from] ReadError),
}

impl Diagnose for AppendError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::EntrySize { .. } => Diagnosis::new(
                Class::Internal,
                "ledger/too-large",
                "store what is large elsewhere and record its digest",
            ),
            Self::TooMuch { .. } => {
                Diagnosis::new(Class::Internal, "ledger/too-large", "append the entries in several parts")
            }
            Self::Storage(error) => error.diagnosis(),
            Self::Unconfirmed { .. } => Diagnosis::new(
                Class::Host,
                "ledger/unconfirmed",
                "do not start what the entries record; check the disk, then open the ledger and look whether they are there",
            ),
            Self::Closed => {
                let help = "open the ledger again, and look which entries are there";
                Diagnosis::new(Class::Host, "ledger/closed", help)
            }
            Self::Key(_) => Diagnosis::new(Class::Damaged, "ledger/key", RESTORE),
            Self::HandedOver => Diagnosis::new(
                Class::User,
                "ledger/handed-over",
                "look who did it with `aseptic ledger show`, and start it again if it is still needed",
            ),
            Self::Changed { .. } => Diagnosis::new(Class::Damaged, "ledger/truncated", KEEP),
            Self::Log(error) => error.diagnosis(),
        }
    }
}

/// The checkpoint that a log was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The file `checkpoint` of the directory.
    Published,
    /// The one that the caller kept.
    Kept,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Published => "the checkpoint of the directory",
            Self::Kept => "the kept checkpoint",
        })
    }
}

/// Why a ledger is not proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log cannot be read, or it is damaged.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The file `verifier` does not list verifier keys, or not those of the log.
    #[error("the verifier keys of the directory cannot be used")]
    Verifier(#[source] NoteError),
    /// The file `checkpoint` is not a checkpoint.
    #[error("the checkpoint of the directory cannot be read")]
    Checkpoint(#[source] NoteError),
    /// The reference was signed by another key than the one of the directory: the key was replaced, or
    /// the reference belongs to another ledger.
    #[error("{reference} was not signed by the key of this ledger")]
    Key {
        /// Which one.
        reference: Reference,
    },
    /// Entries were removed from the end.
    #[error("the log holds {found} entries, and {reference} acknowledges {acknowledged}")]
    Truncated {
        /// Which one.
        reference: Reference,
        /// Its number of entries.
        acknowledged: u64,
        /// Entries in the log.
        found: u64,
    },
    /// The history was rewritten: the log is signed, but it is not the one of the reference.
    #[error("the first {size} entries are not those of {reference}")]
    RolledBack {
        /// Which one.
        reference: Reference,
        /// Its number of entries.
        size: u64,
    },
}

impl Diagnose for VerifyError {
    fn diagnosis(&self) -> Diagnosis {
        let key_help = "compare the file `verifier` with the key that was published when the ledger began";
        match self {
            Self::Log(error) => error.diagnosis(),
            Self::Verifier(_) | Self::Key { .. } => Diagnosis::new(Class::Damaged, "ledger/key", key_help),
            Self::Checkpoint(_) => Diagnosis::new(Class::Damaged, "ledger/checkpoint", KEEP),
            Self::Truncated { .. } => Diagnosis::new(Class::Damaged, "ledger/truncated", KEEP),
            Self::RolledBack { .. } => Diagnosis::new(
                Class::Damaged,
                "ledger/rolled-back",
                "keep this directory and the checkpoint as evidence: someone with the key rewrote the history",
            ),
        }
    }
}
