//! Blocks of a file whose later ones reached the disk in a power failure, and they did not.

/// What a file system writes at once, or not at all.
const BLOCK_BYTES: usize = 4096;
/// Zeros that no header has in a row.
const HOLE_BYTES_MIN: usize = 8;

/// Whether a block of the file that the first `length` bytes of `tail` lie in is missing: it is zero from its
/// start, or that of the tail, to its end, or that of the file. `offset` is where the tail begins in the file.
pub(crate) fn has_hole(tail: &[u8], offset: u64, length: u64) -> bool {
    let before = usize::try_from(offset % BLOCK_BYTES as u64).unwrap_or(0);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (first, rest) = tail.split_at(tail.len().min(BLOCK_BYTES - before));
    let mut at = 0;
    for block in std::iter::once(first).chain(rest.chunks(BLOCK_BYTES)) {
        if at >= length {
            break;
        }
        if block.len() >= HOLE_BYTES_MIN && block.iter().all(|byte| *byte == 0) {
            return true;
        }
        at += block.len();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_block_is_a_hole_and_other_zeros_are_not() {
        let mut tail = vec![1; 3 * BLOCK_BYTES];
        assert!(!has_hole(&tail, 100, 5000));
        tail[BLOCK_BYTES - 100..2 * BLOCK_BYTES - 100].fill(0);
        assert!(has_hole(&tail, 100, 5000));
        assert!(!has_hole(&tail, 101, 5000), "it is not a block");
        assert!(!has_hole(&tail, 100, 3000), "another frame lies in it");
        assert!(!has_hole(&[0; 7], 100, 24), "a header may have as many zeros");
        assert!(has_hole(&[0; 8], 100, 24));
        assert!(!has_hole(&[], 4096, 24));
    }
}
