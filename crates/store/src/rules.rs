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
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::files::{
    file_type, join, open_directory, open_directory_below, open_file_below, state, text_below, was_replaced,
};
use crate::import::ImportError;

/// Largest rule file; more is not written by hand.
const FILE_BYTES_MAX: u64 = 1 << 20;

const OWN: &[u8] = b".asepticignore";
const GIT: &[u8] = b".gitignore";
const EXCLUDE: &[u8] = b".git/info/exclude";

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
        let own = rules(directory, path, OWN)?;
        let git = rules(directory, path, GIT)?;
        let exclude = if path.is_empty() { rules(directory, path, EXCLUDE)? } else { Gitignore::empty() };
        if own.is_empty() && git.is_empty() && exclude.is_empty() {
            return Ok(parent.cloned());
        }
        let base = if path.is_empty() { 0 } else { path.len() + 1 };
        Ok(Some(Arc::new(Self { parent: parent.cloned(), base, own, git, exclude })))
    }

    /// Whether the entry at `path` is to be left out.
    pub(crate) fn leave_out(&self, path: &[u8], directory: bool) -> bool {
        self.rule_against(path, directory).is_some()
    }

    /// The rule that leaves the entry at `path` out.
    fn rule_against(&self, path: &[u8], directory: bool) -> Option<Rule> {
        // As git: the nearest rule file that has something to say wins, and within it the last line.
        type Kind = (&'static [u8], fn(&Rules) -> &Gitignore);
        let kinds: [Kind; 3] =
            [(OWN, |rules| &rules.own), (GIT, |rules| &rules.git), (EXCLUDE, |rules| &rules.exclude)];
        for (name, kind) in kinds {
            let mut level = Some(self);
            while let Some(rules) = level {
                let relative = Path::new(OsStr::from_bytes(&path[rules.base..]));
                match kind(rules).matched(relative, directory) {
                    Match::None => level = rules.parent.as_deref(),
                    Match::Ignore(line) => {
                        let above = path[..rules.base].strip_suffix(b"/").unwrap_or(b"");
                        let file = if above.is_empty() { name.to_vec() } else { join(above, name) };
                        return Some(Rule { file: text_below(&file), line: line.original().to_owned() });
                    }
                    Match::Whitelist(_) => return None,
                }
            }
        }
        None
    }
}

/// A line of a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The file, seen from the root of the source.
    pub file: String,
    /// The line as it is written.
    pub line: String,
}

/// The rule that would leave `path` out of an import of the directory `root` with
/// [`crate::Ignore::GitRules`], if there is such a rule. Follows no link below `root`.
///
/// # Errors
/// A directory or rule file cannot be read, or there is no `path`.
pub fn rule_against(root: &Path, path: &[u8]) -> io::Result<Option<Rule>> {
    let root = open_directory(root)?;
    let mut rules = None;
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let (mut above, ends): (&[u8], _) = (b"", ends.chain([path.len()]));
    for here in ends.filter_map(|end| path.get(..end)) {
        let directory = open_directory_below(&root, above)?;
        rules = Rules::read(rules.as_ref(), &directory, above).map_err(io::Error::other)?;
        let name = here.rsplit(|byte| *byte == b'/').next().unwrap_or(here);
        let is_directory = file_type(&state(&directory, name)?) == FileType::Directory;
        if let Some(rule) = rules.as_ref().and_then(|rules| rules.rule_against(here, is_directory)) {
            return Ok(Some(rule));
        }
        above = here;
    }
    Ok(None)
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
    if !file_type(&rustix::fs::fstat(&file)?).is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    File::from(file).take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}
