//! Repair: objects whose bytes are not those of their digest any more, and are at hand once more.
//!
//! A writer that trusts nothing compares what is stored with what it adds. An object that is damaged in any
//! of its places is stored again, and then loses these places: a file of its own is replaced by the new one
//! or removed, and the indexes stop naming it in its old pack.
//!
//! **Invariant:** a place is given up only when the object is on disk in another one.

use std::io;
use std::sync::{Mutex, PoisonError};

use aseptic_model::Digest;
use rustix::fs::{Mode, OFlags, openat};

use crate::digests::Digests;
use crate::error::StoreError;
use crate::merge::ENTRIES;
use crate::object::{Content, Store, object_name};
use crate::pack::{Form, PackId, Packs};
use crate::parallel::BUFFER_BYTES;
use crate::reader::{Found, Source};
use crate::segment::{ENTRY_BYTES, Entry, Segment};
use crate::segments::{SegmentWriter, Staged};
use crate::stage::Staging;

/// What a writer that trusts nothing has found to be damaged and not stored again yet.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    damaged: Mutex<Digests>,
}

impl Repair {
    /// Whether the store has these bytes, wherever it says that it has them.
    pub(crate) fn is_intact(&self, store: &Store, digest: &Digest, size: u64) -> bool {
        let content = Content { size, digest: *digest };
        self.all_places(store, digest, |found| {
            let room = usize::try_from(size).unwrap_or(BUFFER_BYTES).clamp(1, BUFFER_BYTES);
            store.read_found(found, content, &mut vec![0; room], |_| Ok::<_, StoreError>(()))
        })
    }

    /// Whether the store has this recipe. Its chunks were looked at when they were added.
    pub(crate) fn has_recipe(&self, store: &Store, digest: &Digest, size: u64, recipe: &[u8]) -> bool {
        self.all_places(store, digest, |found| {
            let corrupt = || StoreError::Corrupt { digest: *digest };
            match found {
                Found::Packed(pack, entry) if entry.form == Form::Chunked => {
                    let mut stored = Vec::new();
                    let mut source = Source::stored(pack, &entry);
                    io::Read::read_to_end(&mut source, &mut stored).map_err(|_| corrupt())?;
                    if entry.size == size && stored == recipe { Ok(()) } else { Err(corrupt()) }
                }
                found => {
                    let content = Content { size, digest: *digest };
                    store.read_found(found, content, &mut vec![0; BUFFER_BYTES], |_| Ok(()))
                }
            }
        })
    }

    /// Whether there are places and all of them pass. If one does not, the object is to be stored again.
    fn all_places(
        &self,
        store: &Store,
        digest: &Digest,
        mut check: impl FnMut(Found) -> Result<(), StoreError>,
    ) -> bool {
        let (mut count, mut sound) = (0, true);
        for place in store.places(digest) {
            count += 1;
            sound &= place.and_then(&mut check).is_ok();
        }
        if !sound {
            self.damaged.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        }
        count > 0 && sound
    }

    /// Those of the damaged objects that are among `added`, sorted. They are the caller's to finish.
    pub(crate) fn take<'d>(&self, added: impl Iterator<Item = &'d Digest>) -> Vec<Digest> {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<Digest> = added.filter(|digest| damaged.remove(*digest)).copied().collect();
        taken.sort_unstable();
        taken
    }
}

impl Store {
    /// Gives up the old places of `repaired` objects, sorted: those in packs that other segments than `new`
    /// know, and files of their own that are not among `replaced`.
    pub(crate) fn give_up(
        &self,
        staging: &Staging,
        repaired: &[Digest],
        new: Option<&str>,
        replaced: &[Digest],
    ) -> Result<(), StoreError> {
        if repaired.is_empty() {
            return Ok(());
        }
        let failed = |error| self.io("write an index", "segments", error);
        self.segments.forget(staging, &self.packs, repaired, new).map_err(failed)?;
        let failed = |error: rustix::io::Errno| self.io("remove a damaged object", "objects", error);
        for digest in repaired.iter().filter(|digest| !replaced.contains(digest) && self.has_loose(digest)) {
            staging.disk.unlink(&self.objects, object_name(digest)).map_err(failed)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let prefix = format!("{:02x}", digest.as_bytes()[0]);
            let directory = openat(&self.objects, prefix, flags, Mode::empty()).map_err(failed)?;
            staging.disk.sync(directory).map_err(failed)?;
        }
        Ok(())
    }
}

/// Writes a segment of those entries of a damaged one that the headers of the records in the packs repeat,
/// without `digests`, sorted. What the others led to was not to be found with them.
pub(crate) fn stage_confirmed(
    staging: &Staging,
    source: &Segment,
    all_packs: &Packs,
    digests: &[Digest],
) -> io::Result<Staged> {
    let mut packs: Vec<PackId> = source.packs.iter().copied().filter(|id| all_packs.exists(*id)).collect();
    packs.sort_unstable();
    packs.dedup();
    let confirmed = |bytes: &[u8; ENTRY_BYTES]| -> Option<Entry> {
        let mut entry = Entry::decode(bytes).filter(|entry| digests.binary_search(&entry.digest).is_err())?;
        let id = *source.packs.get(entry.pack as usize)?;
        entry.pack = u32::try_from(packs.binary_search(&id).ok()?).ok()?;
        all_packs.repeats(id, &entry).then_some(entry)
    };
    let each = |take: &mut dyn FnMut(Entry) -> io::Result<()>| -> io::Result<()> {
        let (mut first, mut last) = (0, None);
        while first < source.objects {
            let count = (source.objects - first).min(ENTRIES);
            let bytes = source.read(first, usize::try_from(count).unwrap_or(0))?;
            for entry in bytes.as_chunks().0.iter().filter_map(confirmed) {
                // A copy of an entry may have come over another one.
                if last.is_none_or(|last| last < entry.digest) {
                    last = Some(entry.digest);
                    take(entry)?;
                }
            }
            first += count;
        }
        Ok(())
    };
    let mut objects = 0;
    each(&mut |_| {
        objects += 1;
        Ok(())
    })?;
    let mut out = SegmentWriter::new(staging, &packs, objects)?;
    each(&mut |entry| out.push(&entry.encode()))?;
    out.finish()
}
