//! The store itself: its directory, and objects by digest.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aseptic_model::Digest;
use rustix::fs::{Access, AtFlags, OFlags, accessat, fstat};
use rustix::io::Errno;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::files::{DIRECTORY, READ_WRITE, file_type, names, open_below, open_directory, text};
use crate::lease::Lease;
use crate::pack::Packs;
use crate::reader::Found;
use crate::segment::Segment;
use crate::segments::Segments;
use crate::stage::lock_tmp;
use crate::writer::Writer;

const FORMAT: &str = "aseptic-store 2\n";
/// Loose objects only, with executable twins.
const FORMAT_1: &str = "aseptic-store 1\n";
/// What a store of format 1 holds besides `format`.
const DIRECTORIES_1: [&str; 4] = ["objects", "views", "index", "tmp"];
/// What a store holds besides `format` and `lock`, in the order of creation.
const DIRECTORIES: [&str; 6] = ["objects", "packs", "segments", "views", "index", "tmp"];

/// A directory of immutable objects. Any number of processes and threads may use it at once.
///
/// Layout: `docs/formats/store.md`.
#[derive(Debug)]
pub struct Store {
    pub(crate) dir: PathBuf,
    pub(crate) objects: OwnedFd,
    pub(crate) packs: Packs,
    pub(crate) segments: Segments,
    pub(crate) disk: Disk,
}

impl Store {
    /// Opens the store in `dir`, and makes one there when the directory is empty or missing. A store of
    /// format 1 becomes one of format 2: its objects stay where they are.
    ///
    /// # Errors
    /// - [`StoreError::Format`]: `dir` holds something else or another version; nothing was written.
    /// - [`StoreError::Io`], [`StoreError::Full`]: the directory could not be made or read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_on(dir, Disk::default())
    }

    pub(crate) fn open_on(dir: &Path, disk: Disk) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io("open", text(dir), error);
        match fs::read(dir.join("format")) {
            Ok(format) if format == FORMAT.as_bytes() && dir.join("objects").is_dir() => {}
            Ok(format) if format == FORMAT_1.as_bytes() => upgrade(dir, &disk)?,
            Ok(_) => return Err(StoreError::Format { path: text(dir) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(dir, &disk)?,
            Err(error) => return Err(failed(error)),
        }
        let dir = dir.canonicalize().map_err(failed)?;
        let objects = open_directory(&dir.join("objects")).map_err(failed)?;
        let (packs, segments) = (Packs::new(&dir), Segments::new(&dir));
        Ok(Self { dir, objects, packs, segments, disk })
    }

    /// Stores `bytes` as one object and returns its digest.
    ///
    /// Blocks until the object is on disk. Storing the same bytes again writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Full`]: nothing is visible.
    pub fn put_bytes(&self, lease: &Lease, bytes: &[u8]) -> Result<Digest, StoreError> {
        let writer = Writer::new(self, lease);
        let digest = writer.add_bytes(bytes)?;
        writer.publish()?;
        Ok(digest)
    }

    /// Stores several objects, each as [`Self::put_bytes`] does, and waits for the disk once for all of them.
    ///
    /// # Errors
    /// As [`Self::put_bytes`]; some of them may be visible.
    pub fn put_all<const N: usize>(
        &self,
        lease: &Lease,
        objects: [&[u8]; N],
    ) -> Result<[Digest; N], StoreError> {
        let writer = Writer::new(self, lease);
        for bytes in objects {
            writer.add_bytes(bytes)?;
        }
        writer.publish()?;
        Ok(objects.map(Digest::of))
    }

    /// The bytes of an object of at most `max` bytes, checked against the digest.
    ///
    /// # Errors
    /// - [`StoreError::Missing`]: no such object.
    /// - [`StoreError::Corrupt`]: it has other bytes than its digest says.
    /// - [`StoreError::TooLarge`]: it is longer than `max`; nothing was read.
    pub fn get_bytes(&self, digest: &Digest, max: usize) -> Result<Vec<u8>, StoreError> {
        let found = self.find(digest)?;
        let (size, max) = (found.size(), max as u64);
        if size > max {
            return Err(StoreError::TooLarge { digest: *digest, size, max });
        }
        let mut bytes = Vec::new();
        let source = self.source(found, digest)?;
        source.take(size).read_to_end(&mut bytes).map_err(|error| self.read_failed(digest, error))?;
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(StoreError::Corrupt { digest: *digest }) }
    }

    /// Whether an object of this digest has its name or is in a pack; its content is not looked at.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        match self.segments.loaded() {
            // Few questions are about files of their own, which need no index: that is read when one is not.
            None => self.has_loose(digest) || self.has_packed(digest),
            Some(_) => self.has_packed(digest) || self.has_loose(digest),
        }
    }

    /// Whether a pack holds an object of this digest.
    pub(crate) fn has_packed(&self, digest: &Digest) -> bool {
        // Without a readable index nothing is known: it is stored again.
        let segments = self.segments.get().unwrap_or_default();
        segments.iter().any(|segment| segment.has(digest, &self.packs))
    }

    /// Whether an object of this digest is a file of its own.
    pub(crate) fn has_loose(&self, digest: &Digest) -> bool {
        accessat(&self.objects, object_name(digest), Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Finds an object, wherever it is.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Found, StoreError> {
        if self.segments.loaded().is_none()
            && let Some(loose) = self.find_loose(digest)?
        {
            return Ok(loose);
        }
        let failed = |error| self.io("read the index of packs", "segments", error);
        // A collection or a merge may have moved it since the index was read.
        for look in 0..2 {
            let segments = if look == 0 { self.segments.get() } else { self.segments.reload() };
            for segment in segments.map_err(failed)?.iter() {
                if let Some(found) = self.find_in(segment, digest)? {
                    return Ok(found);
                }
            }
            if let Some(loose) = self.find_loose(digest)? {
                return Ok(loose);
            }
        }
        Err(StoreError::Missing { digest: *digest })
    }

    /// Every place where an object is said to be.
    pub(crate) fn places(&self, digest: &Digest) -> Vec<Result<Found, StoreError>> {
        let mut places = Vec::new();
        match self.segments.get() {
            Ok(segments) => {
                places
                    .extend(segments.iter().filter_map(|segment| self.find_in(segment, digest).transpose()));
            }
            Err(error) => places.push(Err(self.io("read the index of packs", "segments", error))),
        }
        places.extend(self.find_loose(digest).transpose());
        places
    }

    fn find_in(&self, segment: &Segment, digest: &Digest) -> Result<Option<Found>, StoreError> {
        let failed = |error| self.io("read the index of packs", "segments", error);
        let Some(entry) = segment.get(digest).map_err(failed)? else { return Ok(None) };
        let Some(id) = segment.packs.get(entry.pack as usize) else { return Ok(None) };
        match self.packs.open(*id) {
            Ok(pack) => Ok(Some(Found::Packed(pack, entry))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io("open a pack", "packs", error)),
        }
    }

    /// Opens an object that is a file of its own.
    pub(crate) fn find_loose(&self, digest: &Digest) -> Result<Option<Found>, StoreError> {
        let name = object_name(digest);
        let object = match open_below(&self.objects, name.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(object) => object,
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => return Ok(None),
            Err(error) => return Err(self.object_io(digest, error)),
        };
        let stat = fstat(&object).map_err(|error| self.object_io(digest, error))?;
        if !file_type(&stat).is_file() {
            return Err(StoreError::Corrupt { digest: *digest });
        }
        Ok(Some(Found::Loose(File::from(object), u64::try_from(stat.st_size).unwrap_or(0))))
    }

    pub(crate) fn object_io(&self, digest: &Digest, error: impl Into<io::Error>) -> StoreError {
        StoreError::io("read an object", text(&self.dir.join("objects").join(object_name(digest))), error)
    }

    /// An error about `path` below the directory of the store.
    pub(crate) fn io(&self, step: &'static str, path: &str, error: impl Into<io::Error>) -> StoreError {
        StoreError::io(step, text(&self.dir.join(path)), error)
    }
}

/// What an object must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

/// Path of an object below `objects`.
pub(crate) fn object_name(digest: &Digest) -> String {
    let hex = digest.to_string();
    format!("{}/{hex}", &hex[..2])
}

/// Makes an empty store. `format` comes last, so a store without it was never used.
fn create(dir: &Path, disk: &Disk) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io("create", text(dir), error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !DIRECTORIES.iter().chain(&["format", "lock"]).any(|ours| name == *ours) {
            return Err(StoreError::Format { path: text(dir) });
        }
    }
    make_directories(dir, disk).map_err(failed)?;
    // Others may create the same store at once.
    let _guard = lock_tmp(&dir.join("tmp")).map_err(failed)?;
    set_format(dir, disk).map_err(failed)
}

