//! Sweeping: what is dead is removed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek};

use aseptic_model::Digest;
use rustix::io::Errno;

use super::mark::Marked;
use super::repack::Repack;
use super::{Sweep, fold};
use crate::error::StoreError;
use crate::files::{READ_ONLY, open_directory};
use crate::merge::{Copy, merge};
use crate::object::{Content, object_name};
use crate::pack::PackId;
use crate::parallel::BUFFER_BYTES;
use crate::reader::Found;
use crate::remove::remove_tree;
use crate::segment::Entry;
use crate::stage::{Staging, clear_tmp};
use crate::writer::{CopyError, Writer};

/// What a sweep found on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Live objects whose bytes are not those of their digest. They stay as they are.
    pub damaged: u64,
}

impl Sweep<'_> {
    /// Removes what is no object: views of dead snapshots, which can be built again while their objects are
    /// there, and what processes that died have left.
    ///
    /// # Errors
    /// [`StoreError`]; some of it may be gone.
    pub fn clear(&self, marked: &Marked) -> Result<(), StoreError> {
        let store = self.store;
        clear_tmp(store)?;
        self.drop_views(&marked.views)?;
        if marked.missing > 0 {
            return Ok(()); // Something that must stay may be in a pack whose index was lost.
        }
        let failed = |error: io::Error| store.io("remove a pack", "packs", error);
        let known: BTreeSet<PackId> =
            marked.segments.iter().flat_map(|segment| segment.packs.iter().copied()).collect();
        let dir = open_directory(&store.dir.join("packs")).map_err(failed)?;
        for id in store.packs.list().map_err(failed)? {
            if !known.contains(&id) {
                store.disk.unlink(&dir, id.file_name()).map_err(|error| failed(error.into()))?;
            }
        }
        Ok(())
    }

    /// Stores the list of all dead objects, one hexadecimal digest in a line, and returns its digest.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is visible.
    pub fn put_list(&self, marked: &Marked) -> Result<Digest, StoreError> {
        let failed = |error: io::Error| self.store.io("write the list of dead objects", "tmp", error);
        let staging = Staging::new(self.store)?;
        let mut list = staging.create(&staging.part(), READ_ONLY).map_err(|error| failed(error.into()))?;
        let mut lines = Vec::with_capacity(BUFFER_BYTES);
        let mut size = 0;
        let flush = |list: &File, lines: &mut Vec<u8>, size: &mut u64| {
            staging.disk.write(list, lines)?;
            *size += lines.len() as u64;
            lines.clear();
            Ok(())
        };
        let written = marked.each_dead(|digest, _, _| {
            lines.extend_from_slice(digest.to_string().as_bytes());
            lines.push(b'\n');
            if lines.len() + 128 < BUFFER_BYTES { Ok(()) } else { flush(&list, &mut lines, &mut size) }
        });
        written.and_then(|()| flush(&list, &mut lines, &mut size)).map_err(failed)?;
        list.rewind().map_err(failed)?;
        let writer = Writer::new(self.store, &self.lease);
        let added = writer.add_file(&mut list, size, &mut vec![0; BUFFER_BYTES], |_| {});
        let (digest, _) = added.map_err(|error| match error {
            CopyError::Read(error) => failed(error),
            CopyError::Write(error) => error,
        })?;
        writer.publish()?;
        Ok(digest)
    }

    /// Removes what is dead, and packs small objects that are files of their own when they are many. What is
    /// to go was recorded before.
    ///
    /// # Errors
    /// [`StoreError`]; everything live is there, and the next collection goes on.
    pub fn sweep(&self, mut marked: Marked) -> Result<Swept, StoreError> {
        let store = self.store;
        let index_failed = |error| store.io("write an index", "segments", error);
        self.drop_loose(&marked)?; // First, since packs need space to be written again.
        self.resolve(&mut marked)?;
        let mut packs = Repack::new(store)?;
        packs.settle(&marked).map_err(index_failed)?;
        packs.rewrite()?;
        fold::fold(&mut packs, &marked)?;
        store.disk.sync_all(&store.objects).map_err(|error| store.io("remove objects", "objects", error))?;
        Ok(Swept { damaged: packs.damaged })
    }

    fn drop_views(&self, views: &[String]) -> Result<(), StoreError> {
        if views.is_empty() {
            return Ok(());
        }
        let store = self.store;
        let failed = |error: io::Error| store.io("remove a view", "views", error);
        let staging = Staging::new(store)?;
        let dir = open_directory(&store.dir.join("views")).map_err(failed)?;
        // A view that is half removed must not have its name: it would be taken for whole.
        let mut gone = Vec::with_capacity(views.len());
        for view in views {
            let part = staging.part();
            match store.disk.rename(&dir, view, &staging.dir, &part) {
                Ok(()) => gone.push(part),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
        store.disk.sync(&dir).map_err(|error| failed(error.into()))?;
        for part in gone {
            remove_tree(&staging.path.join(part)).map_err(|error| failed(io::Error::other(error)))?;
        }
        Ok(())
    }

    fn drop_loose(&self, marked: &Marked) -> Result<(), StoreError> {
        let store = self.store;
        for (at, digest) in (0..).zip(&marked.loose) {
            if !marked.loose_live.get(at) {
                let removed = store.disk.unlink(&store.objects, object_name(digest));
                removed.map_err(|error| store.io("remove an object", "objects", error))?;
            }
        }
        Ok(())
    }

    /// Of several copies of a live object one stays live: one that is intact, if any is.
    fn resolve(&self, marked: &mut Marked) -> Result<(), StoreError> {
        let mut superfluous = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let resolved = merge(&marked.segments, |_, copies| {
            if copies.len() > 1 && copies.iter().any(|copy| marked.is_live(copy)) {
                let intact = copies.iter().position(|copy| self.is_intact(marked, copy, &mut buffer));
                let kept = intact.unwrap_or(0);
                let others = copies.iter().enumerate().filter(|(number, _)| *number != kept);
                superfluous.extend(others.map(|(_, copy)| (copy.segment, copy.at)));
            }
            Ok(())
        });
        resolved.map_err(|error| self.store.io("read the index of packs", "segments", error))?;
        for (segment, at) in superfluous {
            marked.packed[segment].clear(at);
        }
        Ok(())
    }

    fn is_intact(&self, marked: &Marked, copy: &Copy, buffer: &mut [u8]) -> bool {
        let Entry { pack, digest, size, .. } = copy.entry;
        let id = marked.segments.get(copy.segment).and_then(|segment| segment.packs.get(pack as usize));
        let Some(Ok(file)) = id.map(|id| self.store.packs.open(*id)) else { return false };
        let found = Found::Packed(file, copy.entry);
        self.store.read_found::<StoreError>(found, Content { size, digest }, buffer, |_| Ok(())).is_ok()
    }
}
