//! A bundle on its way to its place: written beside it, and moved there whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use aseptic_model::IncidentId;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, renameat_with, syncfs};

use super::bundle::{DIRECTORIES, Files};
use super::{IncidentError, new_id};
use crate::home::io_error;

/// The end of the name of a bundle that is not whole.
const PARTIAL: &str = ".partial";

fn partial_prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    prefix
}

/// Removes what those left that were killed while they wrote the bundle `name`.
fn remove_left(above: &Path, name: &OsStr) -> io::Result<()> {
    let prefix = partial_prefix(name);
    for entry in fs::read_dir(above)? {
        let entry = entry?;
        let found = entry.file_name();
        let id = found.as_bytes().strip_prefix(prefix.as_bytes());
        let id = id.and_then(|rest| rest.strip_suffix(PARTIAL.as_bytes()));
        let is_ours =
            id.is_some_and(|id| std::str::from_utf8(id).is_ok_and(|id| id.parse::<IncidentId>().is_ok()));
        if is_ours && Staged::held(&entry.path()).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// A directory that gets its name when it is whole. Dropped before, it is gone.
pub(super) struct Staged {
    path: PathBuf,
    kept: bool,
    _lock: File,
}

impl Staged {
    pub(super) fn new(out: &Path) -> Result<Self, IncidentError> {
        let name = out.file_name().ok_or_else(|| IncidentError::Exists(out.to_owned()))?;
        let above = out.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        remove_left(above, name).map_err(|source| io_error("list", above, source))?;
        // A name of its own: who gives up removes nothing of another one that writes to the same place.
        let mut partial = partial_prefix(name);
        partial.push(new_id()?.as_str());
        partial.push(PARTIAL);
        let path = above.join(partial);
        fs::create_dir(&path).map_err(|source| io_error("make", &path, source))?;
        let lock = Self::held(&path).map_err(|source| io_error("lock", &path, source))?;
        Ok(Self { path, kept: false, _lock: lock })
    }

    /// Holds a directory that nobody writes to: one that was killed left it.
    fn held(path: &Path) -> io::Result<File> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
        Ok(dir.into())
    }

    pub(super) fn write(&self, files: &Files) -> Result<(), IncidentError> {
        for name in DIRECTORIES {
            let path = self.path.join(name);
            fs::create_dir(&path).map_err(|source| io_error("make", &path, source))?;
        }
        for (name, bytes) in files {
            let path = self.path.join(name);
            let written = File::create_new(&path).and_then(|mut file| file.write_all(bytes));
            written.map_err(|source| io_error("write", &path, source))?;
        }
        let synced = File::open(&self.path).and_then(|dir| Ok(syncfs(&dir)?));
        Ok(synced.map_err(|source| io_error("write", &self.path, source))?)
    }

    pub(super) fn keep(mut self, out: &Path) -> Result<(), IncidentError> {
        match renameat_with(CWD, &self.path, CWD, out, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => return Err(IncidentError::Exists(out.to_owned())),
            other => other.map_err(|error| io_error("make", out, error.into()))?,
        }
        self.kept = true;
        let above = out.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(above).and_then(|dir| dir.sync_all());
        Ok(synced.map_err(|source| io_error("write", above, source))?)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
