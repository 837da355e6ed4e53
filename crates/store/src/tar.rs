//! Import from a tar archive: the same snapshot as of the directory that it was made from.
//!
//! An archive is hostile. Nothing of it is unpacked anywhere: contents go into the store as they come, the
//! tree is put together in memory, and a path or link that leads out of it is refused.

mod error;
mod extended;
mod members;
mod sparse;
mod spool;
mod stream;
mod tree;

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use aseptic_model::FilePath;

pub use error::TarError;

use self::members::{Member, MemberKind, Members};
use self::stream::Stream;
use self::tree::{File, Tree};
use crate::files::text_below;
use crate::import::{ImportError, Imported, Links, Progress, Special, Step};
use crate::lease::Lease;
use crate::object::Store;
use crate::parallel;
use crate::tree::EntryKind;
use crate::writer::{CopyError, Writer};

/// Files up to this size are read whole, and hashed while others are read.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// What to do about entries that a snapshot cannot hold, and how much to accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TarOptions {
    /// What to do about FIFOs and devices.
    pub special: Special,
    /// What to do about links that point out of the tree.
    pub links: Links,
    /// Most bytes that the archive may have decompressed, holes of sparse files included. Without, the disk
    /// is the limit: a few kilobytes can decompress to any number.
    pub max_bytes: Option<u64>,
}

impl Store {
    /// Imports a tar archive: plain, or compressed with gzip or zstd, which its first bytes say.
    ///
    /// Blocks until the snapshot is on disk; after an error or a crash it does not exist. The snapshot is the
    /// one that [`Store::import`] makes of the unpacked directory. As for tar(1), the last of several entries
    /// of the same name counts, and a hard link has the content that its target has at that point.
    ///
    /// Memory is bounded by the names in the archive.
    ///
    /// # Errors
    /// - [`TarError::Kind`], [`TarError::Truncated`], [`TarError::Malformed`], [`TarError::Compression`]: it
    ///   is no archive that can be read to its end, which is marked.
    /// - [`TarError::Entry`]: an entry could lead somewhere else, or contradicts another.
    /// - [`TarError::TooLarge`]: it has more bytes than the options accept.
    /// - [`TarError::Unreadable`]: `reader` failed.
    /// - [`TarError::Import`]: as for a directory.
    pub fn import_tar(
        &self,
        lease: &Lease,
        reader: impl Read + Send,
        options: &TarOptions,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Imported, TarError> {
        let writer = Writer::new(self, lease);
        let bytes = AtomicU64::new(0);
        let members = Members::new(Stream::new(reader, options.max_bytes)?);
        let mut feed = Feed {
            members,
            writer: &writer,
            bytes: &bytes,
            options,
            tree: Tree::new(),
            files: 0,
            skipped: Vec::new(),
            skipped_count: 0,
            failed: false,
        };
        let mut kinds: Vec<Option<EntryKind>> = Vec::new();
        let mut state = Progress { step: Step::Read, files: 0, bytes: 0, files_total: 0, bytes_total: 0 };
        parallel::run(
            &mut feed,
            |_, item| item?.store(&writer),
            |done: Option<(File, EntryKind)>| {
                if let Some((file, kind)) = done {
                    if kinds.len() <= file {
                        kinds.resize(file + 1, None);
                    }
                    kinds[file] = Some(kind);
                    state.files += 1;
                }
                state.bytes = bytes.load(Ordering::Relaxed);
                match progress(state) {
                    ControlFlow::Continue(()) => Ok(()),
                    ControlFlow::Break(()) => Err(ImportError::Interrupted.into()),
                }
            },
        )?;
        let Feed { tree, skipped, skipped_count, .. } = feed;
        if options.links == Links::RefuseOutside {
            tree.check_links()?;
        }
        let snapshot = tree.store(&kinds, &writer)?;
        let _ = progress(Progress { step: Step::Write, ..state });
        writer.publish()?;
        Ok(Imported { snapshot, files_read: state.files, skipped, skipped_count })
    }

    /// Imports what `reader` holds as a snapshot of one file called `name`.
    ///
    /// Blocks until the snapshot is on disk; after an error or a crash it does not exist.
    ///
    /// # Errors
    /// - [`TarError::Entry`]: `name` is no name of a file.
    /// - [`TarError::Unreadable`], [`TarError::TooLarge`]: `reader` failed, or has more than `max` bytes.
    /// - [`TarError::Import`]: as for a directory.
    pub fn import_reader(
        &self,
        lease: &Lease,
        name: &[u8],
        reader: impl Read + Send,
        max: Option<u64>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Imported, TarError> {
        let mut tree = Tree::new();
        if name.contains(&b'/') {
            return Err(TarError::Entry { path: text_below(name), what: "which is no name of a file" });
        }
        tree.add_file(name, 0)?;
        let writer = Writer::new(self, lease);
        let mut state = Progress { step: Step::Read, files: 0, bytes: 0, files_total: 1, bytes_total: 0 };
        let most = max.map_or(u64::MAX, |max| max.saturating_add(1));
        let mut source = reader.take(most);
        let mut stopped = false;
        let added = spool::add(
            &writer,
            None,
            &mut Watched {
                read: |buffer: &mut [u8]| {
                    let count = source.read(buffer)?;
                    state.bytes += count as u64;
                    stopped |= progress(state).is_break();
                    if stopped { Err(std::io::Error::other("stopped")) } else { Ok(count) }
                },
            },
        );
        let (digest, size) = added.map_err(|error| match error {
            CopyError::Read(_) if stopped => TarError::Import(ImportError::Interrupted),
            CopyError::Read(error) => TarError::Unreadable(error),
            CopyError::Write(error) => error.into(),
        })?;
        if let Some(max) = max.filter(|max| size > *max) {
            return Err(TarError::TooLarge { max });
        }
        let snapshot = tree.store(&[Some(EntryKind::File { size, digest, executable: false })], &writer)?;
        let _ = progress(Progress { step: Step::Write, files: 1, ..state });
        writer.publish()?;
        Ok(Imported { snapshot, files_read: 1, skipped: Vec::new(), skipped_count: 0 })
    }
}

/// A reader that is a function.
struct Watched<F> {
    read: F,
}

impl<F: FnMut(&mut [u8]) -> std::io::Result<usize>> Read for Watched<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (self.read)(buffer)
    }
}

