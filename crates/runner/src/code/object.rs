//! Objects of git, read from its files.
//!
//! **Invariant:** an object is what its name says: its bytes are hashed before they are given. So whatever is wrong with
//! the files, a commit has the trees that it has.
//! **Invariant:** whatever the files hold, memory and time are bounded.
//!
//! Source: gitformat-pack(5), gitrepository-layout(5).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::git;

/// Largest commit, tree or difference in bytes: a directory of a million files.
const OBJECT_BYTES_MAX: usize = 64 << 20;

/// Differences on top of each other; git makes 50, and permits this many.
const CHAIN_MAX: usize = 4_095;

/// Bytes of all differences of one object together.
const CHAIN_BYTES_MAX: usize = 2 * OBJECT_BYTES_MAX;

/// Bytes that all differences of one object make: each is small, and may make a large object.
const MADE_BYTES_MAX: usize = 64 * OBJECT_BYTES_MAX;

/// Packs of one repository, each with an open file; git puts them together when there are 50.
const PACKS_MAX: usize = 256;

/// Other places of objects, one after the other.
const PLACES_MAX: usize = 16;

/// The name of an object: SHA-1, or SHA-256 in repositories of that format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id(Vec<u8>);

impl Id {
    /// From 40 or 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        matches!(bytes.len(), 20 | 32).then_some(Self(bytes))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_owned())
    }

    pub(super) fn length(&self) -> usize {
        self.0.len()
    }

    /// Whether it is the name of an object of `kind` with the bytes of `source`, which are `size`.
    ///
    /// # Errors
    /// Those of `source`.
    pub(super) fn is_of(&self, kind: &str, size: u64, source: &mut dyn Read) -> io::Result<bool> {
        let header = format!("{kind} {size}\0");
        let digest = match self.0.len() {
            20 => hashed(Sha1::new(), &header, source)?,
            _ => hashed(Sha256::new(), &header, source)?,
        };
        Ok(digest == self.0)
    }
}

fn hashed(mut hash: impl sha2::Digest, header: &str, source: &mut dyn Read) -> io::Result<Vec<u8>> {
    hash.update(header);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().to_vec()),
            Ok(length) => hash.update(buffer.get(..length).unwrap_or(&[])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where a repository has its objects.
pub(super) struct Objects {
    places: Vec<PathBuf>,
    packs: Vec<Pack>,
}

struct Pack {
    index: File,
    pack: PathBuf,
}

impl Objects {
    /// Those of the repository whose common directory is `common`, and of the repositories that it borrows from.
    pub(super) fn open(common: &Path) -> Self {
        let mut places = vec![common.join("objects")];
        let mut next = 0;
        while let Some(place) = places.get(next).cloned() {
            next += 1;
            let borrowed = git::read(&place.join("info/alternates")).unwrap_or_default();
            let room = PLACES_MAX - places.len();
            let lines = borrowed.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
            places.extend(lines.map(|line| place.join(line)).take(room));
        }
        let packs = places.iter().flat_map(|place| packs(&place.join("pack"))).take(PACKS_MAX).collect();
        Self { places, packs }
    }

    /// The bytes of the object `id`, if it is of `kind` and can be read.
    pub(super) fn get(&self, kind: &str, id: &Id) -> Option<Vec<u8>> {
        let bytes = self.loose(kind, id).or_else(|| self.packed(kind, id))?;
        let is_it = id.is_of(kind, bytes.len() as u64, &mut bytes.as_slice());
        is_it.is_ok_and(|is_it| is_it).then_some(bytes)
    }

    fn loose(&self, kind: &str, id: &Id) -> Option<Vec<u8>> {
        let digits = data_encoding::HEXLOWER.encode(&id.0);
        let (directory, name) = digits.split_at_checked(2)?;
        let path = |place: &PathBuf| place.join(directory).join(name);
        let file = self.places.iter().find_map(|place| regular(&path(place)))?;
        let bytes = inflate(file, OBJECT_BYTES_MAX)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let header = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let size: usize = header.strip_prefix(kind)?.strip_prefix(' ')?.parse().ok()?;
        let content = bytes.get(end + 1..)?;
        (content.len() == size).then(|| content.to_owned())
    }

    fn packed(&self, kind: &str, id: &Id) -> Option<Vec<u8>> {
        let (pack, at) = self.packs.iter().find_map(|pack| Some((pack, pack.find(id)?)))?;
        pack.read(kind, at, id.length())
    }
}

fn packs(directory: &Path) -> Vec<Pack> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let indexes = entries.filter(|path| path.extension().is_some_and(|extension| extension == "idx"));
    indexes
        .take(PACKS_MAX)
        .filter_map(|path| Some(Pack { index: regular(&path)?, pack: path.with_extension("pack") }))
        .collect()
}

/// An open regular file: a FIFO would wait for a writer.
fn regular(path: &Path) -> Option<File> {
    path.metadata().ok()?.is_file().then(|| File::open(path).ok())?
}

fn inflate(source: impl Read, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(source).take(most as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= most).then_some(bytes)
}

/// Where the parts of a pack's index begin: the numbers of names by their first byte come right after 8 bytes.
const FANOUT: u64 = 8;
const NAMES: u64 = FANOUT + 256 * 4;

