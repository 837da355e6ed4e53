//! What is compared: a file, or bytes in memory. Both are read at any place, by any number of readers.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

/// The content of a file.
#[derive(Clone, Debug)]
pub struct Content {
    inner: Inner,
    size: u64,
}

#[derive(Clone, Debug)]
enum Inner {
    File(Arc<File>),
    Bytes(Bytes),
}

impl Content {
    /// A file that nobody changes.
    ///
    /// # Errors
    /// Its size cannot be told.
    pub fn file(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { inner: Inner::File(Arc::new(file)), size })
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { size: bytes.len() as u64, inner: Inner::Bytes(bytes) }
    }

    /// Number of bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A reader from the start.
    pub(crate) fn reader(&self) -> Reader {
        self.reader_at(0)
    }

    pub(crate) fn reader_at(&self, position: u64) -> Reader {
        Reader { content: self.clone(), position }
    }

    /// The first bytes, at most `max`.
    pub(crate) fn start(&self, max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader().take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.inner {
            Inner::File(file) => file.read_at(buffer, position),
            Inner::Bytes(bytes) => {
                let rest = usize::try_from(position).ok().and_then(|start| bytes.get(start..));
                rest.unwrap_or_default().read(buffer)
            }
        }
    }
}

/// Reads a [`Content`] from a place of its own. No other crate can name it.
#[derive(Clone, Debug)]
pub struct Reader {
    content: Content,
    position: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read_at(self.position, buffer)?;
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.content.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl parquet::file::reader::Length for Content {
    fn len(&self) -> u64 {
        self.size
    }
}

impl parquet::file::reader::ChunkReader for Content {
    type T = io::BufReader<Reader>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(io::BufReader::new(self.reader_at(start)))
    }

    /// A length that lies outside of the file is an error before anything is allocated.
    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(parquet::errors::ParquetError::EOF("a part lies outside of the file".to_owned()));
        }
        let mut bytes = vec![0; length];
        self.reader_at(start).read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}
