//! Frames of version 1, which has one entry in each: read, never written.

use sha2::{Digest as _, Sha256};

use crate::frame::{CHECKSUM_BYTES, HEADER_BYTES as HEADER_2_BYTES, Header, Parts, checksum, push_entry};
use crate::merkle::TreeHash;
use crate::note::SIGNATURE_BYTES;

/// First line of a log of version 1; as long as that of version 2.
pub(crate) const MAGIC: &[u8; 17] = b"aseptic-ledger 1\n";

pub(crate) const HEADER_BYTES: usize = 16;

/// What this header says, unless it is none. Only its first 16 bytes are of the header.
pub(crate) fn decode_header(header: &[u8; HEADER_2_BYTES]) -> Option<Header> {
    let &[a, b, c, d, e, f, g, h, low, high, ..] = header;
    let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let length = u16::from_le_bytes([low, high]);
    let possible = length > 0 && first < u64::MAX && header[10..16] == checksum::<6>(&header[..10]);
    possible.then_some(Header { first, count: 1, body: length.into(), handover: false })
}

/// The parts of a frame whose checksum is right.
pub(crate) fn whole(
    header: &[u8; HEADER_2_BYTES],
    entry: Vec<u8>,
    signature: &[u8; SIGNATURE_BYTES],
    check: [u8; CHECKSUM_BYTES],
) -> Option<Parts> {
    let hash = Sha256::new().chain_update(&header[..HEADER_BYTES]).chain_update(&entry);
    let right = hash.chain_update(signature).finalize().starts_with(&check);
    let mut body = Vec::new();
    (right && push_entry(&mut body, &entry)).then(|| (body, vec![TreeHash::leaf(&entry)], None))
}
