//! A snapshot as portions of work for several threads: some files of one directory, or one block of a large
//! file.
//!
//! Files come in the order in which an import packs them, so packs are read from their start to their end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::iter::Peekable;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aseptic_model::{Digest, FilePath};

use crate::error::StoreError;
use crate::files::Stamp;
use crate::hash::{BLOCK_BYTES, Block, Joined};
use crate::object::{Content, Store};
use crate::pack::Form;
use crate::reader::Found;
use crate::tree::EntryKind;

/// A portion is as much of one directory as may be: threads that make files in one directory wait for each
/// other.
const ENTRIES_MAX: usize = 1024;
/// A portion is full with so many bytes, which a thread reads in a few milliseconds.
const BYTES_MAX: u64 = 4 << 20;
/// Files from this size on are read by several threads at once.
const LARGE_BYTES: u64 = 8 << 20;

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

/// One entry of a snapshot, or what is wrong there.
pub(crate) type Step = Result<Shown, (FilePath, StoreError)>;

/// Work for one thread.
pub(crate) enum Portion<T> {
    /// Some entries that are in one directory; none of them is read by several threads.
    Entries(Vec<Step>),
    /// The block of this number of a large file.
    Block(Arc<Large<T>>, u64),
}

/// A large file that several threads read, and where its content goes.
#[derive(Debug)]
pub(crate) struct Large<T> {
    pub(crate) path: FilePath,
    pub(crate) target: T,
    content: Content,
    source: Blocks,
    joined: Mutex<Joined>,
    /// Blocks that are not done.
    left: AtomicU64,
    failed: Mutex<Option<StoreError>>,
}

impl<T> Large<T> {
    pub(crate) fn new(path: FilePath, content: Content, source: Blocks, target: T) -> Self {
        let left = AtomicU64::new(blocks(content.size));
        Self { path, target, content, source, joined: Mutex::default(), left, failed: Mutex::default() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.content.size
    }

    /// Reads a block and shows it, with its place in the file, to `put`.
    ///
    /// Returns what became of the file when that was its last block: whether its bytes are those of its
    /// digest. An error of `put` is returned at once.
    pub(crate) fn read<E: From<StoreError>>(
        &self,
        store: &Store,
        number: u64,
        buffer: &mut [u8],
        put: impl FnOnce(&[u8], u64) -> Result<(), E>,
    ) -> Result<Option<Result<(), StoreError>>, E> {
        let at = number * BLOCK_BYTES as u64;
        let length =
            usize::try_from(self.content.size - at).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        let bytes = &mut buffer[..length];
        let failed = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed().is_none() {
            match self.source.read(store, &self.content.digest, bytes, at) {
                Ok(()) => {
                    put(bytes, at)?;
                    let block = Block::of(number, bytes);
                    self.joined.lock().unwrap_or_else(PoisonError::into_inner).add(number, block);
                }
                Err(error) => *failed() = Some(error),
            }
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(None);
        }
        if let Some(error) = failed().take() {
            return Ok(Some(Err(error)));
        }
        let joined = std::mem::take(&mut *self.joined.lock().unwrap_or_else(PoisonError::into_inner));
        let digest = self.content.digest;
        let intact = joined.finish() == digest;
        Ok(Some(if intact { Ok(()) } else { Err(StoreError::Corrupt { digest }) }))
    }
}

fn blocks(size: u64) -> u64 {
    size.div_ceil(BLOCK_BYTES as u64).max(1)
}

/// Content of which any part can be read at any time.
#[derive(Debug)]
pub(crate) enum Blocks {
    File(File),
    /// From this place on in a pack.
    Pack(Arc<File>, u64),
    /// Chunks, each with the place where it ends, and the pack that has the list of them.
    Chunks(Arc<File>, Vec<(u64, Digest)>),
}

impl Blocks {
    /// `None` for what can only be read from its start on.
    pub(crate) fn of(store: &Store, found: Found, content: Content) -> Result<Option<Self>, StoreError> {
        let corrupt = || StoreError::Corrupt { digest: content.digest };
        if found.size() != content.size {
            return Err(corrupt());
        }
        let (pack, entry) = match found {
            Found::Loose(file, _) => return Ok(Some(Self::File(file))),
            Found::Packed(pack, entry) => (pack, entry),
        };
        match entry.form {
            Form::Zstd => Ok(None),
            Form::Plain if entry.stored == entry.size => Ok(Some(Self::Pack(pack, entry.offset))),
            Form::Plain => Err(corrupt()),
            Form::Chunked => {
                let mut ends = Vec::new();
                let mut end = 0_u64;
                for (chunk, length) in store.recipe(&pack, &entry)? {
                    end = end.saturating_add(length.into());
                    ends.push((end, chunk));
                }
                if end != content.size {
                    return Err(corrupt());
                }
                Ok(Some(Self::Chunks(pack, ends)))
            }
        }
    }

