//! Export: from a snapshot to ordinary files of the user.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, FilePath};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, mkdirat, openat, renameat, renameat_with, symlinkat,
    unlinkat,
};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::files::{file_type, open_directory, open_directory_below, state, text};
use crate::lease::Lease;
use crate::object::Store;
use crate::parallel;
use crate::portion::{Blocks, Large, Portion, Portions, Shown, Step, What, shown, split};
use crate::tree::EntryKind;

/// What to do about files that are already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse the export before anything is written.
    #[default]
    Refuse,
    /// Replace files and links, each in one step; never a directory.
    Overwrite,
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Number of regular files.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// Number of links; each as it was, pointing wherever it points.
    pub links: u64,
}

impl Store {
    /// Copies the snapshot `digest`, or what is at `selection` in it, into the directory `dest`.
    ///
    /// A directory gives its content, a single file or link itself under its name. `dest` is made when
    /// missing. Every file is checked against its digest before it gets its name, so a killed export
    /// leaves no half file (a leftover may be there under a name starting with `.aseptic-export-`).
    /// Below `dest` no link is followed. Modes are 0644 and 0755 less the umask.
    ///
    /// # Errors
    /// - [`ExportError::NotFound`]: nothing is at `selection`.
    /// - [`ExportError::Exists`]: an entry is in the way; with [`Existing::Refuse`] nothing was written.
    /// - [`ExportError::Destination`]: `dest` could not be written.
    /// - [`ExportError::Store`]: an object is missing or damaged; files before it were written.
    pub fn export(
        &self,
        lease: &Lease,
        digest: &Digest,
        selection: Option<&FilePath>,
        dest: &Path,
        existing: Existing,
    ) -> Result<Exported, ExportError> {
        let root = match selection {
            None => *digest,
            Some(path) => {
                let found = self.subtree(lease, digest, path)?;
                found.ok_or_else(|| ExportError::NotFound { path: path.clone() })?.digest
            }
        };
        fs::create_dir_all(dest)
            .and_then(|()| open_directory(dest))
            .map_err(|source| ExportError::Destination { path: text(dest), source })
            .and_then(|dest| self.export_into(&root, Destination { root: dest, existing }))
    }

    fn export_into(&self, digest: &Digest, dest: Destination) -> Result<Exported, ExportError> {
        for entry in self.walk(digest)? {
            let (path, kind) = entry?;
            dest.check(&path, &kind)?;
        }
        let mut done = Exported::default();
        let mut walk = self.walk(digest)?;
        // Directories are made here, by one thread at a time, so that each is there before its content.
        let entries = std::iter::from_fn(move || Some(walk.step()?.map(shown)));
        let export = Export { store: self, dest: &dest, failed: Mutex::default() };
        parallel::run(
            Portions::new(self, entries.map(|entry| export.make_directory(entry)), |shown, blocks| {
                export.begin(shown, blocks)
            }),
            |buffer, portion| export.portion(buffer, portion),
            |exported| {
                let exported = exported.unwrap_or_default();
                done.files += exported.files;
                done.bytes += exported.bytes;
                done.links += exported.links;
                Ok(())
            },
        )?;
        Ok(done)
    }
}

/// An export by several threads.
struct Export<'e> {
    store: &'e Store,
    dest: &'e Destination,
    /// What went wrong where only an error of the store can be said.
    failed: Mutex<Option<ExportError>>,
}

/// A large file that has a passing name.
struct Target<'e> {
    file: File,
    passing: Passing<'e>,
}

impl<'e> Export<'e> {
    fn make_directory(&self, entry: Step) -> Step {
        if let Ok(Shown { path, what: What::Directory }) = &entry
            && let Err(error) = self.dest.make_directory(path)
        {
            return Err((path.clone(), self.fail(error)));
        }
        entry
    }

    /// Keeps an error for [`Export::portion`], which meets what is returned.
    fn fail(&self, error: ExportError) -> StoreError {
        let source = io::Error::other(error.to_string());
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        StoreError::Io { step: "export", path: String::new(), source }
    }

    fn begin(&self, shown: &Shown, blocks: Blocks) -> Result<Vec<Large<Target<'e>>>, StoreError> {
        let What::File { content, executable } = shown.what else { return Ok(Vec::new()) };
        let begun = self.dest.pass(&shown.path).and_then(|passing| {
            let file = passing.create(executable)?;
            Ok(Target { file, passing })
        });
        let target = begun.map_err(|error| self.fail(error))?;
        Ok(vec![Large::new(shown.path.clone(), content, blocks, target)])
    }

    fn portion(&self, buffer: &mut [u8], portion: Portion<Target<'e>>) -> Result<Exported, ExportError> {
        let mut done = Exported::default();
        match portion {
            Portion::Entries(entries) => {
                for entry in entries {
                    self.entry(buffer, entry, &mut done)?;
                }
            }
            Portion::Block(large, number) => {
                let Target { file, passing } = &large.target;
                let read = large.read(self.store, number, buffer, |bytes, at| {
                    file.write_all_at(bytes, at).map_err(|error| passing.failed(error))
                })?;
                if let Some(intact) = read {
                    intact?;
                    passing.finish()?;
                    done.files += 1;
                    done.bytes += large.size();
                }
            }
        }
        Ok(done)
    }

    fn entry(&self, buffer: &mut [u8], entry: Step, done: &mut Exported) -> Result<(), ExportError> {
        let Shown { path, what } = entry.map_err(|(_, error)| {
            let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
            failed.unwrap_or(ExportError::Store(error))
        })?;
        match what {
            What::Directory | What::Whiteout => {}
            What::Symlink(target) => {
                let passing = self.dest.pass(&path)?;
                let made = symlinkat(&target, &passing.dir, passing.name.as_str());
                made.map_err(|error| passing.failed(error))?;
                passing.finish()?;
                done.links += 1;
            }
            What::File { content, executable } => {
                let passing = self.dest.pass(&path)?;
                let mut file = passing.create(executable)?;
                self.store.read_object(content, buffer, |piece| {
                    file.write_all(piece).map_err(|error| passing.failed(error))
                })?;
                passing.finish()?;
                done.files += 1;
                done.bytes += content.size;
            }
        }
        Ok(())
    }
}

