//! Frames: how commits of entries lie in the file `log`. See `docs/formats/ledger.md`.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{ReadError, StorageError};
use crate::frame_v1;
use crate::hole::has_hole;
use crate::merkle::TreeHash;
use crate::note::SIGNATURE_BYTES;

/// Longest entry in bytes: what the length field of an entry, here and in C2SP tlog-tiles, can say.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Most entries in one append: what the header of a frame can say.
pub const APPEND_ENTRIES_MAX: usize = 65_535;

/// Most bytes of one append as it lies in the log: bounds the memory of a writer, and of a reader that
/// looks at the tail that a crash left.
pub const APPEND_BYTES_MAX: u64 = 16 << 20;

/// First line of a log.
pub(crate) const MAGIC: &[u8; 17] = b"aseptic-ledger 2\n";

pub(crate) const HEADER_BYTES: usize = 24;
pub(crate) const CHECKSUM_BYTES: usize = 16;
/// From the first byte of the signature to the end of its frame, in every version.
pub(crate) const SIGNATURE_FROM_END: u64 = 80;
/// Bytes of a frame beside its body.
const OVERHEAD_BYTES: usize = HEADER_BYTES + SIGNATURE_BYTES + CHECKSUM_BYTES;
/// Bytes before each entry in a body: its length.
pub(crate) const LENGTH_BYTES: usize = 2;
/// Bytes of a public key, at the end of the body of a handover.
pub(crate) const KEY_BYTES: usize = 32;

/// A place between two entries of a log: the index of the entry that begins there, and the byte offset of
/// the frame that holds it.
///
/// May be kept and used in a later [`read`](crate::read()) of the same log: frames never move. A position
/// that does not belong to the log gives an error, never wrong entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Zero-based index of the entry.
    pub index: u64,
    /// Offset of its frame in the file `log`. Several entries may share a frame.
    pub offset: u64,
}

impl Position {
    /// Where the first entry begins.
    pub const START: Self = Self { index: 0, offset: MAGIC.len() as u64 };
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The bytes there are not the header of a frame.
    Header,
    /// A frame begins there, but that of another entry.
    Index {
        /// Index of its first entry.
        found: u64,
    },
    /// The frame differs from what was written.
    Checksum {
        /// Entries in it, if more than one may be wrong.
        entries: u64,
    },
    /// The signature does not cover the entries up to here.
    Signature,
    /// The key that the log is handed over to is not a key.
    Key,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("no frame begins there"),
            Self::Index { found } => write!(f, "entry {found} is in its place"),
            Self::Checksum { entries: 1 } => f.write_str("its bytes are not those that were written"),
            Self::Checksum { entries } => write!(
                f,
                "its bytes, or those of {} more appended with it, are not those that were written",
                entries - 1
            ),
            Self::Signature => f.write_str("its signature does not cover the entries up to it"),
            Self::Key => f.write_str("it hands over to what is not a key"),
        }
    }
}

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// A frame per entry.
    One,
    /// A frame per commit.
    Two,
}

/// What the header of a frame says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Length of the body.
    pub(crate) body: u32,
    pub(crate) handover: bool,
}

/// The first `N` bytes of the SHA-256 of `bytes`.
pub(crate) fn checksum<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.first_chunk().copied().unwrap_or([0; N])
}

/// Adds `entry` with its length to `body`; whether it has a length that can be said.
pub(crate) fn push_entry(body: &mut Vec<u8>, entry: &[u8]) -> bool {
    match u16::try_from(entry.len()) {
        Err(_) | Ok(0) => false,
        Ok(length) => {
            body.extend_from_slice(&length.to_le_bytes());
            body.extend_from_slice(entry);
            true
        }
    }
}

/// Length of a frame with a body of `bytes`.
pub(crate) fn frame_length(bytes: u64) -> u64 {
    bytes + OVERHEAD_BYTES as u64
}

/// The frame of a commit of the entries in `body`, whose leaves are `leaves`; nothing if they are none, or
/// more than a frame can hold.
pub(crate) fn encode(
    first: u64,
    body: &[u8],
    leaves: &[TreeHash],
    next_key: Option<&[u8; KEY_BYTES]>,
    signature: &[u8; SIGNATURE_BYTES],
) -> Option<Vec<u8>> {
    let key = next_key.map_or(&[][..], |key| key.as_slice());
    let mut frame = Vec::with_capacity(OVERHEAD_BYTES + body.len() + key.len());
    frame.extend_from_slice(&first.to_le_bytes());
    frame.extend_from_slice(&u32::try_from(body.len() + key.len()).ok()?.to_le_bytes());
    frame.extend_from_slice(&u16::try_from(leaves.len()).ok().filter(|count| *count > 0)?.to_le_bytes());
    frame.extend_from_slice(&u16::from(next_key.is_some()).to_le_bytes());
    let check: [u8; 8] = checksum(&frame);
    frame.extend_from_slice(&check);
    let check = frame_checksum(&frame, leaves, key, signature);
    for part in [body, key, signature, &check] {
        frame.extend_from_slice(part);
    }
    (frame.len() as u64 <= APPEND_BYTES_MAX).then_some(frame)
}

