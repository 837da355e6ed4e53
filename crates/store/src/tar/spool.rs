//! Large content of a stream.

use std::fs::File;
use std::io::{self, Read, Seek};

use aseptic_model::Digest;

use crate::files::READ_ONLY;
use crate::import::{CHUNKED_BYTES_MIN, large};
use crate::parallel::BUFFER_BYTES;
use crate::stage::Staging;
use crate::writer::{CopyError, Writer};

/// Adds what `source` holds, of which so many bytes are expected, in the form that an import of a file chooses.
///
/// What is stored in chunks is on disk whole for a while: only a file can be read by several threads.
pub(super) fn add(
    writer: &Writer<'_>,
    expected: Option<u64>,
    source: &mut impl Read,
) -> Result<(Digest, u64), CopyError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    if let Some(size) = expected.filter(|size| *size < CHUNKED_BYTES_MIN) {
        return writer.add_file(source, size, &mut buffer, |_| ());
    }
    let staging = writer.staging().map_err(CopyError::Write)?;
    let part = staging.part();
    let added = spool(writer, staging, &part, source, &mut buffer);
    staging.remove(&part);
    added
}

fn spool(
    writer: &Writer<'_>,
    staging: &Staging,
    part: &str,
    source: &mut impl Read,
    buffer: &mut [u8],
) -> Result<(Digest, u64), CopyError> {
    let failed = |error: io::Error| CopyError::Write(writer.failed(error));
    let mut file: File = staging.create(part, READ_ONLY).map_err(|error| failed(error.into()))?;
    let mut size = 0;
    loop {
        match source.read(buffer) {
            Ok(0) => break,
            Ok(count) => {
                staging.disk.write(&file, &buffer[..count]).map_err(failed)?;
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Read(error)),
        }
    }
    if size >= CHUNKED_BYTES_MIN {
        return large::add(writer, &file, size, large::THREADS, &|| false, &|_| ());
    }
    file.rewind().map_err(failed)?;
    writer.add_file(&mut file, size, buffer, |_| ())
}
