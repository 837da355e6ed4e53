//! Import: from the user's files to a snapshot.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aseptic_model::{Class, Diagnose, Diagnosis, FilePath};

use crate::error::StoreError;
use crate::files::{Stamp, file_type, is_executable, open_directory, open_file_below, text, text_below};
use crate::forest::{ForestError, Place};
use crate::index::{Index, Key, key};
use crate::object::Store;
use crate::parallel;
use crate::scan::{Found, Pending, Scanner, failed};
use crate::stage::{CopyError, Writer};
use crate::tree::{EntryKind, Snapshot, TreeError};

/// What to import, and what to do about entries that a snapshot cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Which files to leave out.
    pub ignore: Ignore,
    /// What to do about FIFOs, sockets and devices.
    pub special: Special,
    /// What to do about links that point out of the tree.
    pub links: Links,
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

/// How far a long operation has come. Sent often: several thousand times a second.
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
    /// # Errors
    /// - [`ImportError::Changed`]: a file was written during the import.
    /// - [`ImportError::Unreadable`]: a file or directory could not be read.
    /// - [`ImportError::SpecialFile`], [`ImportError::LinkOutside`]: the options refuse such an entry.
    /// - [`ImportError::Rule`]: an ignore file holds a line that is no rule.
    /// - [`ImportError::Shape`]: a path is too long or a directory too large for a snapshot.
    /// - [`ImportError::Store`]: the store failed; see [`StoreError`].
    pub fn import(
        &self,
        source: &Path,
        options: &ImportOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Imported, ImportError> {
        self.import_at(source, options, SystemTime::now(), progress)
    }

    /// [`Store::import`] as if it began at `now`, which decides what the index may record.
    pub(crate) fn import_at(
        &self,
        source: &Path,
        options: &ImportOptions,
        now: SystemTime,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Imported, ImportError> {
        let Source { root, path, single } = Source::open(source)?;
        let index = Index::load(self, &path, now);
        let scanner = Scanner { store: self, root: &root, options, index: &index };
        let mut found = match &single {
            Some((name, shown)) => scanner.single(name.as_bytes(), shown.as_bytes())?,
            None => scanner.scan(|files| {
                progress(Progress { step: Step::Scan, files, bytes: 0, files_total: 0, bytes_total: 0 });
            })?,
        };
        let writer = Writer::new(self);
        let files_read = found.pending.len() as u64;
        let done = read(&root, &index, &writer, &mut found, progress)?;
        let snapshot = found.forest.store(&writer).map_err(|error| match error {
            ForestError::Shape(path, source) => ImportError::Shape { path: text_below(&path), source },
            ForestError::Store(error) => error.into(),
        })?;
        progress(Progress { step: Step::Write, ..done });
        writer.publish()?;
        index.save(self, &found.known);
        let Found { skipped, skipped_count, .. } = found;
        Ok(Imported { snapshot, files_read, skipped, skipped_count })
    }
}

/// What the user named, with every link on the way followed.
struct Source {
    /// The directory, or the one that holds the single file.
    root: OwnedFd,
    /// Its absolute path.
    path: PathBuf,
    /// Name of a single file, and the name that the user called it.
    single: Option<(OsString, OsString)>,
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
        let single = Some((name.to_owned(), source.file_name().unwrap_or(name).to_owned()));
        Ok(Self { root, path, single })
    }
}

/// Reads every pending file in parallel. Returns the final progress.
fn read(
    root: &OwnedFd,
    index: &Index,
    writer: &Writer<'_>,
    found: &mut Found,
    progress: &mut dyn FnMut(Progress),
) -> Result<Progress, ImportError> {
    let pending = std::mem::take(&mut found.pending);
    let bytes_total = pending.iter().map(|file| file.size).fold(0, u64::saturating_add);
    let files_total = pending.len() as u64;
    let mut state = Progress { step: Step::Read, files: 0, bytes: 0, files_total, bytes_total };
    if pending.is_empty() {
        return Ok(state);
    }
    let bytes = AtomicU64::new(0);
    let work = |buffer: &mut [u8], file: Pending| {
        let done = read_file(root, writer, buffer, &file.path, |count| {
            bytes.fetch_add(count, Ordering::Relaxed);
        })?;
        Ok::<_, ImportError>((file.place, key(&file.path, &done.stamp), done))
    };
    parallel::run(pending.into_iter(), work, |done: Option<(Place, Key, ReadFile)>| {
        if let Some((place, key, ReadFile { stamp, kind })) = done {
            state.files += 1;
            if let (EntryKind::File { digest, .. }, true) = (&kind, index.is_settled(&stamp)) {
                found.known.push((key, *digest));
            }
            found.forest.set(place, kind);
        }
        state.bytes = bytes.load(Ordering::Relaxed);
        progress(state);
        Ok(())
    })?;
    Ok(state)
}

