//! Marking: everything that must stay is found, in memory bounded by the number of objects.
//!
//! That is two bits for each object in a pack, and the digests of the objects that are files of their own.
//!
//! **Invariant:** a tree is walked although a file has the same bytes: that one stays and that one was walked
//! are two marks.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use aseptic_model::Digest;
use rustix::fs::{AtFlags, statat};

use super::bits::Bits;
use super::{GcError, Roots, views};
use crate::error::StoreError;
use crate::files::{names, open_directory_below};
use crate::lease::Lease;
use crate::merge::{Copy, merge};
use crate::object::{Store, object_name};
use crate::pack::{Form, RECORD_HEADER_BYTES, recipe};
use crate::segment::{Entry, Segment};
use crate::tree::EntryKind;

/// Entries of a recipe that are read at once.
const RECIPE_ENTRIES: usize = 4096;

/// What must stay, and what is dead.
#[derive(Debug)]
pub struct Marked {
    pub(super) segments: Vec<Arc<Segment>>,
    /// For each entry of each segment whether it stays.
    pub(super) packed: Vec<Bits>,
    /// Objects that are files of their own, sorted.
    pub(super) loose: Vec<Digest>,
    pub(super) loose_live: Bits,
    /// Views to be removed.
    pub(super) views: Vec<String>,
    /// Files that must stay and are nowhere.
    pub(super) missing: u64,
    objects: u64,
    bytes: u64,
}

impl Marked {
    /// How many objects are dead.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// How many bytes they have on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many views are of no live snapshot.
    #[must_use]
    pub fn views(&self) -> u64 {
        self.views.len() as u64
    }

    /// Shows every dead object once, in order, with the bytes that its copies have in packs, and whether it
    /// is a file of its own.
    pub(super) fn each_dead(
        &self,
        mut each: impl FnMut(&Digest, u64, bool) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut loose = (0..).zip(&self.loose).peekable();
        merge(&self.segments, |digest, copies| {
            while let Some((at, alone)) = loose.next_if(|(_, loose)| *loose < digest) {
                if !self.loose_live.get(at) {
                    each(alone, 0, true)?;
                }
            }
            let also = loose.next_if(|(_, loose)| *loose == digest);
            if copies.iter().any(|copy| self.is_live(copy)) {
                return Ok(());
            }
            let bytes = copies.iter().map(|copy| copy.entry.stored + RECORD_HEADER_BYTES as u64);
            each(digest, bytes.fold(0, u64::saturating_add), also.is_some())
        })?;
        loose.filter(|(at, _)| !self.loose_live.get(*at)).try_for_each(|(_, alone)| each(alone, 0, true))
    }

    pub(super) fn is_live(&self, copy: &Copy) -> bool {
        self.packed.get(copy.segment).is_some_and(|bits| bits.get(copy.at))
    }
}

impl Store {
    /// Finds what is dead: everything that `roots` do not need. The lease keeps others from collecting; what
    /// is written and not recorded meanwhile is taken for dead.
    ///
    /// # Errors
    /// - [`GcError::Unreadable`]: a tree that must stay cannot be read.
    /// - [`GcError::Store`]: an index is damaged, or the disk failed.
    pub fn mark(&self, _lease: &Lease, roots: &Roots) -> Result<Marked, GcError> {
        let mut marker = Marker::new(self)?;
        for snapshot in roots.snapshots.iter().chain(&roots.mounted) {
            marker.snapshot(snapshot)?;
        }
        for object in &roots.objects {
            marker.object(object, object)?;
        }
        Ok(marker.finish(&roots.mounted)?)
    }

