//! Proofs that an entry is in a tree, and that a tree continues another one.
//!
//! Source: RFC 6962 sections 2.1.1 and 2.1.2; the text form is C2SP tlog-proof.

use std::fmt;
use std::str::FromStr;

use aseptic_model::{Class, Diagnose, Diagnosis};
use data_encoding::BASE64;

use crate::base64::from_base64;

use crate::merkle::TreeHash;
use crate::note::Checkpoint;

/// Most hashes in one proof: a tree of 2^64 entries has no longer one.
pub const PROOF_HASHES_MAX: usize = 64;

/// Longest extra data of a proof in bytes: an entry fits.
pub const EXTRA_BYTES_MAX: usize = 65_535;

/// Longest text of a proof in bytes: extra data, hashes and a checkpoint fit.
pub const PROOF_BYTES_MAX: usize = 128 << 10;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Why something is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProofError(pub(crate) &'static str);

impl Diagnose for ProofError {
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(
            Class::Damaged,
            "ledger/proof",
            "ask for the proof again; if it fails again, keep both it and the checkpoint as evidence",
        )
    }
}

/// Where the hashes of complete subtrees come from: `(level, index)` is the subtree of the `2^level` entries
/// from `index * 2^level` on.
pub(crate) trait Subtrees {
    type Error;

    /// The hash of one complete subtree that lies within the tree.
    fn subtree(&mut self, level: u32, index: u64) -> Result<TreeHash, Self::Error>;
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// Hash of the entries `from..to` where `from` is a multiple of the largest power of two below the length.
fn range_hash<S: Subtrees>(source: &mut S, from: u64, to: u64) -> Result<TreeHash, S::Error> {
    let size = to - from;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return source.subtree(level, from >> level);
    }
    let middle = from + split(size);
    let left = range_hash(source, from, middle)?;
    Ok(TreeHash::node(left, range_hash(source, middle, to)?))
}

/// Root of the tree of the first `size` entries.
pub(crate) fn root<S: Subtrees>(source: &mut S, size: u64) -> Result<TreeHash, S::Error> {
    if size == 0 { Ok(TreeHash::empty()) } else { range_hash(source, 0, size) }
}

