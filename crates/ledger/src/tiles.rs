//! The ledger as static files for others: hashes, entries and the checkpoint, as C2SP tlog-tiles has them.
//!
//! Everything in the directory `tiles` is derived from the log. [`update`] brings it up to date, and makes
//! anew what is not as it should be.
//!
//! **Invariant:** full tiles are on disk before the checkpoint that needs them has its name, and are written
//! once. Partial tiles are not waited for: whether they belong to their checkpoint is seen from its root.

mod error;
mod hashes;
mod offsets;
mod path;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use error::TilesError;
pub(crate) use hashes::leaves_from;
pub(crate) use hashes::tree_before;
pub use hashes::{prove, prove_consistency, read_from, root_at};
pub(crate) use path::tile_path;

use crate::error::{ReadError, StorageError};
use crate::frame::Position;
use crate::keys::Keys;
use crate::merkle::{Tree, TreeHash};
use crate::note::{Checkpoint, NOTE_BYTES_MAX, NoteError, VerifierKey};
use crate::proof::Subtrees as _;
use crate::read::{read, read_checkpoint};
use crate::storage::{Lock, create_dir, read_text};
use crate::witness::cosigned_of;
use offsets::Offsets;

/// Hashes in a full tile, and entries in a full bundle.
pub(crate) const WIDTH: u64 = 256;
/// Bits of [`WIDTH`].
const HEIGHT: u32 = 8;
/// Directory of a ledger that holds the tiles.
pub(crate) const DIR: &str = "tiles";
/// From how many new files on the whole file system is synced at once, which is then cheaper than each file.
const SYNC_ALL_FROM: usize = 16;

/// Brings the directory `tiles` of the ledger in `dir` up to its published checkpoint; returns its number of
/// entries, or nothing where nothing was published yet.
///
/// Needs no private key. Blocks while another process does the same. May be killed at any point: the next call
/// goes on. The checkpoint of the tiles has the cosignatures that were collected for it.
///
/// # Errors
/// - [`TilesError::Storage`], [`TilesError::Log`]: the log cannot be read, or the tiles cannot be written.
/// - [`TilesError::Checkpoint`]: the published checkpoint is not by a key of the ledger.
/// - [`TilesError::Changed`]: the log is not the one whose tiles were published before.
///
/// Source: `docs/formats/proofs.md`; C2SP tlog-tiles.
pub fn update(dir: &Path) -> Result<Option<u64>, TilesError> {
    update_with(dir, &mut |_| Ok(()))
}

