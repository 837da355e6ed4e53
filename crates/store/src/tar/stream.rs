//! The bytes of an archive, decompressed, counted and bounded.

use std::io::{self, BufReader, Read};

use super::TarError;

/// What is read of the compressed archive at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Longest of the marks below.
const MARK_BYTES: usize = 6;

/// First bytes of what is recognised. The content decides, never a name.
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const OTHERS: [(&[u8], &str); 5] = [
    (b"BZh", "compressed with bzip2"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "compressed with xz"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
];

/// An archive that is being read from its start to its end.
pub(super) struct Stream<'r> {
    source: Box<dyn Read + Send + 'r>,
    /// Decompressed bytes that were read.
    offset: u64,
    max: Option<u64>,
}

impl<'r> Stream<'r> {
    /// Looks at the first bytes of `reader` and begins to decompress if they say so. More than `max`
    /// decompressed bytes are refused.
    pub(super) fn new(reader: impl Read + Send + 'r, max: Option<u64>) -> Result<Self, TarError> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        let mut mark = [0; MARK_BYTES];
        let count = fill(&mut reader, &mut mark).map_err(TarError::Unreadable)?;
        let mark = &mark[..count];
        if let Some((_, what)) = OTHERS.iter().find(|(other, _)| mark.starts_with(other)) {
            return Err(TarError::Kind { what });
        }
        let whole = io::Cursor::new(mark.to_vec()).chain(reader);
        let source: Box<dyn Read + Send + 'r> = if mark.starts_with(GZIP) {
            Box::new(flate2::read::MultiGzDecoder::new(whole))
        } else if mark.starts_with(ZSTD) {
            // Frames that need a window of more than 128 MiB are refused by the decoder.
            Box::new(zstd::stream::read::Decoder::new(whole).map_err(TarError::Unreadable)?)
        } else {
            Box::new(whole)
        };
        Ok(Self { source, offset: 0, max })
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Fills `buffer`, or as much of it as there is.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let count = fill(&mut self.source, buffer).map_err(|error| self.failed(error))?;
        self.count(count as u64)?;
        Ok(count)
    }

    /// Fills all of `buffer`.
    pub(super) fn fill_all(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        if self.fill(buffer)? == buffer.len() { Ok(()) } else { Err(self.truncated()) }
    }

    /// Counts bytes that cost as much as if they had been in the archive.
    pub(super) fn count(&mut self, bytes: u64) -> Result<(), TarError> {
        self.offset = self.offset.saturating_add(bytes);
        match self.max {
            Some(max) if self.offset > max => Err(TarError::TooLarge { max }),
            _ => Ok(()),
        }
    }

    pub(super) fn truncated(&self) -> TarError {
        TarError::Truncated { offset: self.offset }
    }

    pub(super) fn malformed(&self, what: &'static str) -> TarError {
        TarError::Malformed { offset: self.offset, what }
    }

    fn failed(&self, error: io::Error) -> TarError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.truncated(),
            // What the system says has a number; what a decompressor says has none.
            _ if error.raw_os_error().is_some() => TarError::Unreadable(error),
            _ => TarError::Compression { offset: self.offset, source: error },
        }
    }
}

fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