impl Pack {
    fn number(&self, at: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.index.read_exact_at(&mut bytes, at).ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    /// Where in the pack an object is.
    fn find(&self, id: &Id) -> Option<u64> {
        if (self.number(0)?, self.number(4)?) != (0xff74_4f63, 2) {
            return None; // Version 1 was the last before 2007.
        }
        let first = u64::from(*id.0.first()?);
        let mut from = match first {
            0 => 0,
            first => u64::from(self.number(FANOUT + (first - 1) * 4)?),
        };
        let mut to = u64::from(self.number(FANOUT + first * 4)?);
        let all = u64::from(self.number(FANOUT + 255 * 4)?);
        let length = id.length() as u64;
        let mut name = vec![0; id.length()];
        while from < to {
            let middle = from + (to - from) / 2;
            self.index.read_exact_at(&mut name, NAMES + middle * length).ok()?;
            match name.cmp(&id.0) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
                std::cmp::Ordering::Equal => {
                    let offsets = NAMES + all * (length + 4); // After the names come checksums.
                    let offset = self.number(offsets + middle * 4)?;
                    let Some(large) = offset.checked_sub(1 << 31) else { return Some(offset.into()) };
                    let at = offsets + all * 4 + u64::from(large) * 8;
                    return Some((u64::from(self.number(at)?) << 32) | u64::from(self.number(at + 4)?));
                }
            }
        }
        None
    }

    /// The object at `at`, put together from what it differs from, if it is of `kind`.
    fn read(&self, kind: &str, at: u64, id_length: usize) -> Option<Vec<u8>> {
        let pack = regular(&self.pack)?;
        let mut at = at;
        let mut differences = Vec::new();
        let mut bytes = 0;
        loop {
            let mut entry = Entry::new(&pack, at);
            let (number, _) = entry.header()?;
            let base = match number {
                1 | 2 => {
                    let found = if number == 1 { "commit" } else { "tree" };
                    let whole = inflate(entry.rest(), OBJECT_BYTES_MAX).filter(|_| found == kind)?;
                    let mut made = 0;
                    return differences.iter().rev().try_fold(whole, |base, difference: &Vec<u8>| {
                        let next = apply(&base, difference)?;
                        made += next.len();
                        (made <= MADE_BYTES_MAX).then_some(next)
                    });
                }
                6 => at.checked_sub(entry.distance()?).filter(|base| *base < at)?,
                7 => {
                    let base = Id(entry.bytes(id_length)?);
                    self.find(&base)?
                }
                _ => return None,
            };
            let difference = inflate(entry.rest(), OBJECT_BYTES_MAX)?;
            bytes += difference.len();
            differences.push(difference);
            if differences.len() > CHAIN_MAX || bytes > CHAIN_BYTES_MAX {
                return None;
            }
            at = base;
        }
    }
}

/// One object in a pack.
struct Entry<'p> {
    pack: &'p File,
    at: u64,
}

impl<'p> Entry<'p> {
    fn new(pack: &'p File, at: u64) -> Self {
        Self { pack, at }
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.pack.read_exact_at(&mut bytes, self.at).ok()?;
        self.at += length as u64;
        Some(bytes)
    }

    /// Its kind and size.
    fn header(&mut self) -> Option<(u8, u64)> {
        let mut byte = self.byte()?;
        let (kind, mut size, mut shift) = ((byte >> 4) & 7, u64::from(byte & 15), 4);
        while byte & 0x80 != 0 {
            byte = self.byte().filter(|_| shift < 57)?;
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
        }
        Some((kind, size))
    }

    /// How far before it is what it differs from.
    fn distance(&mut self) -> Option<u64> {
        let mut byte = self.byte()?;
        let mut distance = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            distance = distance.checked_add(1)?.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        }
        Some(distance)
    }

    /// Everything after what was read.
    fn rest(&self) -> impl Read + 'p {
        From { file: self.pack, at: self.at }
    }
}

/// A file from some place on.
struct From<'f> {
    file: &'f File,
    at: u64,
}

impl Read for From<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

/// What `difference` makes of `base`.
fn apply(base: &[u8], difference: &[u8]) -> Option<Vec<u8>> {
    let mut rest = difference;
    let before = size(&mut rest)?;
    let after = size(&mut rest)?;
    if before != base.len() || after > OBJECT_BYTES_MAX {
        return None;
    }
    let mut made = Vec::new();
    while let Some((command, after_command)) = rest.split_first() {
        rest = after_command;
        if command & 0x80 == 0 {
            let (new, after_new) = rest.split_at_checked(usize::from(*command)).filter(|_| *command > 0)?;
            made.extend_from_slice(new);
            rest = after_new;
        } else {
            let mut part = |bits: std::ops::Range<u8>| {
                let mut number = 0_usize;
                for (place, bit) in bits.enumerate() {
                    if command & (1 << bit) != 0 {
                        let (byte, after_byte) = rest.split_first()?;
                        number |= usize::from(*byte) << (8 * place);
                        rest = after_byte;
                    }
                }
                Some(number)
            };
            let from = part(0..4)?;
            let length = match part(4..7)? {
                0 => 0x1_0000,
                length => length,
            };
            made.extend_from_slice(base.get(from..from.checked_add(length)?)?);
        }
        if made.len() > after {
            return None;
        }
    }
    (made.len() == after).then_some(made)
}

fn size(rest: &mut &[u8]) -> Option<usize> {
    let (mut size, mut shift) = (0_usize, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        size |= usize::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 57)?;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(size);
        }
    }
}
