//! Files of an environment that were changed after a time: also those that a package was edited in by hand, which
//! no list of packages shows.
//!
//! What Python compiles for itself (`__pycache__`) is left out. A file that was removed is not noticed, nor is a
//! change while the clock was wrong; `aseptic env verify` reads every byte.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use aseptic_model::Timestamp;

use super::Sources;

/// Files and directories that are looked at, several times those of the largest environments.
const LOOKED_AT_MAX: usize = 1_000_000;

/// The first file found that was changed after `since`; also the one at which looking ended, in an environment
/// that is too large.
pub(crate) fn touched(sources: &Sources, since: Timestamp) -> Option<PathBuf> {
    let mut open: Vec<_> = sources.mounts.iter().cloned().chain(sources.sites()).collect();
    let mut left = LOOKED_AT_MAX;
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let changed_ms =
                metadata.ctime().saturating_mul(1000).saturating_add(metadata.ctime_nsec() / 1_000_000);
            left = left.saturating_sub(1);
            if left == 0 || !metadata.is_dir() && changed_ms >= since.as_unix_ms() {
                return Some(entry.path());
            }
            if metadata.is_dir() && entry.file_name() != "__pycache__" {
                open.push(entry.path());
            }
        }
    }
    None
}
