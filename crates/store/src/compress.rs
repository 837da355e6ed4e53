//! Compression of what goes into packs, where it helps.
//!
//! **Invariant:** what is compressed takes at most nine tenths of its size, so it is worth the time that
//! every reader spends on it.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::find_frame_compressed_size;

use crate::pack::Form;

/// Level of zstd: the fastest of those that are not called fast.
const LEVEL: i32 = 1;
/// Nothing smaller is tried: headers and tables would use up what is saved.
const SIZE_MIN: usize = 128;
/// A sample is so many pieces of so many bytes, spread over the object.
const PIECES: usize = 32;
const PIECE_BYTES: usize = 16;

/// What a thread keeps: making it costs much more than compressing a small object.
struct Tools {
    compressor: Compressor<'static>,
    out: Vec<u8>,
}

thread_local! {
    static TOOLS: RefCell<Option<Tools>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Shows `take` an object in the form in which it is to be stored: one zstd frame if that saves a tenth,
/// otherwise the bytes as they are.
pub(crate) fn smaller<R>(bytes: &[u8], take: impl FnOnce(Form, &[u8]) -> R) -> R {
    if bytes.len() < SIZE_MIN || looks_random(bytes) {
        return take(Form::Plain, bytes);
    }
    TOOLS.with_borrow_mut(|tools| match compress(tools, bytes) {
        Some(stored) => take(Form::Zstd, stored),
        None => take(Form::Plain, bytes),
    })
}

/// `None` when less than a tenth is saved; also without memory for it, since plain is always right.
fn compress<'t>(tools: &'t mut Option<Tools>, bytes: &[u8]) -> Option<&'t [u8]> {
    if tools.is_none() {
        *tools = Some(Tools { compressor: Compressor::new(LEVEL).ok()?, out: Vec::new() });
    }
    let Tools { compressor, out } = tools.as_mut()?;
    // There is no room for more, so a hopeless attempt ends early.
    out.resize(bytes.len() / 10 * 9, 0);
    let count = compressor.compress_to_buffer(bytes, out.as_mut_slice()).ok()?;
    out.get(..count)
}

/// The object of `size` bytes that one zstd frame holds. `None` when `stored` is something else, or the
/// frame holds another number of bytes. Never uses more memory than `size` and what zstd needs for itself.
pub(crate) fn restore(stored: &[u8], size: usize) -> io::Result<Option<Vec<u8>>> {
    if find_frame_compressed_size(stored) != Ok(stored.len()) {
        return Ok(None); // Several frames, or something behind the frame.
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            None => decompressor.insert(Decompressor::new()?),
        };
        let mut bytes = vec![0; size];
        let count = decompressor.decompress_to_buffer(stored, bytes.as_mut_slice());
        Ok(count.is_ok_and(|count| count == size).then_some(bytes))
    })
}

/// Whether no byte is more frequent than chance, as in compressed and encrypted data.
///
/// Measured by how often two bytes of a sample are equal, which is meaningful for small samples too: 1/256
/// for random bytes. To save a tenth by coding frequent bytes shortly it would have to be 1/147 at least.
fn looks_random(bytes: &[u8]) -> bool {
    let mut counts = [0_u16; 256];
    let mut count = |piece: &[u8]| piece.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let sampled = if bytes.len() <= PIECES * PIECE_BYTES {
        count(bytes);
        bytes.len()
    } else {
        let stride = bytes.len() / PIECES;
        bytes.chunks_exact(stride).take(PIECES).for_each(|part| count(&part[..PIECE_BYTES]));
        PIECES * PIECE_BYTES
    };
    let squares: u32 = counts.iter().map(|count| u32::from(*count).pow(2)).sum();
    let equal = squares as usize - sampled; // Pairs of two different places.
    // A quarter above chance. The standard deviation of a full sample of random bytes is 4%.
    equal * 256 * 4 < sampled * (sampled - 1) * 5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn text(size: usize) -> Vec<u8> {
        let lines = (0_u64..).map(|line| format!("{line},{},value {}\n", line * line % 977, line % 7));
        lines.flat_map(String::into_bytes).take(size).collect()
    }

    fn stored(bytes: &[u8]) -> (Form, Vec<u8>) {
        smaller(bytes, |form, stored| (form, stored.to_vec()))
    }

    #[test]
    fn text_shrinks_and_comes_back() {
        // The same thread, sizes up and down.
        for size in [SIZE_MIN * 4, 4096, 1 << 20, 5000, 300_001] {
            let bytes = text(size);
            let (form, stored) = stored(&bytes);
            assert_eq!(form, Form::Zstd, "{size}");
            assert!(stored.len() <= size / 10 * 9, "{size} became {}", stored.len());
            assert_eq!(restore(&stored, size).unwrap(), Some(bytes));
        }
    }

    #[test]
    fn what_does_not_shrink_is_stored_as_it_is() {
        let compressed = zstd::bulk::compress(&text(128 << 10), 12).unwrap();
        assert!(compressed.len() > 4096);
        for bytes in [&random(4096)[..], &random(1 << 20), &random(1000), &compressed, b"", b"aaaa"] {
            assert_eq!(stored(bytes), (Form::Plain, bytes.to_vec()));
        }
    }

    #[test]
    fn random_bytes_are_not_even_tried() {
        for size in [SIZE_MIN, 700, 1024, 1025, 4096, 1 << 20] {
            // Small samples vary; all of these are decided the same way on every machine.
            assert!(looks_random(&random(size)), "{size}");
        }
        let half = [random(2048), text(2048)].concat();
        assert!(!looks_random(&half), "half of it shrinks");
        assert!(!looks_random(&[0; 128]));
    }

    #[test]
    fn a_frame_that_lies_is_refused() {
        let bytes = text(4096);
        let frame = stored(&bytes).1;
        for wrong in [0, 1, 4095, 4097, 1 << 20] {
            assert_eq!(restore(&frame, wrong).unwrap(), None, "{wrong}");
        }
        // Something behind it, another frame, a frame that readers skip, less than one.
        let skipped = *b"\x50\x2a\x4d\x18\x01\0\0\0x";
        for behind in [&b"x"[..], &zstd::bulk::compress(b"", 1).unwrap(), &skipped] {
            assert_eq!(restore(&[&frame, behind].concat(), 4096).unwrap(), None);
        }
        assert_eq!(restore(&skipped, 0).unwrap(), Some(Vec::new()), "no bytes, in one frame");
        assert_eq!(restore(&frame[..frame.len() - 1], 4096).unwrap(), None);
        assert_eq!(restore(b"", 0).unwrap(), None);
        assert_eq!(restore(&bytes, 4096).unwrap(), None);
        // A header that says another size than the frame has: its field is two bytes after the descriptor.
        assert_eq!(frame[4] >> 6, 1, "the size has two bytes");
        let mut lying = frame;
        lying[5] ^= 1;
        assert_eq!(restore(&lying, 4096).unwrap(), None);
        assert_eq!(restore(&lying, 4097).unwrap(), None);
        // 64 MiB in some kilobytes: no more than what was said is ever written.
        let bomb = zstd::stream::encode_all(io::Read::take(io::repeat(0), 64 << 20), 1).unwrap();
        assert_eq!(restore(&bomb, 1 << 20).unwrap(), None);
    }
}
