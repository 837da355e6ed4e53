//! Files that are locked by whoever changes what they stand for.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Makes the file at `path` if there is none, and waits for the lock on it, which is held until it is dropped or its
/// process is gone.
///
/// # Errors
/// Which step failed, `open` or `lock`, and why.
pub(crate) fn wait(path: &Path, how: FlockOperation) -> Result<File, (&'static str, io::Error)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let file = file.map_err(|error| ("open", error))?;
    loop {
        match flock(&file, how) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(|()| file).map_err(|error| ("lock", error.into())),
        }
    }
}
