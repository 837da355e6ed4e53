//! Views: a snapshot as a read-only directory, made once.
//!
//! **Invariant:** a view has its name only when it is complete, on disk, and every file in it was checked
//! against its digest while it was built.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, FilePath};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, chmodat, fchmod, fsync, futimens, linkat, makedev, mkdirat,
    mknodat, openat, renameat, symlinkat, syncfs, utimensat,
};
use rustix::io::Errno;

use crate::error::{CORRUPT_HELP, Damage, Damages, StoreError, summary};
use crate::files::{DIRECTORY, FIXED_TIMES, READ_EXECUTE, READ_ONLY, READ_WRITE, open_directory};
use crate::object::{Content, Store, object_name, twin_name};
use crate::parallel;
use crate::stage::{Staging, name_object};
use crate::tree::EntryKind;

impl Store {
    /// The read-only directory that shows the snapshot `digest`.
    ///
    /// Built at the first call, when every file is checked against its digest; constant time afterwards.
    /// Its files are hard links to objects: show it to a job only through a read-only overlay mount, so
    /// that no writer, lock or watch reaches an object. Every time in it is 2000-01-01T00:00:00Z.
    ///
    /// # Errors
    /// - [`ViewError::Damaged`]: objects are missing or damaged; no view was made.
    /// - [`ViewError::Store`]: the snapshot is not in the store, or the disk failed.
    pub fn view(&self, digest: &Digest) -> Result<PathBuf, ViewError> {
        let name = digest.to_string();
        if let Some(path) = self.find_view(&name) {
            return Ok(path);
        }
        self.full_view(digest, &name, Surface::Input)
    }

    /// Builds the whole view of `digest` under `name`.
    pub(crate) fn full_view(
        &self,
        digest: &Digest,
        name: &str,
        surface: Surface,
    ) -> Result<PathBuf, ViewError> {
        let mut walk = self.walk(digest)?;
        let entries = std::iter::from_fn(move || Some(walk.step()?.map(shown)));
        self.build_view(*digest, name, surface, entries)
    }

    /// The view called `name`, if it was built.
    pub(crate) fn find_view(&self, name: &str) -> Option<PathBuf> {
        let path = self.view_path(name);
        path.is_dir().then_some(path)
    }

    fn view_path(&self, name: &str) -> PathBuf {
        self.dir.join("views").join(name).join("tree")
    }

    /// Builds a view of `entries`, each directory before what it holds.
    pub(crate) fn build_view(
        &self,
        digest: Digest,
        name: &str,
        surface: Surface,
        entries: impl Iterator<Item = Result<Shown, (FilePath, StoreError)>> + Send,
    ) -> Result<PathBuf, ViewError> {
        let builder = Builder::new(self, surface)?;
        let mut directories = Vec::new();
        let mut damages = Damages::default();
        let entries = entries.inspect(|entry| {
            if let Ok(Shown { path, what: What::Directory }) = entry {
                directories.push(path.clone());
            }
        });
        // Directories are made here, by one thread at a time, so that each is there before its content.
        let entries = entries.map(|entry| builder.make_directory(entry));
        parallel::run(
            entries,
            |buffer, entry| builder.show(buffer, entry),
            |damage| {
                damage.flatten().into_iter().for_each(|damage| damages.push(damage));
                Ok(())
            },
        )?;
        if damages.count > 0 {
            let Damages { list, count } = damages;
            return Err(ViewError::Damaged { digest, list, count });
        }
        builder.publish(name, &directories)?;
        Ok(self.view_path(name))
    }
}

/// What a view is for, which decides the modes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// To be read: links to objects, without any permission to write.
    Input,
    /// To be worked on through a copy-on-write overlay: copies, with the usual permissions, since an
    /// overlay asks those of its lower layer before it copies a file up.
    Work,
}

/// One entry of a view.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) path: FilePath,
    pub(crate) what: What,
}

/// What a view shows under a path.
#[derive(Debug)]
pub(crate) enum What {
    Directory,
    Symlink(Vec<u8>),
    File {
        content: Content,
        executable: bool,
    },
    /// Nothing, although a lower layer has something: a character device 0:0 of overlayfs.
    Whiteout,
}

pub(crate) fn shown((path, kind): (FilePath, EntryKind)) -> Shown {
    let what = match kind {
        EntryKind::Directory { .. } => What::Directory,
        EntryKind::Symlink { target } => What::Symlink(target),
        EntryKind::File { size, digest, executable } => {
            What::File { content: Content { size, digest }, executable }
        }
    };
    Shown { path, what }
}

type Step = Result<Shown, (FilePath, StoreError)>;

/// A view under construction, in a staging directory.
#[derive(Debug)]
struct Builder<'s> {
    store: &'s Store,
    staging: Staging,
    tree: OwnedFd,
    surface: Surface,
    /// Names of executable twins that are staged.
    twins: Mutex<Vec<Digest>>,
}

impl<'s> Builder<'s> {
    fn new(store: &'s Store, surface: Surface) -> Result<Self, StoreError> {
        let staging = Staging::new(store)?;
        let made = |name| mkdirat(&staging.dir, name, DIRECTORY);
        let opened = made("view").and_then(|()| made("view/tree")).map_err(io::Error::from);
        let tree = opened
            .and_then(|()| open_directory(&staging.path.join("view/tree")))
            .map_err(|error| store.io("build a view", "tmp", error))?;
        Ok(Self { store, staging, tree, surface, twins: Mutex::new(Vec::new()) })
    }

    fn make_directory(&self, entry: Step) -> Result<Step, StoreError> {
        if let Ok(Shown { path, what: What::Directory }) = &entry {
            mkdirat(&self.tree, path.as_bytes(), DIRECTORY).map_err(|error| self.failed(error))?;
        }
        Ok(entry)
    }

