//! All segments read side by side, in the order of digests.

use std::io;
use std::sync::Arc;

use aseptic_model::Digest;

use crate::pack::PackId;
use crate::segment::{ENTRY_BYTES, Entry, Segment};

/// Entries that are read at once.
pub(crate) const ENTRIES: u64 = 4096;

/// One copy of a packed object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    /// Number of its segment.
    pub(crate) segment: usize,
    /// Number of its entry there.
    pub(crate) at: u64,
    pub(crate) entry: Entry,
}

/// Entries of one segment, one after the other.
pub(crate) struct Entries<'s> {
    segment: &'s Segment,
    buffer: Vec<u8>,
    used: usize,
    next: u64,
}

impl<'s> Entries<'s> {
    pub(crate) fn new(segment: &'s Segment) -> Self {
        Self { segment, buffer: Vec::new(), used: 0, next: 0 }
    }

    /// The next entry and its number.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Entry)>> {
        if self.used == self.buffer.len() {
            let count = (self.segment.objects - self.next).min(ENTRIES);
            if count == 0 {
                return Ok(None);
            }
            self.buffer = self.segment.read(self.next, usize::try_from(count).unwrap_or(0))?;
            self.used = 0;
        }
        let entry = self.buffer[self.used..].first_chunk().and_then(Entry::decode);
        let entry = entry.filter(|entry| (entry.pack as usize) < self.segment.packs.len());
        self.used += ENTRY_BYTES;
        self.next += 1;
        Ok(Some((self.next - 1, entry.ok_or(io::ErrorKind::InvalidData)?)))
    }
}

/// Shows every packed object once, with all its copies.
pub(crate) fn merge(
    segments: &[Arc<Segment>],
    mut each: impl FnMut(&Digest, &[Copy]) -> io::Result<()>,
) -> io::Result<()> {
    let mut sources: Vec<_> = segments.iter().map(|segment| Entries::new(segment)).collect();
    let mut heads = Vec::with_capacity(sources.len());
    for source in &mut sources {
        heads.push(source.next()?);
    }
    let mut copies = Vec::new();
    loop {
        let digests = heads.iter().flatten().map(|(_, entry)| entry.digest);
        let Some(digest) = digests.min() else { return Ok(()) };
        copies.clear();
        for (segment, (head, source)) in heads.iter_mut().zip(&mut sources).enumerate() {
            if let Some((at, entry)) = *head
                && entry.digest == digest
            {
                copies.push(Copy { segment, at, entry });
                *head = source.next()?;
            }
        }
        each(&digest, &copies)?;
    }
}

/// An entry with the number that its pack has among `packs`, sorted.
pub(crate) fn renumbered(mut entry: Entry, id: Option<&PackId>, packs: &[PackId]) -> io::Result<Entry> {
    let number = id.and_then(|id| packs.binary_search(id).ok()).ok_or(io::ErrorKind::InvalidData)?;
    entry.pack = u32::try_from(number).map_err(io::Error::other)?;
    Ok(entry)
}
