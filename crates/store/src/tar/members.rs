//! The entries of an archive, one after the other.
//!
//! Header blocks are taken apart by the `tar` crate. Its own reader of entries is not used: it takes no
//! names with newlines from pax headers, holds headers of any length in memory, and shows the stored form of
//! sparse files of the newer kinds as their content.
//!
//! Source: GNU tar manual, "Basic Tar Format"; POSIX.1-2017, "ustar Interchange Format".

use std::vec;

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::TarError;
use super::extended::{EXTENDED_BYTES_MAX, Extended, number};
use super::sparse::{Map, Piece};
use super::stream::Stream;

const BLOCK: usize = 512;
/// Holes of all sparse files together: as in a capture, a hole costs time and nothing else bounds it.
const HOLES_BYTES_MAX: u64 = 4 << 30;

/// One entry.
#[derive(Debug)]
pub(super) struct Member {
    /// As in the archive.
    pub(super) path: Vec<u8>,
    pub(super) kind: MemberKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    File {
        size: u64,
        executable: bool,
    },
    Directory,
    Symlink(Vec<u8>),
    /// Another name of an entry that came before.
    Again(Vec<u8>),
    /// A FIFO or device.
    Special,
}

/// An archive that is read entry by entry.
pub(super) struct Members<'r> {
    stream: Stream<'r>,
    /// Bytes of the present entry that are in the archive and not read yet, and the padding behind them.
    stored: u64,
    padding: u64,
    /// What is left of its content: the length of a hole and of the data behind it.
    pieces: vec::IntoIter<Piece>,
    piece: Piece,
    holes: u64,
}

impl<'r> Members<'r> {
    pub(super) fn new(stream: Stream<'r>) -> Self {
        Self { stream, stored: 0, padding: 0, pieces: Vec::new().into_iter(), piece: (0, 0), holes: 0 }
    }

    /// Decompressed bytes that were read so far.
    pub(super) fn offset(&self) -> u64 {
        self.stream.offset()
    }

