//! Proofs out of tiles, and out of the log for what is not in tiles yet.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use super::{DIR, HEIGHT, TilesError, WIDTH, position_before, tile_path};
use crate::error::ReadError;
use crate::frame::Position;
use crate::merkle::{Tree, TreeHash};
use crate::note::{Checkpoint, NOTE_BYTES_MAX};
use crate::proof::{self, LogProof, Subtrees, verify_consistency, verify_inclusion};
use crate::read::{Entries, Entry, read};
use crate::storage::read_text;

/// Most entries beyond the tiles that are read for one proof: bounds its memory at 32 MiB.
const TAIL_MAX: u64 = 1 << 20;

/// The proof that the entry `index` of the ledger in `dir` is in the tree of `checkpoint`, with the entry as its
/// extra data.
///
/// Reads tiles where they are there, and the log for the rest. Works on a read-only copy. The proof was
/// checked before it is returned, whatever the tiles held; who signed `checkpoint` was not.
///
/// # Errors
/// - [`TilesError::NotIn`]: the checkpoint has fewer entries.
/// - [`TilesError::Proof`]: the log is not the one of the checkpoint.
/// - [`TilesError::Behind`]: too much of the log is not in tiles; [`update`](super::update) mends that.
/// - [`TilesError::Log`], [`TilesError::Storage`]: the log cannot be read.
pub fn prove(dir: &Path, index: u64, checkpoint: &Checkpoint) -> Result<LogProof, TilesError> {
    let (size, root) = (checkpoint.size(), checkpoint.root());
    if index >= size {
        return Err(TilesError::NotIn { index, size });
    }
    let entry = entry(dir, index)?;
    let leaf = TreeHash::leaf(&entry);
    let path = checked(
        dir,
        size,
        |hashes| proof::prove_inclusion(hashes, index, size),
        |path| verify_inclusion(leaf, index, size, root, path),
    )?;
    Ok(LogProof { extra: Some(entry), index, path, checkpoint: checkpoint.clone() })
}

/// The proof that the tree of `checkpoint` begins with the first `old` entries of the ledger in `dir`, and the
/// root of these.
///
/// # Errors
/// As for [`prove`]; [`TilesError::NotIn`] when `old` is more than the checkpoint has.
pub fn prove_consistency(
    dir: &Path,
    old: u64,
    checkpoint: &Checkpoint,
) -> Result<(Vec<TreeHash>, TreeHash), TilesError> {
    let (size, root) = (checkpoint.size(), checkpoint.root());
    if old > size {
        return Err(TilesError::NotIn { index: old - 1, size });
    }
    let prove =
        |hashes: &mut Hashes| Ok((proof::prove_consistency(hashes, old, size)?, proof::root(hashes, old)?));
    checked(dir, size, prove, |(path, old_root)| verify_consistency(old, *old_root, size, root, path))
}

/// Root of the tree of the first `size` entries of the ledger in `dir`, out of tiles that nobody checked.
///
/// # Errors
/// [`TilesError`]: it cannot be known.
pub fn root_at(dir: &Path, size: u64) -> Result<TreeHash, TilesError> {
    proof::root(&mut Hashes::open(dir, size, tiled_size(dir))?, size)
}

/// The tree of some first entries of the ledger in `dir`, at most `size`, and where the next one begins: out of
/// tiles that nobody checked. Nothing where there are none.
pub(crate) fn tree_before(dir: &Path, size: u64) -> Option<(Tree, Position)> {
    let at = position_before(dir, size);
    if at.index == 0 || !at.index.is_multiple_of(WIDTH) {
        return None;
    }
    let mut tiles = Tiles::new(&dir.join(DIR), at.index);
    let mut subtrees = Vec::new();
    for level in (0..u64::BITS).rev().filter(|level| (at.index >> level) & 1 == 1) {
        subtrees.push(tiles.subtree(level, (at.index >> level) - 1).ok()?);
    }
    Some((Tree::from_parts(at.index, subtrees)?, at))
}

