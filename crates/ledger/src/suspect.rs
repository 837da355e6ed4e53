//! Which entry of a damaged commit is the wrong one, as far as the published hashes know.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::frame::{Damage, FrameError, HEADER_BYTES, Position, decode_header, leaves};
use crate::tiles::leaves_from;

/// `error`, with the index of the entry instead of that of the first of its commit, which begins at `at`, if the
/// hashes in the tiles tell.
///
/// They only choose a name: that the commit is damaged is known without them.
pub(crate) fn named(error: FrameError, dir: &Path, log: &File, at: Position) -> FrameError {
    match &error {
        FrameError::Broken { damage: Damage::Checksum { entries: 2.. }, .. } => match wrong(dir, log, at) {
            Some(index) => FrameError::Broken { index, damage: Damage::Checksum { entries: 1 } },
            None => error,
        },
        _ => error,
    }
}

/// The first entry of the commit at `at` that has another hash than in the tiles.
fn wrong(dir: &Path, log: &File, at: Position) -> Option<u64> {
    let mut header = [0; HEADER_BYTES];
    log.read_exact_at(&mut header, at.offset).ok()?;
    let head = decode_header(&header)?;
    let mut body = vec![0; usize::try_from(head.body).ok()?];
    log.read_exact_at(&mut body, at.offset + HEADER_BYTES as u64).ok()?;
    let found = leaves(&body, head.count)?;
    let known = leaves_from(dir, at.index, head.count)?;
    let place = found.iter().zip(&known).position(|(found, known)| found != known)?;
    Some(at.index + place as u64)
}
