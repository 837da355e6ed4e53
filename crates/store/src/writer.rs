//! Writing objects: staged under a private name, on disk, then visible.
//!
//! **Invariant:** an object is visible only when its bytes are on disk, and the object that was added last
//! (the root of a snapshot) only when all others are, also after a power loss. Dropping a [`Writer`] or
//! killing its process leaves nothing visible that names something else.

mod shared;

use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use aseptic_model::Digest;
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use crate::compress::smaller;
use crate::digests::Digests;
use crate::error::StoreError;
use crate::files::READ_ONLY;
use crate::lease::Lease;
use crate::loose::{FSYNC_MAX, LooseNames, name_objects, sync_files};
use crate::object::Store;
use crate::pack::{Form, Record, recipe};
use crate::repair::Repair;
use crate::segments;
use crate::sink::Sink;
use crate::stage::Staging;

/// Objects from this size on are files of their own: they can be linked into views.
pub(crate) const LOOSE_BYTES_MIN: usize = 512 << 10;
/// New objects up to `FSYNC_MAX` with at most this many bytes are files of their own: a pack with its
/// index costs more waits for the disk.
const FEW_BYTES_MAX: usize = 4 << 20;

/// New objects on their way into the store. Makes its staging directory when the first one comes.
#[derive(Debug)]
pub(crate) struct Writer<'s> {
    store: &'s Store,
    _lease: &'s Lease,
    staging: OnceLock<Staging>,
    loose: LooseNames,
    /// Whether the file system does not let files share content.
    cannot_share: AtomicBool,
    /// None when what is stored is trusted.
    repair: Option<Repair>,
    state: Mutex<State>,
}

/// What was added and is not visible yet.
#[derive(Debug, Default)]
struct State {
    /// Everything that some thread has begun to add.
    known: Digests,
    /// Objects that wait until it shows whether they are few.
    few: Vec<(Digest, Vec<u8>)>,
    few_bytes: usize,
    /// They are many: everything goes to packs.
    many: bool,
    /// Objects that are staged as files of their own.
    files: Vec<Digest>,
    sink: Sink,
    last: Option<Digest>,
}

/// Which side of a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    Read(io::Error),
    Write(StoreError),
}

impl<'s> Writer<'s> {
    pub(crate) fn new(store: &'s Store, lease: &'s Lease) -> Self {
        Self {
            store,
            _lease: lease,
            staging: OnceLock::new(),
            loose: LooseNames::new(),
            cannot_share: AtomicBool::new(false),
            repair: None,
            state: Mutex::default(),
        }
    }

    /// A writer that compares what it adds with what is stored, and repairs that.
    pub(crate) fn paranoid(self, paranoid: bool) -> Self {
        Self { repair: paranoid.then(Repair::default), ..self }
    }

