//! Reading objects, however they are stored.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use aseptic_model::Digest;

use crate::compress;
use crate::error::StoreError;
use crate::files::Stamp;
use crate::object::{Content, Store};
use crate::pack::{Form, recipe};
use crate::segment::Entry;

/// Objects that are compressed have at most this many bytes, so that one fits in memory.
pub(crate) const COMPRESSED_BYTES_MAX: u64 = 16 << 20;
/// Largest recipe in bytes: that of an object of some 1.8 TiB. Bounds the memory that a damaged index can cost.
const RECIPE_BYTES_MAX: u64 = 256 << 20;
/// Entries of a recipe that are read at once.
const RECIPE_ENTRIES: usize = 256;

/// Where an object was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// In a file of its own.
    Loose(File, u64),
    /// In a pack.
    Packed(Arc<File>, Entry),
}

impl Found {
    /// The state of the file that all bytes of the object are in; `None` when they are in several.
    pub(crate) fn stamp(&self) -> io::Result<Option<Stamp>> {
        match self {
            Self::Loose(file, _) => Stamp::of_open(file.as_fd()).map(Some),
            Self::Packed(_, Entry { form: Form::Chunked, .. }) => Ok(None),
            Self::Packed(pack, _) => Stamp::of_open(pack.as_fd()).map(Some),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Loose(_, size) => *size,
            Self::Packed(_, entry) => entry.size,
        }
    }

    /// Bytes that it takes on disk; of a chunked object, those of the list of its chunks.
    pub(crate) fn stored(&self) -> u64 {
        match self {
            Self::Loose(_, size) => *size,
            Self::Packed(_, entry) => entry.stored,
        }
    }
}

/// The bytes of an object, not checked.
#[derive(Debug)]
pub(crate) enum Source<'s> {
    File(File),
    Pack(Piece),
    Memory(io::Cursor<Vec<u8>>),
    Chunks(Box<Chunks<'s>>),
}

/// Bytes of a pack that are left to read.
#[derive(Debug)]
pub(crate) struct Piece {
    pack: Arc<File>,
    at: u64,
    left: u64,
}

/// A chunked object that is being read.
#[derive(Debug)]
pub(crate) struct Chunks<'s> {
    store: &'s Store,
    digest: Digest,
    recipe: Piece,
    /// Entries of the recipe that were read, and how many of them were used.
    entries: Vec<u8>,
    used: usize,
    chunk: Option<(Source<'s>, u64)>,
    left: u64,
}

impl Source<'_> {
    /// The bytes of a pack that stand for an object, in whatever form.
    pub(crate) fn stored(pack: Arc<File>, entry: &Entry) -> Self {
        Self::Pack(Piece { pack, at: entry.offset, left: entry.stored })
    }
}

impl Store {
    /// Begins to read what was found.
    pub(crate) fn source(&self, found: Found, digest: &Digest) -> Result<Source<'_>, StoreError> {
        let corrupt = || StoreError::Corrupt { digest: *digest };
        let (pack, entry) = match found {
            Found::Loose(file, _) => return Ok(Source::File(file)),
            Found::Packed(pack, entry) => (pack, entry),
        };
        let mut piece = Piece { pack, at: entry.offset, left: entry.stored };
        match entry.form {
            Form::Plain if entry.stored == entry.size => Ok(Source::Pack(piece)),
            Form::Plain => Err(corrupt()),
            Form::Zstd => {
                // Nothing is longer compressed than plain, or it would not be.
                if entry.size > COMPRESSED_BYTES_MAX || entry.stored >= entry.size {
                    return Err(corrupt());
                }
                let mut stored = vec![0; usize::try_from(entry.stored).map_err(|_| corrupt())?];
                piece.read_exact(&mut stored).map_err(|error| self.read_failed(digest, error))?;
                let size = usize::try_from(entry.size).map_err(|_| corrupt())?;
                let restored = compress::restore(&stored, size);
                let bytes = restored.map_err(|error| self.object_io(digest, error))?.ok_or_else(corrupt)?;
                Ok(Source::Memory(io::Cursor::new(bytes)))
            }
            Form::Chunked => {
                if entry.stored % recipe::ENTRY_BYTES as u64 != 0 {
                    return Err(corrupt());
                }
                Ok(Source::Chunks(Box::new(Chunks {
                    store: self,
                    digest: *digest,
                    recipe: piece,
                    entries: Vec::new(),
                    used: 0,
                    chunk: None,
                    left: entry.size,
                })))
            }
        }
    }

    /// The chunks of a chunked object, and the length of each.
    pub(crate) fn recipe(&self, pack: &File, entry: &Entry) -> Result<Vec<(Digest, u32)>, StoreError> {
        let corrupt = || StoreError::Corrupt { digest: entry.digest };
        if entry.stored > RECIPE_BYTES_MAX || !entry.stored.is_multiple_of(recipe::ENTRY_BYTES as u64) {
            return Err(corrupt());
        }
        let mut bytes = vec![0; usize::try_from(entry.stored).map_err(|_| corrupt())?];
        let read = pack.read_exact_at(&mut bytes, entry.offset);
        read.map_err(|error| self.read_failed(&entry.digest, error))?;
        Ok(bytes.as_chunks().0.iter().map(recipe::decode).collect())
    }

    /// What a failed read of an object means: a pack that ends too early, or a chunk that is damaged, is
    /// damage of the object.
    pub(crate) fn read_failed(&self, digest: &Digest, error: io::Error) -> StoreError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return StoreError::Corrupt { digest: *digest };
        }
        match error.downcast::<StoreError>() {
            Ok(error) => error,
            Err(error) => self.object_io(digest, error),
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Pack(piece) => piece.read(buffer),
            Self::Memory(bytes) => bytes.read(buffer),
            Self::Chunks(chunks) => chunks.read(buffer),
        }
    }
}

