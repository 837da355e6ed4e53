//! All segments of a store: finding them, adding one, and merging many into few.
//!
//! **Invariant:** a segment is removed only when another that says the same is on disk under its name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aseptic_model::Digest;

use crate::disk::Disk;
use crate::files::{READ_ONLY, open_directory};
use crate::merge::{Copy, merge, renumbered};
use crate::pack::{PackId, Packs};
use crate::repair::stage_confirmed;
use crate::segment::{ENTRY_BYTES, Entry, MAGIC, Segment};
use crate::stage::Staging;

/// With more segments than this they are merged: each costs every lookup of what is not there.
pub(crate) const SEGMENTS_MAX: usize = 8;
/// So many are left by a merge at most, so that not every import merges again.
const SEGMENTS_AFTER: usize = 4;
/// Length of the name of a segment: the first bytes of its checksum in hexadecimal digits.
const NAME_LENGTH: usize = 32;
const BUFFER_BYTES: usize = 1 << 20;

pub(crate) type List = Arc<Vec<Arc<Segment>>>;

/// The segments of one store, read when they are first needed.
#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
    list: RwLock<Option<List>>,
}

impl Segments {
    pub(crate) fn new(store: &Path) -> Self {
        Self { dir: store.join("segments"), list: RwLock::new(None) }
    }

    /// The segments, if something needed them before.
    pub(crate) fn loaded(&self) -> Option<List> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The segments, as they were when they were last read.
    pub(crate) fn get(&self) -> io::Result<List> {
        self.loaded().map_or_else(|| self.reload(), Ok)
    }