/// As [`update`]; `step` is told each file before it gets its name, and may fail in its place.
pub(crate) fn update_with(
    dir: &Path,
    step: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> Result<Option<u64>, TilesError> {
    if published(dir, &ledger_keys(dir)?)?.is_none() {
        return Ok(None);
    }
    let tiles = dir.join(DIR);
    create_dir(&tiles).map_err(StorageError::at("create", &tiles))?;
    let path = tiles.join("lock");
    let lock = Lock::create(&path).map_err(StorageError::at("open", &path))?;
    let _held = lock.exclusive().map_err(StorageError::at("lock", &path))?;

    // Only now, so that it is not older than what another process has made tiles of.
    let keys = ledger_keys(dir)?;
    let Some(published) = published(dir, &keys)? else { return Ok(None) };
    let old = tiled(dir, &keys)?;
    if let Some(old) = old.as_ref().filter(|old| old.size() > published.size()) {
        return Err(TilesError::Changed { size: old.size() });
    }
    let old_size = old.as_ref().map_or(0, Checkpoint::size);
    let mut writer = Writer::new(dir, step);
    match writer.run(&published, old.as_ref(), old_size) {
        // Damaged tiles, or offsets that lead nowhere: everything is made anew, and compared on the way.
        Err(TilesError::Tile { .. } | TilesError::Changed { .. } | TilesError::Log(_)) if old_size > 0 => {
            let step = writer.step;
            writer = Writer::new(dir, step);
            writer.run(&published, old.as_ref(), 0)?;
        }
        result => result?,
    }
    writer.finish(dir, &published, old_size)?;
    Ok(Some(published.size()))
}

/// The verifier keys of the ledger in `dir`, the oldest first, as its file `verifier` has them.
///
/// # Errors
/// [`TilesError::Storage`], [`TilesError::Checkpoint`].
pub fn ledger_keys(dir: &Path) -> Result<Vec<VerifierKey>, TilesError> {
    let keys = Keys::read(dir)?.unwrap_or(Err(NoteError("the file `verifier` is missing")));
    Ok(keys.map_err(TilesError::Checkpoint)?.iter().cloned().collect())
}

/// The published checkpoint of the ledger in `dir`, with the cosignatures that were collected for it; nothing
/// where nothing was published yet. It is by a key of the ledger; the log was not read.
///
/// # Errors
/// [`TilesError::Storage`], [`TilesError::Checkpoint`].
pub fn published_checkpoint(dir: &Path) -> Result<Option<Checkpoint>, TilesError> {
    let published = published(dir, &ledger_keys(dir)?)?;
    Ok(published.map(|published| cosigned_of(dir, &published).unwrap_or(published)))
}

/// The published checkpoint of the ledger in `dir`, which is by one of `keys`.
fn published(dir: &Path, keys: &[VerifierKey]) -> Result<Option<Checkpoint>, TilesError> {
    let path = dir.join("lock");
    let text = {
        let lock = Lock::open(&path).map_err(StorageError::at("open", &path))?;
        let _held = lock.as_ref().map(Lock::shared).transpose().map_err(StorageError::at("lock", &path))?;
        read_checkpoint(dir)?
    };
    let Some(text) = text else { return Ok(None) };
    let checkpoint: Checkpoint = text.parse().map_err(TilesError::Checkpoint)?;
    let keys: Vec<&VerifierKey> = keys.iter().collect();
    match checkpoint.is_signed_by_any(&keys) {
        Ok(true) => Ok(Some(checkpoint)),
        Ok(false) => Err(TilesError::Checkpoint(NoteError("it was not signed by a key of the ledger"))),
        Err(error) => Err(TilesError::Checkpoint(error)),
    }
}

/// The checkpoint of the tiles, if it is by a key of the ledger; a damaged one counts as absent.
fn tiled(dir: &Path, keys: &[VerifierKey]) -> Result<Option<Checkpoint>, TilesError> {
    let path = dir.join(DIR).join("checkpoint");
    let text = read_text(&path, NOTE_BYTES_MAX).map_err(StorageError::at("read", &path))?;
    let checkpoint = text.and_then(|text| text.parse::<Checkpoint>().ok());
    let keys: Vec<&VerifierKey> = keys.iter().collect();
    Ok(checkpoint.filter(|checkpoint| checkpoint.is_signed_by_any(&keys).unwrap_or(false)))
}

/// The tree as tiles while entries are added to it.
struct Writer<'s> {
    dir: PathBuf,
    tiles: PathBuf,
    step: &'s mut dyn FnMut(&Path) -> io::Result<()>,
    size: u64,
    /// The hashes of the last, incomplete tile of each level.
    levels: Vec<Vec<TreeHash>>,
    /// The entries of the last, incomplete bundle, with their lengths.
    bundle: Vec<u8>,
    /// Full files that were written.
    written: Vec<PathBuf>,
}

