//! Errors that every operation of the store can meet.

use std::io;

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, FilePath};
use rustix::io::Errno;

use crate::tree::TreeError;

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory holds something else, or a store of another format version.
    #[error("`{path}` is not a store that this version can use")]
    Format {
        /// The directory.
        path: String,
    },
    /// The file system is full, or the quota is used up. Nothing of the operation is visible.
    #[error("the file system of the store is full")]
    Full {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The medium failed, or a permission is missing.
    #[error("could not {step} in the store at `{path}`")]
    Io {
        /// What was being done, as a verb phrase.
        step: &'static str,
        /// The file or directory, in its text form.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No object has this digest.
    #[error("object {digest} is not in the store")]
    Missing {
        /// The object.
        digest: Digest,
    },
    /// The bytes of an object do not have its digest.
    #[error("object {digest} is damaged")]
    Corrupt {
        /// The object.
        digest: Digest,
    },
    /// An object is intact but is not a directory of a snapshot, or names its content wrongly.
    #[error("object {digest} is not a directory of a snapshot")]
    NotTree {
        /// The object.
        digest: Digest,
        /// Which rule of the format it breaks.
        #[source]
        source: TreeError,
    },
    /// An index of packs is not as it was written.
    #[error("the index `segments/{name}` is damaged")]
    Index {
        /// Its name.
        name: String,
    },
    /// An object has more bytes than the caller accepts.
    #[error("object {digest} has {size} bytes, more than {max}")]
    TooLarge {
        /// The object.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The bound that the caller set.
        max: u64,
    },
}

impl StoreError {
    /// Wraps `source`, telling a full disk from everything else.
    pub(crate) fn io(step: &'static str, path: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full { source },
            _ => Self::Io { step, path: path.into(), source },
        }
    }

    /// What this means for one entry of a snapshot, or the error itself if it is about something else.
    pub(crate) fn into_damage(self) -> Result<DamageCause, Self> {
        match self {
            Self::Missing { .. } => Ok(DamageCause::Missing),
            Self::Corrupt { .. } | Self::NotTree { .. } | Self::TooLarge { .. } => Ok(DamageCause::Content),
            Self::Format { .. } | Self::Full { .. } | Self::Io { .. } | Self::Index { .. } => Err(self),
        }
    }
}

impl Diagnose for StoreError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Format { .. } => Diagnosis::new(
                Class::User,
                "store/format",
                "name an empty directory, or use the version of aseptic that made this store",
            ),
            Self::Full { .. } => {
                Diagnosis::new(Class::Host, "store/full", "free some space there and run the command again")
            }
            Self::Io { .. } => Diagnosis::new(
                Class::Host,
                "store/io",
                "check the disk and the owner of the store, then run the command again",
            ),
            Self::Missing { .. } => {
                Diagnosis::new(Class::Damaged, "store/missing", "import its source again to restore it")
            }
            Self::Corrupt { .. } => Diagnosis::new(Class::Damaged, "store/corrupt", CORRUPT_HELP),
            Self::NotTree { .. } => Diagnosis::new(
                Class::Damaged,
                "store/not-a-tree",
                "check that the digest names a snapshot and not one file of it",
            ),
            Self::Index { .. } => Diagnosis::new(
                Class::Damaged,
                "store/index",
                "keep a copy of the store as evidence, and check the disk; nothing was deleted",
            ),
            Self::TooLarge { .. } => Diagnosis::new(
                Class::User,
                "store/too-large",
                "export the file and read it in parts instead of in one piece",
            ),
        }
    }
}

pub(crate) const CORRUPT_HELP: &str =
    "check the disk, and import its source again with `--paranoid`, which replaces what is damaged";

/// One entry of a snapshot that is not what was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Path inside the snapshot.
    pub path: FilePath,
    /// What is wrong with it.
    pub cause: DamageCause,
}

impl Damage {
    /// Longest list of damages that an error carries; the count beside it is always complete.
    pub const LIST_MAX: usize = 100;
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageCause {
    /// Its object is gone.
    Missing,
    /// Its object has other bytes than its digest says, or another size than its directory says.
    Content,
    /// Its object cannot be read.
    Unreadable,
    /// Its object is intact, but the view shows something else under its name.
    View,
    /// The view shows it, but the snapshot does not have it.
    Extra,
}

impl std::fmt::Display for DamageCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Content => "other content",
            Self::Unreadable => "unreadable",
            Self::View => "other content in the view",
            Self::Extra => "not part of the snapshot",
        })
    }
}

/// A bounded list of damages with a full count.
#[derive(Debug, Default)]
pub(crate) struct Damages {
    pub(crate) list: Vec<Damage>,
    pub(crate) count: u64,
}

impl Damages {
    pub(crate) fn extend(&mut self, path: Option<FilePath>, cause: DamageCause) {
        path.into_iter().for_each(|path| self.push(Damage { path, cause }));
    }

    pub(crate) fn push(&mut self, damage: Damage) {
        self.count += 1;
        if self.list.len() < Damage::LIST_MAX {
            self.list.push(damage);
        }
    }
}

/// The first damages as one line of text for a message.
pub(crate) fn summary(list: &[Damage], count: &u64) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = list.iter().take(SHOWN).map(|d| format!("`{}` ({})", d.path, d.cause)).collect();
    let rest = count.saturating_sub(shown.len() as u64);
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("{}{more}", shown.join(", "))
}
