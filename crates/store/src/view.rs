//! Views: a snapshot as a read-only directory, made once.
//!
//! **Invariant:** a view has its name only when it is complete, and every file in it was checked against its
//! digest while it was built. Whether it still is complete after the machine stopped is in [`standing`].

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, FilePath};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use crate::directories;
use crate::error::{CORRUPT_HELP, Damage, Damages, StoreError, summary};
use crate::files::{DIRECTORY, READ_EXECUTE, READ_ONLY, READ_WRITE, open_directory, open_directory_below};
use crate::object::{Content, Store, object_name};
use crate::parallel;
use crate::portion::{Blocks, Large, Portion, Portions, Shown, Step, What, shown, split};
use crate::reader::Found;
use crate::stage::{Staging, lock_tmp};
use crate::standing::{self, Standing};

impl Store {
    /// The read-only directory that shows the snapshot `digest`.
    ///
    /// Built at the first call, when every file is checked against its digest; constant time afterwards. It is
    /// built once more at the first call after the machine was started again, unless it was waited for.
    /// Its files are copies of objects, or hard links to them: show it to a job only through a read-only
    /// overlay mount, so that no writer, lock or watch reaches an object. Every time in it is
    /// 2000-01-01T00:00:00Z.
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

    /// The view called `name`, if it was built and is whole.
    pub(crate) fn find_view(&self, name: &str) -> Option<PathBuf> {
        let path = self.view_path(name);
        (path.parent().is_some_and(standing::is_whole) && path.is_dir()).then_some(path)
    }

    /// Where the view `name` is, if it was built.
    pub(crate) fn view_path(&self, name: &str) -> PathBuf {
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
        let mut bytes: u64 = 0;
        let mut damages = Damages::default();
        let entries = entries.inspect(|entry| match entry {
            Ok(Shown { path, what: What::Directory }) => directories.push(path.clone()),
            Ok(Shown { what: What::File { content, .. }, .. }) => bytes = bytes.saturating_add(content.size),
            _ => {}
        });
        // Directories are made here, by one thread at a time, so that each is there before its content.
        let entries = entries.map(|entry| builder.make_directory(entry));
        parallel::run(
            Portions::new(self, entries, |shown, blocks| builder.begin(shown, blocks)),
            |buffer, portion| builder.show(buffer, portion),
            |found| {
                found.into_iter().flatten().for_each(|damage| damages.push(damage));
                Ok(())
            },
        )?;
        if damages.count > 0 {
            let Damages { list, count } = damages;
            return Err(ViewError::Damaged { digest, list, count });
        }
        let again = self.dir.join("views").join(name).exists();
        builder.publish(name, &directories, &Standing::choose(bytes, again))?;
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

/// A view under construction, in a staging directory.
#[derive(Debug)]
struct Builder<'s> {
    store: &'s Store,
    staging: Staging,
    tree: OwnedFd,
    surface: Surface,
}

/// Where a large file goes.
#[derive(Debug)]
enum Target {
    /// It is an object of its own, which gets another name.
    Link(Content),
    /// It is copied.
    Copy(File),
}

impl<'s> Builder<'s> {
    fn new(store: &'s Store, surface: Surface) -> Result<Self, StoreError> {
        let staging = Staging::new(store)?;
        let made = |name| store.disk.make_new_directory(&staging.dir, name, DIRECTORY);
        let opened = made("view").and_then(|()| made("view/tree")).map_err(io::Error::from);
        let tree = opened
            .and_then(|()| open_directory(&staging.path.join("view/tree")))
            .map_err(|error| store.io("build a view", "tmp", error))?;
        Ok(Self { store, staging, tree, surface })
    }

    /// Makes a directory; what could not be made is said where it is to be filled.
    fn make_directory(&self, entry: Step) -> Step {
        if let Ok(Shown { path, what: What::Directory }) = &entry
            && let Err(error) = self.staging.disk.make_new_directory(&self.tree, path.as_bytes(), DIRECTORY)
        {
            return Err((path.clone(), self.failed(error)));
        }
        entry
    }