/// The path from the entry `index` to the root of the tree of `size` entries, the leaf's sibling first.
///
/// `index` is below `size`. Source: RFC 6962 section 2.1.1.
pub(crate) fn prove_inclusion<S: Subtrees>(
    source: &mut S,
    index: u64,
    size: u64,
) -> Result<Vec<TreeHash>, S::Error> {
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range_hash(source, middle, to)?);
            to = middle;
        } else {
            path.push(range_hash(source, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `size` entries begins with the tree of `old` entries, which is at most `size`.
///
/// Source: RFC 6962 section 2.1.2; empty where either tree is empty or both are the same.
pub(crate) fn prove_consistency<S: Subtrees>(
    source: &mut S,
    old: u64,
    size: u64,
) -> Result<Vec<TreeHash>, S::Error> {
    let mut path = Vec::new();
    if old == 0 || old == size {
        return Ok(path);
    }
    let (mut from, mut to) = (0, size);
    // The old tree is a complete subtree as long as nothing was taken off its left.
    let mut whole = true;
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(range_hash(source, middle, to)?);
            to = middle;
        } else {
            path.push(range_hash(source, from, middle)?);
            from = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(range_hash(source, from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that the entry with this leaf hash is entry `index` of the tree of `size` entries with this root.
///
/// # Errors
/// [`ProofError`]: it is not proven.
///
/// Source: RFC 9162 section 2.1.3.2, whose trees are those of RFC 6962.
pub fn verify_inclusion(
    leaf: TreeHash,
    index: u64,
    size: u64,
    root: TreeHash,
    path: &[TreeHash],
) -> Result<(), ProofError> {
    let wrong = ProofError("the hashes do not lead from the entry to the root");
    if index >= size {
        return Err(ProofError("the tree has no entry of this index"));
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return Err(wrong);
        }
        if node & 1 == 1 || node == last {
            hash = TreeHash::node(*sibling, hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = TreeHash::node(hash, *sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last == 0 && hash == root { Ok(()) } else { Err(wrong) }
}

/// Checks that the tree of `size` entries with the root `root` begins with the tree of `old_size` entries
/// with the root `old_root`.
///
/// # Errors
/// [`ProofError`]: it is not proven. A proof where none is needed (an empty old tree, or equal sizes) is
/// refused too.
///
/// Source: RFC 9162 section 2.1.4.2, whose trees are those of RFC 6962.
pub fn verify_consistency(
    old_size: u64,
    old_root: TreeHash,
    size: u64,
    root: TreeHash,
    path: &[TreeHash],
) -> Result<(), ProofError> {
    let wrong = ProofError("the hashes do not lead from the old root to the new one");
    if old_size > size {
        return Err(ProofError("the old tree is larger than the new one"));
    }
    if old_size == 0 || old_size == size {
        let old = if old_size == 0 { TreeHash::empty() } else { root };
        let empty = size != 0 || root == TreeHash::empty();
        return if path.is_empty() && old == old_root && empty { Ok(()) } else { Err(wrong) };
    }
    let mut rest = path.iter().copied();
    let first = if old_size.is_power_of_two() { Some(old_root) } else { rest.next() };
    let Some(first) = first else { return Err(wrong) };
    let (mut node, mut last) = (old_size - 1, size - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut old_hash, mut hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(wrong);
        }
        if node & 1 == 1 || node == last {
            old_hash = TreeHash::node(sibling, old_hash);
            hash = TreeHash::node(sibling, hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = TreeHash::node(hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last == 0 && old_hash == old_root && hash == root { Ok(()) } else { Err(wrong) }
}

/// A proof that some bytes are an entry of a ledger, to be kept as a file (`.tlog-proof`).
///
/// The text form (`Display`, `FromStr`) is C2SP tlog-proof, byte for byte. Parsing is strict and bounded by
/// [`PROOF_BYTES_MAX`], and checks nothing: [`LogProof::verify`] does, for a checkpoint that the caller trusts
/// ([`Checkpoint::is_signed_by`], [`Policy::judge`](crate::Policy::judge)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Data beside the proof that nothing authenticates: here the entry itself, so that the file proves
    /// something to someone who does not have the entry yet.
    pub extra: Option<Vec<u8>>,
    /// Zero-based index of the entry.
    pub index: u64,
    /// From the leaf's sibling to the child of the root.
    pub path: Vec<TreeHash>,
    /// The tree that the entry is in.
    pub checkpoint: Checkpoint,
}

impl LogProof {
    /// Checks that `entry` is the entry of this index in the tree of the checkpoint. Says nothing about who
    /// signed the checkpoint.
    ///
    /// # Errors
    /// [`ProofError`]: it is not.
    pub fn verify(&self, entry: &[u8]) -> Result<(), ProofError> {
        let (size, root) = (self.checkpoint.size(), self.checkpoint.root());
        verify_inclusion(TreeHash::leaf(entry), self.index, size, root, &self.path)
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for LogProof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(ProofError("a proof is at most 131072 bytes"));
        }
        let parts = text.split_once("\n\n");
        let (head, checkpoint) = parts.ok_or(ProofError("a proof is a head, an empty line, a checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(ProofError("a proof begins with the line `c2sp.org/tlog-proof@v1`"));
        }
        let extra = lines.peek().and_then(|line| line.strip_prefix("extra ")).map(|text| {
            let bytes = from_base64(text).filter(|bytes| bytes.len() <= EXTRA_BYTES_MAX);
            bytes.ok_or(ProofError("the extra line of a proof is base64 of at most 65535 bytes"))
        });
        let extra = extra.transpose()?;
        if extra.is_some() {
            lines.next();
        }
        let index = lines.next().and_then(|line| decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(ProofError("the index line of a proof is a plain decimal number"))?;
        let path = parse_hashes(lines)?;
        let checkpoint =
            checkpoint.parse().map_err(|_| ProofError("the checkpoint of a proof cannot be read"))?;
        Ok(Self { extra, index, path, checkpoint })
    }
}

/// A decimal number without sign and leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

/// The hashes of a proof, one a line.
pub(crate) fn parse_hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<TreeHash>, ProofError> {
    let mut hashes = Vec::new();
    for line in lines {
        if hashes.len() == PROOF_HASHES_MAX {
            return Err(ProofError("a proof has at most 64 hashes"));
        }
        hashes.push(line.parse().map_err(|_| ProofError("a hash of a proof is 32 bytes in padded base64"))?);
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests;