/// Makes a proof that holds: out of tiles, or else out of the log alone.
fn checked<T>(
    dir: &Path,
    size: u64,
    make: impl Fn(&mut Hashes) -> Result<T, TilesError>,
    check: impl Fn(&T) -> Result<(), proof::ProofError>,
) -> Result<T, TilesError> {
    let attempt = |tiled| {
        let made = make(&mut Hashes::open(dir, size, tiled)?)?;
        check(&made).map(|()| made).map_err(TilesError::Proof)
    };
    let tiled = tiled_size(dir);
    match attempt(tiled) {
        Err(TilesError::Tile { .. } | TilesError::Proof(_)) if tiled >= WIDTH => attempt(0),
        result => result,
    }
}

/// How many entries the tiles hold, as their checkpoint claims.
fn tiled_size(dir: &Path) -> u64 {
    let text = read_text(&dir.join(DIR).join("checkpoint"), NOTE_BYTES_MAX).ok().flatten();
    text.and_then(|text| text.parse::<Checkpoint>().ok()).map_or(0, |checkpoint| checkpoint.size())
}

/// The hashes of `count` entries from `first` on, as the tiles of the ledger in `dir` have them; nothing where
/// one is missing. Nobody checked them.
pub(crate) fn leaves_from(dir: &Path, first: u64, count: u64) -> Option<Vec<TreeHash>> {
    let size = tiled_size(dir);
    let end = first.checked_add(count).filter(|end| *end <= size)?;
    let mut tiles = Tiles::new(&dir.join(DIR), size);
    (first..end).map(|index| tiles.subtree(0, index).ok()).collect()
}

/// The bytes of one entry.
fn entry(dir: &Path, index: u64) -> Result<Vec<u8>, TilesError> {
    let entry = read_from(dir, index)?.next().transpose()?.filter(|entry| entry.index == index);
    entry.map(|entry| entry.bytes).ok_or(TilesError::Log(ReadError::Truncated { index }))
}

/// The entries of the ledger in `dir` from the entry `index` on, as [`read`] gives them, without reading all that is
/// before where the tiles know a place near it.
///
/// # Errors
/// As for [`read`].
pub fn read_from(
    dir: &Path,
    index: u64,
) -> Result<impl Iterator<Item = Result<Entry, ReadError>> + use<>, ReadError> {
    let start = position_before(dir, index);
    let mut entries = read(dir, start).map(Iterator::peekable);
    // The place is a hint that nobody vouches for: one that leads nowhere costs only time.
    let leads_nowhere = |entries: &mut Peekable<Entries>| entries.peek().is_some_and(Result::is_err);
    if start != Position::START && entries.as_mut().map_or(true, leads_nowhere) {
        entries = read(dir, Position::START).map(Iterator::peekable);
    }
    let is_before =
        move |entry: &Result<Entry, ReadError>| entry.as_ref().is_ok_and(|entry| entry.index < index);
    Ok(entries?.skip_while(is_before))
}

/// Subtrees of a log: from tiles as far as they are full, and from its entries behind that.
struct Hashes {
    tiles: Tiles,
    /// Leaf hashes from the end of the full tiles on.
    tail: Vec<TreeHash>,
}

impl Hashes {
    /// Subtrees of the first `size` entries, of which the tiles hold `tiled`.
    fn open(dir: &Path, size: u64, tiled: u64) -> Result<Self, TilesError> {
        let full = tiled - tiled % WIDTH;
        let entries = size.saturating_sub(full);
        if entries > TAIL_MAX {
            return Err(TilesError::Behind { entries });
        }
        let mut tail = Vec::new();
        if entries > 0 {
            for (entry, index) in read_from(dir, full)?.zip(full..size) {
                let entry = entry?;
                if entry.index != index {
                    return Err(ReadError::Truncated { index }.into());
                }
                tail.push(TreeHash::leaf(&entry.bytes));
            }
            if tail.len() as u64 != entries {
                return Err(ReadError::Truncated { index: size }.into());
            }
        }
        Ok(Self { tiles: Tiles::new(&dir.join(DIR), full), tail })
    }
}

impl Subtrees for Hashes {
    type Error = TilesError;