impl<'s> Writer<'s> {
    fn new(dir: &Path, step: &'s mut dyn FnMut(&Path) -> io::Result<()>) -> Self {
        Self {
            dir: dir.to_owned(),
            tiles: dir.join(DIR),
            step,
            size: 0,
            levels: vec![Vec::new()],
            bundle: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Adds the entries from the last full bundle of a tree of `from` entries to the end of `published`, and
    /// compares the trees of `old` and `published` with theirs.
    fn run(&mut self, published: &Checkpoint, old: Option<&Checkpoint>, from: u64) -> Result<(), TilesError> {
        self.resume(from)?;
        let mut offsets = Offsets::open(&self.dir)?;
        let start = offsets.before(self.size);
        let mut border = start;
        let mut entries = read(&self.dir, start)?;
        loop {
            for checkpoint in old.into_iter().chain([published]).filter(|c| c.size() == self.size) {
                if self.root() != checkpoint.root() {
                    return Err(TilesError::Changed { size: checkpoint.size() });
                }
            }
            if self.size == published.size() {
                return offsets.close();
            }
            if self.size.is_multiple_of(WIDTH) && border.index <= self.size {
                offsets.set(self.size, border)?;
            }
            let Some(entry) = entries.next() else {
                return Err(ReadError::Truncated { index: published.size() }.into());
            };
            let entry = entry?;
            if entry.next.index == entry.index + 1 {
                border = entry.next;
            }
            if entry.index == self.size {
                self.push(&entry.bytes)?;
            } else if entry.index > self.size {
                return Err(ReadError::Truncated { index: self.size }.into());
            }
        }
    }

    /// Takes up the tree at its last full bundle.
    fn resume(&mut self, from: u64) -> Result<(), TilesError> {
        self.size = from - from % WIDTH;
        let mut hashes = hashes::Tiles::new(&self.tiles, self.size);
        let mut level = 1;
        while self.size >> (HEIGHT * level) > 0 {
            let (count, shift) = (self.size >> (HEIGHT * level), HEIGHT * level);
            let first = count - count % WIDTH;
            let tile = (first..count).map(|index| hashes.subtree(shift, index)).collect::<Result<_, _>>()?;
            self.levels.push(tile);
            level += 1;
        }
        Ok(())
    }

    /// Root of the tree as it is now.
    fn root(&self) -> TreeHash {
        // The lowest level first: each hash of a level is one subtree, and within a level they join in pairs.
        let mut subtrees = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut tree = Tree::default();
            hashes.iter().for_each(|hash| tree.push_hash(*hash));
            subtrees.extend_from_slice(tree.subtrees());
        }
        Tree::from_parts(self.size, subtrees).unwrap_or_default().root()
    }

    fn push(&mut self, entry: &[u8]) -> Result<(), TilesError> {
        let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(entry);
        let mut hash = TreeHash::leaf(entry);
        self.size += 1;
        if self.size.is_multiple_of(WIDTH) {
            let path = tile_path(&self.tiles, None, self.size / WIDTH - 1, WIDTH);
            let bundle = std::mem::take(&mut self.bundle);
            self.write(&path, &bundle)?;
            self.written(path);
        }
        for level in 0..=u64::BITS / HEIGHT {
            let place = usize::try_from(level).unwrap_or(usize::MAX);
            if self.levels.len() == place {
                self.levels.push(Vec::new());
            }
            let Some(tile) = self.levels.get_mut(place) else { break };
            tile.push(hash);
            if (tile.len() as u64) < WIDTH {
                break;
            }
            let full = std::mem::take(tile);
            let path = tile_path(&self.tiles, Some(level), (self.size >> (HEIGHT * (level + 1))) - 1, WIDTH);
            self.write(&path, &bytes_of(&full))?;
            self.written(path);
            hash = full_hash(&full);
        }
        Ok(())
    }

    /// Writes the partial tiles and the checkpoint, and removes what they replace.
    fn finish(mut self, dir: &Path, published: &Checkpoint, old_size: u64) -> Result<(), TilesError> {
        self.sync()?;
        let mut kept = BTreeSet::new();
        let levels = std::mem::take(&mut self.levels);
        for (level, hashes) in (0_u32..).zip(&levels) {
            let (number, width) = (self.size >> (HEIGHT * (level + 1)), hashes.len() as u64);
            if width > 0 {
                let path = tile_path(&self.tiles, Some(level), number, width);
                self.write(&path, &bytes_of(hashes))?;
                kept.insert(path);
            }
        }
        if !self.bundle.is_empty() {
            let path = tile_path(&self.tiles, None, self.size / WIDTH, self.size % WIDTH);
            let bundle = std::mem::take(&mut self.bundle);
            self.write(&path, &bundle)?;
            kept.insert(path);
        }
        let note = cosigned_of(dir, published).unwrap_or_else(|| published.clone());
        let path = self.tiles.join("checkpoint");
        // Those of the old tree whose tiles are full now go first: after the checkpoint nobody looks for them.
        for (directory, _) in last_tiles(&self.tiles, old_size).filter(|(_, full)| full.exists()) {
            remove_partials(&directory, &kept);
        }
        self.write(&path, note.to_string().as_bytes())?;
        for (directory, _) in last_tiles(&self.tiles, self.size) {
            remove_partials(&directory, &kept);
        }
        Ok(())
    }

    /// Makes `bytes` the content of `path`, atomically.
    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), TilesError> {
        let mut write = || {
            if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
                fs::create_dir_all(parent)?;
            }
            let temporary = self.tiles.join("tmp");
            let mut file =
                File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            (self.step)(path)?;
            fs::rename(&temporary, path)
        };
        write().map_err(|error| StorageError::at("write", path)(error).into())
    }

    /// Remembers a full file that must be synced; more than say that everything is.
    fn written(&mut self, path: PathBuf) {
        if self.written.len() < SYNC_ALL_FROM {
            self.written.push(path);
        }
    }

    /// Blocks until the full tiles that were written, and their names, are on disk.
    fn sync(&mut self) -> Result<(), TilesError> {
        let written = std::mem::take(&mut self.written);
        let failed = |path: &Path, result: io::Result<()>| {
            result.map_err(|error| TilesError::from(StorageError::at("sync", path)(error)))
        };
        if written.len() >= SYNC_ALL_FROM {
            let all = || Ok(rustix::fs::syncfs(File::open(&self.tiles)?)?);
            return failed(&self.tiles, all());
        }
        let mut directories = BTreeSet::new();
        for path in &written {
            failed(path, File::open(path).and_then(|file| file.sync_all()))?;
            // Those above may be new as well.
            directories.extend(path.ancestors().skip(1).take_while(|above| above.starts_with(&self.tiles)));
        }
        for path in directories {
            failed(path, File::open(path).and_then(|directory| directory.sync_all()))?;
        }
        Ok(())
    }
}

