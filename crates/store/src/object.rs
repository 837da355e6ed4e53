//! The store itself: its directory, and objects by digest.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aseptic_model::Digest;
use rustix::fs::{Access, AtFlags, OFlags, accessat, fstat};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::files::{file_type, open_below, open_directory, text};
use crate::stage::{Writer, lock_tmp};

const FORMAT: &str = "aseptic-store 1\n";
/// What a store holds besides `format`, in the order of creation.
const DIRECTORIES: [&str; 4] = ["objects", "views", "index", "tmp"];

/// A directory of immutable objects. Any number of processes and threads may use it at once.
///
/// Layout: `docs/formats/store.md`.
#[derive(Debug)]
pub struct Store {
    pub(crate) dir: PathBuf,
    pub(crate) objects: OwnedFd,
}

impl Store {
    /// Opens the store in `dir`, and makes one there when the directory is empty or missing.
    ///
    /// # Errors
    /// - [`StoreError::Format`]: `dir` holds something else or another version; nothing was written.
    /// - [`StoreError::Io`], [`StoreError::Full`]: the directory could not be made or read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io("open", text(dir), error);
        match fs::read(dir.join("format")) {
            Ok(format) if format == FORMAT.as_bytes() => {}
            Ok(_) => return Err(StoreError::Format { path: text(dir) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(dir)?,
            Err(error) => return Err(failed(error)),
        }
        let dir = dir.canonicalize().map_err(failed)?;
        let objects = open_directory(&dir.join("objects")).map_err(failed)?;
        Ok(Self { dir, objects })
    }

    /// Stores `bytes` as one object and returns its digest.
    ///
    /// Blocks until the object is on disk. Storing the same bytes again writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Full`]: nothing is visible.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let writer = Writer::new(self);
        let digest = writer.add_bytes(bytes)?;
        writer.publish()?;
        Ok(digest)
    }

    /// The bytes of an object of at most `max` bytes, checked against the digest.
    ///
    /// # Errors
    /// - [`StoreError::Missing`]: no such object.
    /// - [`StoreError::Corrupt`]: it has other bytes than its digest says.
    /// - [`StoreError::TooLarge`]: it is longer than `max`; nothing was read.
    pub fn get_bytes(&self, digest: &Digest, max: usize) -> Result<Vec<u8>, StoreError> {
        let (object, size) = self.open_object(&object_name(digest), digest)?;
        let max = max as u64;
        if size > max {
            return Err(StoreError::TooLarge { digest: *digest, size, max });
        }
        let mut bytes = Vec::new();
        object.take(max + 1).read_to_end(&mut bytes).map_err(|error| self.object_io(digest, error))?;
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(StoreError::Corrupt { digest: *digest }) }
    }

    /// Whether an object of this digest has its name; its content is not looked at.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        accessat(&self.objects, object_name(digest), Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Opens the object called `name` for reading and tells its size.
    pub(crate) fn open_object(&self, name: &str, digest: &Digest) -> Result<(File, u64), StoreError> {
        let object = match open_below(&self.objects, name.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(object) => object,
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                return Err(StoreError::Missing { digest: *digest });
            }
            Err(error) => return Err(self.object_io(digest, error)),
        };
        let stat = fstat(&object).map_err(|error| self.object_io(digest, error))?;
        if !file_type(&stat).is_file() {
            return Err(StoreError::Corrupt { digest: *digest });
        }
        Ok((File::from(object), u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Reads the object called `name` to the end, shows every piece to `take`, and checks its content.
    pub(crate) fn read_object<E: From<StoreError>>(
        &self,
        name: &str,
        content: Content,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let corrupt = || StoreError::Corrupt { digest: content.digest }.into();
        let failed = |error| self.object_io(&content.digest, error);
        let (mut object, size) = self.open_object(name, &content.digest)?;
        if size != content.size {
            return Err(corrupt());
        }
        let mut hasher = blake3::Hasher::new();
        loop {
            let count = object.read(buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            take(&buffer[..count])?;
        }
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        if digest == content.digest { Ok(()) } else { Err(corrupt()) }
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

/// Path of the twin of an object below `objects`: the same bytes in a file that may be executed.
pub(crate) fn twin_name(digest: &Digest) -> String {
    format!("{}.x", object_name(digest))
}

/// Path of an object below `objects`.
pub(crate) fn object_name(digest: &Digest) -> String {
    let hex = digest.to_string();
    format!("{}/{hex}", &hex[..2])
}

/// Makes an empty store. `format` comes last, so a store without it was never used.
fn create(dir: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io("create", text(dir), error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !DIRECTORIES.iter().chain(&["format"]).any(|ours| name == *ours) {
            return Err(StoreError::Format { path: text(dir) });
        }
    }
    let made = |path: &Path| match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    };
    DIRECTORIES.iter().try_for_each(|name| made(&dir.join(name)))?;
    for prefix in 0..=u8::MAX {
        made(&dir.join(format!("objects/{prefix:02x}")))?;
    }
    // Others may create the same store at once.
    let _guard = lock_tmp(&dir.join("tmp")).map_err(failed)?;
    let staged = dir.join("tmp/format");
    fs::write(&staged, FORMAT).map_err(failed)?;
    let root = open_directory(dir).map_err(failed)?;
    rustix::fs::syncfs(root.as_fd()).map_err(|error| failed(error.into()))?;
    fs::rename(&staged, dir.join("format")).map_err(failed)?;
    rustix::fs::fsync(root).map_err(|error| failed(error.into()))
}