    /// Adds an object of these bytes, unless the store has it.
    pub(crate) fn add_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.is_stored(&digest, bytes.len() as u64) || !self.claim(digest) {
            return Ok(digest);
        }
        if bytes.len() >= LOOSE_BYTES_MIN {
            self.write_loose(digest, bytes)?;
            self.push_file(digest);
            return Ok(digest);
        }
        let mut state = self.state();
        state.last = Some(digest);
        let few = state.few.len() < FSYNC_MAX && state.few_bytes + bytes.len() <= FEW_BYTES_MAX;
        if !state.many && few {
            state.few_bytes += bytes.len();
            state.few.push((digest, bytes.to_vec()));
            return Ok(digest);
        }
        drop(state);
        self.begin_packs()?;
        self.pack(digest, bytes)?;
        Ok(digest)
    }

    /// Adds a part of a chunked object, unless the store has it.
    pub(crate) fn add_chunk(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if !self.is_stored(&digest, bytes.len() as u64) && self.claim(digest) {
            self.begin_packs()?;
            self.pack(digest, bytes)?;
        }
        Ok(digest)
    }

    /// Adds the object `digest` of `size` bytes, which are those of `chunks` one after the other, unless the
    /// store has it. The chunks were added before, and `digest` is that of the whole content.
    pub(crate) fn add_recipe(
        &self,
        digest: Digest,
        size: u64,
        chunks: &[(Digest, u32)],
    ) -> Result<(), StoreError> {
        let bytes = recipe::encode(chunks);
        let stored = match &self.repair {
            None => self.has(&digest),
            Some(repair) => repair.has_recipe(self.store, &digest, size, &bytes),
        };
        if stored || !self.claim(digest) {
            return Ok(());
        }
        self.begin_packs()?;
        self.append(Form::Chunked, digest, size, &bytes)
    }

    /// Adds the rest of `file` as an object, reading at most one byte more than `expected`, and shows
    /// every piece to `seen`. Returns how many bytes it read.
    pub(crate) fn add_file(
        &self,
        file: &mut impl Read,
        expected: u64,
        buffer: &mut [u8],
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(Digest, u64), CopyError> {
        let mut source = file.take(expected.saturating_add(1));
        let first = fill(&mut source, buffer).map_err(CopyError::Read)?;
        seen(&buffer[..first]);
        if first < buffer.len() {
            let digest = self.add_bytes(&buffer[..first]).map_err(CopyError::Write)?;
            return Ok((digest, first as u64));
        }
        let staging = self.staging().map_err(CopyError::Write)?;
        let failed = |error: io::Error| CopyError::Write(self.failed(error));
        let part = staging.part();
        let out = staging.create(&part, READ_ONLY).map_err(|error| failed(error.into()))?;
        let (mut hasher, mut size, mut count) = (blake3::Hasher::new(), 0, first);
        while count > 0 {
            hasher.update(&buffer[..count]);
            staging.disk.write(&out, &buffer[..count]).map_err(failed)?;
            size += count as u64;
            count = fill(&mut source, buffer).map_err(CopyError::Read)?;
            seen(&buffer[..count]);
        }
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        staging.disk.set_times(&out).map_err(|error| failed(error.into()))?;
        self.keep_part(&part, digest, size).map_err(CopyError::Write)?;
        Ok((digest, size))
    }

    /// Adds an open file of this digest by giving it a second name. The caller has made sure that
    /// nothing can write to it. Returns false when no link is possible and the file must be copied.
    pub(crate) fn add_link(&self, file: BorrowedFd<'_>, digest: Digest) -> Result<bool, StoreError> {
        let staging = self.staging()?;
        // Through the descriptor: whatever its name means by now, this is the file that was hashed.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let name = digest.to_string();
        match staging.disk.link(CWD, &path, &staging.dir, &name, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => {
                self.push_file(digest);
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(true), // Another thread stages the same bytes.
            Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::NOENT) => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether the store has an object of so many bytes, and need not get it again.
    fn is_stored(&self, digest: &Digest, size: u64) -> bool {
        match &self.repair {
            None => self.has(digest),
            Some(repair) => repair.is_intact(self.store, digest, size),
        }
    }

    /// Whether the store has an object already, and that is enough.
    pub(crate) fn trusts(&self, digest: &Digest) -> bool {
        self.repair.is_none() && self.has(digest)
    }

    /// Whether the store has an object already.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.store.has_packed(digest) || self.loose.contains(self.store, digest)
    }

    /// Makes everything that was added visible, the object that was added last after all others.
    pub(crate) fn publish(self) -> Result<(), StoreError> {
        let state = std::mem::take(&mut *self.state());
        self.settle(state)
    }

    /// Makes everything that was added so far visible, while other threads go on adding. Nothing refers to
    /// it yet: it is there for who does the same again.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let mut taken = std::mem::take(&mut *state);
        state.many = taken.many;
        // What waits to be few goes on waiting.
        std::mem::swap(&mut state.few, &mut taken.few);
        std::mem::swap(&mut state.few_bytes, &mut taken.few_bytes);
        state.known = state.few.iter().map(|(digest, _)| *digest).collect();
        drop(state);
        taken.last = None;
        self.settle(taken)
    }

    pub(crate) fn staging(&self) -> Result<&Staging, StoreError> {
        if let Some(staging) = self.staging.get() {
            return Ok(staging);
        }
        // Two threads may both make one; the second is dropped and removes itself.
        let staging = Staging::new(self.store)?;
        Ok(self.staging.get_or_init(|| staging))
    }

    fn settle(&self, mut state: State) -> Result<(), StoreError> {
        for (digest, bytes) in std::mem::take(&mut state.few) {
            self.write_loose(digest, &bytes)?;
            state.files.push(digest);
        }
        // The same bytes may have come as a link and as bytes.
        let mut seen = Digests::default();
        state.files.retain(|file| seen.insert(*file));
        let Some(staging) = self.staging.get() else { return Ok(()) };
        let failed = |error: Errno| self.store.io("write", "objects", error);
        let pack_failed = |error: io::Error| self.store.io("write a pack", "packs", error);
        let packed = if state.sink.is_empty() {
            None
        } else {
            Some(state.sink.finish(&staging.disk).map_err(pack_failed)?)
        };
        let mut files = state.files;
        let entries = packed.iter().flat_map(|(_, entries)| entries.iter().map(|entry| &entry.digest));
        let added = files.iter().chain(entries);
        let repaired = self.repair.as_ref().map(|repair| repair.take(added)).unwrap_or_default();
        let root = state.last.and_then(|last| files.iter().rposition(|file| *file == last));
        let root = root.map(|root| files.remove(root));
        sync_files(staging, &files, root.as_ref()).map_err(failed)?;
        let index_failed = |error| self.store.io("write an index", "segments", error);
        let mut segment = None;
        if let Some((packs, entries)) = &packed {
            // Needs space, so before anything has a name: a full disk leaves nothing behind.
            segment = Some(segments::stage(staging, packs, entries).map_err(index_failed)?);
            self.store.packs.publish(staging, packs).map_err(pack_failed)?;
        }
        name_objects(self.store, staging, &files, &repaired).map_err(failed)?;
        if let Some(segment) = &segment {
            self.store.segments.publish(staging, segment).map_err(index_failed)?;
        }
        name_objects(self.store, staging, root.as_slice(), &repaired).map_err(failed)?;
        files.extend(root);
        let new = segment.as_ref().map(|segment| segment.name.as_str());
        self.store.give_up(staging, &repaired, new, &files)?;
        if packed.is_some() {
            // Everything is on disk: many segments only make later lookups slower.
            let _ = self.store.segments.merge(staging);
        }
        Ok(())
    }

    /// From now on objects go to packs, and those that waited go first.
    fn begin_packs(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        state.many = true;
        let few = std::mem::take(&mut state.few);
        state.few_bytes = 0;
        drop(state);
        for (digest, bytes) in few {
            self.pack(digest, &bytes)?;
        }
        Ok(())
    }

    /// Puts an object into a pack, in the form that fits it.
    fn pack(&self, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        smaller(bytes, |form, stored| self.append(form, digest, bytes.len() as u64, stored))
    }

    fn append(&self, form: Form, digest: Digest, size: u64, stored: &[u8]) -> Result<(), StoreError> {
        let failed = |error| self.store.io("write a pack", "tmp", error);
        let staging = self.staging()?;
        let record = Record { form, digest, size, stored: stored.len() as u64 };
        let flush = self.state().sink.append(staging, &record, stored).map_err(failed)?;
        if let Some(flush) = flush {
            let written = flush.write(&staging.disk).map_err(failed)?;
            self.state().sink.written(&staging.disk, written);
        }
        Ok(())
    }

    fn write_loose(&self, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let staging = self.staging()?;
        let file = match staging.create(&digest.to_string(), READ_ONLY) {
            Ok(file) => file,
            Err(Errno::EXIST) => return Ok(()), // Another thread stages the same bytes.
            Err(error) => return Err(self.failed(error)),
        };
        staging.disk.write(&file, bytes).map_err(|error| self.failed(error))?;
        staging.disk.set_times(&file).map_err(|error| self.failed(error))
    }

    fn keep_part(&self, part: &str, digest: Digest, size: u64) -> Result<(), StoreError> {
        let staging = self.staging()?;
        if self.is_stored(&digest, size) {
            staging.remove(part);
            return Ok(());
        }
        match staging.disk.rename_new(&staging.dir, part, &staging.dir, &digest.to_string()) {
            Ok(()) => self.push_file(digest),
            Err(Errno::EXIST) => staging.remove(part),
            Err(error) => return Err(self.failed(error)),
        }
        Ok(())
    }

    /// Whether nobody else adds this object.
    fn claim(&self, digest: Digest) -> bool {
        self.state().known.insert(digest)
    }

    fn push_file(&self, digest: Digest) {
        let mut state = self.state();
        state.files.push(digest);
        state.last = Some(digest);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failed(&self, error: impl Into<io::Error>) -> StoreError {
        self.store.io("stage an object", "tmp", error)
    }
}

/// Reads until the buffer is full or the source ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
pub(crate) mod tests;
