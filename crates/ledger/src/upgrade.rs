//! From a log of version 1 to one of version 2: the same entries, each a commit of its own.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::error::{OpenError, StorageError};
use crate::frame::{Frames, MAGIC, Position, Version, encode};
use crate::storage::{Storage, create_new};

/// Puts a log of version 2 in the place of the one of version 1, which ends at `end`.
///
/// The signatures stay: they are over the tree, which is the same. Durable and atomic: after a crash one of
/// the two logs is there.
pub(crate) fn upgrade(dir: &Path, log: &File, end: u64, storage: &dyn Storage) -> Result<(), OpenError> {
    let path = dir.join("log");
    let temporary = dir.join("log.tmp");
    let failed = StorageError::at("write", &temporary);
    let mut frames =
        Frames::new(log, Version::One, Position::START, end).map_err(StorageError::at("read", &path))?;
    let mut copy = || -> Result<Result<(), std::io::Error>, crate::frame::FrameError> {
        let mut output = match create_new(&temporary) {
            Ok(file) => BufWriter::with_capacity(1 << 16, file),
            Err(error) => return Ok(Err(error)),
        };
        let mut result = output.write_all(MAGIC);
        while let (Ok(()), Some(commit)) = (&result, frames.advance()?) {
            let frame = encode(commit.first, &commit.body, &commit.leaves, None, &commit.signature);
            result = output.write_all(&frame.unwrap_or_default());
        }
        Ok(result.and_then(|()| output.flush()))
    };
    copy().map_err(|error| error.at(&path))?.map_err(failed)?;
    storage.install(&temporary, &path).map_err(StorageError::at("upgrade", &path))?;
    Ok(())
}
