//! BLAKE3 of large content by several threads.
//!
//! BLAKE3 is a tree over kibibytes. Blocks of [`BLOCK_BYTES`], a power of two of them, are subtrees of it:
//! each is hashed by whoever has it, in any order, and [`Joined`] joins the results in order.
//!
//! **Invariant:** the result is that of `blake3::hash`, whatever the size and whoever hashed the blocks.
//!
//! Source: `blake3::hazmat`; section 2.1 of the BLAKE3 paper.

use std::collections::BTreeMap;

use aseptic_model::Digest;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Size of a block: large enough for every vector width, small enough for the caches of a core.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// Hash of one block of some content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// As a part of more.
    part: ChainingValue,
    /// As the whole, which is hashed in another way; known of the first block.
    whole: Option<Digest>,
}

impl Block {
    /// Hashes block `number`, counted from 0. Every block but the last has [`BLOCK_BYTES`], and no block is
    /// empty but the only one of empty content.
    pub(crate) fn of(number: u64, bytes: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(number * BLOCK_BYTES as u64).update(bytes);
        let part = if bytes.is_empty() { [0; _] } else { hasher.finalize_non_root() };
        let whole = (number == 0).then(|| Digest::from_bytes(*hasher.finalize().as_bytes()));
        Self { part, whole }
    }
}

/// Joins the hashes of blocks to that of the whole.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// Complete subtrees from left to right, each larger than the next.
    subtrees: Vec<ChainingValue>,
    /// How many blocks they hold.
    blocks: u64,
    /// Blocks that came before those on their left.
    early: BTreeMap<u64, Block>,
    /// The digest, if there is no second block.
    only: Option<Digest>,
}

impl Joined {
    /// Adds block `number`. Blocks that came too early are kept, so whoever hashes should not run ahead.
    pub(crate) fn add(&mut self, number: u64, block: Block) {
        self.early.insert(number, block);
        while let Some(block) = self.early.remove(&self.blocks) {
            // Two subtrees of one size become one, but only when there is more: the last join is the root.
            while self.subtrees.len() > self.blocks.count_ones() as usize {
                self.join();
            }
            self.subtrees.push(block.part);
            self.only = block.whole;
            self.blocks += 1;
        }
    }

    fn join(&mut self) {
        if let (Some(right), Some(left)) = (self.subtrees.pop(), self.subtrees.pop()) {
            self.subtrees.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }

    /// The digest of everything that was added: blocks 0 to some last one.
    pub(crate) fn finish(mut self) -> Digest {
        while self.subtrees.len() > 2 {
            self.join();
        }
        match (self.only, self.subtrees.as_slice()) {
            (Some(digest), _) => digest,
            (None, [left, right]) => {
                Digest::from_bytes(*merge_subtrees_root(left, right, Mode::Hash).as_bytes())
            }
            (None, _) => Digest::of(b""),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn joined(bytes: &[u8], order: impl Fn(&mut Vec<(usize, &[u8])>)) -> Digest {
        let mut blocks: Vec<_> = bytes.chunks(BLOCK_BYTES).enumerate().collect();
        order(&mut blocks);
        let mut joined = Joined::default();
        blocks
            .into_iter()
            .for_each(|(number, block)| joined.add(number as u64, Block::of(number as u64, block)));
        joined.finish()
    }

    #[test]
    fn the_sizes_around_every_boundary() {
        let around = [0, 1, 64, 1024, 2048, 1 << 19];
        let blocks = (1..=9).map(|count| count * BLOCK_BYTES);
        let all = content(9 * BLOCK_BYTES + 1025);
        for at in around.into_iter().chain(blocks) {
            for size in [at.saturating_sub(1025), at.saturating_sub(1), at, at + 1, at + 1024, at + 1025] {
                let bytes = &all[..size];
                assert_eq!(joined(bytes, |_| ()), Digest::of(bytes), "{size} bytes");
                assert_eq!(
                    joined(bytes, |blocks| blocks.reverse()),
                    Digest::of(bytes),
                    "{size} bytes, reversed"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_size_in_any_order(size in 0_usize..12 * BLOCK_BYTES, turn in any::<prop::sample::Index>()) {
            let bytes = content(size);
            let order = |blocks: &mut Vec<(usize, &[u8])>| {
                if !blocks.is_empty() {
                    let by = turn.index(blocks.len());
                    blocks.rotate_left(by);
                }
            };
            prop_assert_eq!(joined(&bytes, order), Digest::of(&bytes));
        }
    }
}