    fn subtree(&mut self, level: u32, index: u64) -> Result<TreeHash, TilesError> {
        let (from, to) = (index << level, (index + 1) << level);
        if to <= self.tiles.full {
            return self.tiles.subtree(level, index);
        }
        if level > 0 && from < self.tiles.full {
            let left = self.subtree(level - 1, 2 * index)?;
            return Ok(TreeHash::node(left, self.subtree(level - 1, 2 * index + 1)?));
        }
        let place = |at: u64| usize::try_from(at - self.tiles.full).unwrap_or(usize::MAX);
        let leaves = self.tail.get(place(from)..place(to)).ok_or(ReadError::Truncated { index: to })?;
        Ok(joined(leaves))
    }
}

/// The hash of complete subtrees of one size, as many as a power of two.
fn joined(hashes: &[TreeHash]) -> TreeHash {
    let mut tree = Tree::default();
    hashes.iter().for_each(|hash| tree.push_hash(*hash));
    tree.root()
}

/// Subtrees out of full level 0 tiles and what is above them.
pub(super) struct Tiles {
    dir: PathBuf,
    /// Number of entries, a multiple of the width of a tile.
    full: u64,
    cache: HashMap<(u32, u64), Vec<TreeHash>>,
}

impl Tiles {
    pub(super) fn new(dir: &Path, full: u64) -> Self {
        Self { dir: dir.to_owned(), full, cache: HashMap::new() }
    }

    /// The first hashes of a tile: as many as there are for the size of the tree.
    fn tile(&mut self, level: u32, number: u64) -> Result<&[TreeHash], TilesError> {
        let width = ((self.full >> (HEIGHT * level)) - number * WIDTH).min(WIDTH);
        if !self.cache.contains_key(&(level, number)) {
            let partial = tile_path(&self.dir, Some(level), number, width);
            let full = tile_path(&self.dir, Some(level), number, WIDTH);
            // A full one replaces the partial ones.
            let tile = read_tile(&partial, width, width).or_else(|| read_tile(&full, WIDTH, width));
            let tile = match tile {
                Some(tile) => tile,
                None => self.later(level, number, width).ok_or(TilesError::Tile { path: partial })?,
            };
            self.cache.insert((level, number), tile);
        }
        Ok(self.cache.get(&(level, number)).map_or(&[], Vec::as_slice))
    }

    /// The first hashes of a partial tile of a larger tree, such as that of the whole log.
    fn later(&self, level: u32, number: u64, width: u64) -> Option<Vec<TreeHash>> {
        let path = tile_path(&self.dir, Some(level), number, 1);
        let widths = std::fs::read_dir(path.parent()?).ok()?.flatten();
        let mut widths: Vec<u64> =
            widths.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        widths.retain(|found| (width..WIDTH).contains(found));
        let found = widths.into_iter().max()?;
        read_tile(&tile_path(&self.dir, Some(level), number, found), found, width)
    }
}

impl Subtrees for Tiles {
    type Error = TilesError;

    fn subtree(&mut self, level: u32, index: u64) -> Result<TreeHash, TilesError> {
        let (tile_level, within) = (level / HEIGHT, level % HEIGHT);
        let (first, count) = (index << within, 1_u64 << within);
        let tile = self.tile(tile_level, first / WIDTH)?;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let hashes = tile.get(place(first % WIDTH)..place(first % WIDTH + count));
        let missing = || TilesError::Tile { path: PathBuf::from(format!("level {tile_level}")) };
        hashes.map(joined).ok_or_else(missing)
    }
}

/// The first `wanted` hashes of a tile of `width`.
fn read_tile(path: &Path, width: u64, wanted: u64) -> Option<Vec<TreeHash>> {
    let length = usize::try_from(width).ok()? * TreeHash::BYTES;
    let mut bytes = Vec::with_capacity(length);
    File::open(path).ok()?.take(length as u64 + 1).read_to_end(&mut bytes).ok()?;
    let (hashes, rest) = bytes.as_chunks();
    if bytes.len() != length || !rest.is_empty() {
        return None;
    }
    let hashes = hashes.iter().copied().map(TreeHash::from_bytes);
    Some(hashes.take(usize::try_from(wanted).ok()?).collect())
}
