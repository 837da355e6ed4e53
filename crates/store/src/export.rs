//! Export: from a snapshot to ordinary files of the user.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, FilePath};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, mkdirat, openat, renameat, renameat_with, symlinkat,
    unlinkat,
};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::files::{file_type, open_directory, open_directory_below, state, text};
use crate::object::{Content, Store, object_name};
use crate::parallel::BUFFER_BYTES;
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
        digest: &Digest,
        selection: Option<&FilePath>,
        dest: &Path,
        existing: Existing,
    ) -> Result<Exported, ExportError> {
        let root = match selection {
            None => *digest,
            Some(path) => {
                let found = self.subtree(digest, path)?;
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
        let mut buffer = vec![0; BUFFER_BYTES];
        for entry in self.walk(digest)? {
            let (path, kind) = entry?;
            match kind {
                EntryKind::Directory { .. } => dest.make_directory(&path)?,
                EntryKind::Symlink { target } => {
                    dest.place(&path, |dir, name| Ok(symlinkat(&target, dir, name)?))?;
                    done.links += 1;
                }
                EntryKind::File { size, digest, executable } => {
                    let content = Content { size, digest };
                    dest.place(&path, |dir, name| {
                        self.copy_out(content, executable, dir, name, &mut buffer)
                    })?;
                    done.files += 1;
                    done.bytes += size;
                }
            }
        }
        Ok(done)
    }

    fn copy_out(
        &self,
        content: Content,
        executable: bool,
        dir: &OwnedFd,
        name: &str,
        buffer: &mut [u8],
    ) -> Result<(), PlaceError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = File::from(openat(dir, name, flags, Mode::from_raw_mode(mode))?);
        self.read_object(&object_name(&content.digest), content, buffer, |piece| Ok(file.write_all(piece)?))
    }
}

/// Where an export goes.
#[derive(Debug)]
struct Destination {
    root: OwnedFd,
    existing: Existing,
}

/// Why an entry was not written: the store or the destination.
enum PlaceError {
    Store(StoreError),
    Destination(io::Error),
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

    /// Lets `make` write an entry under a passing name, then gives it its own.
    fn place(
        &self,
        path: &FilePath,
        make: impl FnOnce(&OwnedFd, &str) -> Result<(), PlaceError>,
    ) -> Result<(), ExportError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |source: io::Error| ExportError::Destination { path: path.to_string(), source };
        let (directory, name) = split(path);
        let dir = open_directory_below(&self.root, directory).map_err(failed)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let passing = format!(".aseptic-export-{}-{count}", std::process::id());
        let placed = make(&dir, &passing).map_err(|error| match error {
            PlaceError::Store(error) => error.into(),
            PlaceError::Destination(error) => failed(error),
        });
        let placed = placed.and_then(|()| match self.rename(&dir, &passing, name) {
            Err(Errno::EXIST | Errno::ISDIR) => Err(ExportError::Exists { path: path.clone() }),
            renamed => renamed.map_err(|error| failed(error.into())),
        });
        if placed.is_err() {
            // What failed is reported; a leftover has a name that says whose it is.
            let _ = unlinkat(&dir, &passing, AtFlags::empty());
        }
        placed
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

/// The directory of a path, empty for the root, and its last component.
fn split(path: &FilePath) -> (&[u8], &[u8]) {
    let name = path.file_name();
    let directory = &path.as_bytes()[..path.as_bytes().len() - name.len()];
    (directory.strip_suffix(b"/").unwrap_or(directory), name)
}

impl From<StoreError> for PlaceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for PlaceError {
    fn from(error: io::Error) -> Self {
        Self::Destination(error)
    }
}

impl From<Errno> for PlaceError {
    fn from(error: Errno) -> Self {
        Self::Destination(error.into())
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
