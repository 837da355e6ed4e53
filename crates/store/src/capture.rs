//! Capture: what a finished job left behind becomes a snapshot.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, FilePath};
use rustix::fs::flistxattr;
use rustix::io::Errno;
use rustix::process::geteuid;
use sha2::Digest as _;

use crate::error::StoreError;
use crate::files::{READ_ONLY, Stamp, file_type, open_file_below, text_below};
use crate::forest::{ForestError, complete};
use crate::lease::Lease;
use crate::left::{Left, LeftFile};
use crate::object::Store;
use crate::parallel;
use crate::tree::{EntryKind, Snapshot, TreeError};
use crate::writer::{CopyError, Writer};

/// Longer lists of attribute names than this are a reason to copy in any case.
const ATTRIBUTES_BYTES_MAX: usize = 4096;

/// One directory to capture.
#[derive(Clone, Copy, Debug)]
pub struct CaptureRoot<'a> {
    /// Its name at the top of the snapshot; one path component.
    pub name: &'a [u8],
    /// Where it is.
    pub path: &'a Path,
    /// What it is.
    pub kind: CaptureKind,
    /// Files that would take the sum of sizes in it over this many bytes are skipped. Sizes are apparent,
    /// so a sparse file of a terabyte counts as one.
    pub max_bytes: Option<u64>,
}

/// What a captured directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureKind {
    /// An ordinary directory.
    Plain,
    /// The upper directory of an overlay mount with `userxattr`: a character device 0:0 stands for a
    /// deletion, an opaque directory for a deletion and a new directory.
    OverlayUpper,
}

/// What a capture found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The snapshot: one directory per root. Complete and on disk.
    pub snapshot: Snapshot,
    /// Its files, sorted by path.
    pub outputs: Vec<Output>,
    /// Its links, sorted by path.
    pub links: Vec<Link>,
    /// What the job deleted from below an overlay, sorted by path.
    pub deleted: Vec<FilePath>,
    /// What is not in the snapshot, sorted by path; the first [`Captured::SKIPPED_MAX`] found.
    pub skipped: Vec<Skipped>,
    /// How many entries are not in the snapshot. Content of a skipped directory is not counted.
    pub skipped_count: u64,
}

impl Captured {
    /// Longest list of skipped entries; the count is always complete.
    pub const SKIPPED_MAX: usize = 1000;
}

/// One captured file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Path in the snapshot, starting with the name of the root.
    pub path: FilePath,
    /// Size in bytes.
    pub size: u64,
    /// Digest in the store.
    pub blake3: Digest,
    /// SHA-256 of the same bytes, for what leaves the system.
    pub sha256: [u8; 32],
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// One captured link, as it was; never followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Path in the snapshot.
    pub path: FilePath,
    /// Where it points.
    pub target: Vec<u8>,
}

/// One entry that was not captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path; for [`SkipReason::PathTooLong`] that of the directory that holds it.
    pub path: FilePath,
    /// Why.
    pub reason: SkipReason,
}

/// Why an entry was not captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// A FIFO, socket or device.
    Special,
    /// Its path is longer than [`FilePath::BYTES_MAX`].
    PathTooLong,
    /// It would exceed [`CaptureRoot::max_bytes`].
    OverLimit,
    /// It is so sparse that all holes together would be over 4 GiB.
    Sparse,
}