/// Where an export goes.
#[derive(Debug)]
struct Destination {
    root: OwnedFd,
    existing: Existing,
}

impl Destination {
    /// Refuses an entry that is in the way.
    fn check(&self, path: &FilePath, kind: &EntryKind) -> Result<(), ExportError> {
        let (directory, name) = split(path);
        let found = open_directory_below(&self.root, directory).and_then(|dir| state(dir, name));
        let in_the_way = match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(ExportError::Destination { path: path.to_string(), source }),
            Ok(stat) => match (kind, file_type(&stat), self.existing) {
                (EntryKind::Directory { .. }, FileType::Directory, _) => false,
                (EntryKind::Directory { .. }, ..) | (_, FileType::Directory, _) => true,
                (.., existing) => existing == Existing::Refuse,
            },
        };
        if in_the_way { Err(ExportError::Exists { path: path.clone() }) } else { Ok(()) }
    }

    fn make_directory(&self, path: &FilePath) -> Result<(), ExportError> {
        let (directory, name) = split(path);
        let made = open_directory_below(&self.root, directory)
            .and_then(|dir| Ok(mkdirat(dir, name, Mode::from_raw_mode(0o755))?));
        match made {
            // Whether it is a directory shows when something is put into it; a link is not followed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.map_err(|source| ExportError::Destination { path: path.to_string(), source }),
        }
    }

    /// A passing name for an entry.
    fn pass(&self, path: &FilePath) -> Result<Passing<'_>, ExportError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let opened = open_directory_below(&self.root, split(path).0);
        let dir = opened.map_err(|source| ExportError::Destination { path: path.to_string(), source })?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".aseptic-export-{}-{count}", std::process::id());
        Ok(Passing { dest: self, path: path.clone(), dir, name, finished: AtomicBool::new(false) })
    }

    fn rename(&self, dir: &OwnedFd, passing: &str, name: &[u8]) -> rustix::io::Result<()> {
        match self.existing {
            Existing::Overwrite => renameat(dir, passing, dir, name),
            Existing::Refuse => match renameat_with(dir, passing, dir, name, RenameFlags::NOREPLACE) {
                // A file system without this flag, such as NFS: nothing was there a moment ago.
                Err(Errno::INVAL) => renameat(dir, passing, dir, name),
                renamed => renamed,
            },
        }
    }
}

/// The name that an entry has until it is complete; removed on drop.
#[derive(Debug)]
struct Passing<'e> {
    dest: &'e Destination,
    path: FilePath,
    dir: OwnedFd,
    name: String,
    finished: AtomicBool,
}

impl Passing<'_> {
    fn create(&self, executable: bool) -> Result<File, ExportError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let created = openat(&self.dir, self.name.as_str(), flags, mode);
        Ok(File::from(created.map_err(|error| self.failed(error))?))
    }

    /// Gives a complete entry its own name.
    fn finish(&self) -> Result<(), ExportError> {
        match self.dest.rename(&self.dir, &self.name, split(&self.path).1) {
            Err(Errno::EXIST | Errno::ISDIR) => Err(ExportError::Exists { path: self.path.clone() }),
            renamed => {
                renamed.map_err(|error| self.failed(error))?;
                self.finished.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn failed(&self, source: impl Into<io::Error>) -> ExportError {
        ExportError::Destination { path: self.path.to_string(), source: source.into() }
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        if !self.finished.load(Ordering::Relaxed) {
            // What failed is reported; a leftover has a name that says whose it is.
            let _ = unlinkat(&self.dir, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The snapshot has nothing there.
    #[error("the snapshot has no `{path}`")]
    NotFound {
        /// The selection.
        path: FilePath,
    },
    /// An entry of the destination is in the way.
    #[error("`{path}` already exists in the destination")]
    Exists {
        /// The entry, relative to the destination.
        path: FilePath,
    },
    /// The destination could not be written.
    #[error("could not write `{path}`")]
    Destination {
        /// The entry, in its text form.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Diagnose for ExportError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::NotFound { .. } => {
                Diagnosis::new(Class::User, "store/not-found", "list the snapshot to see which paths it has")
            }
            Self::Exists { .. } => Diagnosis::new(
                Class::User,
                "store/exists",
                "name an empty directory, or replace files with `--overwrite`",
            ),
            Self::Destination { .. } => Diagnosis::new(
                Class::Host,
                "store/destination",
                "check the space and the permissions of the destination",
            ),
            Self::Store(error) => error.diagnosis(),
        }
    }
}