    /// The states of all files that the content is in.
    pub(crate) fn stamps(&self, store: &Store, digest: &Digest) -> Result<Vec<Stamp>, StoreError> {
        let stamp =
            |file: &File| Stamp::of_open(file.as_fd()).map_err(|error| store.object_io(digest, error));
        let (pack, ends) = match self {
            Self::File(file) => return Ok(vec![stamp(file)?]),
            Self::Pack(pack, _) => return Ok(vec![stamp(pack)?]),
            Self::Chunks(pack, ends) => (pack, ends),
        };
        let mut stamps = vec![stamp(pack)?];
        for (_, chunk) in ends {
            let stamp = match store.find(chunk)? {
                Found::Loose(file, _) => stamp(&file)?,
                Found::Packed(pack, _) => stamp(&pack)?,
            };
            // Most chunks are in the pack of the one before.
            if stamps.last() != Some(&stamp) {
                stamps.push(stamp);
            }
        }
        Ok(stamps)
    }

    /// Fills `bytes` with what is at `at`.
    fn read(&self, store: &Store, digest: &Digest, bytes: &mut [u8], at: u64) -> Result<(), StoreError> {
        let failed = |error| store.read_failed(digest, error);
        match self {
            Self::File(file) => file.read_exact_at(bytes, at).map_err(failed),
            Self::Pack(pack, offset) => pack.read_exact_at(bytes, offset + at).map_err(failed),
            Self::Chunks(_, ends) => {
                let mut done = 0;
                while done < bytes.len() {
                    let place = at + done as u64;
                    let index = ends.partition_point(|(end, _)| *end <= place);
                    let Some((end, chunk)) = ends.get(index) else {
                        return Err(StoreError::Corrupt { digest: *digest });
                    };
                    let start = index.checked_sub(1).map_or(0, |before| ends[before].0);
                    let rest = &mut bytes[done..];
                    let count = usize::try_from(end - place).map_or(rest.len(), |left| left.min(rest.len()));
                    store.read_chunk(digest, (chunk, end - start), place - start, &mut rest[..count])?;
                    done += count;
                }
                Ok(())
            }
        }
    }
}

impl Store {
    /// Fills `bytes` with those after the first `skip` of a chunk, which has this digest and length.
    fn read_chunk(
        &self,
        whole: &Digest,
        (digest, length): (&Digest, u64),
        skip: u64,
        bytes: &mut [u8],
    ) -> Result<(), StoreError> {
        let corrupt = || StoreError::Corrupt { digest: *whole };
        let found = self.find(digest)?;
        if found.size() != length {
            return Err(corrupt());
        }
        let read = match &found {
            Found::Loose(file, _) => file.read_exact_at(bytes, skip),
            Found::Packed(pack, entry) => match entry.form {
                Form::Plain => pack.read_exact_at(bytes, entry.offset + skip),
                // A chunk of chunks would be a way to read for ever.
                Form::Chunked => return Err(corrupt()),
                Form::Zstd => {
                    let mut source = self.source(found, whole)?;
                    let skipped = io::copy(&mut (&mut source).take(skip), &mut io::sink());
                    skipped.and_then(|_| source.read_exact(bytes))
                }
            },
        };
        read.map_err(|error| self.read_failed(whole, error))
    }
}

/// Makes portions of the entries of a snapshot.
///
/// Large files are announced to `begin`, which says what is to be read for them: its own content, perhaps more.
pub(crate) struct Portions<'s, I: Iterator<Item = Step>, T, F> {
    store: &'s Store,
    entries: Peekable<I>,
    begin: F,
    larges: VecDeque<Arc<Large<T>>>,
    /// Next block of the first large file.
    next: u64,
}

