//! Sets of digests.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use aseptic_model::Digest;

pub(crate) type Digests = HashSet<Digest, BuildHasherDefault<ByDigest>>;

/// Digests are as good as random: their first bytes are their hash.
#[derive(Debug, Default)]
pub(crate) struct ByDigest(u64);

impl Hasher for ByDigest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {} // The length of the digest.
}
