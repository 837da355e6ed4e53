//! Objects that are files of their own: which there are, for one who asks about very many, and new ones.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use aseptic_model::Digest;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::files::{names, open_directory_below};
use crate::object::{Store, object_name};
use crate::stage::Staging;

/// Up to this many files an fsync each is quicker than flushing the whole file system.
pub(crate) const FSYNC_MAX: usize = 32;
/// So many questions are cheaper one by one.
const ASKED_ONE_BY_ONE: u32 = 64;
/// Names of one directory that are remembered: in all 256 of them 32 MiB at most.
const NAMES_MAX: usize = 4096;

/// Names in `objects/`, listed when they are first needed. An object that gets its name later is not
/// seen: then it is stored a second time, which does no harm.
#[derive(Debug)]
pub(crate) struct LooseNames {
    asked: AtomicU32,
    lists: [OnceLock<Option<Vec<Digest>>>; 256],
}

impl LooseNames {
    pub(crate) fn new() -> Self {
        Self { asked: AtomicU32::new(0), lists: [const { OnceLock::new() }; 256] }
    }

    pub(crate) fn contains(&self, store: &Store, digest: &Digest) -> bool {
        if self.asked.load(Ordering::Relaxed) < ASKED_ONE_BY_ONE {
            self.asked.fetch_add(1, Ordering::Relaxed);
            return store.has_loose(digest);
        }
        let prefix = digest.as_bytes()[0];
        match self.lists[usize::from(prefix)].get_or_init(|| list(store, prefix)) {
            Some(names) => names.binary_search(digest).is_ok(),
            None => store.has_loose(digest),
        }
    }
}

/// The objects of one directory, sorted; `None` when they are too many to remember, or cannot be listed.
fn list(store: &Store, prefix: u8) -> Option<Vec<Digest>> {
    let directory = open_directory_below(&store.objects, format!("{prefix:02x}").as_bytes()).ok()?;
    let names = names(directory).ok()?;
    if names.len() > NAMES_MAX {
        return None;
    }
    let digests = names.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok()?.parse().ok());
    let mut digests: Vec<Digest> = digests.collect();
    digests.sort_unstable();
    Some(digests)
}

/// Waits until staged files are on disk.
pub(crate) fn sync_files(
    staging: &Staging,
    files: &[Digest],
    root: Option<&Digest>,
) -> rustix::io::Result<()> {
    if files.len() >= FSYNC_MAX {
        return staging.disk.sync_all(&staging.dir);
    }
    for digest in files.iter().chain(root) {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(&staging.dir, digest.to_string(), flags, Mode::empty())?;
        staging.disk.sync(file)?;
    }
    Ok(())
}

/// Gives staged files their names below `objects`, durably. Those that are `repaired` replace what has the
/// name.
pub(crate) fn name_objects(
    store: &Store,
    staging: &Staging,
    files: &[Digest],
    repaired: &[Digest],
) -> rustix::io::Result<()> {
    for digest in files {
        let (staged, name) = (digest.to_string(), object_name(digest));
        if repaired.binary_search(digest).is_ok() {
            staging.disk.rename(&staging.dir, &staged, &store.objects, &name)?;
        } else {
            match staging.disk.rename_new(&staging.dir, &staged, &store.objects, &name) {
                Ok(()) | Err(Errno::EXIST) => {} // Another process was quicker.
                Err(error) => return Err(error),
            }
        }
    }
    if files.len() >= FSYNC_MAX {
        return staging.disk.sync_all(&store.objects);
    }
    let mut prefixes: Vec<u8> = files.iter().map(|digest| digest.as_bytes()[0]).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    for prefix in prefixes {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        staging.disk.sync(openat(&store.objects, format!("{prefix:02x}"), flags, Mode::empty())?)?;
    }
    Ok(())
}