impl<'s, I, T, F> Portions<'s, I, T, F>
where
    I: Iterator<Item = Step>,
    F: FnMut(&Shown, Blocks) -> Result<Vec<Large<T>>, StoreError>,
{
    pub(crate) fn new(store: &'s Store, entries: I, begin: F) -> Self {
        Self { store, entries: entries.peekable(), begin, larges: VecDeque::new(), next: 0 }
    }

    /// The next block of a large file that was begun.
    fn block(&mut self) -> Option<Portion<T>> {
        while let Some(large) = self.larges.front() {
            if self.next < blocks(large.content.size) {
                self.next += 1;
                return Some(Portion::Block(Arc::clone(large), self.next - 1));
            }
            self.larges.pop_front();
            self.next = 0;
        }
        None
    }

    /// Begins to read a large file, if parts of it can be read; otherwise it is an entry as others are.
    fn begin(&mut self, shown: Shown, content: Content) -> Option<Step> {
        let blocks =
            self.store.find(&content.digest).and_then(|found| Blocks::of(self.store, found, content));
        let begun = match blocks {
            Ok(None) => return Some(Ok(shown)),
            Ok(Some(blocks)) => (self.begin)(&shown, blocks),
            Err(error) => Err(error),
        };
        match begun {
            Ok(larges) => {
                self.larges.extend(larges.into_iter().map(Arc::new));
                None
            }
            Err(error) => Some(Err((shown.path, error))),
        }
    }
}

impl<I, T, F> Iterator for Portions<'_, I, T, F>
where
    I: Iterator<Item = Step>,
    F: FnMut(&Shown, Blocks) -> Result<Vec<Large<T>>, StoreError>,
{
    type Item = Portion<T>;

    fn next(&mut self) -> Option<Portion<T>> {
        let mut entries: Vec<Step> = Vec::new();
        let mut bytes = 0;
        loop {
            if let Some(block) = self.block() {
                return Some(block);
            }
            let full = entries.len() >= ENTRIES_MAX || bytes >= BYTES_MAX;
            let joins = |next: &Step| {
                let large = large(next).is_some();
                entries.first().is_none_or(|first| !full && !large && directory(first) == directory(next))
            };
            let Some(step) = self.entries.next_if(joins) else {
                return (!entries.is_empty()).then_some(Portion::Entries(entries));
            };
            match (large(&step), step) {
                (Some(content), Ok(shown)) => entries.extend(self.begin(shown, content)),
                (_, step) => {
                    bytes += size(&step);
                    entries.push(step);
                }
            }
        }
    }
}

fn size(step: &Step) -> u64 {
    match step {
        Ok(Shown { what: What::File { content, .. }, .. }) => content.size,
        _ => 0,
    }
}

fn large(step: &Step) -> Option<Content> {
    match step {
        Ok(Shown { what: What::File { content, .. }, .. }) if content.size >= LARGE_BYTES => Some(*content),
        _ => None,
    }
}

/// The directory that holds an entry.
fn directory(step: &Step) -> &[u8] {
    match step {
        Ok(Shown { path, .. }) | Err((path, _)) => split(path).0,
    }
}

/// The directory of a path, empty for the root, and its last component.
pub(crate) fn split(path: &FilePath) -> (&[u8], &[u8]) {
    let name = path.file_name();
    let directory = &path.as_bytes()[..path.as_bytes().len() - name.len()];
    (directory.strip_suffix(b"/").unwrap_or(directory), name)
}