struct ReadFile {
    stamp: Stamp,
    kind: EntryKind,
}

/// Reads one file into the store, and makes sure that nobody wrote to it meanwhile.
fn read_file(
    root: &OwnedFd,
    writer: &Writer<'_>,
    buffer: &mut [u8],
    path: &[u8],
    counted: impl Fn(u64),
) -> Result<ReadFile, ImportError> {
    let changed = || ImportError::Changed { path: text_below(path) };
    let unreadable = |source| ImportError::Unreadable { path: text_below(path), source };
    let file = open_file_below(root, path).map_err(|error| failed(path, error))?;
    let stat = rustix::fs::fstat(&file).map_err(|error| unreadable(error.into()))?;
    if !file_type(&stat).is_file() {
        return Err(changed());
    }
    let before = Stamp::of(&stat);
    let mut file = File::from(file);
    let copied = writer.add_file(&mut file, before.size, buffer, |piece| counted(piece.len() as u64));
    let (digest, size) = copied.map_err(|error| match error {
        CopyError::Read(error) => unreadable(error),
        CopyError::Write(error) => error.into(),
    })?;
    let after = Stamp::of_open(file.as_fd()).map_err(unreadable)?;
    if before != after || size != before.size {
        return Err(changed());
    }
    let kind = EntryKind::File { size, digest, executable: is_executable(&stat) };
    Ok(ReadFile { stamp: before, kind })
}

/// Why an import did not happen. Paths are in their text form.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file was written, replaced or removed while it was read.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// The file.
        path: String,
    },
    /// A file or directory could not be read.
    #[error("could not read `{path}`")]
    Unreadable {
        /// The file or directory.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A FIFO, socket or device, and the options refuse them.
    #[error("`{path}` is not a regular file, a directory or a link")]
    SpecialFile {
        /// The entry.
        path: String,
    },
    /// A link points out of the tree, and the options refuse that.
    #[error("the link `{path}` points to `{target}`, outside of what is imported")]
    LinkOutside {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A line of an ignore file is no rule.
    #[error("line {line} of `{path}` is not a rule for leaving out files")]
    Rule {
        /// The ignore file.
        path: String,
        /// Number of the line, from 1.
        line: usize,
    },
    /// A snapshot cannot hold this path or directory.
    #[error("`{path}` does not fit in a snapshot")]
    Shape {
        /// The entry.
        path: String,
        /// Which rule of the format it breaks.
        #[source]
        source: TreeError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Diagnose for ImportError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Changed { .. } => Diagnosis::new(
                Class::User,
                "store/changed",
                "wait until nothing writes there, or import a copy",
            ),
            Self::Unreadable { .. } => Diagnosis::new(
                Class::User,
                "store/unreadable",
                "check that it exists and that you may read it",
            ),
            Self::SpecialFile { .. } => Diagnosis::new(
                Class::User,
                "store/special-file",
                "remove it, add it to `.asepticignore`, or choose to skip special files",
            ),
            Self::LinkOutside { .. } => Diagnosis::new(
                Class::User,
                "store/link-outside",
                "replace the link with what it points to, add it to `.asepticignore`, or choose to keep links",
            ),
            Self::Rule { .. } => {
                Diagnosis::new(Class::User, "store/ignore-rule", "correct the line or remove it")
            }
            Self::Shape { .. } => Diagnosis::new(
                Class::User,
                "store/shape",
                "shorten the path, or spread the files over more directories",
            ),
            Self::Store(error) => error.diagnosis(),
        }
    }
}

#[cfg(test)]
mod tests;
