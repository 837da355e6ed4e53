//! The directory object: what a snapshot is made of.
//!
//! **Invariant:** one encoding per directory. [`Tree::decode`] refuses whatever [`Tree::encode`] would
//! not have written, so equal directories have equal digests on every machine.
//! **Absent on purpose:** owners, times, extended attributes, permission bits other than "executable".

use std::ops::Range;

use aseptic_model::{Digest, FilePath};

/// First bytes of every directory object: a name and the version of the format.
const MAGIC: [u8; 8] = *b"astree\0\x01";
const FILE: u8 = 1;
const EXECUTABLE: u8 = 2;
const DIRECTORY: u8 = 3;
const SYMLINK: u8 = 4;

/// An immutable tree of files, by the digest of its root directory object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Names the snapshot: the same names and bytes have the same digest on any machine.
    pub digest: Digest,
    /// Number of regular files in it.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// One path component; bytes, not text.
    pub name: Vec<u8>,
    /// What it names.
    pub kind: EntryKind,
}

/// What a name in a directory stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Size in bytes.
        size: u64,
        /// Digest of the content.
        digest: Digest,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A directory, with totals over everything below it.
    Directory {
        /// Number of regular files.
        files: u64,
        /// Sum of their sizes in bytes.
        bytes: u64,
        /// Digest of its directory object.
        digest: Digest,
    },
    /// A symbolic link; never followed by the store.
    Symlink {
        /// Where it points: any bytes without NUL.
        target: Vec<u8>,
    },
}

/// The content of one directory, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<TreeEntry>,
    files: u64,
    bytes: u64,
}

impl Tree {
    /// Largest directory object in bytes: about four million entries of usual names. Bounds the memory
    /// that an untrusted digest can cost.
    pub const BYTES_MAX: usize = 256 << 20;

    /// Longest link target in bytes (`PATH_MAX` without its NUL).
    pub const TARGET_BYTES_MAX: usize = 4095;

    /// The directory with these entries, in any order.
    ///
    /// # Errors
    /// [`TreeError`] when a name or target breaks a rule of the format, or a name comes twice.
    pub fn new(mut entries: Vec<TreeEntry>) -> Result<Self, TreeError> {
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Self::from_sorted(entries)
    }

    fn from_sorted(entries: Vec<TreeEntry>) -> Result<Self, TreeError> {
        let (mut files, mut bytes) = (0_u64, 0_u64);
        let mut encoded = MAGIC.len() + 4;
        for (index, entry) in entries.iter().enumerate() {
            check_name(&entry.name)?;
            if index > 0 && entries[index - 1].name >= entry.name {
                return Err(TreeError::Order);
            }
            let (more_files, more_bytes) = match &entry.kind {
                EntryKind::File { size, .. } => (1, *size),
                EntryKind::Directory { files, bytes, .. } => (*files, *bytes),
                EntryKind::Symlink { target } => {
                    check_target(target)?;
                    (0, 0)
                }
            };
            files = files.checked_add(more_files).ok_or(TreeError::Total)?;
            bytes = bytes.checked_add(more_bytes).ok_or(TreeError::Total)?;
            encoded += encoded_len(entry);
        }
        if encoded > Self::BYTES_MAX || u32::try_from(entries.len()).is_err() {
            return Err(TreeError::TooLarge);
        }
        Ok(Self { entries, files, bytes })
    }

