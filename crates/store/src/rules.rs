//! Ignore rules: which files of a source tree to leave out.
//!
//! Rule files are read through descriptors like everything else in the source. A line that is no rule is
//! an error: passing over it would import what someone meant to leave out.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::io::Errno;

use crate::files::{join, open_file_below, text_below, was_replaced};
use crate::import::ImportError;

/// Largest rule file; more is not written by hand.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The rules that hold in one directory: its own, then those of the directories above.
#[derive(Debug)]
pub(crate) struct Rules {
    parent: Option<Arc<Rules>>,
    /// Length of the path of the directory that the rules are relative to.
    base: usize,
    own: Gitignore,
    git: Gitignore,
    exclude: Gitignore,
}

impl Rules {
    /// Reads the rule files of the directory at `path`, open as `directory`. `None` when there are no
    /// rules here or above.
    pub(crate) fn read(
        parent: Option<&Arc<Self>>,
        directory: &OwnedFd,
        path: &[u8],
    ) -> Result<Option<Arc<Self>>, ImportError> {
        let own = rules(directory, path, b".asepticignore")?;
        let git = rules(directory, path, b".gitignore")?;
        let exclude =
            if path.is_empty() { rules(directory, path, b".git/info/exclude")? } else { Gitignore::empty() };
        if own.is_empty() && git.is_empty() && exclude.is_empty() {
            return Ok(parent.cloned());
        }
        let base = if path.is_empty() { 0 } else { path.len() + 1 };
        Ok(Some(Arc::new(Self { parent: parent.cloned(), base, own, git, exclude })))
    }

    /// Whether the entry at `path` is to be left out.
    pub(crate) fn leave_out(&self, path: &[u8], directory: bool) -> bool {
        // As git: the nearest rule file that has something to say wins, and within it the last line.
        let kinds: [fn(&Self) -> &Gitignore; 3] = [|r| &r.own, |r| &r.git, |r| &r.exclude];
        for kind in kinds {
            let mut level = Some(self);
            while let Some(rules) = level {
                let relative = Path::new(OsStr::from_bytes(&path[rules.base..]));
                match kind(rules).matched(relative, directory) {
                    Match::None => level = rules.parent.as_deref(),
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                }
            }
        }
        false
    }
}

fn rules(directory: &OwnedFd, path: &[u8], name: &[u8]) -> Result<Gitignore, ImportError> {
    let shown = || text_below(&join(path, name));
    let content = match read(directory, name) {
        Ok(content) => content,
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
            return Ok(Gitignore::empty());
        }
        // `.git` is a file in a linked working tree.
        Err(error) if name.starts_with(b".git/") && was_replaced(&error) => return Ok(Gitignore::empty()),
        Err(source) => return Err(ImportError::Unreadable { path: shown(), source }),
    };
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    let mut builder = GitignoreBuilder::new(".");
    for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let wrong = || ImportError::Rule { path: shown(), line: number + 1 };
        let line = std::str::from_utf8(line).map_err(|_| wrong())?;
        builder.add_line(None, line.strip_suffix('\r').unwrap_or(line)).map_err(|_| wrong())?;
    }
    builder.build().map_err(|_| ImportError::Rule { path: shown(), line: 1 })
}

fn read(directory: &OwnedFd, name: &[u8]) -> io::Result<Vec<u8>> {
    let file = open_file_below(directory, name)?;
    if !crate::files::file_type(&rustix::fs::fstat(&file)?).is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    File::from(file).take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}
