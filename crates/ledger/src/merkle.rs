//! The Merkle tree of RFC 6962, kept as its compact range: one hash per complete subtree.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::base64::from_base64;
use sha2::{Digest as _, Sha256};

/// A SHA-256 hash in the tree of the ledger; its text form is padded standard base64.
///
/// Source: RFC 6962 section 2.1; C2SP tlog-checkpoint for the text form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeHash([u8; Self::BYTES]);

impl TreeHash {
    /// Length of a hash in bytes.
    pub const BYTES: usize = 32;

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The hash with these bytes.
    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The root of the tree without entries: the hash of nothing.
    pub(crate) fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    pub(crate) fn leaf(entry: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
    }

    pub(crate) fn node(left: Self, right: Self) -> Self {
        Self(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHash({self})")
    }
}

/// The text is not 32 bytes in padded standard base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tree hash is 32 bytes in padded standard base64")]
pub struct TreeHashTextError;

impl FromStr for TreeHash {
    type Err = TreeHashTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = from_base64(text).ok_or(TreeHashTextError)?;
        bytes.try_into().map(Self).map_err(|_| TreeHashTextError)
    }
}

/// A tree that only grows: its size and the roots of its complete subtrees, the largest first.
///
/// There is one subtree per bit that is set in the size, so the state of any log fits in 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    size: u64,
    subtrees: Vec<TreeHash>,
}

impl Tree {
    /// The tree with this size and these subtrees, if their number fits the size.
    pub(crate) fn from_parts(size: u64, subtrees: Vec<TreeHash>) -> Option<Self> {
        (usize::try_from(size.count_ones()) == Ok(subtrees.len())).then_some(Self { size, subtrees })
    }

    /// Number of entries.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, the largest first.
    pub(crate) fn subtrees(&self) -> &[TreeHash] {
        &self.subtrees
    }

    /// Adds one entry, or one complete subtree where all are of the same size, by its hash.
    pub(crate) fn push_hash(&mut self, mut hash: TreeHash) {
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = TreeHash::node(left, hash);
            }
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// The hash of the whole tree. That of the empty tree is the hash of nothing.
    ///
    /// Source: RFC 6962 section 2.1.
    pub(crate) fn root(&self) -> TreeHash {
        let joined = self.subtrees.iter().rev().copied().reduce(|right, left| TreeHash::node(left, right));
        joined.unwrap_or_else(TreeHash::empty)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word: split at the largest power of two below the size.
    fn naive_root(entries: &[Vec<u8>]) -> TreeHash {
        match entries {
            [] => TreeHash(Sha256::digest([]).into()),
            [entry] => TreeHash::leaf(entry),
            many => {
                let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
                TreeHash::node(naive_root(left), naive_root(right))
            }
        }
    }

    fn tree(entries: &[Vec<u8>]) -> Tree {
        let mut tree = Tree::default();
        entries.iter().for_each(|entry| tree.push_hash(TreeHash::leaf(entry)));
        tree
    }

    /// Leaves and roots of the reference tests of Certificate Transparency.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let steps = [
            ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
            ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
            ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
            (
                "606162636465666768696a6b6c6d6e6f",
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ),
        ];
        let mut tree = Tree::default();
        assert_eq!(
            HEXLOWER.encode(tree.root().as_bytes()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for (leaf, root) in steps {
            tree.push_hash(TreeHash::leaf(&HEXLOWER.decode(leaf.as_bytes()).unwrap()));
            assert_eq!(HEXLOWER.encode(tree.root().as_bytes()), root, "size {}", tree.size());
        }
    }

    #[test]
    fn text_form_is_strict() {
        let hash = Tree::default().root();
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let text = hash.to_string();
        for bad in [text.trim_end_matches('='), &text.replace("VQ=", "VR="), "", "AAAA"] {
            if bad != text {
                assert_eq!(bad.parse::<TreeHash>(), Err(TreeHashTextError), "{bad}");
            }
        }
    }

    proptest! {
        #[test]
        fn compact_range_has_the_root_of_the_definition(
            entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..70),
        ) {
            prop_assert_eq!(tree(&entries).root(), naive_root(&entries));
        }

        #[test]
        fn parts_rebuild_the_tree(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..70)) {
            let tree = tree(&entries);
            let rebuilt = Tree::from_parts(tree.size(), tree.subtrees().to_vec());
            prop_assert_eq!(rebuilt, Some(tree.clone()));
            prop_assert_eq!(Tree::from_parts(tree.size() + 1, Vec::new()), None);
        }
    }
}
