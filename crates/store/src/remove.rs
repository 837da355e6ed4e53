//! Removal of a directory tree that its maker did not want removed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use aseptic_model::{Class, Diagnose, Diagnosis};
use rustix::fs::{AtFlags, SeekFrom, renameat, seek, unlinkat};
use rustix::io::Errno;

use crate::files::{OWNER_ALL, names, open_granted, open_parent, set_mode, text};

/// Removes `path` and everything below it; a missing `path` is fine. Links are removed, never followed.
///
/// Works for an ordinary user on what a hostile job of this user left: directories without permissions,
/// nested to any depth. Needs three file descriptors and memory for the names in one directory.
///
/// # Errors
/// [`RemoveError`]: something could not be removed; some of the rest may be gone.
pub fn remove_tree(path: &Path) -> Result<(), RemoveError> {
    remove(path).map_err(|source| RemoveError { path: text(path), source })
}

/// A tree could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("could not remove `{path}`")]
pub struct RemoveError {
    path: String,
    #[source]
    source: io::Error,
}

impl Diagnose for RemoveError {
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(
            Class::Host,
            "store/remove",
            "check who owns the files in it and that nothing is mounted there",
        )
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let (parent, name) = match open_parent(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if unlink(&parent, name)? {
        return Ok(());
    }
    let top = open_granted(&parent, name)?;
    // Every directory is emptied while it is a child of `top`: its own directories move up to `top`
    // first. So each is opened once, by one name, and depth costs nothing.
    let mut moved = 0;
    loop {
        seek(&top, SeekFrom::Start(0))?;
        let names = names(&top)?;
        if names.is_empty() {
            break;
        }
        for (name, _) in names {
            if !unlink(&top, &name)? {
                empty_into(&top, &name, &mut moved)?;
            }
        }
    }
    Ok(unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
}

/// Removes a file or an empty directory. Returns false for a directory that is not empty.
fn unlink(directory: &OwnedFd, name: &[u8]) -> io::Result<bool> {
    // Unlinking a directory fails with EISDIR on Linux, with EPERM by POSIX.
    let refused = match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(error @ (Errno::ISDIR | Errno::PERM)) => error,
        Err(error) => return Err(error.into()),
    };
    match unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(Errno::NOTDIR) => Err(refused.into()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the directory `name` of `top` after moving the directories in it up to `top`.
fn empty_into(top: &OwnedFd, name: &[u8], moved: &mut u64) -> io::Result<()> {
    let directory = open_granted(top, name)?;
    for (child, _) in names(&directory)? {
        if !unlink(&directory, &child)? {
            set_mode(&directory, &child, OWNER_ALL)?; // To move a directory one must be able to write to it.
            move_up(&directory, &child, top, moved)?;
        }
    }
    Ok(unlinkat(top, name, AtFlags::REMOVEDIR)?)
}

fn move_up(from: &OwnedFd, name: &[u8], top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        match renameat(from, name, top, format!("{moved}")) {
            Ok(()) => return Ok(()),
            // The tree has such a name itself. (An empty directory of this name is replaced.)
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
