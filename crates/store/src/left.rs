//! The first half of a capture: what a job left, before any of it is read.
//!
//! **Invariant:** nothing is followed and nothing recurses, so neither links nor depth lead anywhere.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use aseptic_model::FilePath;
use rustix::fs::{FileType, Mode, fgetxattr};
use rustix::io::Errno;

use crate::capture::{CaptureError, CaptureKind, CaptureRoot, Captured, Link, SkipReason, Skipped};
use crate::files::{
    OWNER_ALL, Stamp, file_type, is_executable, join, link_target, names, open_directory_below, open_granted,
    open_parent, set_mode, state, text, text_below,
};
use crate::forest::{Branch, Place, directory_to_come, file_to_come};
use crate::tree::{EntryKind, Snapshot, TreeEntry, TreeError};
use crate::writer::Writer;

/// Holes in files that one capture reads. A job makes a hole of any size for nothing, and reading it takes
/// a second for each gigabyte or so; what libraries preallocate is smaller.
const HOLE_BYTES_MAX: u64 = 4 << 30;

/// What a job left.
pub(crate) struct Left<'w> {
    writer: &'w Writer<'w>,
    /// Top of the snapshot, with a directory for each root.
    top: Arc<Branch>,
    /// The snapshot, if there was no file in it.
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) files: Vec<LeftFile>,
    pub(crate) links: Vec<Link>,
    pub(crate) deleted: Vec<FilePath>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) skipped_count: u64,
    /// How many bytes of the root that is being listed may still be captured.
    bytes_left: u64,
    /// How many of them may be holes.
    holes_left: u64,
}

pub(crate) struct LeftFile {
    pub(crate) place: Place,
    /// Path in the snapshot.
    pub(crate) path: FilePath,
    /// Descriptor of the root that holds it, and how much of `path` names that root.
    pub(crate) root: Arc<OwnedFd>,
    pub(crate) prefix: usize,
    pub(crate) executable: bool,
}

/// A root that is being listed.
struct Root {
    descriptor: Arc<OwnedFd>,
    prefix: usize,
    kind: CaptureKind,
}

/// A directory that is being listed.
struct Listing {
    branch: Arc<Branch>,
    descriptor: OwnedFd,
    entries: Vec<TreeEntry>,
    /// Which of the entries are directories.
    directories: Vec<usize>,
    /// How many of them are files.
    files: usize,
}

