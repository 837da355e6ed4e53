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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(name: &str, kind: EntryKind) -> TreeEntry {
        TreeEntry { name: name.into(), kind }
    }

    fn example() -> Tree {
        let digest = Digest::of(b"x");
        Tree::new(vec![
            entry("run.sh", EntryKind::File { size: 1, digest, executable: true }),
            entry("link", EntryKind::Symlink { target: b"run.sh".to_vec() }),
            entry("data", EntryKind::Directory { files: 2, bytes: 258, digest }),
            entry("a\n", EntryKind::File { size: 256, digest, executable: false }),
        ])
        .unwrap()
    }

    #[test]
    fn golden_bytes() {
        let mut expected = b"astree\0\x01\x04\0\0\0".to_vec();
        let content = Digest::of(b"x");
        expected.extend(b"\x01\x02a\n\0\x01\0\0\0\0\0\0");
        expected.extend(content.as_bytes());
        expected.extend(b"\x03\x04data\x02\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0");
        expected.extend(content.as_bytes());
        expected.extend(b"\x04\x04link\x06\0run.sh");
        expected.extend(b"\x02\x06run.sh\x01\0\0\0\0\0\0\0");
        expected.extend(content.as_bytes());
        let tree = example();
        assert_eq!(tree.encode(), expected);
        assert_eq!(Tree::decode(&expected), Ok(tree.clone()));
        assert_eq!((tree.files(), tree.bytes()), (4, 515));
        assert_eq!(
            Digest::of(&expected).to_string(),
            "49667c7d9ed05ce28225229126afae6a03d6b2b02344fbbcbc1bf9e8d4d9b896"
        );
        assert_eq!(
            Digest::of(&Tree::default().encode()).to_string(),
            "16ee8ff46cd8650d9bbf8187184b6137976b9afb98af5c1b66654cfea6608e6d"
        );
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        let digest = Digest::of(b"");
        let file = EntryKind::File { size: 0, digest, executable: false };
        for name in ["", ".", "..", "a/b", "a\0", &"n".repeat(256)] {
            assert_eq!(Tree::new(vec![entry(name, file.clone())]), Err(TreeError::Name), "{name:?}");
        }
        for target in [String::new(), "a\0".into(), "t".repeat(4096)] {
            let link = EntryKind::Symlink { target: target.into() };
            assert_eq!(Tree::new(vec![entry("l", link)]), Err(TreeError::Name));
        }
        let twice = vec![entry("a", file.clone()), entry("a", file.clone())];
        assert_eq!(Tree::new(twice), Err(TreeError::Order));
        let huge = EntryKind::Directory { files: 0, bytes: u64::MAX, digest };
        let sum = vec![entry("a", huge.clone()), entry("b", huge)];
        assert_eq!(Tree::new(sum), Err(TreeError::Total));
    }

    #[test]
    fn every_altered_frame_is_refused() {
        let bytes = example().encode();
        for end in 0..bytes.len() {
            assert!(Tree::decode(&bytes[..end]).is_err(), "cut to {end}");
        }
        assert_eq!(Tree::decode(&[bytes.as_slice(), b"\0"].concat()), Err(TreeError::Length));
        assert_eq!(Tree::decode(b"astree\0\x02\0\0\0\0"), Err(TreeError::Magic));
        assert_eq!(Tree::decode(b"astree\0\x01\xff\xff\xff\xff"), Err(TreeError::Length));
        assert_eq!(Tree::decode(b"astree\0\x01\x01\0\0\0\x05\x01a"), Err(TreeError::Kind));
    }

    fn any_entry() -> impl Strategy<Value = TreeEntry> {
        let name = prop::collection::vec(any::<u8>(), 1..6);
        let kind = prop_oneof![
            (any::<u64>(), any::<[u8; 32]>(), any::<bool>()).prop_map(|(size, digest, executable)| {
                EntryKind::File { size, digest: Digest::from_bytes(digest), executable }
            }),
            (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(files, bytes, digest)| {
                EntryKind::Directory { files, bytes, digest: Digest::from_bytes(digest) }
            }),
            prop::collection::vec(any::<u8>(), 1..20).prop_map(|target| EntryKind::Symlink { target }),
        ];
        (name, kind).prop_map(|(name, kind)| TreeEntry { name, kind })
    }

    proptest! {
        #[test]
        fn encoding_round_trips(entries in prop::collection::vec(any_entry(), 0..8)) {
            if let Ok(tree) = Tree::new(entries) {
                prop_assert_eq!(Tree::decode(&tree.encode()), Ok(tree));
            }
        }

        #[test]
        fn only_the_one_encoding_is_accepted(
            entries in prop::collection::vec(any_entry(), 0..4),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            if let Ok(tree) = Tree::new(entries) {
                let mut bytes = tree.encode();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                if let Ok(other) = Tree::decode(&bytes) {
                    prop_assert_eq!(other.encode(), bytes);
                }
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Tree::decode(&rest);
            let _ = Tree::decode(&[b"astree\0\x01\x02\0\0\0".as_slice(), &rest].concat());
        }
    }
}
