//! A directory that somebody says is a bundle: read within bounds, whatever lies in it.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use super::IncidentError;
use super::bundle::{DIRECTORIES, Files};
use super::verify::wrong;
use crate::home::io_error;

/// Most files of a bundle, and the largest of them and all of them together in bytes, that are read.
const FILES_MAX: usize = 1_000_000;
const FILE_BYTES_MAX: u64 = 256 << 20;
const BYTES_MAX: u64 = 2 << 30;

/// Every file below `dir`, by its path.
pub(super) fn read(dir: &Path) -> Result<Files, IncidentError> {
    let (mut files, mut room) = (Files::new(), BYTES_MAX);
    read_into(&mut files, &mut room, dir, "")?;
    for name in DIRECTORIES {
        let below = dir.join(name);
        if below.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            read_into(&mut files, &mut room, &below, name)?;
        }
    }
    Ok(files)
}

/// One directory, without those below it.
fn read_into(files: &mut Files, room: &mut u64, path: &Path, prefix: &str) -> Result<(), IncidentError> {
    let listed = fs::read_dir(path).map_err(|source| IncidentError::Directory(path.to_owned(), source))?;
    for entry in listed {
        let entry = entry.map_err(|source| io_error("list", path, source))?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| wrong(format!("`{}` is no name of it", name.to_string_lossy().escape_debug())))?;
        let kind = entry.metadata().map_err(|source| io_error("read", &entry.path(), source))?;
        if kind.is_dir() && prefix.is_empty() && DIRECTORIES.contains(&name.as_str()) {
            continue;
        }
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let shown = || name.escape_debug().to_string();
        if !kind.is_file() {
            return Err(wrong(format!("`{}` is no file of it", shown())));
        }
        let bytes = bounded(&entry.path(), FILE_BYTES_MAX.min(*room))?;
        let Some(bytes) = bytes.filter(|_| files.len() < FILES_MAX) else {
            return Err(wrong(format!("it is larger than any bundle, at `{}`", shown())));
        };
        *room = room.saturating_sub(bytes.len() as u64);
        files.insert(name, bytes);
    }
    Ok(())
}

/// The bytes of a file; nothing if there are more than `most`. Neither a link nor a pipe that is there by now is
/// followed or waited for.
fn bounded(path: &Path, most: u64) -> Result<Option<Vec<u8>>, IncidentError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = flags.try_into().unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|source| io_error("read", path, source))?;
    let length = file.metadata().map_err(|source| io_error("read", path, source))?.len();
    if length > most {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| io_error("read", path, source))?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}
