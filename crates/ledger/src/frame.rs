//! Frames: how entries lie in the file `log`. See `docs/formats/ledger.md`.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::num::NonZeroU16;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{ReadError, StorageError};
use crate::note::SIGNATURE_BYTES;

/// Longest entry in bytes: what the length field of a frame, and an entry of C2SP tlog-tiles, can say.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Most bytes of frames in one append: bounds the memory of a writer, and of a reader that looks at the
/// tail that a crash left.
pub const APPEND_BYTES_MAX: u64 = 16 << 20;

/// First line of a log.
pub(crate) const MAGIC: &[u8; 17] = b"aseptic-ledger 1\n";

const HEADER_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 16;
/// From the first byte of the signature to the end of its frame.
pub(crate) const SIGNATURE_FROM_END: u64 = 80;
/// Bytes of a frame beside the entry.
const OVERHEAD_BYTES: usize = HEADER_BYTES + SIGNATURE_BYTES + CHECKSUM_BYTES;

/// A place between two entries of a log: the index of the entry that begins there, and its byte offset.
///
/// May be kept and used in a later [`read`](crate::read()) of the same log: frames never move. A position
/// that does not belong to the log gives an error, never wrong entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Zero-based index of the entry.
    pub index: u64,
    /// Offset of its frame in the file `log`.
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
        /// Its index.
        found: u64,
    },
    /// The frame differs from what was written.
    Checksum,
    /// The signature does not cover the entries up to here.
    Signature,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("no frame begins there"),
            Self::Index { found } => write!(f, "entry {found} is in its place"),
            Self::Checksum => f.write_str("its bytes are not those that were written"),
            Self::Signature => f.write_str("its signature does not cover the entries up to it"),
        }
    }
}

/// Length of `entry` as a frame can say it; nothing for an entry that is empty or too long.
pub(crate) fn entry_length(entry: &[u8]) -> Option<NonZeroU16> {
    NonZeroU16::new(u16::try_from(entry.len()).ok()?)
}

/// Length of the frame of an entry of this length.
pub(crate) fn frame_length(entry: NonZeroU16) -> u64 {
    u64::from(entry.get()) + OVERHEAD_BYTES as u64
}

/// The first `N` bytes of the SHA-256 of `bytes`.
fn checksum<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.first_chunk().copied().unwrap_or([0; N])
}

/// Adds the frame of `entry`, whose length is `length`, to `frames`.
pub(crate) fn encode(
    frames: &mut Vec<u8>,
    index: u64,
    length: NonZeroU16,
    entry: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) {
    let start = frames.len();
    frames.extend_from_slice(&index.to_le_bytes());
    frames.extend_from_slice(&length.get().to_le_bytes());
    let check: [u8; 6] = checksum(frames.get(start..).unwrap_or_default());
    frames.extend_from_slice(&check);
    frames.extend_from_slice(entry);
    frames.extend_from_slice(signature);
    let check: [u8; CHECKSUM_BYTES] = checksum(frames.get(start..).unwrap_or_default());
    frames.extend_from_slice(&check);
}

/// Length of the entry behind this header, which must be that of entry `index`.
fn decode_header(header: &[u8; HEADER_BYTES], index: u64) -> Result<NonZeroU16, Damage> {
    let &[a, b, c, d, e, f, g, h, low, high, ref check @ ..] = header;
    let found = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let length = NonZeroU16::new(u16::from_le_bytes([low, high])).ok_or(Damage::Header)?;
    if checksum(&header[..10]) != *check {
        return Err(Damage::Header);
    }
    if found == index { Ok(length) } else { Err(Damage::Index { found }) }
}

/// One whole frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) index: u64,
    pub(crate) entry: Vec<u8>,
    pub(crate) signature: [u8; SIGNATURE_BYTES],
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
    at: Position,
    end: u64,
}

impl<F: Read + Seek> Frames<F> {
    pub(crate) fn new(file: F, from: Position, end: u64) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(1 << 16, file);
        input.seek(SeekFrom::Start(from.offset))?;
        Ok(Self { input, at: from, end })
    }

    /// Behind the last frame that was read.
    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// Bytes from the position to the end: at the end of the frames, the tail that a crash left.
    pub(crate) fn left(&self) -> u64 {
        self.end.saturating_sub(self.at.offset)
    }

    /// The next frame, or nothing where whole frames end.
    pub(crate) fn advance(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.left() < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let mut header = [0; HEADER_BYTES];
        self.input.read_exact(&mut header).map_err(FrameError::Io)?;
        let length = match decode_header(&header, self.at.index) {
            Ok(length) => length,
            Err(damage) => return self.unless_torn(damage),
        };
        if frame_length(length) > self.left() {
            return Ok(None);
        }
        let mut entry = vec![0; usize::from(length.get())];
        let mut signature = [0; SIGNATURE_BYTES];
        let mut check = [0; CHECKSUM_BYTES];
        for part in [entry.as_mut_slice(), &mut signature, &mut check] {
            self.input.read_exact(part).map_err(FrameError::Io)?;
        }
        let hash = Sha256::new().chain_update(header).chain_update(&entry).chain_update(signature);
        if !hash.finalize().starts_with(&check) {
            return self.unless_torn(Damage::Checksum);
        }
        let Some(next) = self.at.index.checked_add(1) else {
            return Err(self.broken(Damage::Header));
        };
        let index = self.at.index;
        self.at = Position { index: next, offset: self.at.offset + frame_length(length) };
        Ok(Some(Frame { index, entry, signature }))
    }

    fn broken(&self, damage: Damage) -> FrameError {
        FrameError::Broken { index: self.at.index, damage }
    }

    /// Tells damage from a tail whose size reached the disk in a power failure before all of its bytes
    /// did: such a tail ends in zeros where a checksum belongs, and what precedes them is an incomplete frame.
    fn unless_torn(&mut self, damage: Damage) -> Result<Option<Frame>, FrameError> {
        if self.left() > APPEND_BYTES_MAX {
            return Err(self.broken(damage));
        }
        let mut tail = Vec::new();
        self.input.seek(SeekFrom::Start(self.at.offset)).map_err(FrameError::Io)?;
        let left = self.left();
        self.input.by_ref().take(left).read_to_end(&mut tail).map_err(FrameError::Io)?;
        let written = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let incomplete = match tail.first_chunk() {
            Some(header) if written > HEADER_BYTES => {
                decode_header(header, self.at.index).is_ok_and(|length| frame_length(length) > written as u64)
            }
            _ => true,
        };
        if incomplete && tail.len() - written >= CHECKSUM_BYTES { Ok(None) } else { Err(self.broken(damage)) }
    }
}