/// Makes a store of format 1 one of format 2. Killed half-way, it is still one of format 1.
fn upgrade(dir: &Path, disk: &Disk) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io("upgrade", text(dir), error);
    if !DIRECTORIES_1.iter().all(|name| dir.join(name).is_dir()) {
        return Err(StoreError::Format { path: text(dir) });
    }
    make_directories(dir, disk).map_err(failed)?;
    let _guard = lock_tmp(&dir.join("tmp")).map_err(failed)?;
    // Executable twins of objects: views have names of their own for them.
    for prefix in 0..=u8::MAX {
        let prefix = open_directory(&dir.join(format!("objects/{prefix:02x}"))).map_err(failed)?;
        for (name, _) in names(&prefix).map_err(failed)? {
            if name.ends_with(b".x") {
                disk.unlink(&prefix, name.as_slice()).map_err(|error| failed(error.into()))?;
            }
        }
    }
    set_format(dir, disk).map_err(failed)
}

fn make_directories(dir: &Path, disk: &Disk) -> io::Result<()> {
    let root = open_directory(dir)?;
    DIRECTORIES.iter().try_for_each(|name| disk.make_directory(&root, *name, DIRECTORY))?;
    for prefix in 0..=u8::MAX {
        disk.make_directory(&root, format!("objects/{prefix:02x}"), DIRECTORY)?;
    }
    match disk.create(&root, "lock", READ_WRITE) {
        Ok(_) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Says that this is a store. The caller holds the lock of `tmp`.
fn set_format(dir: &Path, disk: &Disk) -> io::Result<()> {
    let (root, tmp) = (open_directory(dir)?, open_directory(&dir.join("tmp"))?);
    if fs::read(dir.join("format")).is_ok_and(|format| format == FORMAT.as_bytes()) {
        return Ok(()); // Another process was quicker.
    }
    disk.unlink(&tmp, "format")?;
    let staged = disk.create(&tmp, "format", READ_WRITE)?;
    disk.write(&staged, FORMAT.as_bytes())?;
    disk.sync_all(&root)?;
    disk.rename(&tmp, "format", &root, "format")?;
    Ok(disk.sync(root)?)
}