impl Store {
    /// Captures what a dead job left in `roots` as one snapshot.
    ///
    /// The job is expected to be hostile and must be gone. Links are never followed, whatever the modes
    /// are. A file that is alone (one name, this user's, not executable, no extended attributes) and on the
    /// file system of the store is not copied: it gets a second name there, and becomes read-only.
    ///
    /// Nothing is removed, so a capture that failed or was killed can be done again, and so can one whose
    /// result was lost: it gives the same snapshot and copies nothing twice. Once the result is recorded,
    /// remove the roots with [`crate::remove_tree`]; until then nobody may write to them.
    ///
    /// # Errors
    /// - [`CaptureError::Changed`]: something still writes there; the job is not gone.
    /// - [`CaptureError::Unreadable`]: the medium failed, or the files belong to someone else.
    /// - [`CaptureError::Shape`]: a root's name is no path component or comes twice, or a directory has
    ///   too many entries.
    /// - [`CaptureError::Store`]: the store failed; see [`StoreError`].
    pub fn capture(&self, lease: &Lease, roots: &[CaptureRoot<'_>]) -> Result<Captured, CaptureError> {
        let writer = Writer::new(self, lease);
        // First removes what a killed capture staged: its files have one name again and need no copy.
        writer.staging()?;
        let left = Left::list(roots, &writer)?;
        let Left { mut snapshot, files, links, deleted, skipped, skipped_count, .. } = left;
        let mut outputs = Vec::with_capacity(files.len());
        let linked = Linked::default();
        parallel::run(
            files.into_iter(),
            |buffer, file: LeftFile| {
                let output = self.capture_file(&writer, &linked, buffer, &file)?;
                let Output { size, blake3: digest, executable, .. } = output;
                let known = [(file.place.slot, EntryKind::File { size, digest, executable })];
                Ok::<_, CaptureError>((output, file.place.branch.set(known, &writer)?))
            },
            |done| {
                if let Some((output, complete)) = done {
                    outputs.push(output);
                    snapshot = snapshot.or(complete);
                }
                Ok(())
            },
        )?;
        writer.publish()?;
        let snapshot = complete(snapshot)?;
        let mut captured = Captured { snapshot, outputs, links, deleted, skipped, skipped_count };
        captured.outputs.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        captured.links.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        captured.deleted.sort_unstable();
        captured.skipped.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(captured)
    }

    /// Hashes one file and stages it, as it is if possible.
    fn capture_file(
        &self,
        writer: &Writer<'_>,
        linked: &Linked,
        buffer: &mut [u8],
        file: &LeftFile,
    ) -> Result<Output, CaptureError> {
        let path = &file.path;
        let changed = || CaptureError::Changed { path: path.to_string() };
        let unreadable = |source| CaptureError::Unreadable { path: path.to_string(), source };
        let opened = open_file_below(&*file.root, &path.as_bytes()[file.prefix..]).map_err(unreadable)?;
        let stat = rustix::fs::fstat(&opened).map_err(|error| unreadable(error.into()))?;
        if !file_type(&stat).is_file() {
            return Err(changed());
        }
        let alone = !file.executable
            && stat.st_nlink == 1
            && stat.st_uid == geteuid().as_raw()
            && !has_attributes(&opened).map_err(unreadable)?;
        if alone {
            let closed = self.disk.set_mode(&opened, READ_ONLY).and_then(|()| self.disk.set_times(&opened));
            closed.map_err(|error| unreadable(error.into()))?;
        }
        let before = Stamp::of_open(opened.as_fd()).map_err(unreadable)?;
        let executable = file.executable;
        let known = linked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(before.device, before.inode))
            .copied();
        if let Some((digest, sha256)) = known {
            return Ok(Output { path: path.clone(), size: before.size, blake3: digest, sha256, executable });
        }
        let mut opened = File::from(opened);
        let (digest, sha256) = hash_twice(&mut opened, before.size, buffer).map_err(unreadable)?;
        if Stamp::of_open(opened.as_fd()).map_err(unreadable)? != before {
            return Err(changed());
        }
        let kept = writer.has(&digest) || (alone && writer.add_link(opened.as_fd(), digest)?);
        if !kept {
            opened.rewind().map_err(unreadable)?;
            let copied = writer.add_file(&mut opened, before.size, buffer, |_| ());
            let copied = copied.map_err(|error| match error {
                CopyError::Read(error) => unreadable(error),
                CopyError::Write(error) => error.into(),
            })?;
            if copied != (digest, before.size) {
                return Err(changed());
            }
        }
        if stat.st_nlink > 1 {
            let mut linked = linked.lock().unwrap_or_else(PoisonError::into_inner);
            linked.insert((before.device, before.inode), (digest, sha256));
        }
        Ok(Output { path: path.clone(), size: before.size, blake3: digest, sha256, executable })
    }
}

/// Digests of files with several names, by device and inode: a job makes sixty thousand names for nothing,
/// and each file is read once.
type Linked = Mutex<HashMap<(u64, u64), (Digest, [u8; 32])>>;

/// Whether a file carries attributes that would stay with it: hidden content, or rights of other users.
/// Those of the host's security module do no harm.
fn has_attributes(file: &OwnedFd) -> io::Result<bool> {
    let mut list = vec![0; ATTRIBUTES_BYTES_MAX];
    match flistxattr(file, list.as_mut_slice()) {
        Ok(length) => {
            let mut names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
            Ok(names.any(|name| !name.starts_with(b"security.")))
        }
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(Errno::RANGE) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// BLAKE3 and SHA-256 of a file of `size` bytes, in one pass. One that has grown is read one byte too far.
fn hash_twice(file: &mut File, size: u64, buffer: &mut [u8]) -> io::Result<(Digest, [u8; 32])> {
    let mut file = file.take(size.saturating_add(1));
    let (mut blake3, mut sha256) = (blake3::Hasher::new(), sha2::Sha256::new());
    loop {
        let count = file.read(buffer)?;
        if count == 0 {
            return Ok((Digest::from_bytes(*blake3.finalize().as_bytes()), sha256.finalize().into()));
        }
        blake3.update(&buffer[..count]);
        sha256.update(&buffer[..count]);
    }
}

/// Why a capture failed. Nothing was lost: see [`Store::capture`].
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A file was written while it was captured.
    #[error("`{path}` changed while it was captured")]
    Changed {
        /// The file, in its text form.
        path: String,
    },
    /// A file or directory could not be read.
    #[error("could not capture `{path}`")]
    Unreadable {
        /// The entry, in its text form.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A snapshot cannot hold this entry.
    #[error("`{path}` does not fit in a snapshot")]
    Shape {
        /// The entry, in its text form.
        path: String,
        /// Which rule of the format it breaks.
        #[source]
        source: TreeError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ForestError> for CaptureError {
    fn from(error: ForestError) -> Self {
        match error {
            ForestError::Shape(path, source) => Self::Shape { path: text_below(&path), source },
            ForestError::Store(error) => error.into(),
        }
    }
}

impl Diagnose for CaptureError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Changed { .. } => Diagnosis::new(
                Class::Internal,
                "store/capture-changed",
                "a process of the job outlived it: find and stop it, then capture again",
            ),
            Self::Unreadable { .. } => Diagnosis::new(
                Class::Host,
                "store/capture-unreadable",
                "check the disk and who owns the files, then capture again",
            ),
            Self::Shape { .. } => Diagnosis::new(
                Class::User,
                "store/shape",
                "let the job spread its files over more directories",
            ),
            Self::Store(error) => error.diagnosis(),
        }
    }
}
