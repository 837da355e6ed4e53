//! Import: from the user's files to a snapshot.

mod error;
pub(crate) mod large;
mod read;
mod work;

use std::fs;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aseptic_model::FilePath;

pub use self::error::ImportError;
pub(crate) use self::read::CHUNKED_BYTES_MIN;
use self::work::{Skipped, Work};
use crate::files::{open_directory, text};
use crate::index::{Index, Unmet};
use crate::lease::Lease;
use crate::object::Store;
use crate::scan::Scanner;
use crate::tree::Snapshot;
use crate::writer::Writer;

/// How much of an import a kill can cost, in time.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// What to import, and what to do about entries that a snapshot cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions<'a> {
    /// Which files to leave out.
    pub ignore: Ignore,
    /// What to do about FIFOs, sockets and devices.
    pub special: Special,
    /// What to do about links that point out of the tree.
    pub links: Links,
    /// Leave out regular files right in the directory whose names end with this.
    pub leave_out: Option<&'static str>,
    /// Leave out what is at one of these paths from the directory on, with everything below. In the order of their bytes,
    /// since each file is looked for among them.
    pub without: &'a [FilePath],
    /// Read every file, also those that are known to be unchanged, and compare what the store has of them:
    /// an object that turns out to be damaged is stored again.
    pub paranoid: bool,
}

/// Which files to leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ignore {
    /// Import everything.
    #[default]
    Nothing,
    /// Leave out `.git`, and what `.asepticignore`, `.gitignore` (of the source and below) or
    /// `.git/info/exclude` name, in this order of precedence. Hidden files are imported.
    GitRules,
}

/// What to do about FIFOs, sockets and devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Special {
    /// Refuse the import.
    #[default]
    Refuse,
    /// Leave them out and list them in [`Imported::skipped`].
    Skip,
}

/// What to do about links whose target is absolute or climbs out of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// Refuse the import: such a link would dangle, or mean something else, in the run.
    #[default]
    RefuseOutside,
    /// Store the link as it is.
    Keep,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The snapshot; complete and on disk.
    pub snapshot: Snapshot,
    /// Number of files that were read; the others were known to be unchanged.
    pub files_read: u64,
    /// Special files that were left out, the first [`Imported::SKIPPED_MAX`] of them.
    pub skipped: Vec<FilePath>,
    /// Number of special files that were left out.
    pub skipped_count: u64,
}

impl Imported {
    /// Longest list of skipped files; the count is always complete.
    pub const SKIPPED_MAX: usize = 1000;
}

/// How far a long operation has come. Sent often: up to several thousand times a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Files done in this step.
    pub files: u64,
    /// Bytes done in this step.
    pub bytes: u64,
    /// Files that this step will do; 0 while not known.
    pub files_total: u64,
    /// Bytes that this step will do; 0 while not known.
    pub bytes_total: u64,
}

/// What a long operation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Listing directories.
    Scan,
    /// Reading and hashing files.
    Read,
    /// Copying from another store.
    Copy,
    /// Waiting for the disk.
    Write,
}

impl Store {
    /// Imports the directory or file `source` as a snapshot.
    ///
    /// A single file becomes a snapshot with this one file under its name. Blocks until the snapshot is
    /// on disk; after an error or a crash it does not exist. The source is only read. If `source` itself
    /// is a link it is followed; no link below it is, whatever anyone does to the tree meanwhile.
    ///
    /// What `progress` returns says whether to go on. An import that was stopped, failed or was killed is
    /// not lost: doing it again reads only the files that it had not taken. Of one that was killed up to
    /// [`CHECKPOINT_EVERY`] are lost. A single file is taken as a whole or not at all.
    ///
    /// Memory: about 50 bytes for each file of the source, the entries of the directories that are being
    /// worked on and of those above them, and some megabytes for each thread.
    ///
    /// # Errors
    /// - [`ImportError::Interrupted`]: `progress` said so.
    /// - [`ImportError::Changed`]: a file was written during the import.
    /// - [`ImportError::Unreadable`]: a file or directory could not be read.
    /// - [`ImportError::SpecialFile`], [`ImportError::LinkOutside`]: the options refuse such an entry.
    /// - [`ImportError::Rule`]: an ignore file holds a line that is no rule.
    /// - [`ImportError::Shape`]: a path is too long or a directory too large for a snapshot.
    /// - [`ImportError::Store`]: the store failed; see `StoreError`.
    pub fn import(
        &self,
        lease: &Lease,
        source: &Path,
        options: &ImportOptions<'_>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Imported, ImportError> {
        let pace = Pace { now: SystemTime::now(), checkpoint_every: CHECKPOINT_EVERY };
        self.import_at(lease, source, options, pace, progress)
    }

    /// [`Store::import`] at another pace.
    pub(crate) fn import_at(
        &self,
        lease: &Lease,
        source: &Path,
        options: &ImportOptions<'_>,
        pace: Pace,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Imported, ImportError> {
        let Source { root, path, single } = Source::open(source)?;
        let index = Index::load(self, &path, pace.now);
        let scanner = Scanner { store: self, root: &root, options, index: &index };
        let writer = Writer::new(self, lease).paranoid(options.paranoid);
        let work = Work::new(scanner, &writer, single);
        let mut tell = |progress_now| match progress(progress_now) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ImportError::Interrupted),
        };
        let done = work.run(pace.checkpoint_every, &mut tell).and_then(|()| {
            let snapshot = work.snapshot()?;
            tell(Progress { step: Step::Write, ..work.progress() })?;
            Ok(snapshot)
        });
        let snapshot = match done {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // Whoever tries again does not begin from nothing, unless it is the store that failed.
                if !matches!(error, ImportError::Store(_)) {
                    drop(work);
                    writer.publish()?;
                    index.save(self, Unmet::Keep, index.added());
                }
                return Err(error);
            }
        };
        let (files_read, Skipped { list: skipped, count: skipped_count }) = work.finish();
        writer.publish()?;
        index.save(self, Unmet::Drop, index.added());
        Ok(Imported { snapshot, files_read, skipped, skipped_count })
    }
}

/// What decides when an import does what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// When the import began: decides what the index may record.
    pub(crate) now: SystemTime,
    pub(crate) checkpoint_every: Duration,
}

/// What the user named, with every link on the way followed.
struct Source {
    /// The directory, or the one that holds the single file.
    root: OwnedFd,
    /// Its absolute path.
    path: PathBuf,
    /// Name of a single file, and the name that the user called it.
    single: Option<(Vec<u8>, Vec<u8>)>,
}

impl Source {
    fn open(source: &Path) -> Result<Self, ImportError> {
        let unreadable = |error| ImportError::Unreadable { path: text(source), source: error };
        let path = source.canonicalize().map_err(unreadable)?;
        let kind = fs::symlink_metadata(&path).map_err(unreadable)?.file_type();
        if kind.is_dir() {
            let root = open_directory(&path).map_err(unreadable)?;
            return Ok(Self { root, path, single: None });
        }
        let (true, Some(parent), Some(name)) = (kind.is_file(), path.parent(), path.file_name()) else {
            return Err(ImportError::SpecialFile { path: text(source) });
        };
        let root = open_directory(parent).map_err(unreadable)?;
        let shown = source.file_name().unwrap_or(name);
        let single = Some((name.as_bytes().to_vec(), shown.as_bytes().to_vec()));
        Ok(Self { root, path, single })
    }
}

#[cfg(test)]
mod tests;