/// The tiles at the end of the tree of `size` entries: the directory for the partial ones of each, and the full one.
fn last_tiles(tiles: &Path, size: u64) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let levels = 0..u64::BITS / HEIGHT;
    let numbers = levels.map(move |level| (Some(level), size.checked_shr(HEIGHT * (level + 1)).unwrap_or(0)));
    numbers.chain([(None, size / WIDTH)]).filter_map(|(level, number)| {
        let directory = tile_path(tiles, level, number, 1).parent()?.to_owned();
        Some((directory, tile_path(tiles, level, number, WIDTH)))
    })
}

/// Removes the partial tiles in `directory` that are not in `kept`. One that stays does no harm.
fn remove_partials(directory: &Path, kept: &BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !kept.contains(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir(directory); // Only if it is empty.
}

fn bytes_of(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// The hash of a full tile.
fn full_hash(hashes: &[TreeHash]) -> TreeHash {
    let mut tree = Tree::default();
    hashes.iter().for_each(|hash| tree.push_hash(*hash));
    tree.root()
}

/// A position at or before the entry `index`, as far as the tiles know one; a hint.
pub(crate) fn position_before(dir: &Path, index: u64) -> Position {
    Offsets::open(dir).map_or(Position::START, |offsets| offsets.before(index))
}

#[cfg(test)]
mod tests;
