//! Packs that are being written.
//!
//! Records are gathered in a buffer under the caller's lock; a full buffer is written outside of it. A
//! full pack is flushed by a thread of its own, while the next one fills.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::disk::Disk;
use crate::files::READ_ONLY;
use crate::pack::{MAGIC, PackId, Record};
use crate::segment::Entry;
use crate::stage::Staging;

/// A pack that has so many bytes gets no more objects.
pub(crate) const PACK_BYTES: u64 = 64 << 20;
/// Written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Buffers that are kept for the next time.
const SPARE_MAX: usize = 4;

/// One pack in the staging directory.
#[derive(Debug)]
pub(crate) struct PackFile {
    pub(crate) id: PackId,
    file: File,
    state: Mutex<PackState>,
    written: Condvar,
}

#[derive(Debug, Default)]
struct PackState {
    /// Buffers that were taken and are not written yet.
    pending: u32,
    /// No buffer will be taken any more.
    closed: bool,
    failed: bool,
}

/// A buffer on its way to its place in a pack.
#[derive(Debug)]
#[must_use]
pub(crate) struct Flush {
    pack: Arc<PackFile>,
    at: u64,
    bytes: Vec<u8>,
}

impl Flush {
    /// Writes the buffer. Returns it, and the pack if it is full and written by now.
    pub(crate) fn write(self, disk: &Disk) -> io::Result<(Vec<u8>, Option<Arc<PackFile>>)> {
        let Self { pack, at, mut bytes } = self;
        let written = disk.write_at(&pack.file, &bytes, at);
        let mut state = pack.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending -= 1;
        state.failed |= written.is_err();
        let full = state.closed && state.pending == 0;
        pack.written.notify_all();
        drop(state);
        written?;
        bytes.clear();
        Ok((bytes, full.then_some(pack)))
    }
}

/// The pack that grows, and what was put into it and those before it.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    open: Option<Open>,
    pub(crate) packs: Vec<Arc<PackFile>>,
    pub(crate) entries: Vec<Entry>,
    spare: Vec<Vec<u8>>,
    syncer: Option<Syncer>,
}

#[derive(Debug)]
struct Open {
    pack: Arc<PackFile>,
    number: u32,
    /// What is not written yet, and where it goes.
    buffer: Vec<u8>,
    at: u64,
}

impl Sink {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends an object. What is returned must be written, outside of any lock.
    pub(crate) fn append(
        &mut self,
        staging: &Staging,
        record: &Record,
        stored: &[u8],
    ) -> io::Result<Option<Flush>> {
        if self.open.is_none() {
            self.open = Some(self.begin(staging)?);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        open.buffer.extend_from_slice(&record.encode());
        self.entries.push(Entry {
            digest: record.digest,
            offset: open.at + open.buffer.len() as u64,
            stored: record.stored,
            size: record.size,
            pack: open.number,
            form: record.form,
        });
        open.buffer.extend_from_slice(stored);
        let full = open.at + open.buffer.len() as u64 >= PACK_BYTES;
        if full {
            return Ok(self.close());
        }
        if open.buffer.len() < BUFFER_BYTES {
            return Ok(None);
        }
        let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES * 2));
        let bytes = std::mem::replace(&mut open.buffer, next);
        let at = open.at;
        open.at += bytes.len() as u64;
        open.pack.state.lock().unwrap_or_else(PoisonError::into_inner).pending += 1;
        Ok(Some(Flush { pack: Arc::clone(&open.pack), at, bytes }))
    }

    /// Ends the pack that grows.
    fn close(&mut self) -> Option<Flush> {
        let Open { pack, buffer, at, .. } = self.open.take()?;
        let mut state = pack.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending += 1;
        state.closed = true;
        drop(state);
        Some(Flush { pack, at, bytes: buffer })
    }

    /// Takes back what [`Flush::write`] returned.
    pub(crate) fn written(&mut self, disk: &Disk, (buffer, full): (Vec<u8>, Option<Arc<PackFile>>)) {
        if self.spare.len() < SPARE_MAX && buffer.capacity() > 0 {
            self.spare.push(buffer);
        }
        if let Some(pack) = full {
            self.syncer.get_or_insert_with(|| Syncer::start(disk.clone())).add(pack);
        }
    }

    fn begin(&mut self, staging: &Staging) -> io::Result<Open> {
        let id = PackId::random()?;
        let file = staging.disk.create(&staging.dir, id.file_name(), READ_ONLY)?;
        let pack = Arc::new(PackFile { id, file, state: Mutex::default(), written: Condvar::new() });
        let number = u32::try_from(self.packs.len()).map_err(io::Error::other)?;
        self.packs.push(Arc::clone(&pack));
        let mut buffer = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES * 2));
        buffer.extend_from_slice(&MAGIC);
        Ok(Open { pack, number, buffer, at: 0 })
    }

    /// Writes what is left and waits until all packs are on disk. Returns them, and the entries sorted by
    /// digest without doubles.
    pub(crate) fn finish(mut self, disk: &Disk) -> io::Result<(Vec<PackId>, Vec<Entry>)> {
        if let Some(flush) = self.close() {
            let written = flush.write(disk)?;
            self.written(disk, written);
        }
        let mut synced = Vec::new();
        if let Some(syncer) = self.syncer.take() {
            synced = syncer.finish()?;
        }
        for pack in &self.packs {
            let state = pack.state.lock().unwrap_or_else(PoisonError::into_inner);
            let state = pack.written.wait_while(state, |state| state.pending > 0);
            if state.unwrap_or_else(PoisonError::into_inner).failed {
                return Err(io::Error::other("a pack was not written whole"));
            }
            if !synced.contains(&pack.id) {
                disk.sync_content(&pack.file)?;
            }
        }
        let mut entries = self.entries;
        entries.sort_unstable_by_key(|entry| entry.digest);
        entries.dedup_by(|a, b| a.digest == b.digest);
        Ok((self.packs.iter().map(|pack| pack.id).collect(), entries))
    }
}

/// A thread that flushes full packs.
#[derive(Debug)]
struct Syncer {
    sender: Sender<Arc<PackFile>>,
    /// None where the user may have no more threads: then all is flushed at the end.
    thread: Option<JoinHandle<io::Result<Vec<PackId>>>>,
}

impl Syncer {
    fn start(disk: Disk) -> Self {
        let (sender, receiver) = channel::<Arc<PackFile>>();
        let flush = move || {
            let mut synced = Vec::new();
            for pack in receiver {
                disk.sync_content(&pack.file)?;
                synced.push(pack.id);
            }
            Ok(synced)
        };
        Self { sender, thread: thread::Builder::new().spawn(flush).ok() }
    }

    fn add(&self, pack: Arc<PackFile>) {
        // After a failed flush nobody takes it any more: the end reports that failure.
        let _ = self.sender.send(pack);
    }

    fn finish(self) -> io::Result<Vec<PackId>> {
        drop(self.sender);
        let Some(thread) = self.thread else { return Ok(Vec::new()) };
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that flushes packs died")))
    }
}
