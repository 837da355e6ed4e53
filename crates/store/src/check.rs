//! Checking the files of a snapshot and those of its view.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aseptic_model::{Digest, FilePath};
use rustix::fs::{AtFlags, FileType, statat};

use crate::error::{Damage, DamageCause, Damages, StoreError};
use crate::files::{
    Stamp, file_type, is_executable, link_target, names, open_directory_below, open_file_below, state,
};
use crate::hint::Key;
use crate::object::{Content, Store, object_name};
use crate::portion::{Blocks, Large, Portion, Shown, Step, What, split};
use crate::tree::EntryKind;
use crate::verified::States;
use crate::verify::{Extent, Verified};

/// What one portion was.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) damages: Vec<Damage>,
    /// Read and intact.
    pub(crate) read: Verified,
    /// Done, also by not reading it.
    pub(crate) seen: Verified,
}

impl Checked {
    fn damaged(&mut self, path: &FilePath, cause: DamageCause) {
        self.damages.push(Damage { path: path.clone(), cause });
    }
}

/// What is read of a large file.
#[derive(Debug)]
pub(crate) enum Target {
    /// Its object, which is in these states.
    Object(Vec<Stamp>),
    /// Its copy in the view, which is in this state.
    View(Stamp),
}

/// What a view shows under a name, before its content is looked at.
enum Look {
    Right,
    Wrong,
    /// A copy of an object, to be read.
    Copy(File, Stamp),
}

/// A verification.
#[derive(Debug)]
pub(crate) struct Check<'s> {
    pub(crate) store: &'s Store,
    pub(crate) extent: Extent,
    pub(crate) states: States,
    pub(crate) view: Option<OwnedFd>,
    pub(crate) side: Mutex<Side>,
}

/// What several threads add to.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// Of everything that is intact.
    pub(crate) keys: HashSet<Key>,
    /// Large files that the view does not show.
    pub(crate) damages: Vec<Damage>,
}

