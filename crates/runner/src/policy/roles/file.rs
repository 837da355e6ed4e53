//! The files of roles and of their signatures: read within bounds, replaced as a whole.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use aseptic_policy::ROLES_BYTES_MAX;

use super::{ROLES, RolesError};

pub(super) fn read_roles(directory: &Path) -> Result<String, RolesError> {
    let path = directory.join(ROLES);
    read(&path, ROLES_BYTES_MAX)?
        .ok_or_else(|| RolesError::Missing(format!("there is no file `{}`", path.display())))
}

/// The text of the file `path`; of one longer than `limit` only one byte more, which its parser refuses.
pub(super) fn read(path: &Path, limit: usize) -> Result<Option<String>, RolesError> {
    let failed = |source| RolesError::Io { what: "read", path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if !metadata.is_file() => return Err(failed(io::Error::other("it is no file"))),
        other => other.map_err(failed)?,
    };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(limit as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// Writes the file `path`, in the place of the one that is there: after a crash it is the old one or the new one.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), RolesError> {
    let temporary = path.with_extension("sig.new");
    let write = || {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|source| RolesError::Io { what: "write", path: path.to_owned(), source })
}
