//! The first half of an import: what is in the source, and which of it must be read.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use aseptic_model::{Digest, FilePath, escape_bytes};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, openat2};
use rustix::io::Errno;

use crate::files::{
    Stamp, file_type, is_executable, join, link_target, names, open_directory_below, state, text_below,
    was_replaced,
};
use crate::forest::{Forest, Place, check_length};
use crate::import::{Ignore, ImportError, ImportOptions, Imported, Links, Special};
use crate::index::{Index, Key, key};
use crate::object::Store;
use crate::parallel;
use crate::rules::Rules;
use crate::tree::{EntryKind, TreeEntry};

/// How often the kernel is asked where a link leads while other processes rename and mount all the time.
const RESOLVE_TRIES_MAX: usize = 1_000;

/// A file that must be read.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) place: Place,
    /// Path to open, below the root of the source.
    pub(crate) path: Vec<u8>,
    /// Size when it was listed; for progress only.
    pub(crate) size: u64,
}

/// What is in a source.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) forest: Forest,
    pub(crate) pending: Vec<Pending>,
    /// Files that the index knows.
    pub(crate) known: Vec<(Key, Digest)>,
    pub(crate) skipped: Vec<FilePath>,
    pub(crate) skipped_count: u64,
}

impl Found {
    pub(crate) fn nothing() -> Self {
        Self {
            forest: Forest::new(),
            pending: Vec::new(),
            known: Vec::new(),
            skipped: Vec::new(),
            skipped_count: 0,
        }
    }
}

/// One source that is being imported.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    pub(crate) store: &'a Store,
    pub(crate) root: &'a OwnedFd,
    pub(crate) options: &'a ImportOptions,
    pub(crate) index: &'a Index,
}

/// A directory to list.
struct Job {
    directory: usize,
    path: Vec<u8>,
    rules: Option<Arc<Rules>>,
}

/// A directory that was listed.
struct Listing {
    directory: usize,
    rules: Option<Arc<Rules>>,
    entries: Vec<Listed>,
}

enum Listed {
    Known(TreeEntry, Key, Digest),
    Link(TreeEntry),
    Pending(Vec<u8>, u64),
    Directory(Vec<u8>),
    Skipped(Vec<u8>),
}

impl Scanner<'_> {
    /// Lists the source, one level of directories after the other, each level in parallel.
    pub(crate) fn scan(&self, mut progress: impl FnMut(u64)) -> Result<Found, ImportError> {
        let mut found = Found::nothing();
        let mut files = 0;
        let mut level = vec![Job { directory: 0, path: Vec::new(), rules: None }];
        while !level.is_empty() {
            let mut next = Vec::new();
            let mut add = |listing: Listing| {
                files += listing.entries.len() as u64;
                progress(files);
                found.add(listing, &mut next);
            };
            if let [job] = level.as_mut_slice() {
                // Threads would cost more than they save, most of all in a deep chain.
                add(self.list(job)?);
            } else {
                parallel::run(
                    level.into_iter(),
                    |_, job| self.list(&job),
                    |listing| {
                        listing.into_iter().for_each(&mut add);
                        Ok(())
                    },
                )?;
            }
            level = next;
        }
        Ok(found)
    }

    /// The regular file `name`, which the snapshot calls `shown`.
    pub(crate) fn single(&self, name: &[u8], shown: &[u8]) -> Result<Found, ImportError> {
        let stat = state(self.root, name).map_err(|error| failed(name, error))?;
        let mut found = Found::nothing();
        match self.file(shown, name, &stat) {
            Listed::Pending(_, size) => {
                let place = found.forest.push_file(0, shown);
                found.pending.push(Pending { place, path: name.to_vec(), size });
            }
            listed => {
                found.add(Listing { directory: 0, rules: None, entries: vec![listed] }, &mut Vec::new())
            }
        }
        Ok(found)
    }

    fn list(&self, job: &Job) -> Result<Listing, ImportError> {
        let directory =
            open_directory_below(self.root, &job.path).map_err(|error| failed(&job.path, error))?;
        let rules = match self.options.ignore {
            Ignore::Nothing => None,
            Ignore::GitRules => Rules::read(job.rules.as_ref(), &directory, &job.path)?,
        };
        let mut entries = Vec::new();
        for (name, kind) in names(&directory).map_err(|error| failed(&job.path, error))? {
            let path = join(&job.path, &name);
            if self.options.ignore == Ignore::GitRules && name == b".git" {
                continue;
            }
            let (kind, stat) = match kind {
                FileType::Directory | FileType::Symlink => (kind, None),
                _ => {
                    let stat = state(&directory, &name).map_err(|error| failed(&path, error))?;
                    (file_type(&stat), Some(stat))
                }
            };
            if rules.as_ref().is_some_and(|rules| rules.leave_out(&path, kind == FileType::Directory)) {
                continue;
            }
            check_length(&path).map_err(|source| ImportError::Shape { path: text_below(&path), source })?;
            entries.push(match (kind, stat) {
                (FileType::Directory, _) => Listed::Directory(name),
                (FileType::Symlink, _) => self.link(&directory, &name, &path)?,
                (FileType::RegularFile, Some(stat)) => self.file(&name, &path, &stat),
                _ if self.options.special == Special::Skip => Listed::Skipped(path),
                _ => return Err(ImportError::SpecialFile { path: text_below(&path) }),
            });
        }
        Ok(Listing { directory: job.directory, rules, entries })
    }

    fn file(&self, name: &[u8], path: &[u8], stat: &Stat) -> Listed {
        let stamp = Stamp::of(stat);
        let key = key(path, &stamp);
        match self.index.get(&key) {
            // Asked one by one: an object that is gone comes back with the next import.
            Some(digest) if self.store.has(&digest) => {
                let kind = EntryKind::File { size: stamp.size, digest, executable: is_executable(stat) };
                Listed::Known(TreeEntry { name: name.to_vec(), kind }, key, digest)
            }
            _ => Listed::Pending(name.to_vec(), stamp.size),
        }
    }

    fn link(&self, directory: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Listed, ImportError> {
        let target = link_target(directory, name).map_err(|error| failed(path, error))?;
        if self.options.links == Links::RefuseOutside && self.leads_outside(path, &target)? {
            return Err(ImportError::LinkOutside { path: text_below(path), target: escape_bytes(&target) });
        }
        Ok(Listed::Link(TreeEntry { name: name.to_vec(), kind: EntryKind::Symlink { target } }))
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

impl Found {
    fn add(&mut self, listing: Listing, next: &mut Vec<Job>) {
        let directory = listing.directory;
        for listed in listing.entries {
            match listed {
                Listed::Known(entry, key, digest) => {
                    self.forest.push(directory, entry);
                    self.known.push((key, digest));
                }
                Listed::Link(entry) => {
                    self.forest.push(directory, entry);
                }
                Listed::Pending(name, size) => {
                    let place = self.forest.push_file(directory, &name);
                    self.pending.push(Pending { place, path: self.forest.path_of(place), size });
                }
                Listed::Directory(name) => {
                    let number = self.forest.push_directory(directory, &name);
                    let path = self.forest.path(number).to_vec();
                    next.push(Job { directory: number, path, rules: listing.rules.clone() });
                }
                Listed::Skipped(path) => {
                    self.skipped_count += 1;
                    if self.skipped.len() < Imported::SKIPPED_MAX {
                        self.skipped.extend(FilePath::from_bytes(path));
                    }
                }
            }
        }
    }
}

/// Whether a link at `path` leaves the tree by the text of its target alone.
fn climbs_out(path: &[u8], target: &[u8]) -> bool {
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
