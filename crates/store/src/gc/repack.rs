//! Packs are written again without what is dead, and there is one index of them all.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use aseptic_model::Digest;

use super::mark::Marked;
use crate::error::StoreError;
use crate::files::open_directory;
use crate::merge::{Copy, Entries, merge, renumbered};
use crate::object::{Content, Store};
use crate::pack::{Form, MAGIC, PackId, RECORD_HEADER_BYTES, Record};
use crate::reader::Found;
use crate::segment::{ENTRY_BYTES, Entry, Segment};
use crate::segments::{SegmentWriter, Staged};
use crate::sink::Sink;
use crate::stage::Staging;

/// Bytes that are moved before the index is written again, unless that is big itself. Space for so much is
/// needed beside what is there.
const BATCH_BYTES: u64 = 256 << 20;
/// Objects that are moved at once: a bound of memory.
const BATCH_OBJECTS: u64 = 512 << 10;

/// How much of a pack stays.
#[derive(Clone, Copy, Debug)]
struct Kept {
    objects: u64,
    /// The size of the file if it held nothing else.
    bytes: u64,
}

/// Packs that are being written again, and the one index of all packs.
pub(super) struct Repack<'s> {
    pub(super) store: &'s Store,
    staging: Staging,
    pub(super) index: Option<Arc<Segment>>,
    pub(super) damaged: u64,
}

impl<'s> Repack<'s> {
    pub(super) fn new(store: &'s Store) -> Result<Self, StoreError> {
        Ok(Self { store, staging: Staging::new(store)?, index: None, damaged: 0 })
    }

    /// Makes one segment of all that stays.
    pub(super) fn settle(&mut self, marked: &Marked) -> io::Result<()> {
        let (mut all, mut live) = (0_u64, 0_u64);
        let mut packs = BTreeSet::new();
        let kept = |copy: &&Copy| marked.is_live(copy);
        merge(&marked.segments, |_, copies| {
            all += copies.len() as u64;
            if let Some(copy) = copies.iter().find(kept) {
                live += 1;
                packs.extend(marked.segments[copy.segment].packs.get(copy.entry.pack as usize));
            }
            Ok(())
        })?;
        if let ([segment], true) = (marked.segments.as_slice(), all == live) {
            self.index = Some(Arc::clone(segment)); // It says just that.
            return Ok(());
        }
        let packs: Vec<PackId> = packs.into_iter().collect();
        let old = marked.segments.clone();
        let gone = packs_of(&old, &packs);
        if live == 0 {
            self.replace(&old, None, &gone)?;
            return Ok(());
        }
        let mut out = SegmentWriter::new(&self.staging, &packs, live)?;
        merge(&marked.segments, |_, copies| {
            let Some(copy) = copies.iter().find(kept) else { return Ok(()) };
            let id = marked.segments[copy.segment].packs.get(copy.entry.pack as usize);
            out.push(&renumbered(copy.entry, id, &packs)?.encode())
        })?;
        self.index = self.replace(&old, Some(&out.finish()?), &gone)?;
        Ok(())
    }

    /// Writes packs again that hold more than what stays.
    pub(super) fn rewrite(&mut self) -> Result<(), StoreError> {
        let failed = |store: &Store, error| store.io("write a pack again", "packs", error);
        let Some(index) = self.index.clone() else { return Ok(()) };
        let mut kept = vec![Kept { objects: 0, bytes: MAGIC.len() as u64 }; index.packs.len()];
        let mut entries = Entries::new(&index);
        while let Some((_, entry)) = entries.next().map_err(|error| failed(self.store, error))? {
            let kept = &mut kept[entry.pack as usize];
            kept.objects += 1;
            kept.bytes += entry.stored + RECORD_HEADER_BYTES as u64;
        }
        let most = BATCH_BYTES.max(index.objects * ENTRY_BYTES as u64 * 4);
        let mut batch = BTreeSet::new();
        let mut size = Kept { objects: 0, bytes: 0 };
        for (id, kept) in index.packs.iter().zip(kept) {
            // A pack that is too short is damaged, and one that is gone is: verifying says whose.
            let Ok(length) = self.store.packs.open(*id).and_then(|pack| pack.metadata()) else { continue };
            if length.len() <= kept.bytes {
                continue;
            }
            if size.bytes + kept.bytes > most || size.objects + kept.objects > BATCH_OBJECTS {
                self.move_out(&std::mem::take(&mut batch)).map_err(|error| failed(self.store, error))?;
                size = Kept { objects: 0, bytes: 0 };
            }
            batch.insert(*id);
            size.objects += kept.objects;
            size.bytes += kept.bytes;
        }
        self.move_out(&batch).map_err(|error| failed(self.store, error))
    }

    /// Copies what stays out of these packs and removes them.
    fn move_out(&mut self, batch: &BTreeSet<PackId>) -> io::Result<()> {
        let Some(index) = self.index.clone().filter(|_| !batch.is_empty()) else { return Ok(()) };
        let mut moved = Vec::new();
        let mut entries = Entries::new(&index);
        while let Some((_, entry)) = entries.next()? {
            if index.packs.get(entry.pack as usize).is_some_and(|id| batch.contains(id)) {
                moved.push(entry);
            }
        }
        moved.sort_unstable_by_key(|entry| (entry.pack, entry.offset));
        let mut sink = Sink::default();
        let mut stuck = BTreeSet::new();
        for entry in moved {
            let Some(id) = index.packs.get(entry.pack as usize) else { continue };
            match self.copy(*id, &entry)? {
                Some(stored) => self.append(&mut sink, &Record::of(&entry), &stored)?,
                // It cannot be moved: its pack stays as it is.
                None => stuck.extend([*id]),
            }
        }
        let gone: Vec<_> = batch.difference(&stuck).copied().collect();
        self.publish(sink, &gone)
    }