    fn loose_objects(&self) -> Result<Vec<Digest>, StoreError> {
        let mut loose = Vec::new();
        for prefix in 0..=u8::MAX {
            let prefix = format!("{prefix:02x}");
            let listed = open_directory_below(&self.objects, prefix.as_bytes()).and_then(names);
            let listed = listed.map_err(|error| self.io("list objects", "objects", error))?;
            let digests = listed.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok());
            // Whatever is not named as we name objects is not ours.
            let digests = digests.filter(|name| name.starts_with(&prefix));
            loose.extend(digests.filter_map(|name| name.parse::<Digest>().ok()));
        }
        loose.sort_unstable();
        loose.dedup();
        Ok(loose)
    }
}

struct Marker<'s> {
    store: &'s Store,
    segments: Vec<Arc<Segment>>,
    packed: Vec<Bits>,
    packed_walked: Vec<Bits>,
    loose: Vec<Digest>,
    loose_live: Bits,
    loose_walked: Bits,
    missing: u64,
}

/// Every place of an object: its entries, each with the number of its segment and its own, and its number among the
/// loose.
type Places = (Vec<(usize, u64, Entry)>, Option<u64>);

/// What came of marking one object.
enum Mark {
    New,
    Known,
    Missing,
}

impl<'s> Marker<'s> {
    fn new(store: &'s Store) -> Result<Self, StoreError> {
        let failed = |error| store.io("read the index of packs", "segments", error);
        let segments = store.segments.reload().map_err(failed)?.to_vec();
        // What a damaged index led to would be taken for dead.
        for name in store.segments.names().map_err(failed)? {
            let segment = segments.iter().find(|segment| segment.name == name);
            if !segment.map_or(Ok(false), |segment| segment.is_intact()).map_err(failed)? {
                return Err(StoreError::Index { name });
            }
        }
        let loose = store.loose_objects()?;
        let bits = || segments.iter().map(|segment| Bits::new(segment.objects)).collect();
        let (packed, packed_walked) = (bits(), bits());
        let bits = || Bits::new(loose.len() as u64);
        let (loose_live, loose_walked) = (bits(), bits());
        Ok(Self { store, segments, packed, packed_walked, loose, loose_live, loose_walked, missing: 0 })
    }

