//! Checks what a ledger publishes with Cloudflare's `tlog_tiles` and `signed_note`.
//!
//! ```text
//! aseptic-tlog-peer tiles DIRECTORY KEYS       every tile, every entry, the signed checkpoint
//! aseptic-tlog-peer proof FILE ENTRY KEYS      a tlog-proof of the bytes in ENTRY, and the same proof made anew
//! aseptic-tlog-peer consistency CHECKPOINT DIRECTORY KEYS   an older checkpoint is a prefix of the tree
//! ```
//!
//! KEYS is a file with one verifier key a line.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Hash, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree, prove_tree,
    record_hash, stored_hash_index,
};

type Checked<T> = Result<T, Box<dyn Error>>;

const HEIGHT: u8 = 8;
const WIDTH: u64 = 1 << HEIGHT;

fn main() -> Checked<()> {
    let words: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let words: Vec<&Path> = words.iter().map(PathBuf::as_path).collect();
    let said = match words.as_slice() {
        [what, dir, keys] if *what == Path::new("tiles") => tiles(dir, keys)?,
        [what, file, entry, keys] if *what == Path::new("proof") => proof(file, entry, keys)?,
        [what, old, dir, keys] if *what == Path::new("consistency") => consistency(old, dir, keys)?,
        _ => {
            return Err(
                "tiles DIRECTORY KEYS, proof FILE ENTRY KEYS, consistency CHECKPOINT DIRECTORY KEYS".into()
            );
        }
    };
    println!("{said}");
    Ok(())
}

/// The checkpoint, after one of the keys accepted its signature.
fn open(note: &[u8], keys: &Path) -> Checked<Checkpoint> {
    let mut verifiers: Vec<Box<dyn Verifier>> = Vec::new();
    let mut name = String::new();
    for line in fs::read_to_string(keys)?.lines() {
        let verifier = StandardVerifier::new(line)?;
        verifier.name().clone_into(&mut name);
        verifiers.push(Box::new(verifier));
    }
    let note = Note::from_bytes(note)?;
    note.verify(&VerifierList::new(verifiers))?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin() != name {
        return Err("the checkpoint is of another log".into());
    }
    Ok(checkpoint)
}

/// Tiles where C2SP has them: as the crate has them, without the height in the path.
struct Directory<'a>(&'a Path);

impl Directory<'_> {
    fn read(&self, tile: &Tile, entries: bool) -> std::io::Result<Vec<u8>> {
        let (from, to) = if entries { ("tile/8/0/", "tile/entries/") } else { ("tile/8/", "tile/") };
        fs::read(self.0.join(tile.path().replacen(from, to, 1)))
    }
}

impl TileReader for Directory<'_> {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            let data = self.read(tile, false).map_err(|error| error.to_string())?;
            let right = data.len() == tile.width() as usize * tlog_tiles::HASH_SIZE;
            right.then_some(data).ok_or(format!("{} has another length", tile.path()))
        };
        tiles.iter().map(read).collect::<Result<_, String>>().map_err(tlog_tiles::Error::InvalidInput)
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn published(dir: &Path, keys: &Path) -> Checked<Checkpoint> {
    open(&fs::read(dir.join("checkpoint"))?, keys)
}

fn tiles(dir: &Path, keys: &Path) -> Checked<String> {
    let checkpoint = published(dir, keys)?;
    let directory = Directory(dir);
    let reader = TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &directory);
    for first in (0..checkpoint.size()).step_by(WIDTH as usize) {
        let count = WIDTH.min(checkpoint.size() - first);
        let bundle = directory.read(&Tile::new(HEIGHT, 0, first / WIDTH, count as u32, false), true)?;
        let hashes = entries(&bundle).ok_or(format!("the bundle of entry {first} is cut"))?;
        let indexes: Vec<u64> = (first..first + count).map(|index| stored_hash_index(0, index)).collect();
        let stored = reader.read_hashes(&indexes)?;
        if stored.len() != hashes.len() {
            return Err(format!("the bundle of entry {first} has {} entries", hashes.len()).into());
        }
        for ((index, ours), theirs) in (first..).zip(&hashes).zip(&stored) {
            if ours != theirs {
                return Err(format!("entry {index} does not match its tile").into());
            }
        }
    }
    Ok(format!("{} entries", checkpoint.size()))
}

/// The hashes of a bundle: a length in two bytes, big-endian, before each entry.
fn entries(mut bundle: &[u8]) -> Option<Vec<Hash>> {
    let mut hashes = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk() {
        let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        hashes.push(record_hash(entry));
        bundle = rest;
    }
    bundle.is_empty().then_some(hashes)
}

fn proof(file: &Path, entry: &Path, keys: &Path) -> Checked<String> {
    let text = fs::read_to_string(file)?;
    let (head, note) = text.split_once("\n\n").ok_or("the proof has no checkpoint")?;
    let checkpoint = open(note.as_bytes(), keys)?;
    let mut lines = head.lines().filter(|line| !line.starts_with("extra "));
    if lines.next() != Some("c2sp.org/tlog-proof@v1") {
        return Err("not a tlog-proof".into());
    }
    let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or("the proof has no index")?;
    let index: u64 = index.parse()?;
    let hashes = lines.map(Hash::parse_hash).collect::<Result<Vec<_>, _>>()?;
    let leaf = record_hash(&fs::read(entry)?);
    check_record(&hashes, checkpoint.size(), *checkpoint.hash(), index, leaf)?;
    Ok(format!("entry {index} of {}", checkpoint.size()))
}

fn consistency(old: &Path, dir: &Path, keys: &Path) -> Checked<String> {
    let old = open(&fs::read(old)?, keys)?;
    let new = published(dir, keys)?;
    let directory = Directory(dir);
    let reader = TileHashReader::new(new.size(), *new.hash(), &directory);
    let proof = prove_tree(new.size(), old.size(), &reader)?;
    check_tree(&proof, new.size(), *new.hash(), old.size(), *old.hash())?;
    Ok(format!("{} of {} entries", old.size(), new.size()))
}
