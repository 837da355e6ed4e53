//! Small objects that are files of their own go into a pack when they are many.

use std::io::{self, Read};

use aseptic_model::Digest;
use rustix::fs::{AtFlags, statat};

use super::mark::Marked;
use super::repack::Repack;
use crate::compress::smaller;
use crate::error::StoreError;
use crate::object::{Content, object_name};
use crate::pack::Record;
use crate::reader::Found;
use crate::sink::Sink;
use crate::writer::LOOSE_BYTES_MIN;

/// So many files cost little. In tests fewer, so that every one of them comes here.
pub(super) const FILES_MAX: usize = if cfg!(test) { 20 } else { 1000 };
/// What is packed at once: a bound of memory, and of the space that is needed beside what is there.
const BATCH_BYTES: u64 = 256 << 20;
const BATCH_OBJECTS: usize = 256 << 10;

/// Packs the small ones of the objects that are files of their own and stay.
pub(super) fn fold(packs: &mut Repack<'_>, marked: &Marked) -> Result<(), StoreError> {
    let store = packs.store;
    let failed = |error: io::Error| store.io("pack small objects", "objects", error);
    let mut small = Vec::new();
    for (at, digest) in (0..).zip(&marked.loose) {
        if marked.loose_live.get(at) {
            let stat = statat(&store.objects, object_name(digest), AtFlags::SYMLINK_NOFOLLOW);
            let size = stat.map_or(u64::MAX, |stat| u64::try_from(stat.st_size).unwrap_or(u64::MAX));
            if size < LOOSE_BYTES_MIN as u64 {
                small.push((*digest, size));
            }
        }
    }
    // Those that are in a pack, too, are left by a collection that was killed.
    let (doubled, small): (Vec<_>, Vec<_>) = small.into_iter().partition(|(digest, _)| packs.has(digest));
    let intact = doubled.into_iter().filter(|(digest, size)| packs.is_intact(digest, *size));
    unlink(packs, intact.map(|(digest, _)| digest)).map_err(failed)?;
    if small.len() <= FILES_MAX {
        return Ok(());
    }
    let mut batch = Vec::new();
    let mut bytes = 0;
    for (digest, size) in small {
        if bytes + size > BATCH_BYTES || batch.len() == BATCH_OBJECTS {
            pack(packs, std::mem::take(&mut batch)).map_err(failed)?;
            bytes = 0;
        }
        bytes += size;
        batch.push(digest);
    }
    pack(packs, batch).map_err(failed)
}

fn pack(packs: &mut Repack<'_>, batch: Vec<Digest>) -> io::Result<()> {
    let mut sink = Sink::default();
    let mut packed = Vec::with_capacity(batch.len());
    for digest in batch {
        let Ok(Some(Found::Loose(file, size))) = packs.store.find_loose(&digest) else { continue };
        let mut bytes = Vec::new();
        file.take(LOOSE_BYTES_MIN as u64).read_to_end(&mut bytes)?;
        if Digest::of(&bytes) != digest {
            packs.damaged += 1; // It stays as it is.
            continue;
        }
        smaller(&bytes, |form, stored| {
            let record = Record { form, digest, size, stored: stored.len() as u64 };
            packs.append(&mut sink, &record, stored)
        })?;
        packed.push(digest);
    }
    packs.publish(sink, &[])?;
    unlink(packs, packed.into_iter())
}

fn unlink(packs: &Repack<'_>, digests: impl Iterator<Item = Digest>) -> io::Result<()> {
    let store = packs.store;
    for digest in digests {
        store.disk.unlink(&store.objects, object_name(&digest))?;
    }
    Ok(())
}

impl Repack<'_> {
    /// Whether the index leads to an object.
    fn has(&self, digest: &Digest) -> bool {
        self.index.as_ref().is_some_and(|index| index.has(digest, &self.store.packs))
    }

    /// Whether the copy of an object in a pack is as it should be.
    fn is_intact(&self, digest: &Digest, size: u64) -> bool {
        let Some(index) = &self.index else { return false };
        let Ok(Some(entry)) = index.get(digest) else { return false };
        let pack = index.packs.get(entry.pack as usize).map(|id| self.store.packs.open(*id));
        let Some(Ok(pack)) = pack else { return false };
        let content = Content { size, digest: *digest };
        let mut buffer = vec![0; 64 << 10];
        let read =
            self.store.read_found::<StoreError>(Found::Packed(pack, entry), content, &mut buffer, |_| Ok(()));
        read.is_ok()
    }
}