    fn places(&self, digest: &Digest) -> Result<Places, StoreError> {
        let mut packed = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let found = segment.position(digest);
            let found = found.map_err(|error| self.store.io("read the index of packs", "segments", error))?;
            packed.extend(found.map(|(at, entry)| (number, at, entry)));
        }
        let loose = self.loose.binary_search(digest).ok().map(|at| at as u64);
        Ok((packed, loose))
    }

    /// Marks one object; of a chunked one, its chunks too.
    fn object(&mut self, root: &Digest, digest: &Digest) -> Result<Mark, GcError> {
        let (packed, loose) = self.places(digest)?;
        if packed.is_empty() && loose.is_none() {
            self.missing += 1;
            return Ok(Mark::Missing);
        }
        let mut new = loose.is_some_and(|at| self.loose_live.set(at));
        for (segment, at, _) in &packed {
            new |= self.packed[*segment].set(*at);
        }
        if !new {
            return Ok(Mark::Known);
        }
        let mut failed = None;
        let mut whole = loose.is_some();
        for (segment, _, entry) in packed {
            if entry.form != Form::Chunked {
                whole = true;
                continue;
            }
            match self.chunks(segment, &entry) {
                Ok(()) => whole = true,
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            // Damage of one copy does not matter where there is another.
            Some(source) if !whole => Err(GcError::Unreadable { root: *root, digest: *digest, source }),
            _ => Ok(Mark::New),
        }
    }

    /// Marks the chunks of one copy of an object.
    fn chunks(&mut self, segment: usize, entry: &Entry) -> Result<(), StoreError> {
        let corrupt = || StoreError::Corrupt { digest: entry.digest };
        let id = self.segments[segment].packs.get(entry.pack as usize).ok_or_else(corrupt)?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => corrupt(),
            _ => self.store.io("read a pack", "packs", error),
        };
        let pack = self.store.packs.open(*id).map_err(failed)?;
        if !entry.stored.is_multiple_of(recipe::ENTRY_BYTES as u64) {
            return Err(corrupt());
        }
        let (mut left, mut at, mut size) = (entry.stored, entry.offset, 0_u64);
        let mut buffer = Vec::new();
        while left > 0 {
            let count = left.min((RECIPE_ENTRIES * recipe::ENTRY_BYTES) as u64);
            buffer.resize(usize::try_from(count).unwrap_or(0), 0);
            std::os::unix::fs::FileExt::read_exact_at(&*pack, &mut buffer, at).map_err(failed)?;
            (left, at) = (left - count, at + count);
            for chunk in buffer.as_chunks::<{ recipe::ENTRY_BYTES }>().0 {
                let (digest, length) = recipe::decode(chunk);
                size = size.checked_add(u64::from(length)).ok_or_else(corrupt)?;
                let (packed, loose) = self.places(&digest)?;
                if packed.is_empty() && loose.is_none() {
                    return Err(StoreError::Missing { digest });
                }
                // A chunk is never chunked itself.
                loose.map(|at| self.loose_live.set(at));
                for (segment, at, _) in packed {
                    self.packed[segment].set(at);
                }
            }
        }
        if size == entry.size { Ok(()) } else { Err(corrupt()) }
    }

    /// Marks a tree as one that was walked; true when it is new.
    fn enter(&mut self, root: &Digest, digest: &Digest) -> Result<bool, GcError> {
        if let Mark::Missing = self.object(root, digest)? {
            let source = StoreError::Missing { digest: *digest };
            return Err(GcError::Unreadable { root: *root, digest: *digest, source });
        }
        let (packed, loose) = self.places(digest)?;
        let mut new = loose.is_some_and(|at| self.loose_walked.set(at));
        for (segment, at, _) in packed {
            new |= self.packed_walked[segment].set(at);
        }
        Ok(new)
    }

    fn snapshot(&mut self, root: &Digest) -> Result<(), GcError> {
        let mut trees = Vec::new();
        if self.enter(root, root)? {
            trees.push(*root);
        }
        while let Some(digest) = trees.pop() {
            let tree = self.store.read_tree(&digest).map_err(|source| GcError::Unreadable {
                root: *root,
                digest,
                source,
            })?;
            for entry in tree.into_entries() {
                match entry.kind {
                    EntryKind::File { digest, .. } => {
                        self.object(root, &digest)?;
                    }
                    EntryKind::Directory { digest, .. } => {
                        if self.enter(root, &digest)? {
                            trees.push(digest);
                        }
                    }
                    EntryKind::Symlink { .. } => {}
                }
            }
        }
        Ok(())
    }

    fn was_walked(&self, digest: &Digest) -> Result<bool, StoreError> {
        let (packed, loose) = self.places(digest)?;
        Ok(loose.is_some_and(|at| self.loose_walked.get(at))
            || packed.iter().any(|(segment, at, _)| self.packed_walked[*segment].get(*at)))
    }

    fn finish(self, mounted: &BTreeSet<Digest>) -> Result<Marked, StoreError> {
        let views = views::dead(self.store, mounted, |snapshot| self.was_walked(snapshot))?;
        let Self { store, segments, packed, loose, loose_live, missing, .. } = self;
        let mut marked = Marked { segments, packed, loose, loose_live, views, missing, objects: 0, bytes: 0 };
        let (mut objects, mut bytes) = (0, 0_u64);
        let counted = marked.each_dead(|digest, stored, loose| {
            objects += 1;
            bytes = bytes.saturating_add(stored);
            if loose {
                let stat = statat(&store.objects, object_name(digest), AtFlags::SYMLINK_NOFOLLOW)?;
                bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
            }
            Ok(())
        });
        counted.map_err(|error| store.io("look for dead objects", "objects", error))?;
        (marked.objects, marked.bytes) = (objects, bytes);
        Ok(marked)
    }
}