impl<'w> Left<'w> {
    /// Lists what is in `roots`.
    pub(crate) fn list(roots: &[CaptureRoot<'_>], writer: &'w Writer<'w>) -> Result<Self, CaptureError> {
        let mut left = Self {
            writer,
            top: Branch::root(),
            snapshot: None,
            files: Vec::new(),
            links: Vec::new(),
            deleted: Vec::new(),
            skipped: Vec::new(),
            skipped_count: 0,
            bytes_left: u64::MAX,
            holes_left: HOLE_BYTES_MAX,
        };
        if let Some(wrong) =
            roots.iter().find(|root| root.name.contains(&b'/') || FilePath::from_bytes(root.name).is_err())
        {
            return Err(CaptureError::Shape { path: text_below(wrong.name), source: TreeError::Name });
        }
        let names = roots.iter().map(|root| directory_to_come(root.name.to_vec())).collect();
        left.snapshot = left.top.fill(names, roots.len(), writer)?;
        for (slot, root) in roots.iter().enumerate() {
            left.root(slot, root)?;
        }
        Ok(left)
    }

    /// Lists one root, without recursion: the depth is up to the job.
    fn root(&mut self, slot: usize, root: &CaptureRoot<'_>) -> Result<(), CaptureError> {
        let descriptor = open_parent(root.path)
            .and_then(|(parent, name)| open_granted(parent, name))
            .map_err(|source| CaptureError::Unreadable { path: text(root.path), source })?;
        self.bytes_left = root.max_bytes.unwrap_or(u64::MAX);
        let prefix = root.name.len() + 1;
        let root_at = Root { descriptor: Arc::new(descriptor), prefix, kind: root.kind };
        let mut directories = vec![Place { branch: Arc::clone(&self.top), slot }];
        while let Some(place) = directories.pop() {
            let branch = place.open();
            let path = branch.path().to_vec();
            let failed = |source| CaptureError::Unreadable { path: text_below(&path), source };
            let below = path.get(prefix..).unwrap_or_default();
            let descriptor = open_directory_below(&*root_at.descriptor, below).map_err(failed)?;
            if root.kind == CaptureKind::OverlayUpper && is_opaque(&descriptor).map_err(failed)? {
                self.deleted.extend(FilePath::from_bytes(path.as_slice()));
            }
            // Sorted, so that it does not depend on the disk which files are over the limit.
            let mut names = names(&descriptor).map_err(failed)?;
            names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let (entries, below) = (Vec::with_capacity(names.len()), Vec::new());
            let mut listing = Listing { branch, descriptor, entries, directories: below, files: 0 };
            for (name, _) in names {
                self.add(&root_at, &mut listing, &name).map_err(|source| CaptureError::Unreadable {
                    path: text_below(&join(&path, &name)),
                    source,
                })?;
            }
            let Listing { branch, entries, directories: below, files, .. } = listing;
            let complete = branch.fill(entries, files + below.len(), self.writer)?;
            self.snapshot = self.snapshot.take().or(complete);
            directories.extend(below.into_iter().map(|slot| Place { branch: Arc::clone(&branch), slot }));
        }
        Ok(())
    }

    /// Adds one entry to its directory, unless it is skipped.
    fn add(&mut self, root: &Root, listing: &mut Listing, name: &[u8]) -> io::Result<()> {
        let Listing { branch, descriptor, entries, directories, files } = listing;
        let slot = entries.len();
        let path = join(branch.path(), name);
        let Ok(path) = FilePath::from_bytes(path) else {
            self.skip(FilePath::from_bytes(branch.path()).ok(), SkipReason::PathTooLong);
            return Ok(());
        };
        let stat = state(&*descriptor, name)?;
        let upper = root.kind == CaptureKind::OverlayUpper;
        match file_type(&stat) {
            FileType::Directory => {
                if stat.st_mode & 0o700 != 0o700 {
                    set_mode(&*descriptor, name, OWNER_ALL)?;
                }
                entries.push(directory_to_come(name.to_vec()));
                directories.push(slot);
            }
            FileType::RegularFile => {
                let size = Stamp::of(&stat).size;
                if size > self.bytes_left {
                    self.skip(Some(path), SkipReason::OverLimit);
                    return Ok(());
                }
                let holes =
                    size.saturating_sub(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512));
                if holes > self.holes_left {
                    self.skip(Some(path), SkipReason::Sparse);
                    return Ok(());
                }
                self.bytes_left -= size;
                self.holes_left -= holes;
                let mode = Mode::from_raw_mode(stat.st_mode);
                if !mode.contains(Mode::RUSR) {
                    set_mode(&*descriptor, name, mode | Mode::RUSR)?;
                }
                entries.push(file_to_come(name.to_vec()));
                *files += 1;
                self.files.push(LeftFile {
                    place: Place { branch: Arc::clone(branch), slot },
                    path,
                    root: Arc::clone(&root.descriptor),
                    prefix: root.prefix,
                    executable: is_executable(&stat),
                });
            }
            FileType::Symlink => {
                let target = link_target(&*descriptor, name)?;
                let kind = EntryKind::Symlink { target: target.clone() };
                entries.push(TreeEntry { name: name.to_vec(), kind });
                self.links.push(Link { path, target });
            }
            FileType::CharacterDevice if upper && stat.st_rdev == 0 => self.deleted.push(path),
            _ => self.skip(Some(path), SkipReason::Special),
        }
        Ok(())
    }

    fn skip(&mut self, path: Option<FilePath>, reason: SkipReason) {
        self.skipped_count += 1;
        if self.skipped.len() < Captured::SKIPPED_MAX {
            self.skipped.extend(path.map(|path| Skipped { path, reason }));
        }
    }
}

/// Whether overlayfs hides what is below this directory of an upper layer.
fn is_opaque(directory: &OwnedFd) -> io::Result<bool> {
    let mut value = [0; 2];
    match fgetxattr(directory, "user.overlay.opaque", value.as_mut_slice()) {
        Ok(length) => Ok(value[..length] == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
