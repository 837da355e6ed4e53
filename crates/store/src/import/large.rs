//! A large file in chunks, by several threads.
//!
//! Where a chunk ends depends on where the last one ended, so one thread at a time reads and cuts. It then
//! hashes and stores what it has cut, while the next one reads and cuts. That is all there is to take turns
//! for: with two or more threads the speed is that of reading and cutting alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};
use std::thread;

use aseptic_model::Digest;

use crate::chunk::{CHUNK_BYTES_MAX, first_chunk};
use crate::hash::{BLOCK_BYTES, Block, Joined};
use crate::writer::{CopyError, Writer};

/// Threads for one file; more would wait for the one that cuts.
pub(crate) const THREADS: usize = 4;
/// What is read in one turn: whole blocks of the hash.
const TURN_BLOCKS: usize = 4;

/// One turn of a thread.
struct Turn {
    number: u64,
    /// The end of the last turn that is in no chunk yet, then what was read. Longer than that: a buffer that is
    /// used again is not cleared.
    bytes: Vec<u8>,
    /// How many of the bytes are content.
    length: usize,
    /// Where the bytes that were read begin.
    fresh: usize,
    /// Where chunks end.
    ends: Vec<usize>,
}

/// What is next to read and cut.
struct Cutter {
    number: u64,
    at: u64,
    size: u64,
    /// Bytes that are read and in no chunk yet; fewer than the longest chunk.
    rest: Vec<u8>,
    failed: bool,
}

/// What the turns make, in any order.
#[derive(Default)]
struct Made {
    joined: Joined,
    /// Chunks of each turn.
    chunks: Vec<Vec<(Digest, u32)>>,
}

/// Adds the first `size` bytes of `file` in chunks, with at most so many threads, and tells `seen` of all
/// bytes that were read.
///
/// A file that is shorter is an error of kind `UnexpectedEof`; one that was stopped, of kind `Interrupted`.
pub(crate) fn add(
    writer: &Writer<'_>,
    file: &File,
    size: u64,
    threads: usize,
    stop: &(impl Fn() -> bool + Sync),
    seen: &(impl Fn(u64) + Sync),
) -> Result<(Digest, u64), CopyError> {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential); // Only for speed.
    let cutter = Mutex::new(Cutter { number: 0, at: 0, size, rest: Vec::new(), failed: false });
    let made = Mutex::new(Made::default());
    let work = || {
        let mut bytes = Vec::new();
        loop {
            let turn = {
                let mut cutter = cutter.lock().unwrap_or_else(PoisonError::into_inner);
                if stop() {
                    cutter.failed = true;
                    return Err(CopyError::Read(io::ErrorKind::Interrupted.into()));
                }
                cutter.turn(file, bytes).map_err(CopyError::Read)?
            };
            let Some(turn) = turn else { return Ok(()) };
            seen((turn.length - turn.fresh) as u64);
            if let Err(error) = store(writer, &turn, &made) {
                cutter.lock().unwrap_or_else(PoisonError::into_inner).failed = true;
                return Err(CopyError::Write(error));
            }
            bytes = turn.bytes;
        }
    };
    thread::scope(|scope| {
        // A thread that cannot be had is done without.
        let helpers: Vec<_> =
            (1..threads).map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let own: Result<(), CopyError> = work();
        let died = || Err(CopyError::Read(io::Error::other("a thread died")));
        helpers.into_iter().map(|helper| helper.join().unwrap_or_else(|_| died())).fold(own, Result::and)
    })?;
    let Made { joined, chunks } = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    let digest = joined.finish();
    writer.add_recipe(digest, size, &chunks.concat()).map_err(CopyError::Write)?;
    Ok((digest, size))
}

impl Cutter {
    /// Reads and cuts the next bytes, into `bytes` if that has room. None at the end.
    fn turn(&mut self, file: &File, mut bytes: Vec<u8>) -> io::Result<Option<Turn>> {
        if self.failed || self.at == self.size {
            return Ok(None);
        }
        let most = TURN_BLOCKS * BLOCK_BYTES;
        let count = usize::try_from(self.size - self.at).map_or(most, |left| left.min(most));
        let fresh = self.rest.len();
        if bytes.is_empty() {
            bytes = vec![0; most + CHUNK_BYTES_MAX];
        }
        bytes[..fresh].copy_from_slice(&self.rest);
        let length = fresh + count;
        file.read_exact_at(&mut bytes[fresh..length], self.at).inspect_err(|_| self.failed = true)?;
        self.at += count as u64;
        let (mut cut, mut ends) = (0, Vec::new());
        while length - cut >= CHUNK_BYTES_MAX || (self.at == self.size && cut < length) {
            cut += first_chunk(&bytes[cut..length]);
            ends.push(cut);
        }
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[cut..length]);
        self.number += 1;
        Ok(Some(Turn { number: self.number - 1, bytes, length, fresh, ends }))
    }
}

/// Hashes what was read in a turn, and stores the chunks that end in it.
fn store(writer: &Writer<'_>, turn: &Turn, made: &Mutex<Made>) -> Result<(), crate::error::StoreError> {
    let first = turn.number * TURN_BLOCKS as u64;
    let blocks = turn.bytes[turn.fresh..turn.length].chunks(BLOCK_BYTES).zip(first..);
    let blocks: Vec<_> = blocks.map(|(bytes, number)| (number, Block::of(number, bytes))).collect();
    let mut chunks = Vec::with_capacity(turn.ends.len());
    let mut from = 0;
    for end in &turn.ends {
        let bytes = &turn.bytes[from..*end];
        // No chunk is longer than a mebibyte.
        chunks.push((writer.add_chunk(bytes)?, u32::try_from(bytes.len()).unwrap_or(u32::MAX)));
        from = *end;
    }
    let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
    blocks.into_iter().for_each(|(number, block)| made.joined.add(number, block));
    let number = usize::try_from(turn.number).unwrap_or(usize::MAX);
    if made.chunks.len() <= number {
        made.chunks.resize(number + 1, Vec::new());
    }
    made.chunks[number] = chunks;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::object::Store;

    #[test]
    fn any_size_by_any_number_of_threads() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let lease = store.lease().unwrap();
        let turn = TURN_BLOCKS * BLOCK_BYTES;
        let mut content = vec![0; 3 * turn + 5];
        blake3::Hasher::new().finalize_xof().fill(&mut content);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        for size in [1, BLOCK_BYTES, turn - 1, turn, turn + 1, 3 * turn, content.len()] {
            for threads in [1, 2, 7] {
                let writer = Writer::new(&store, &lease);
                let seen = AtomicU64::new(0);
                let count = |more| _ = seen.fetch_add(more, Ordering::Relaxed);
                let added = add(&writer, &file, size as u64, threads, &|| false, &count).unwrap();
                assert_eq!(added, (Digest::of(&content[..size]), size as u64));
                assert_eq!(seen.into_inner(), size as u64);
                writer.publish().unwrap();
                assert!(store.get_bytes(&added.0, size).unwrap() == content[..size]);
            }
        }
    }

    #[test]
    fn a_shorter_file_and_a_stop_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let lease = store.lease().unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(9 << 20).unwrap();
        let kind = |size, stop| match add(&Writer::new(&store, &lease), &file, size, 3, &|| stop, &|_| ()) {
            Err(CopyError::Read(error)) => error.kind(),
            other => panic!("{other:?}"),
        };
        assert_eq!(kind((9 << 20) + 1, false), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(9 << 20, true), io::ErrorKind::Interrupted);
    }
}