    /// The stored bytes of one object; `None` when there is no such record in the pack.
    fn copy(&mut self, id: PackId, entry: &Entry) -> io::Result<Option<Vec<u8>>> {
        let pack = self.store.packs.open(id)?;
        let Some(start) = entry.offset.checked_sub(RECORD_HEADER_BYTES as u64) else { return Ok(None) };
        // Not sized by what an index says beyond the end of the file.
        if entry
            .offset
            .checked_add(entry.stored)
            .is_none_or(|end| pack.metadata().is_ok_and(|m| end > m.len()))
        {
            return Ok(None);
        }
        let mut header = [0; RECORD_HEADER_BYTES];
        pack.read_exact_at(&mut header, start)?;
        let mut stored = vec![0; usize::try_from(entry.stored).map_err(io::Error::other)?];
        pack.read_exact_at(&mut stored, entry.offset)?;
        if header != Record::of(entry).encode() {
            return Ok(None);
        }
        let intact = match entry.form {
            Form::Plain => Digest::of(&stored) == entry.digest,
            // Its chunks are checked where they are.
            Form::Chunked => true,
            Form::Zstd => {
                let content = Content { size: entry.size, digest: entry.digest };
                let found = Found::Packed(pack, *entry);
                let mut buffer = vec![0; 64 << 10];
                self.store.read_found::<StoreError>(found, content, &mut buffer, |_| Ok(())).is_ok()
            }
        };
        self.damaged += u64::from(!intact);
        Ok(Some(stored))
    }

    pub(super) fn append(&self, sink: &mut Sink, record: &Record, stored: &[u8]) -> io::Result<()> {
        if let Some(flush) = sink.append(&self.staging, record, stored)? {
            let written = flush.write(&self.staging.disk)?;
            sink.written(&self.staging.disk, written);
        }
        Ok(())
    }

    /// Names new packs, makes an index of them and of all that stays, and removes the packs `gone`.
    pub(super) fn publish(&mut self, sink: Sink, gone: &[PackId]) -> io::Result<()> {
        let (new, entries) = sink.finish(&self.staging.disk)?;
        if new.is_empty() && gone.is_empty() {
            return Ok(());
        }
        self.store.packs.publish(&self.staging, &new)?;
        let old = self.index.clone();
        let mut packs: Vec<PackId> = old.iter().flat_map(|old| old.packs.iter().copied()).collect();
        packs.retain(|id| !gone.contains(id));
        packs.extend(&new);
        packs.sort_unstable();
        packs.dedup();
        let mut count = 0;
        combined(old.as_deref(), &new, &entries, |_, _| {
            count += 1;
            Ok(())
        })?;
        let mut out = SegmentWriter::new(&self.staging, &packs, count)?;
        combined(old.as_deref(), &new, &entries, |entry, id| {
            out.push(&renumbered(entry, Some(id), &packs)?.encode())
        })?;
        let staged = out.finish()?;
        let old: Vec<_> = old.into_iter().collect();
        self.index = self.replace(&old, Some(&staged), gone)?;
        Ok(())
    }

    /// Puts a new index in the place of old ones, then removes packs that it does not name.
    fn replace(
        &self,
        old: &[Arc<Segment>],
        new: Option<&Staged>,
        gone: &[PackId],
    ) -> io::Result<Option<Arc<Segment>>> {
        let (store, disk) = (self.store, &self.staging.disk);
        if let Some(staged) = new {
            store.segments.publish(&self.staging, staged)?;
        }
        let segments = open_directory(&store.dir.join("segments"))?;
        let name = new.map(|staged| staged.name.as_str());
        for segment in old.iter().filter(|segment| name != Some(segment.name.as_str())) {
            disk.unlink(&segments, &segment.name)?;
        }
        disk.sync(&segments)?;
        let list = store.segments.reload()?;
        let packs = open_directory(&store.dir.join("packs"))?;
        for id in gone {
            disk.unlink(&packs, id.file_name())?;
        }
        disk.sync(&packs)?;
        Ok(list.iter().find(|segment| name == Some(segment.name.as_str())).cloned())
    }
}

/// Packs of `segments` that are not among `kept`.
fn packs_of(segments: &[Arc<Segment>], kept: &[PackId]) -> Vec<PackId> {
    let all: BTreeSet<PackId> = segments.iter().flat_map(|segment| segment.packs.iter().copied()).collect();
    all.into_iter().filter(|id| kept.binary_search(id).is_err()).collect()
}

/// Shows what an index and some new entries say together, in order; the new ones count where both say something.
fn combined(
    old: Option<&Segment>,
    new_packs: &[PackId],
    new: &[Entry],
    mut each: impl FnMut(Entry, &PackId) -> io::Result<()>,
) -> io::Result<()> {
    let unknown = || io::Error::from(io::ErrorKind::InvalidData);
    let mut new = new.iter().peekable();
    let of_new = |entry: &Entry| new_packs.get(entry.pack as usize).ok_or_else(unknown);
    if let Some(old) = old {
        let mut entries = Entries::new(old);
        while let Some((_, entry)) = entries.next()? {
            while let Some(before) = new.next_if(|new| new.digest < entry.digest) {
                each(*before, of_new(before)?)?;
            }
            match new.next_if(|new| new.digest == entry.digest) {
                Some(instead) => each(*instead, of_new(instead)?)?,
                None => each(entry, old.packs.get(entry.pack as usize).ok_or_else(unknown)?)?,
            }
        }
    }
    new.try_for_each(|entry| each(*entry, of_new(entry)?))
}