    /// The segments as they are now, the biggest first.
    pub(crate) fn reload(&self) -> io::Result<List> {
        let before = self.loaded().unwrap_or_default();
        let mut names = names(&self.dir)?;
        loop {
            let list = self.open(&names, &before)?;
            // A merge may have removed a name before it was read and added one behind it: only two equal
            // looks are all there is.
            let again = self::names(&self.dir)?;
            if let (Some(mut list), true) = (list, again == names) {
                list.sort_by(|a, b| b.objects.cmp(&a.objects).then_with(|| a.name.cmp(&b.name)));
                let list = Arc::new(list);
                *self.list.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&list));
                return Ok(list);
            }
            names = again;
        }
    }

    /// Names of all segments that are there, those that cannot be opened among them.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        names(&self.dir)
    }

    /// Has the segments read again when they are needed next.
    pub(crate) fn unload(&self) {
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens the segments of these names. `None` when one has gone meanwhile.
    fn open(&self, names: &[String], before: &List) -> io::Result<Option<Vec<Arc<Segment>>>> {
        let mut list = Vec::with_capacity(names.len());
        for name in names {
            if let Some(known) = before.iter().find(|segment| segment.name == *name) {
                list.push(Arc::clone(known));
                continue;
            }
            match Segment::open(&self.dir, name) {
                Ok(opened) => list.extend(opened.map(Arc::new)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(list))
    }

    /// Gives a staged segment its name, durably. What it leads to must be on disk.
    pub(crate) fn publish(&self, staging: &Staging, staged: &Staged) -> io::Result<()> {
        let dir = open_directory(&self.dir)?;
        staging.disk.rename(&staging.dir, &staged.part, &dir, &staged.name)?;
        staging.disk.sync(&dir)?;
        self.reload()?;
        Ok(())
    }

    /// Merges the smaller segments into one when there are many.
    pub(crate) fn merge(&self, staging: &Staging) -> io::Result<()> {
        let list = self.reload()?;
        if list.len() <= SEGMENTS_MAX {
            return Ok(());
        }
        // The biggest come first. One that is bigger than all smaller ones together stays as it is, so
        // that each entry is written again only when its segment grows to twice its size.
        let mut smaller: u64 = list.iter().map(|segment| segment.objects).sum();
        let mut kept = 0;
        for segment in list.iter().take(SEGMENTS_AFTER - 1) {
            smaller -= segment.objects;
            if segment.objects <= smaller {
                break;
            }
            kept += 1;
        }
        let mut sources = Vec::new();
        for segment in &list[kept..] {
            // Damage must not get a good checksum. It stays where it is, to be found.
            if segment.is_intact()? {
                sources.push(Arc::clone(segment));
            }
        }
        let staged = stage_merged(staging, &sources, |_| true)?;
        self.publish(staging, &staged)?;
        let dir = open_directory(&self.dir)?;
        for source in sources.iter().filter(|source| source.name != staged.name) {
            staging.disk.unlink(&dir, &source.name)?;
        }
        self.reload()?;
        Ok(())
    }

    /// Makes every segment but `new` say nothing of `digests`, sorted, which are on disk in other places. One
    /// that is damaged itself is replaced by what the packs confirm of it.
    pub(crate) fn forget(
        &self,
        staging: &Staging,
        all_packs: &Packs,
        digests: &[Digest],
        new: Option<&str>,
    ) -> io::Result<()> {
        let dir = open_directory(&self.dir)?;
        for segment in self.reload()?.iter().filter(|segment| Some(segment.name.as_str()) != new) {
            let mut known = digests.iter().map(|digest| segment.get(digest));
            let staged = if !segment.is_intact()? {
                stage_confirmed(staging, segment, all_packs, digests)?
            } else if known.any(|entry| !matches!(entry, Ok(None))) {
                stage_merged(staging, std::slice::from_ref(segment), |digest| {
                    digests.binary_search(digest).is_err()
                })?
            } else {
                continue;
            };
            self.publish(staging, &staged)?;
            // Only the checksum of one with damage may be wrong: then the new one has taken its name.
            if segment.name != staged.name {
                staging.disk.unlink(&dir, &segment.name)?;
            }
        }
        staging.disk.sync(&dir)?;
        self.reload()?;
        Ok(())
    }
}

/// Names of segments in a directory, sorted.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        if let Ok(name) = entry?.file_name().into_string()
            && name.len() == NAME_LENGTH
            && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A segment that is on disk and has no name yet.
#[derive(Debug)]
pub(crate) struct Staged {
    part: String,
    /// The name that it gets.
    pub(crate) name: String,
}

/// Writes a segment of these entries, sorted by digest and without doubles.
pub(crate) fn stage(staging: &Staging, packs: &[PackId], entries: &[Entry]) -> io::Result<Staged> {
    let mut out = SegmentWriter::new(staging, packs, entries.len() as u64)?;
    entries.iter().try_for_each(|entry| out.push(&entry.encode()))?;
    out.finish()
}

/// Writes one segment of everything that `sources` say of objects that stay.
fn stage_merged(
    staging: &Staging,
    sources: &[Arc<Segment>],
    stays: impl Fn(&Digest) -> bool,
) -> io::Result<Staged> {
    let mut packs: Vec<PackId> = sources.iter().flat_map(|source| source.packs.iter().copied()).collect();
    packs.sort_unstable();
    packs.dedup();
    let mut objects = 0;
    merge(sources, |digest, _| {
        objects += u64::from(stays(digest));
        Ok(())
    })?;
    let mut out = SegmentWriter::new(staging, &packs, objects)?;
    merge(sources, |digest, copies| {
        let Some(Copy { segment, entry, .. }) = copies.first().filter(|_| stays(digest)) else {
            return Ok(());
        };
        let id = sources[*segment].packs.get(entry.pack as usize);
        out.push(&renumbered(*entry, id, &packs)?.encode())
    })?;
    out.finish()
}

/// A segment that is being written.
pub(crate) struct SegmentWriter<'s> {
    disk: &'s Disk,
    file: File,
    part: String,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    at: u64,
}

impl<'s> SegmentWriter<'s> {
    pub(crate) fn new(staging: &'s Staging, packs: &[PackId], objects: u64) -> io::Result<Self> {
        let part = staging.part();
        let file = staging.disk.create(&staging.dir, &part, READ_ONLY)?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        let count = u32::try_from(packs.len()).map_err(io::Error::other)?;
        buffer.extend_from_slice(&count.to_le_bytes());
        buffer.extend_from_slice(&objects.to_le_bytes());
        packs.iter().for_each(|id| buffer.extend_from_slice(&id.0));
        let at = (MAGIC.len() + Digest::BYTES) as u64;
        Ok(Self { disk: &staging.disk, file, part, hasher: blake3::Hasher::new(), buffer, at })
    }

    pub(crate) fn push(&mut self, entry: &[u8; ENTRY_BYTES]) -> io::Result<()> {
        self.buffer.extend_from_slice(entry);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.disk.write_at(&self.file, &self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the checksum and waits for the disk.
    pub(crate) fn finish(mut self) -> io::Result<Staged> {
        self.flush()?;
        let sum = self.hasher.finalize();
        self.disk.write_at(&self.file, &[MAGIC.as_slice(), sum.as_bytes()].concat(), 0)?;
        self.disk.sync_content(&self.file)?;
        let name = sum.to_hex()[..NAME_LENGTH].to_owned();
        Ok(Staged { part: self.part, name })
    }
}