    /// The next entry, whatever was read of the one before. `None` at the end, when that is all there is.
    pub(super) fn next(&mut self) -> Result<Option<Member>, TarError> {
        let mut extended = Extended::default();
        loop {
            self.skip()?;
            let mut block = [0; BLOCK];
            self.stream.fill_all(&mut block)?;
            if block == [0; BLOCK] {
                if !extended.is_empty() {
                    return Err(self.stream.malformed("an extended header has no entry"));
                }
                self.end()?;
                return Ok(None);
            }
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&block);
            if !is_summed(&block, &header) {
                return Err(self.stream.malformed("the checksum of a header is wrong"));
            }
            let size = size_of(&header).map_err(|what| self.stream.malformed(what))?;
            let kind = header.entry_type();
            match kind {
                EntryType::GNULongName => extended.path = Some(terminated(self.extended(size)?)),
                EntryType::GNULongLink => extended.target = Some(terminated(self.extended(size)?)),
                EntryType::XHeader => {
                    let records = self.extended(size)?;
                    extended.read(&records).map_err(|what| self.stream.malformed(what))?;
                }
                EntryType::XGlobalHeader => {
                    // A comment, as git writes it, is fine. What would change entries is never seen.
                    let (mut global, records) = (Extended::default(), self.extended(size)?);
                    global.read(&records).map_err(|what| self.stream.malformed(what))?;
                    if !global.is_empty() {
                        return Err(self.stream.malformed("a global header names or sizes all entries"));
                    }
                }
                _ if kind.as_byte() == b'V' => self.content(size)?, // The label of a volume.
                _ => return self.member(&header, size, extended).map(Some),
            }
        }
    }

    fn member(&mut self, header: &Header, size: u64, extended: Extended) -> Result<Member, TarError> {
        let path = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = extended.target.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let no_target = "a link has no target";
        let kind = header.entry_type();
        let size = if kind == EntryType::Link { 0 } else { extended.size.unwrap_or(size) };
        self.content(size)?;
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => MemberKind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let size = match (kind, extended.sparse) {
                    (EntryType::GNUSparse, _) => self.sparse_old(header, size)?,
                    (_, Some(sparse)) => {
                        let map = match (sparse.major, sparse.minor) {
                            (0, _) => sparse.map,
                            (1, 0) => self.map()?,
                            _ => return Err(self.stream.malformed("a sparse file is of an unknown kind")),
                        };
                        let real = sparse.size;
                        let real = real.ok_or_else(|| self.stream.malformed("a sparse file has no size"))?;
                        self.sparse(map, real)?
                    }
                    (_, None) => size,
                };
                let mode = header.mode().map_err(|_| self.stream.malformed("a mode is not a number"))?;
                MemberKind::File { size, executable: mode & 0o100 != 0 }
            }
            EntryType::Directory => MemberKind::Directory,
            EntryType::Symlink => {
                MemberKind::Symlink(target.ok_or_else(|| self.stream.malformed(no_target))?)
            }
            EntryType::Link => MemberKind::Again(target.ok_or_else(|| self.stream.malformed(no_target))?),
            EntryType::Char | EntryType::Block | EntryType::Fifo => MemberKind::Special,
            // A directory of GNU tar's incremental backups: its content is a list of names.
            other if other.as_byte() == b'D' => MemberKind::Directory,
            _ => return Err(self.stream.malformed("an entry is of an unknown kind")),
        };
        Ok(Member { path, kind })
    }

    /// Reads the next bytes of the present entry's content; 0 at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        loop {
            let (hole, data) = &mut self.piece;
            if *hole > 0 {
                let count = usize::try_from(*hole).map_or(buffer.len(), |hole| hole.min(buffer.len()));
                buffer[..count].fill(0);
                *hole -= count as u64;
                self.stream.count(count as u64)?;
                return Ok(count);
            }
            if *data > 0 {
                let count = usize::try_from(*data).map_or(buffer.len(), |data| data.min(buffer.len()));
                *data -= count as u64;
                self.stored -= count as u64;
                self.stream.fill_all(&mut buffer[..count])?;
                return Ok(count);
            }
            match self.pieces.next() {
                Some(next) => self.piece = next,
                None => return Ok(0),
            }
        }
    }

    /// Prepares to read `size` bytes of content.
    fn content(&mut self, size: u64) -> Result<(), TarError> {
        let blocks = size.checked_next_multiple_of(BLOCK as u64);
        let padding = blocks.ok_or_else(|| self.stream.malformed("an entry is too large"))? - size;
        (self.stored, self.padding) = (size, padding);
        (self.piece, self.pieces) = ((0, size), Vec::new().into_iter());
        Ok(())
    }

    /// Content of a header of its own kind.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENDED_BYTES_MAX {
            return Err(self.stream.malformed("an extended header is too long"));
        }
        self.content(size)?;
        // The size may lie: memory grows with what is there.
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match self.read(&mut buffer)? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Lets the content be that of a sparse file. Returns its size.
    fn sparse(&mut self, map: Map, size: u64) -> Result<u64, TarError> {
        if map.data() != self.stored {
            return Err(self.stream.malformed("a sparse file does not have the pieces that it names"));
        }
        let (pieces, holes) = map.finish(size).map_err(|what| self.stream.malformed(what))?;
        self.holes = self.holes.saturating_add(holes);
        if self.holes > HOLES_BYTES_MAX {
            return Err(self.stream.malformed("its sparse files have more than 4 GiB of holes"));
        }
        (self.piece, self.pieces) = ((0, 0), pieces.into_iter());
        Ok(size)
    }

    /// A sparse file of GNU tar's own format: pieces are in the header and in blocks behind it.
    fn sparse_old(&mut self, header: &Header, size: u64) -> Result<u64, TarError> {
        let wrong = "a sparse file has no map";
        let gnu = header.as_gnu().ok_or_else(|| self.stream.malformed(wrong))?;
        let mut map = Map::default();
        let mut more = gnu.is_extended();
        self.pieces_of(&mut map, &gnu.sparse)?;
        while more {
            let mut block = GnuExtSparseHeader::new();
            self.stream.fill_all(block.as_mut_bytes())?;
            self.pieces_of(&mut map, block.sparse())?;
            more = block.is_extended();
        }
        let real = gnu.real_size().map_err(|_| self.stream.malformed(wrong))?;
        self.content(size)?;
        self.sparse(map, real)
    }

    fn pieces_of(&self, map: &mut Map, pieces: &[GnuSparseHeader]) -> Result<(), TarError> {
        let wrong = |_| self.stream.malformed("a piece of a sparse file is not a number");
        for piece in pieces.iter().take_while(|piece| !piece.is_empty()) {
            let (offset, length) = (piece.offset().map_err(wrong)?, piece.length().map_err(wrong)?);
            map.push(offset, length).map_err(|what| self.stream.malformed(what))?;
        }
        Ok(())
    }

    /// The map that stands before the content of a sparse file of version 1.0: numbers, a line each, the
    /// first says how many pieces there are.
    fn map(&mut self) -> Result<Map, TarError> {
        let (mut map, mut line, mut offset, mut left) = (Map::default(), Vec::new(), None, None);
        loop {
            let mut block = [0; BLOCK];
            if self.stored < BLOCK as u64 {
                return Err(self.stream.malformed("the map of a sparse file is cut off"));
            }
            self.stream.fill_all(&mut block)?;
            self.stored -= BLOCK as u64;
            for byte in block {
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > 20 {
                        return Err(self.stream.malformed("the map of a sparse file holds no numbers"));
                    }
                    continue;
                }
                let value = number(&line).map_err(|what| self.stream.malformed(what))?;
                line.clear();
                match (left, offset.take()) {
                    (None, _) => left = Some(value),
                    (Some(_), None) => offset = Some(value),
                    (Some(count), Some(start)) => {
                        map.push(start, value).map_err(|what| self.stream.malformed(what))?;
                        left = Some(count - 1);
                    }
                }
                if left == Some(0) {
                    return Ok(map); // The rest of the block is padding.
                }
            }
        }
    }

    /// Skips what is left of the present entry.
    fn skip(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 16 * BLOCK];
        let mut left = self.stored.saturating_add(self.padding);
        while left > 0 {
            let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            self.stream.fill_all(&mut buffer[..count])?;
            left -= count as u64;
        }
        self.content(0)
    }

    /// Reads on to the very end, so that the checksums of the compressed form are looked at. Behind the mark
    /// of the end there is padding; entries of another archive there would be lost silently.
    fn end(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 16 * BLOCK];
        loop {
            match self.stream.fill(&mut buffer)? {
                0 => return Ok(()),
                count if buffer[..count].iter().any(|byte| *byte != 0) => {
                    return Err(self.stream.malformed("something follows its end"));
                }
                _ => {}
            }
        }
    }
}

/// A text up to its NUL.
fn terminated(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}

/// Whether the checksum of a header is that of its bytes, as numbers without sign or, in old archives, with.
fn is_summed(block: &[u8; BLOCK], header: &Header) -> bool {
    let Ok(expected) = header.cksum() else { return false };
    let covered = |index: &usize| !(148..156).contains(index);
    let sum = |value: fn(u8) -> i64| {
        let bytes = (0..BLOCK).filter(covered).map(|index| value(block[index])).sum::<i64>();
        bytes + 8 * i64::from(b' ')
    };
    [sum(i64::from), sum(|byte| i64::from(byte.cast_signed()))].contains(&i64::from(expected))
}
/// The size that a header says. In base 256 it has more bytes than 64 bits, which `tar` does not look at.
fn size_of(header: &Header) -> Result<u64, &'static str> {
    let field = header.as_old().size;
    if field[0] & 0x80 != 0 && (field[0] != 0x80 || field[1..4] != [0; 3]) {
        return Err("an entry is too large");
    }
    header.entry_size().map_err(|_| "the size of an entry is not a number")
}
