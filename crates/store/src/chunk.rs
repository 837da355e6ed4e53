//! Content-defined chunks: a large file as pieces that an edit elsewhere leaves alone.
//!
//! **Invariant:** the same bytes have the same chunks, whoever cuts them.
//! **Invariant:** a chunk is never empty, and a reader can hold it.

use fastcdc::v2020::FastCDC;

/// Smallest chunk, but for the last one.
pub(crate) const CHUNK_BYTES_MIN: usize = 64 << 10;
/// Usual chunk. Twenty edits of a 2 GiB file cost some ten megabytes with it, and it costs 36 bytes of recipe
/// and 64 of index.
pub(crate) const CHUNK_BYTES_USUAL: usize = 256 << 10;
/// Largest chunk; bounds what a reader holds at once.
pub(crate) const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Length of the first chunk of `content`, which is at least [`CHUNK_BYTES_MAX`] bytes or all that is left.
pub(crate) fn first_chunk(content: &[u8]) -> usize {
    let longest = &content[..content.len().min(CHUNK_BYTES_MAX)];
    let mut chunks = FastCDC::new(longest, CHUNK_BYTES_MIN, CHUNK_BYTES_USUAL, CHUNK_BYTES_MAX);
    chunks.next().map_or(longest.len(), |chunk| chunk.length)
}

/// The stored bytes of a chunked object: which objects follow each other in it.
pub(crate) mod recipe {
    use aseptic_model::Digest;

    use super::CHUNK_BYTES_MAX;

    /// Digest and length of one chunk.
    pub(crate) const ENTRY_BYTES: usize = Digest::BYTES + 4;

    /// Source: `docs/formats/store.md`, form 3.
    pub(crate) fn encode(chunks: &[(Digest, u32)]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(chunks.len() * ENTRY_BYTES);
        for (digest, length) in chunks {
            bytes.extend_from_slice(digest.as_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes
    }

    /// One chunk. A reader refuses one of which [`is_length`] says no.
    pub(crate) fn decode(entry: &[u8; ENTRY_BYTES]) -> (Digest, u32) {
        let (mut digest, mut length) = ([0; Digest::BYTES], [0; 4]);
        digest.copy_from_slice(&entry[..Digest::BYTES]);
        length.copy_from_slice(&entry[Digest::BYTES..]);
        (Digest::from_bytes(digest), u32::from_le_bytes(length))
    }

    /// Whether a writer makes chunks of this length.
    pub(crate) fn is_length(length: u32) -> bool {
        (1..=CHUNK_BYTES_MAX).contains(&(length as usize))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use aseptic_model::Digest;
    use proptest::prelude::*;

    use super::*;

    fn content(seed: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn cut(mut content: &[u8]) -> Vec<&[u8]> {
        let mut chunks = Vec::new();
        while !content.is_empty() {
            let (chunk, rest) = content.split_at(first_chunk(content));
            chunks.push(chunk);
            content = rest;
        }
        chunks
    }

    #[test]
    fn the_cuts_stay_where_they_are() {
        // A golden value: other cuts would make every large file of every store a new one.
        let lengths = |bytes: &[u8]| cut(bytes).iter().map(|chunk| chunk.len()).collect::<Vec<_>>();
        let golden = [575_721, 265_171, 239_701, 437_914, 75_770, 105_593, 397_282];
        assert_eq!(lengths(&content(0, 2 << 20)), golden);
        // Nothing to cut by: the longest chunks.
        assert_eq!(lengths(&vec![0; (2 << 20) + 5]), [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 5]);
        assert_eq!(lengths(b"x"), [1]);
    }

    #[test]
    fn recipes_are_read_strictly() {
        let chunks = [(Digest::of(b"a"), 5), (Digest::of(b"b"), 1 << 20)];
        let bytes = recipe::encode(&chunks);
        let (entries, rest) = bytes.as_chunks();
        assert_eq!(entries.iter().map(recipe::decode).collect::<Vec<_>>(), chunks);
        assert!(rest.is_empty());
        assert_eq!(
            [0, 1, 1 << 20, (1 << 20) + 1, u32::MAX].map(recipe::is_length),
            [false, true, true, false, false]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn chunks_are_the_content_and_do_not_depend_on_how_much_is_shown(
            seed: u64, size in 1_usize..3 << 20,
        ) {
            let bytes = content(seed, size);
            let chunks = cut(&bytes);
            prop_assert_eq!(chunks.concat(), bytes.as_slice());
            for chunk in &chunks[..chunks.len() - 1] {
                prop_assert!((CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&chunk.len()));
            }
            let shown = &bytes[..bytes.len().min(CHUNK_BYTES_MAX)];
            prop_assert_eq!(first_chunk(shown), chunks[0].len());
        }

        #[test]
        fn an_edit_changes_the_chunks_near_it_only(
            seed: u64, at in 0_usize..8 << 20, removed in 0_usize..100, added in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let before = content(seed, 8 << 20);
            let mut after = before.clone();
            after.splice(at..(at + removed).min(before.len()), added);
            let known: HashSet<_> = cut(&before).into_iter().map(Digest::of).collect();
            let new: usize =
                cut(&after).into_iter().filter(|chunk| !known.contains(&Digest::of(chunk))).map(<[u8]>::len).sum();
            prop_assert!(new <= 4 * CHUNK_BYTES_MAX, "{new} bytes are new");
        }
    }
}