    /// Puts one entry in place, or says what is wrong with its object.
    fn show(&self, buffer: &mut [u8], entry: Result<Step, StoreError>) -> Result<Option<Damage>, StoreError> {
        let (path, error) = match entry? {
            Err(damaged) => damaged,
            Ok(Shown { path, what }) => match self.put(buffer, &path, what) {
                Ok(()) => return Ok(None),
                Err(error) => (path, error),
            },
        };
        Ok(Some(Damage { path, cause: error.into_damage()? }))
    }

    fn put(&self, buffer: &mut [u8], path: &FilePath, what: What) -> Result<(), StoreError> {
        let path = path.as_bytes();
        let put = match what {
            What::Directory => Ok(()),
            What::Symlink(target) => symlinkat(target, &self.tree, path)
                .and_then(|()| utimensat(&self.tree, path, &FIXED_TIMES, AtFlags::SYMLINK_NOFOLLOW)),
            What::Whiteout => {
                mknodat(&self.tree, path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))
            }
            What::File { content, executable } => return self.put_file(buffer, path, content, executable),
        };
        put.map_err(|error| self.failed(error))
    }

    /// Links an object, or its executable twin, after checking it.
    fn put_file(
        &self,
        buffer: &mut [u8],
        path: &[u8],
        content: Content,
        executable: bool,
    ) -> Result<(), StoreError> {
        if self.surface == Surface::Work {
            let mode = if executable { DIRECTORY } else { READ_WRITE };
            return self.copy_new(buffer, path, content, mode);
        }
        let (name, mode) = if executable {
            (twin_name(&content.digest), READ_EXECUTE)
        } else {
            (object_name(&content.digest), READ_ONLY)
        };
        let linked = match self.store.read_object(&name, content, buffer, |_| Ok::<_, StoreError>(())) {
            Ok(()) => linkat(&self.store.objects, name, &self.tree, path, AtFlags::empty()),
            Err(StoreError::Missing { .. }) if executable => {
                let staged = content.digest.to_string();
                self.stage_twin(buffer, content, &staged)?;
                linkat(&self.staging.dir, staged, &self.tree, path, AtFlags::empty())
            }
            Err(error) => return Err(error),
        };
        match linked {
            // More names than the file system allows for one file, as empty files may have.
            Err(Errno::MLINK) => self.copy_new(buffer, path, content, mode),
            linked => linked.map_err(|error| self.failed(error)),
        }
    }

    /// Makes the twin of an object. If another thread is at it, its file can already be linked: should
    /// that copy fail, there will be no view.
    fn stage_twin(&self, buffer: &mut [u8], content: Content, staged: &str) -> Result<(), StoreError> {
        match self.staging.create(staged, READ_EXECUTE) {
            Ok(file) => self.copy(buffer, content, READ_EXECUTE, file)?,
            Err(Errno::EXIST) => return Ok(()),
            Err(error) => return Err(self.failed(error)),
        }
        self.twins.lock().unwrap_or_else(PoisonError::into_inner).push(content.digest);
        Ok(())
    }

    fn copy_new(
        &self,
        buffer: &mut [u8],
        path: &[u8],
        content: Content,
        mode: Mode,
    ) -> Result<(), StoreError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let copy = openat(&self.tree, path, flags, mode).map_err(|error| self.failed(error))?;
        self.copy(buffer, content, mode, File::from(copy))
    }

    fn copy(&self, buffer: &mut [u8], content: Content, mode: Mode, mut to: File) -> Result<(), StoreError> {
        self.store.read_object(&object_name(&content.digest), content, buffer, |piece| {
            to.write_all(piece).map_err(|error| self.failed(error))
        })?;
        fchmod(&to, mode).and_then(|()| futimens(&to, &FIXED_TIMES)).map_err(|error| self.failed(error))
    }

    /// Closes the directories and gives the twins and the view their names.
    fn publish(self, name: &str, directories: &[FilePath]) -> Result<(), StoreError> {
        self.finish(name, directories).map_err(|error| self.failed(error))
    }

    fn finish(&self, name: &str, directories: &[FilePath]) -> rustix::io::Result<()> {
        let mode = match self.surface {
            Surface::Input => READ_EXECUTE,
            Surface::Work => DIRECTORY,
        };
        // The deepest first: afterwards its owner cannot change a directory any more.
        let paths = directories.iter().rev().map(FilePath::as_bytes).chain([b".".as_slice()]);
        for path in paths {
            utimensat(&self.tree, path, &FIXED_TIMES, AtFlags::empty())?;
            chmodat(&self.tree, path, mode, AtFlags::empty())?;
        }
        syncfs(&self.tree)?;
        let twins = self.twins.lock().unwrap_or_else(PoisonError::into_inner);
        for digest in twins.iter() {
            name_object(self.store, &self.staging, &digest.to_string(), &twin_name(digest))?;
        }
        let views =
            openat(CWD, self.store.dir.join("views"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        match renameat(&self.staging.dir, "view", &views, name) {
            // Another process was quicker; its view is the same.
            Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => fsync(views),
            Err(error) => Err(error),
        }
    }

    fn failed(&self, error: impl Into<io::Error>) -> StoreError {
        self.store.io("build a view", "views", error)
    }
}

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Some files are not what was stored.
    #[error("the snapshot {digest} is damaged: {}", summary(list, count))]
    Damaged {
        /// The snapshot.
        digest: Digest,
        /// The first [`Damage::LIST_MAX`] of them.
        list: Vec<Damage>,
        /// How many there are.
        count: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Diagnose for ViewError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Damaged { .. } => Diagnosis::new(Class::Damaged, "store/corrupt", CORRUPT_HELP),
            Self::Store(error) => error.diagnosis(),
        }
    }
}