/// The checksum of a frame: over the hashes of its entries, which the tree needs anyway.
fn frame_checksum(
    header: &[u8],
    leaves: &[TreeHash],
    key: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> [u8; CHECKSUM_BYTES] {
    let mut hash = Sha256::new().chain_update(header);
    for leaf in leaves {
        hash.update(leaf.as_bytes());
    }
    let hash: [u8; 32] = hash.chain_update(key).chain_update(signature).finalize().into();
    hash.first_chunk().copied().unwrap_or([0; CHECKSUM_BYTES])
}

/// What this header says, unless it is none.
pub(crate) fn decode_header(header: &[u8; HEADER_BYTES]) -> Option<Header> {
    let &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ref check @ ..] = header;
    let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let body = u32::from_le_bytes([i, j, k, l]);
    let count = u64::from(u16::from_le_bytes([m, n]));
    let handover = match u16::from_le_bytes([o, p]) {
        0 => false,
        1 => true,
        _ => return None,
    };
    let key = if handover { KEY_BYTES as u64 } else { 0 };
    let least = count * (LENGTH_BYTES as u64 + 1) + key;
    let possible = count > 0
        && (count == 1 || !handover)
        && u64::from(body) >= least
        && frame_length(body.into()) <= APPEND_BYTES_MAX
        && first.checked_add(count).is_some();
    (possible && checksum(&header[..16]) == *check).then_some(Header { first, count, body, handover })
}

/// One whole frame: the entries of a commit.
#[derive(Debug)]
pub(crate) struct Commit {
    /// Index of its first entry.
    pub(crate) first: u64,
    /// The entries, each behind its length.
    pub(crate) body: Vec<u8>,
    /// The hash of each entry as a leaf of the tree.
    pub(crate) leaves: Vec<TreeHash>,
    /// The public key that signs from the next commit on.
    pub(crate) next_key: Option<[u8; KEY_BYTES]>,
    pub(crate) signature: [u8; SIGNATURE_BYTES],
    /// Offset of the frame, and where the next one begins.
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

impl Commit {
    /// Index of the first entry behind it.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }

    /// The entry behind its length at `at` of the body, and where the one after it begins.
    pub(crate) fn entry_at(&self, at: usize) -> Option<(&[u8], usize)> {
        split_entry(self.body.get(at..)?).map(|(entry, _)| (entry, at + LENGTH_BYTES + entry.len()))
    }
}

/// The first entry of a body, and what follows it.
fn split_entry(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk()?;
    let length = usize::from(u16::from_le_bytes(*length));
    if length == 0 { None } else { rest.split_at_checked(length) }
}

/// The leaves of exactly `count` entries that fill `body`.
pub(crate) fn leaves(mut body: &[u8], count: u64) -> Option<Vec<TreeHash>> {
    let mut leaves = Vec::new();
    while let Some((entry, rest)) = split_entry(body) {
        leaves.push(TreeHash::leaf(entry));
        body = rest;
    }
    (body.is_empty() && leaves.len() as u64 == count).then_some(leaves)
}

/// Why there is no next frame.
#[derive(Debug)]
pub(crate) enum FrameError {
    Io(io::Error),
    Broken { index: u64, damage: Damage },
}

impl FrameError {
    /// This error for a reader of the log at `path`.
    pub(crate) fn at(self, path: &Path) -> ReadError {
        match self {
            Self::Io(source) => StorageError::at("read", path)(source).into(),
            Self::Broken { index, damage } => ReadError::Broken { index, damage },
        }
    }
}

/// Reads frames from one position to a fixed end.
///
/// Checks all that can be checked without a key: header, index, checksum.
pub(crate) struct Frames<F> {
    input: BufReader<F>,
    version: Version,
    at: Position,
    /// Whether the position may be inside the next frame: only before the first one.
    within: bool,
    end: u64,
}

impl<F: Read + Seek> Frames<F> {
    pub(crate) fn new(file: F, version: Version, from: Position, end: u64) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(1 << 16, file);
        input.seek(SeekFrom::Start(from.offset))?;
        Ok(Self { input, version, at: from, within: false, end })
    }

    /// The same, for a position that may be inside a frame.
    pub(crate) fn entering(self) -> Self {
        Self { within: true, ..self }
    }