impl Read for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        if i64::try_from(self.at).is_err() {
            return Err(io::ErrorKind::UnexpectedEof.into()); // Behind the end of any file.
        }
        let count = self.pack.read_at(&mut buffer[..most], self.at)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Chunks<'_> {
    /// Opens the next chunk; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let corrupt = || io::Error::other(StoreError::Corrupt { digest: self.digest });
        if self.used == self.entries.len() {
            let most = (RECIPE_ENTRIES * recipe::ENTRY_BYTES) as u64;
            let count = usize::try_from(self.recipe.left.min(most)).map_err(io::Error::other)?;
            if count == 0 {
                return if self.left == 0 { Ok(false) } else { Err(corrupt()) };
            }
            self.entries.resize(count, 0);
            self.recipe.read_exact(&mut self.entries)?;
            self.used = 0;
        }
        let entry = self.entries[self.used..].first_chunk().ok_or_else(corrupt)?;
        let (digest, listed) = recipe::decode(entry);
        self.used += recipe::ENTRY_BYTES;
        let length = u64::from(listed);
        let found = self.store.find(&digest).map_err(io::Error::other)?;
        // A chunk of chunks would be a way to read for ever.
        let chunked = matches!(&found, Found::Packed(_, Entry { form: Form::Chunked, .. }));
        if chunked || !recipe::is_length(listed) || found.size() != length || length > self.left {
            return Err(corrupt());
        }
        self.left -= length;
        self.chunk = Some((self.store.source(found, &digest).map_err(io::Error::other)?, length));
        Ok(true)
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((chunk, left)) = &mut self.chunk {
                let count = chunk.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    *left = left.saturating_sub(count as u64);
                    return Ok(count);
                }
                if *left > 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            self.chunk = None;
            if !self.advance()? {
                return Ok(0);
            }
        }
    }
}

/// The content of an object, however it is stored; see [`Store::reader`].
///
/// The end comes only if all bytes before it were those of the digest: otherwise the last read is an error
/// that carries a [`StoreError`]. Until then what was read is not to be trusted.
#[derive(Debug)]
pub struct ObjectReader<'s> {
    source: Source<'s>,
    hasher: blake3::Hasher,
    digest: Digest,
    size: u64,
    left: u64,
    checked: bool,
}

impl ObjectReader<'_> {
    /// Bytes of the object.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Store {
    /// Begins to read an object.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Corrupt`], [`StoreError::Io`].
    pub fn reader(&self, digest: &Digest) -> Result<ObjectReader<'_>, StoreError> {
        let found = self.find(digest)?;
        let size = found.size();
        let source = self.source(found, digest)?;
        let hasher = blake3::Hasher::new();
        Ok(ObjectReader { source, hasher, digest: *digest, size, left: size, checked: false })
    }

    /// Reads an object to the end, shows every piece to `take`, and checks its content.
    pub(crate) fn read_object<E: From<StoreError>>(
        &self,
        content: Content,
        buffer: &mut [u8],
        take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let found = self.find(&content.digest)?;
        self.read_found(found, content, buffer, take)
    }

    /// As [`Store::read_object`], for an object that was found.
    pub(crate) fn read_found<E: From<StoreError>>(
        &self,
        found: Found,
        content: Content,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let corrupt = || StoreError::Corrupt { digest: content.digest }.into();
        if found.size() != content.size {
            return Err(corrupt());
        }
        let mut source = self.source(found, &content.digest)?;
        let mut hasher = blake3::Hasher::new();
        let mut left = content.size;
        while left > 0 {
            let count = match source.read(buffer) {
                Ok(0) => return Err(corrupt()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.read_failed(&content.digest, error).into()),
            };
            let Some(rest) = left.checked_sub(count as u64) else { return Err(corrupt()) };
            left = rest;
            hasher.update(&buffer[..count]);
            take(&buffer[..count])?;
        }
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        if digest == content.digest { Ok(()) } else { Err(corrupt()) }
    }
}

impl Read for ObjectReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let corrupt = || io::Error::other(StoreError::Corrupt { digest: self.digest });
        if self.left == 0 {
            if !self.checked && *self.hasher.finalize().as_bytes() != *self.digest.as_bytes() {
                return Err(corrupt());
            }
            self.checked = true;
            return Ok(0);
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.source.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(corrupt());
        }
        self.left -= count as u64;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
