//! Verification: every byte of a snapshot against its digest.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, FilePath};
use rustix::fs::{AtFlags, FileType, statat};

use crate::error::{CORRUPT_HELP, Damage, DamageCause, Damages, StoreError, summary};
use crate::files::{
    Stamp, file_type, is_executable, link_target, names, open_directory, open_directory_below,
    open_file_below, state,
};
use crate::import::{Progress, Step};
use crate::object::{Content, Store, object_name, twin_name};
use crate::parallel;
use crate::tree::{EntryKind, TreeEntry};

/// What was found to be intact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of regular files.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
}

impl Store {
    /// Reads the whole snapshot `digest` and checks it; its view too, if there is one.
    ///
    /// # Errors
    /// - [`VerifyError::Damaged`]: names every file that is not what was stored.
    /// - [`VerifyError::Store`]: the root of the snapshot is missing or damaged, or the disk failed.
    pub fn verify(
        &self,
        digest: &Digest,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Verified, VerifyError> {
        let snapshot = self.snapshot(digest)?;
        let mut walk = self.walk(digest)?;
        let mut damages = Damages::default();
        let bytes = AtomicU64::new(0);
        let mut done = Progress {
            step: Step::Read,
            files: 0,
            bytes: 0,
            files_total: snapshot.files,
            bytes_total: snapshot.bytes,
        };
        parallel::run(
            std::iter::from_fn(move || walk.step()),
            |buffer, entry| match entry {
                Ok((path, kind)) => self.check_entry(buffer, path, &kind, &bytes),
                Err((path, error)) => Ok(Checked::Damaged(Damage { path, cause: cause(error) })),
            },
            |checked| {
                match checked {
                    Some(Checked::Damaged(damage)) => damages.push(damage),
                    Some(Checked::File) => done.files += 1,
                    Some(Checked::Other) | None => {}
                }
                done.bytes = bytes.load(Ordering::Relaxed);
                progress(done);
                Ok::<_, StoreError>(())
            },
        )?;
        if let Some(view) = self.find_view(&digest.to_string()) {
            let view = open_directory(&view).map_err(|error| self.io("open a view", "views", error))?;
            self.check_view(*digest, &view, &mut damages)?;
        }
        if damages.count == 0 {
            return Ok(Verified { files: snapshot.files, bytes: snapshot.bytes });
        }
        let Damages { list, count } = damages;
        Err(VerifyError::Damaged { digest: *digest, list, count })
    }

    /// Reads the object of a file, and its executable twin if it has one.
    fn check_entry(
        &self,
        buffer: &mut [u8],
        path: FilePath,
        kind: &EntryKind,
        bytes: &AtomicU64,
    ) -> Result<Checked, StoreError> {
        let EntryKind::File { size, digest, executable } = *kind else { return Ok(Checked::Other) };
        let content = Content { size, digest };
        let mut checked = self.read_object(&object_name(&digest), content, buffer, |piece| {
            bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok::<_, StoreError>(())
        });
        if executable && checked.is_ok() {
            checked = match self.read_object(&twin_name(&digest), content, buffer, |_| Ok(())) {
                Err(StoreError::Missing { .. }) => Ok(()), // No view has needed it yet.
                twin => twin,
            };
        }
        Ok(match checked {
            Ok(()) => Checked::File,
            Err(error) => Checked::Damaged(Damage { path, cause: cause(error) }),
        })
    }

    /// Compares a view with its snapshot, name by name.
    fn check_view(&self, digest: Digest, view: &OwnedFd, damages: &mut Damages) -> Result<(), StoreError> {
        let mut directories = vec![(None::<FilePath>, digest)];
        let mut buffer = vec![0; parallel::BUFFER_BYTES];
        while let Some((directory, digest)) = directories.pop() {
            // A directory object that is damaged was reported before.
            let Ok(tree) = self.read_tree(&digest) else { continue };
            let at = directory.as_ref().map_or(b"".as_slice(), FilePath::as_bytes);
            let shown = open_directory_below(view, at).and_then(|shown| Ok((names(&shown)?, shown)));
            let Ok((names, shown)) = shown else {
                damages.extend(directory, DamageCause::View);
                continue;
            };
            let path_of = |name: &[u8]| match &directory {
                None => FilePath::from_bytes(name),
                Some(directory) => directory.join(name),
            };
            for (name, _) in names {
                if tree.get(&name).is_none() {
                    damages.extend(path_of(&name).ok(), DamageCause::Extra);
                }
            }
            for TreeEntry { name, kind } in tree.into_entries() {
                let Ok(path) = path_of(&name) else { continue };
                if !self.shows(&shown, &name, &kind, &mut buffer).unwrap_or(false) {
                    damages.extend(Some(path), DamageCause::View);
                } else if let EntryKind::Directory { digest, .. } = kind {
                    directories.push((Some(path), digest));
                }
            }
        }
        Ok(())
    }

    /// Whether the entry `name` of a view shows what it should. A link to an object needs no reading:
    /// the object was checked.
    fn shows(&self, view: &OwnedFd, name: &[u8], kind: &EntryKind, buffer: &mut [u8]) -> io::Result<bool> {
        let stat = state(view, name)?;
        let EntryKind::File { size, digest, executable } = kind else {
            return Ok(match kind {
                EntryKind::Symlink { target } => link_target(view, name)? == *target,
                _ => file_type(&stat) == FileType::Directory,
            });
        };
        let stamp = Stamp::of(&stat);
        if file_type(&stat) != FileType::RegularFile
            || is_executable(&stat) != *executable
            || stamp.size != *size
        {
            return Ok(false);
        }
        let object = if *executable { twin_name(digest) } else { object_name(digest) };
        let same = statat(&self.objects, object, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|object| (object.st_dev, object.st_ino) == (stat.st_dev, stat.st_ino));
        Ok(same || hash(open_file_below(view, name)?, buffer)? == *digest)
    }
}

/// What checking one entry found.
enum Checked {
    File,
    Other,
    Damaged(Damage),
}

fn cause(error: StoreError) -> DamageCause {
    error.into_damage().unwrap_or(DamageCause::Unreadable)
}

fn hash(file: OwnedFd, buffer: &mut [u8]) -> io::Result<Digest> {
    let mut file = File::from(file);
    let mut hasher = blake3::Hasher::new();
    loop {
        match file.read(buffer)? {
            0 => return Ok(Digest::from_bytes(*hasher.finalize().as_bytes())),
            count => hasher.update(&buffer[..count]),
        };
    }
}

/// Why a snapshot did not verify.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Some entries are not what was stored.
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

impl Diagnose for VerifyError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Damaged { .. } => Diagnosis::new(Class::Damaged, "store/corrupt", CORRUPT_HELP),
            Self::Store(error) => error.diagnosis(),
        }
    }
}