    /// Bytes from the position to the end: at the end of the frames, the tail that a crash left.
    pub(crate) fn left(&self) -> u64 {
        self.end.saturating_sub(self.at.offset)
    }

    /// The next frame, or nothing where whole frames end.
    pub(crate) fn advance(&mut self) -> Result<Option<Commit>, FrameError> {
        let mut header = [0; HEADER_BYTES];
        let used = header.get_mut(..self.header_bytes()).unwrap_or_default();
        if self.end.saturating_sub(self.at.offset) < used.len() as u64 {
            return Ok(None);
        }
        self.input.read_exact(used).map_err(FrameError::Io)?;
        let head = match self.expected(&header) {
            Ok(head) => head,
            Err(damage) => return self.unless_torn(damage),
        };
        let length = self.length(head);
        if length > self.left() {
            return Ok(None);
        }
        let mut body = vec![0; usize::try_from(head.body).unwrap_or(usize::MAX)];
        let mut signature = [0; SIGNATURE_BYTES];
        let mut check = [0; CHECKSUM_BYTES];
        for part in [body.as_mut_slice(), &mut signature, &mut check] {
            self.input.read_exact(part).map_err(FrameError::Io)?;
        }
        let whole = match self.version {
            Version::One => frame_v1::whole(&header, body, &signature, check),
            Version::Two => whole(head, &header, body, &signature, check),
        };
        let Some((body, leaves, next_key)) = whole else {
            return self.unless_torn(Damage::Checksum { entries: head.count });
        };
        let Position { offset, .. } = self.at;
        let commit =
            Commit { first: head.first, body, leaves, next_key, signature, offset, end: offset + length };
        self.at = Position { index: commit.next(), offset: commit.end };
        self.within = false;
        Ok(Some(commit))
    }

    fn header_bytes(&self) -> usize {
        match self.version {
            Version::One => frame_v1::HEADER_BYTES,
            Version::Two => HEADER_BYTES,
        }
    }

    fn length(&self, head: Header) -> u64 {
        self.header_bytes() as u64 + u64::from(head.body) + SIGNATURE_FROM_END
    }

    /// What `header` says, if it is that of the frame which belongs here.
    fn expected(&self, header: &[u8; HEADER_BYTES]) -> Result<Header, Damage> {
        let head = match self.version {
            Version::One => frame_v1::decode_header(header),
            Version::Two => decode_header(header),
        };
        let head = head.ok_or(Damage::Header)?;
        let inside = self.within && (head.first..head.first + head.count).contains(&self.at.index);
        if inside || head.first == self.at.index {
            Ok(head)
        } else {
            Err(Damage::Index { found: head.first })
        }
    }

    /// Tells damage from a tail whose size reached the disk in a power failure before all of its bytes did.
    ///
    /// Such a tail ends in zeros where a checksum belongs, and what precedes them is an incomplete frame; or
    /// the disk has later blocks of it, and not one that this frame lies in.
    fn unless_torn(&mut self, damage: Damage) -> Result<Option<Commit>, FrameError> {
        let broken = FrameError::Broken { index: self.at.index, damage };
        if self.left() > APPEND_BYTES_MAX {
            return Err(broken);
        }
        let mut tail = Vec::new();
        self.input.seek(SeekFrom::Start(self.at.offset)).map_err(FrameError::Io)?;
        let left = self.left();
        self.input.by_ref().take(left).read_to_end(&mut tail).map_err(FrameError::Io)?;
        let written = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let head = tail.first_chunk().and_then(|header| self.expected(header).ok());
        let length = head.map_or(self.header_bytes() as u64, |head| self.length(head));
        let incomplete = written <= self.header_bytes() || head.is_some() && length > written as u64;
        let cut = incomplete && tail.len() - written >= CHECKSUM_BYTES;
        if cut || has_hole(&tail, self.at.offset, length) { Ok(None) } else { Err(broken) }
    }
}

/// The parts of a whole frame: its entries, their leaves, and the key that it hands over to.
pub(crate) type Parts = (Vec<u8>, Vec<TreeHash>, Option<[u8; KEY_BYTES]>);

/// The parts of a frame whose checksum is right.
fn whole(
    head: Header,
    header: &[u8; HEADER_BYTES],
    mut body: Vec<u8>,
    signature: &[u8; SIGNATURE_BYTES],
    check: [u8; CHECKSUM_BYTES],
) -> Option<Parts> {
    let key = if head.handover { body.split_off(body.len().checked_sub(KEY_BYTES)?) } else { Vec::new() };
    let leaves = leaves(&body, head.count)?;
    let right = frame_checksum(header, &leaves, &key, signature) == check;
    right.then(|| (body, leaves, <[u8; KEY_BYTES]>::try_from(key).ok()))
}