    fn begin(&self, shown: &Shown, blocks: Blocks) -> Result<Vec<Large<Target>>, StoreError> {
        let What::File { content, executable } = shown.what else { return Ok(Vec::new()) };
        let mode = self.mode(executable);
        let target = match blocks {
            Blocks::File(_) if mode == READ_ONLY => Target::Link(content),
            _ => Target::Copy(self.create(&self.tree, shown.path.as_bytes(), mode)?),
        };
        Ok(vec![Large::new(shown.path.clone(), content, blocks, target)])
    }

    /// Puts one portion in place, or says what is wrong with its objects.
    fn show(&self, buffer: &mut [u8], portion: Portion<Target>) -> Result<Vec<Damage>, StoreError> {
        let (path, shown) = match portion {
            Portion::Entries(entries) => return self.show_entries(buffer, entries),
            Portion::Block(large, number) => (large.path.clone(), self.show_block(buffer, &large, number)),
        };
        Ok(match shown {
            Ok(()) => Vec::new(),
            Err(error) => vec![Damage { path, cause: error.into_damage()? }],
        })
    }

    fn show_block(&self, buffer: &mut [u8], large: &Large<Target>, number: u64) -> Result<(), StoreError> {
        let done = large.read(self.store, number, buffer, |bytes, at| match &large.target {
            Target::Link(_) => Ok(()),
            Target::Copy(to) => self.staging.disk.write_at(to, bytes, at).map_err(|error| self.failed(error)),
        })?;
        match (done, &large.target) {
            (None, _) => Ok(()),
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(())), Target::Copy(to)) => self.close(to),
            (Some(Ok(())), Target::Link(content)) => {
                self.link(buffer, (&self.tree, large.path.as_bytes()), *content, READ_ONLY)
            }
        }
    }

    fn show_entries(&self, buffer: &mut [u8], entries: Vec<Step>) -> Result<Vec<Damage>, StoreError> {
        let mut damages = Vec::new();
        let mut directory = None;
        for entry in entries {
            let (path, error) = match entry {
                Err(damaged) => damaged,
                // Made before.
                Ok(Shown { what: What::Directory, .. }) => continue,
                Ok(Shown { path, what }) => {
                    let (parent, name) = split(&path);
                    let directory = match &directory {
                        Some(directory) => directory,
                        None => {
                            let opened = open_directory_below(&self.tree, parent);
                            directory.insert(opened.map_err(|error| self.failed(error))?)
                        }
                    };
                    match self.put(buffer, (directory, name), what) {
                        Ok(()) => continue,
                        Err(error) => (path, error),
                    }
                }
            };
            damages.push(Damage { path, cause: error.into_damage()? });
        }
        Ok(damages)
    }

    fn put(&self, buffer: &mut [u8], (dir, name): Place<'_>, what: What) -> Result<(), StoreError> {
        let put = match what {
            What::Directory => Ok(()),
            What::Symlink(target) => self.staging.disk.make_symlink(target, dir, name),
            What::Whiteout => self.staging.disk.make_whiteout(dir, name),
            What::File { content, executable } => {
                let mode = self.mode(executable);
                let found = self.store.find(&content.digest)?;
                if mode != READ_ONLY || matches!(found, Found::Packed(..)) {
                    return self.copy(buffer, (dir, name), content, mode, found);
                }
                self.store.read_found(found, content, buffer, |_| Ok::<_, StoreError>(()))?;
                return self.link(buffer, (dir, name), content, mode);
            }
        };
        put.map_err(|error| self.failed(error))
    }

    fn mode(&self, executable: bool) -> Mode {
        match (self.surface, executable) {
            (Surface::Work, false) => READ_WRITE,
            (Surface::Work, true) => DIRECTORY,
            (Surface::Input, false) => READ_ONLY,
            (Surface::Input, true) => READ_EXECUTE,
        }
    }

    /// Gives an object that is a file of its own a name in the view. It was checked.
    fn link(
        &self,
        buffer: &mut [u8],
        (dir, name): Place<'_>,
        content: Content,
        mode: Mode,
    ) -> Result<(), StoreError> {
        let object = object_name(&content.digest);
        match self.staging.disk.link(&self.store.objects, object, dir, name, AtFlags::empty()) {
            // More names than the file system allows for one file, as empty files may have; or it went
            // into a pack meanwhile.
            Err(Errno::MLINK | Errno::NOENT) => {
                let found = self.store.find(&content.digest)?;
                self.copy(buffer, (dir, name), content, mode, found)
            }
            linked => linked.map_err(|error| self.failed(error)),
        }
    }

    fn copy(
        &self,
        buffer: &mut [u8],
        (dir, name): Place<'_>,
        content: Content,
        mode: Mode,
        found: Found,
    ) -> Result<(), StoreError> {
        let to = self.create(dir, name, mode)?;
        self.store.read_found(found, content, buffer, |piece| {
            self.staging.disk.write(&to, piece).map_err(|error| self.failed(error))
        })?;
        self.close(&to)
    }

    fn create(&self, dir: &OwnedFd, name: &[u8], mode: Mode) -> Result<File, StoreError> {
        self.staging.disk.create(dir, name, mode).map_err(|error| self.failed(error))
    }

    fn close(&self, file: &File) -> Result<(), StoreError> {
        self.staging.disk.set_times(file).map_err(|error| self.failed(error))
    }

    /// Closes the directories and gives the view its name.
    fn publish(self, name: &str, directories: &[FilePath], standing: &Standing) -> Result<(), StoreError> {
        let finished = self.close_directories(directories).and_then(|()| self.say(directories, standing));
        let named = finished.and_then(|()| self.name(name, standing));
        named.map_err(|error| self.failed(error))
    }

    fn close_directories(&self, directories: &[FilePath]) -> io::Result<()> {
        let mode = match self.surface {
            Surface::Input => READ_EXECUTE,
            Surface::Work => DIRECTORY,
        };
        // The deepest first: afterwards its owner cannot change a directory any more.
        let paths = directories.iter().rev().map(FilePath::as_bytes).chain([b".".as_slice()]);
        for path in paths {
            self.staging.disk.close_directory(&self.tree, path, mode)?;
        }
        Ok(())
    }

    /// Writes what is known of the view beside it.
    fn say(&self, directories: &[FilePath], standing: &Standing) -> io::Result<()> {
        let disk = &self.staging.disk;
        if self.surface == Surface::Input {
            let list = self.staging.create("view/directories", READ_ONLY)?;
            disk.write(&list, &directories::encode(directories))?;
        }
        if *standing == Standing::OnDisk {
            disk.sync_all(&self.tree)?;
        }
        let said = self.staging.create(&format!("view/{}", standing::NAME), READ_ONLY)?;
        disk.write(&said, standing.text().as_bytes())?;
        if *standing == Standing::OnDisk {
            disk.sync(&said)?;
            disk.sync(open_directory_below(&self.staging.dir, b"view")?)?;
        }
        Ok(())
    }

    fn name(&self, name: &str, standing: &Standing) -> io::Result<()> {
        let disk = &self.staging.disk;
        let views = open_directory(&self.store.dir.join("views"))?;
        match disk.rename(&self.staging.dir, "view", &views, name) {
            Err(Errno::EXIST | Errno::NOTEMPTY) => {
                // One process at a time takes away what is there.
                let _guard = lock_tmp(&self.store.dir.join("tmp"))?;
                // Another process was quicker; its view is the same.
                if self.store.find_view(name).is_some() {
                    return Ok(());
                }
                disk.rename(&views, name, &self.staging.dir, "before")?;
                disk.rename(&self.staging.dir, "view", &views, name)?;
            }
            renamed => renamed?,
        }
        if *standing == Standing::OnDisk { Ok(disk.sync(views)?) } else { Ok(()) }
    }

    fn failed(&self, error: impl Into<io::Error>) -> StoreError {
        self.store.io("build a view", "views", error)
    }
}

/// A directory and a name in it.
type Place<'p> = (&'p OwnedFd, &'p [u8]);

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
