//! Listing one directory of a source: what is in it, and which of that must be read.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use aseptic_model::escape_bytes;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, openat2};
use rustix::io::Errno;

use crate::files::{
    Stamp, file_type, is_executable, join, link_target, names, open_directory_below, state, text_below,
    was_replaced,
};
use crate::forest::{check_length, directory_to_come, file_to_come};
use crate::hint::key;
use crate::import::{Ignore, ImportError, ImportOptions, Links, Special};
use crate::index::Index;
use crate::object::Store;
use crate::rules::Rules;
use crate::tree::{EntryKind, TreeEntry};

/// How often the kernel is asked where a link leads while other processes rename and mount all the time.
const RESOLVE_TRIES_MAX: usize = 1_000;

/// A file that must be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// Its place in its directory.
    pub(crate) slot: usize,
    /// Size when it was listed: how much there is to do.
    pub(crate) size: u64,
}

/// What is in a directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<TreeEntry>,
    /// Which of the entries are files to read.
    pub(crate) pending: Vec<Pending>,
    /// Which of them are directories.
    pub(crate) directories: Vec<usize>,
    /// Paths of what is left out because no snapshot can hold it.
    pub(crate) skipped: Vec<Vec<u8>>,
    /// The rules that hold here.
    pub(crate) rules: Option<Arc<Rules>>,
}

/// One source that is being imported.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    pub(crate) store: &'a Store,
    pub(crate) root: &'a OwnedFd,
    pub(crate) options: &'a ImportOptions<'a>,
    pub(crate) index: &'a Index,
}

impl Scanner<'_> {
    /// The regular file `name`, which the snapshot calls `shown`.
    pub(crate) fn single(&self, name: &[u8], shown: &[u8]) -> Result<Listing, ImportError> {
        let stat = state(self.root, name).map_err(|error| failed(name, error))?;
        let mut listing = Listing::default();
        self.file(&mut listing, shown.to_vec(), name, &stat);
        Ok(listing)
    }

    /// The directory at `path`, below those that have the rules `above`.
    pub(crate) fn list(&self, path: &[u8], above: Option<&Arc<Rules>>) -> Result<Listing, ImportError> {
        let directory = open_directory_below(self.root, path).map_err(|error| failed(path, error))?;
        let rules = match self.options.ignore {
            Ignore::Nothing => None,
            Ignore::GitRules => Rules::read(above, &directory, path)?,
        };
        let mut listing = Listing { rules, ..Listing::default() };
        for (name, kind) in names(&directory).map_err(|error| failed(path, error))? {
            self.add(&mut listing, &directory, path, name, kind)?;
        }
        Ok(listing)
    }

    fn add(
        &self,
        listing: &mut Listing,
        directory: &OwnedFd,
        above: &[u8],
        name: Vec<u8>,
        kind: FileType,
    ) -> Result<(), ImportError> {
        let path = join(above, &name);
        if self.options.ignore == Ignore::GitRules && name == b".git" {
            return Ok(());
        }
        if self.options.without.binary_search_by(|without| without.as_bytes().cmp(&path)).is_ok() {
            return Ok(());
        }
        let is_left_out = |end: &str| above.is_empty() && name.ends_with(end.as_bytes());
        if kind == FileType::RegularFile && self.options.leave_out.is_some_and(is_left_out) {
            return Ok(());
        }
        let (kind, stat) = match kind {
            FileType::Directory | FileType::Symlink => (kind, None),
            _ => {
                let stat = state(directory, &name).map_err(|error| failed(&path, error))?;
                (file_type(&stat), Some(stat))
            }
        };
        let rules = listing.rules.as_ref();
        if rules.is_some_and(|rules| rules.leave_out(&path, kind == FileType::Directory)) {
            return Ok(());
        }
        check_length(&path).map_err(|source| ImportError::Shape { path: text_below(&path), source })?;
        match (kind, stat) {
            (FileType::Directory, _) => {
                listing.directories.push(listing.entries.len());
                listing.entries.push(directory_to_come(name));
            }
            (FileType::Symlink, _) => {
                let target = self.link(directory, &name, &path)?;
                listing.entries.push(TreeEntry { name, kind: EntryKind::Symlink { target } });
            }
            (FileType::RegularFile, Some(stat)) => self.file(listing, name, &path, &stat),
            _ if self.options.special == Special::Skip => listing.skipped.push(path),
            _ => return Err(ImportError::SpecialFile { path: text_below(&path) }),
        }
        Ok(())
    }

    fn file(&self, listing: &mut Listing, name: Vec<u8>, path: &[u8], stat: &Stat) {
        let stamp = Stamp::of(stat);
        let known = if self.options.paranoid { None } else { self.index.get(&key(path, &stamp)) };
        match known {
            // Asked one by one: an object that is gone comes back with the next import.
            Some(known) if self.store.has(&known.digest) => {
                self.index.keep(known);
                let (size, digest, executable) = (stamp.size, known.digest, is_executable(stat));
                listing.entries.push(TreeEntry { name, kind: EntryKind::File { size, digest, executable } });
            }
            _ => {
                listing.pending.push(Pending { slot: listing.entries.len(), size: stamp.size });
                listing.entries.push(file_to_come(name));
            }
        }
    }

    /// Target of a link, if a snapshot may have it.
    fn link(&self, directory: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Vec<u8>, ImportError> {
        let target = link_target(directory, name).map_err(|error| failed(path, error))?;
        if self.options.links == Links::RefuseOutside && self.leads_outside(path, &target)? {
            return Err(ImportError::LinkOutside { path: text_below(path), target: escape_bytes(&target) });
        }
        Ok(target)
    }

    /// Whether a link is absolute, climbs out by its text, or leads out through other links.
    fn leads_outside(&self, path: &[u8], target: &[u8]) -> Result<bool, ImportError> {
        if climbs_out(path, target) {
            return Ok(true);
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        for _ in 0..RESOLVE_TRIES_MAX {
            match openat2(self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::XDEV) => return Ok(true),
                // Somewhere on the machine something was renamed or mounted meanwhile, and the kernel could
                // not tell: again.
                Err(Errno::AGAIN) => std::thread::yield_now(),
                _ => return Ok(false),
            }
        }
        Err(ImportError::Changed { path: text_below(path) })
    }
}

/// Whether a link at `path` leaves the tree by the text of its target alone.
pub(crate) fn climbs_out(path: &[u8], target: &[u8]) -> bool {
    let mut depth = path.iter().filter(|byte| **byte == b'/').count();
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    target.starts_with(b"/")
}

/// What an error about an entry of the source means.
pub(crate) fn failed(path: &[u8], source: std::io::Error) -> ImportError {
    let path_text = text_below(path);
    if was_replaced(&source) {
        ImportError::Changed { path: path_text }
    } else {
        ImportError::Unreadable { path: path_text, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_climb_out() {
        for (path, target, out) in [
            ("a", "b", false),
            ("a", "..", true),
            ("a", "/", true),
            ("d/a", "../b", false),
            ("d/a", "../../b", true),
            ("d/a", "x/../../b", false),
            ("d/e/a", "./..//../b/..", false),
            ("d/e/a", "../../../d", true),
        ] {
            assert_eq!(climbs_out(path.as_bytes(), target.as_bytes()), out, "{path} -> {target}");
        }
    }
}