    /// The entries, sorted by the bytes of their names.
    #[must_use]
    pub fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// The entry called `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&TreeEntry> {
        let index = self.entries.binary_search_by(|entry| entry.name.as_slice().cmp(name)).ok()?;
        self.entries.get(index)
    }

    /// Number of regular files below this directory.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Sum of their sizes in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn into_entries(self) -> Vec<TreeEntry> {
        self.entries
    }

    /// The bytes of the directory object.
    ///
    /// Source: `docs/formats/store.md`, directory object v1.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = self.entries.iter().map(encoded_len).sum::<usize>() + MAGIC.len() + 4;
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&MAGIC);
        // The constructor bounds every length below, so no conversion loses bits.
        out.extend_from_slice(&u32::try_from(self.entries.len()).unwrap_or(u32::MAX).to_le_bytes());
        for entry in &self.entries {
            out.push(match entry.kind {
                EntryKind::File { executable: false, .. } => FILE,
                EntryKind::File { executable: true, .. } => EXECUTABLE,
                EntryKind::Directory { .. } => DIRECTORY,
                EntryKind::Symlink { .. } => SYMLINK,
            });
            out.push(u8::try_from(entry.name.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(&entry.name);
            match &entry.kind {
                EntryKind::File { size, digest, .. } => {
                    out.extend_from_slice(&size.to_le_bytes());
                    out.extend_from_slice(digest.as_bytes());
                }
                EntryKind::Directory { files, bytes, digest } => {
                    out.extend_from_slice(&files.to_le_bytes());
                    out.extend_from_slice(&bytes.to_le_bytes());
                    out.extend_from_slice(digest.as_bytes());
                }
                EntryKind::Symlink { target } => {
                    out.extend_from_slice(&u16::try_from(target.len()).unwrap_or(u16::MAX).to_le_bytes());
                    out.extend_from_slice(target);
                }
            }
        }
        out
    }

    /// Reads a directory object. Never panics, and needs memory in proportion to `bytes` only.
    ///
    /// # Errors
    /// [`TreeError`]: `bytes` are not what [`Tree::encode`] writes for any directory.
    pub fn decode(bytes: &[u8]) -> Result<Self, TreeError> {
        let mut rest = Reader(bytes);
        if rest.array()? != MAGIC {
            return Err(TreeError::Magic);
        }
        let count = u32::from_le_bytes(rest.array()?);
        let mut entries = Vec::new(); // Not sized by `count`, which may lie.
        for _ in 0..count {
            let [kind, length] = rest.array()?;
            let name = rest.take(usize::from(length))?.to_vec();
            let kind = match kind {
                FILE | EXECUTABLE => EntryKind::File {
                    size: u64::from_le_bytes(rest.array()?),
                    digest: Digest::from_bytes(rest.array()?),
                    executable: kind == EXECUTABLE,
                },
                DIRECTORY => EntryKind::Directory {
                    files: u64::from_le_bytes(rest.array()?),
                    bytes: u64::from_le_bytes(rest.array()?),
                    digest: Digest::from_bytes(rest.array()?),
                },
                SYMLINK => {
                    let length = u16::from_le_bytes(rest.array()?);
                    EntryKind::Symlink { target: rest.take(usize::from(length))?.to_vec() }
                }
                _ => return Err(TreeError::Kind),
            };
            entries.push(TreeEntry { name, kind });
        }
        if rest.0.is_empty() { Self::from_sorted(entries) } else { Err(TreeError::Length) }
    }
}

/// Which rule of the format some bytes or entries break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The first bytes are not those of a directory object of a known version.
    #[error("it does not start like a directory object")]
    Magic,
    /// It ends too early or too late.
    #[error("its length does not match its content")]
    Length,
    /// An entry is of an unknown kind.
    #[error("an entry is of an unknown kind")]
    Kind,
    /// A name is not one plain path component, or a target is empty, too long or holds a NUL byte.
    #[error("a name or a link target breaks the rules")]
    Name,
    /// Names are out of order, or one comes twice.
    #[error("its names are not sorted or not unique")]
    Order,
    /// A total does not fit 64 bits, or does not match what is below.
    #[error("its totals do not match its content")]
    Total,
    /// It has more bytes than [`Tree::BYTES_MAX`].
    #[error("the directory has too many entries")]
    TooLarge,
    /// It names the same files so often that nothing could show it: a few bytes can say 2^60 paths.
    #[error("it names the same few files too often")]
    Repeats,
    /// A path below it is longer than [`FilePath::BYTES_MAX`].
    #[error("a path below it is too long")]
    Path,
}

fn encoded_len(entry: &TreeEntry) -> usize {
    let fixed = match &entry.kind {
        EntryKind::File { .. } => 8 + Digest::BYTES,
        EntryKind::Directory { .. } => 16 + Digest::BYTES,
        EntryKind::Symlink { target } => 2 + target.len(),
    };
    2 + entry.name.len() + fixed
}

fn check_name(name: &[u8]) -> Result<(), TreeError> {
    let plain = !matches!(name, b"" | b"." | b"..")
        && name.len() <= FilePath::COMPONENT_BYTES_MAX
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'));
    if plain { Ok(()) } else { Err(TreeError::Name) }
}

fn check_target(target: &[u8]) -> Result<(), TreeError> {
    const LENGTH: Range<usize> = 1..Tree::TARGET_BYTES_MAX + 1;
    if LENGTH.contains(&target.len()) && !target.contains(&0) { Ok(()) } else { Err(TreeError::Name) }
}

/// Takes bytes from the front, or says that there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], TreeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(TreeError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TreeError> {
        self.take(N)?.try_into().map_err(|_| TreeError::Length)
    }
}

#[cfg(test)]
mod tests;