/// Reads the archive, one thread at a time, and hands out its files.
struct Feed<'a, 'r> {
    members: Members<'r>,
    writer: &'a Writer<'a>,
    bytes: &'a AtomicU64,
    options: &'a TarOptions,
    tree: Tree,
    /// Files that were numbered so far.
    files: File,
    skipped: Vec<FilePath>,
    skipped_count: u64,
    /// Whether an error was given: behind it the place in the archive means nothing.
    failed: bool,
}

/// A file that was read.
enum Item {
    /// It is to be stored.
    Small {
        file: File,
        bytes: Vec<u8>,
        executable: bool,
    },
    Stored {
        file: File,
        kind: EntryKind,
    },
}

impl Item {
    fn store(self, writer: &Writer<'_>) -> Result<(File, EntryKind), TarError> {
        match self {
            Self::Small { file, bytes, executable } => {
                let digest = writer.add_bytes(&bytes)?;
                Ok((file, EntryKind::File { size: bytes.len() as u64, digest, executable }))
            }
            Self::Stored { file, kind } => Ok((file, kind)),
        }
    }
}

impl Iterator for Feed<'_, '_> {
    type Item = Result<Item, TarError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.step().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

impl Feed<'_, '_> {
    /// Goes on to the next file.
    fn step(&mut self) -> Result<Option<Item>, TarError> {
        while let Some(Member { path, kind }) = self.members.next()? {
            self.bytes.store(self.members.offset(), Ordering::Relaxed);
            match kind {
                MemberKind::Directory => self.tree.add_folder(&path)?,
                MemberKind::Symlink(target) => {
                    check_target(&path, &target)?;
                    self.tree.add_link(&path, target)?;
                }
                MemberKind::Again(target) => self.tree.add_again(&path, &target)?,
                MemberKind::Special if self.options.special == Special::Skip => {
                    self.skipped_count += 1;
                    if self.skipped.len() < Imported::SKIPPED_MAX {
                        self.skipped.extend(FilePath::from_bytes(path));
                    }
                }
                MemberKind::Special => {
                    return Err(ImportError::SpecialFile { path: text_below(&path) }.into());
                }
                MemberKind::File { size, executable } => {
                    let file = self.files;
                    self.tree.add_file(&path, file)?;
                    self.files += 1;
                    return self.file(file, size, executable).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn file(&mut self, file: File, size: u64, executable: bool) -> Result<Item, TarError> {
        if size <= SMALL_BYTES_MAX {
            // Bounded above, so no size that lies costs more.
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            let mut filled = 0;
            while filled < bytes.len() {
                filled += match self.members.read(&mut bytes[filled..])? {
                    0 => return Err(TarError::Truncated { offset: self.members.offset() }),
                    count => count,
                };
            }
            return Ok(Item::Small { file, bytes, executable });
        }
        let mut failed = None;
        let (members, counter) = (&mut self.members, self.bytes);
        let added = spool::add(
            self.writer,
            Some(size),
            &mut Watched {
                read: |buffer: &mut [u8]| match members.read(buffer) {
                    Ok(count) => {
                        counter.store(members.offset(), Ordering::Relaxed);
                        Ok(count)
                    }
                    Err(error) => {
                        failed = Some(error);
                        Err(std::io::Error::other("the archive ends here"))
                    }
                },
            },
        );
        let (digest, size) = added.map_err(|error| match error {
            CopyError::Read(source) => failed.unwrap_or(TarError::Unreadable(source)),
            CopyError::Write(error) => error.into(),
        })?;
        Ok(Item::Stored { file, kind: EntryKind::File { size, digest, executable } })
    }
}

/// Refuses a target that no link can have.
fn check_target(path: &[u8], target: &[u8]) -> Result<(), TarError> {
    let what = "a link whose target is empty, longer than 4095 bytes or has a NUL byte";
    let valid = (1..=crate::tree::Tree::TARGET_BYTES_MAX).contains(&target.len()) && !target.contains(&0);
    if valid { Ok(()) } else { Err(TarError::Entry { path: text_below(path), what }) }
}

/// Reads an archive without storing anything. Returns how many entries it has, if it can be read to its end.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn fuzz(bytes: &[u8]) -> Option<usize> {
    const BYTES_MAX: u64 = 1 << 20;
    let mut members = Members::new(Stream::new(bytes, Some(BYTES_MAX)).ok()?);
    let (mut tree, mut count, mut buffer) = (Tree::new(), 0, [0; 4096]);
    while let Some(Member { path, kind }) = members.next().ok()? {
        count += 1;
        match kind {
            MemberKind::Directory => tree.add_folder(&path).ok()?,
            MemberKind::Symlink(target) => tree.add_link(&path, target).ok()?,
            MemberKind::Again(target) => tree.add_again(&path, &target).ok()?,
            MemberKind::Special => {}
            MemberKind::File { size, .. } => {
                tree.add_file(&path, count).ok()?;
                let mut left = size;
                loop {
                    match members.read(&mut buffer).ok()? {
                        0 => break,
                        read => left -= read as u64,
                    }
                }
                assert_eq!(left, 0, "a file has the size that was told");
            }
        }
    }
    let _ = tree.check_links();
    assert!(members.offset() <= BYTES_MAX);
    Some(count)
}