impl Check<'_> {
    pub(crate) fn side(&self) -> MutexGuard<'_, Side> {
        self.side.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what is in all of these states need not be read.
    fn is_unchanged(&self, stamps: &[Stamp]) -> bool {
        self.extent == Extent::Changed && stamps.iter().all(|stamp| self.states.is_known(stamp))
    }

    fn keep(&self, stamps: &[Stamp]) {
        self.side().keys.extend(stamps.iter().filter_map(|stamp| self.states.settled(stamp)));
    }

    /// Says what is to be read of a large file.
    pub(crate) fn begin(&self, shown: &Shown, blocks: Blocks) -> Result<Vec<Large<Target>>, StoreError> {
        let What::File { content, .. } = shown.what else { return Ok(Vec::new()) };
        let mut larges = Vec::new();
        let stamps = blocks.stamps(self.store, &content.digest)?;
        if self.is_unchanged(&stamps) {
            self.keep(&stamps);
        } else {
            larges.push(Large::new(shown.path.clone(), content, blocks, Target::Object(stamps)));
        }
        let (parent, name) = split(&shown.path);
        // A directory that is not there is damage by itself.
        let Some(parent) = self.open_shown(parent) else { return Ok(larges) };
        match self.look(&parent, name, &shown.what).unwrap_or(Look::Wrong) {
            Look::Right => {}
            Look::Wrong => {
                self.side().damages.push(Damage { path: shown.path.clone(), cause: DamageCause::View });
            }
            Look::Copy(_, stamp) if self.is_unchanged(&[stamp]) => self.keep(&[stamp]),
            Look::Copy(file, stamp) => {
                let (path, blocks) = (shown.path.clone(), Blocks::File(file));
                larges.push(Large::new(path, content, blocks, Target::View(stamp)));
            }
        }
        Ok(larges)
    }

    pub(crate) fn portion(&self, buffer: &mut [u8], portion: Portion<Target>) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        match portion {
            Portion::Entries(entries) => self.entries(buffer, entries, &mut checked),
            Portion::Block(large, number) => {
                let seen = |bytes: &[u8], _| {
                    let counts = matches!(large.target, Target::Object(_));
                    checked.seen.bytes += if counts { bytes.len() as u64 } else { 0 };
                    Ok::<_, StoreError>(())
                };
                let done = large.read(self.store, number, buffer, seen)?;
                match (done, &large.target) {
                    (None, _) => {}
                    (Some(Ok(())), Target::Object(stamps)) => {
                        self.keep(stamps);
                        checked.seen.files += 1;
                        checked.read = Verified { files: 1, bytes: large.size() };
                    }
                    (Some(Ok(())), Target::View(stamp)) => self.keep(&[*stamp]),
                    (Some(Err(error)), Target::Object(_)) => checked.damaged(&large.path, cause(error)),
                    (Some(Err(_)), Target::View(_)) => checked.damaged(&large.path, DamageCause::View),
                }
            }
        }
        Ok(checked)
    }

    /// Checks entries of one directory.
    fn entries(&self, buffer: &mut [u8], entries: Vec<Step>, checked: &mut Checked) {
        let parent = match entries.first() {
            Some(Ok(Shown { path, .. })) => self.open_shown(split(path).0),
            _ => None,
        };
        for entry in entries {
            let Shown { path, what } = match entry {
                Ok(shown) => shown,
                Err((path, error)) => {
                    checked.damaged(&path, cause(error));
                    continue;
                }
            };
            if let What::File { content, .. } = what {
                match self.object(buffer, content) {
                    Ok(is_read) => {
                        let one = Verified { files: 1, bytes: content.size };
                        checked.seen.add(one);
                        checked.read.add(if is_read { one } else { Verified::default() });
                    }
                    Err(error) => checked.damaged(&path, cause(error)),
                }
            }
            if let Some(parent) = &parent
                && !self.shows(buffer, parent, split(&path).1, &what).unwrap_or(false)
            {
                checked.damaged(&path, DamageCause::View);
            }
        }
    }

    /// Reads an object and checks it; false if it is unchanged.
    fn object(&self, buffer: &mut [u8], content: Content) -> Result<bool, StoreError> {
        let found = self.store.find(&content.digest)?;
        let stamp = found.stamp().map_err(|error| self.store.object_io(&content.digest, error))?;
        // The states of its chunks would be others.
        let stamp = stamp.filter(|_| found.size() == content.size);
        if let Some(stamp) = stamp
            && self.is_unchanged(&[stamp])
        {
            self.keep(&[stamp]);
            return Ok(false);
        }
        self.store.read_found(found, content, buffer, |_| Ok::<_, StoreError>(()))?;
        self.keep(stamp.as_slice());
        Ok(true)
    }

    /// Whether the view shows what it should under a name.
    fn shows(&self, buffer: &mut [u8], dir: &OwnedFd, name: &[u8], what: &What) -> io::Result<bool> {
        let (file, stamp) = match self.look(dir, name, what)? {
            Look::Right => return Ok(true),
            Look::Wrong => return Ok(false),
            Look::Copy(file, stamp) => (file, stamp),
        };
        let digest = match what {
            What::File { content, .. } if !self.is_unchanged(&[stamp]) => Some(content.digest),
            _ => None,
        };
        if digest.is_some_and(|digest| hash(file, buffer).ok() != Some(digest)) {
            return Ok(false);
        }
        self.keep(&[stamp]);
        Ok(true)
    }

    /// A link to an object needs no reading: the object is read.
    fn look(&self, dir: &OwnedFd, name: &[u8], what: &What) -> io::Result<Look> {
        let stat = state(dir, name)?;
        let (content, executable) = match what {
            What::File { content, executable } => (content, *executable),
            What::Symlink(target) => return Ok(Look::right(link_target(dir, name)? == *target)),
            What::Directory => return Ok(Look::right(file_type(&stat) == FileType::Directory)),
            What::Whiteout => return Ok(Look::Wrong),
        };
        let right = file_type(&stat) == FileType::RegularFile
            && is_executable(&stat) == executable
            && Stamp::of(&stat).size == content.size;
        if !right {
            return Ok(Look::Wrong);
        }
        let linked = stat.st_nlink > 1
            && statat(&self.store.objects, object_name(&content.digest), AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|object| (object.st_dev, object.st_ino) == (stat.st_dev, stat.st_ino));
        if linked {
            return Ok(Look::Right);
        }
        let file = open_file_below(dir, name)?;
        let stamp = Stamp::of_open(file.as_fd())?;
        Ok(Look::Copy(File::from(file), stamp))
    }

    /// A directory of the view.
    fn open_shown(&self, path: &[u8]) -> Option<OwnedFd> {
        open_directory_below(self.view.as_ref()?, path).ok()
    }

    /// Finds names in the view that the snapshot does not have.
    pub(crate) fn names(&self, digest: Digest, damages: &mut Damages) {
        let mut directories = vec![(None::<FilePath>, digest)];
        while let Some((directory, digest)) = directories.pop() {
            // A directory that is missing or damaged was reported before.
            let at = directory.as_ref().map_or(b"".as_slice(), FilePath::as_bytes);
            let Some(names) = self.open_shown(at).and_then(|shown| names(shown).ok()) else { continue };
            let Ok(tree) = self.store.read_tree(&digest) else { continue };
            let path_of = |name: &[u8]| match &directory {
                None => FilePath::from_bytes(name).ok(),
                Some(directory) => directory.join(name).ok(),
            };
            for (name, _) in names {
                if tree.get(&name).is_none() {
                    damages.extend(path_of(&name), DamageCause::Extra);
                }
            }
            for entry in tree.into_entries() {
                if let EntryKind::Directory { digest, .. } = entry.kind
                    && let Some(path) = path_of(&entry.name)
                {
                    directories.push((Some(path), digest));
                }
            }
        }
    }
}

impl Look {
    fn right(right: bool) -> Self {
        if right { Self::Right } else { Self::Wrong }
    }
}

fn cause(error: StoreError) -> DamageCause {
    error.into_damage().unwrap_or(DamageCause::Unreadable)
}

fn hash(mut file: File, buffer: &mut [u8]) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    loop {
        match file.read(buffer)? {
            0 => return Ok(Digest::from_bytes(*hasher.finalize().as_bytes())),
            count => hasher.update(&buffer[..count]),
        };
    }
}
