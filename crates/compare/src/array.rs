//! Arrays of NumPy: element by element, as they lie in the file.

use std::io::Read;

use crate::Unreadable;
use crate::header::{Element, Header, Kind, read_exact};
use crate::tally::Tally;

/// So many bytes of each array are in memory at once.
const PIECE_BYTES: usize = 1 << 18;

/// Two arrays with their heads, each to the end of its reader. `name` says which, if there are several.
pub(crate) fn compare(
    name: &str,
    mut before: impl Read,
    mut after: impl Read,
    tally: &mut Tally,
) -> Result<(), Unreadable> {
    let headers = (Header::read(&mut before)?, Header::read(&mut after)?);
    let (old, new) = &headers;
    let place = |what: &str| if name.is_empty() { what.to_owned() } else { format!("{name} {what}") };
    let mut same = true;
    if !old.element.same_type(&new.element) {
        tally.one_sided(|| place("type"), Some(&old.element.name()), Some(&new.element.name()));
        same = false;
    }
    if old.shape != new.shape {
        tally.one_sided(
            || place("shape"),
            Some(&format!("{:?}", old.shape)),
            Some(&format!("{:?}", new.shape)),
        );
        same = false;
    }
    if !same {
        return Ok(());
    }
    let is_flat = old.shape.iter().filter(|length| **length > 1).count() < 2;
    if old.fortran_order != new.fortran_order && !is_flat {
        return Err(Unreadable::new(place("lies by columns in one and by rows in the other")));
    }
    let at = |index: u64| place(&format!("{:?}", indices(index, &old.shape, old.fortran_order)));
    elements(&old.element, &new.element, old.count, &mut before, &mut after, &at, tally)?;
    for reader in [&mut before as &mut dyn Read, &mut after] {
        if reader.read(&mut [0]).map_err(Unreadable::new)? > 0 {
            return Err(Unreadable::new(place("has bytes after its end")));
        }
    }
    Ok(())
}

/// `count` elements of each reader.
pub(crate) fn elements(
    old: &Element,
    new: &Element,
    count: u64,
    before: &mut dyn Read,
    after: &mut dyn Read,
    at: &dyn Fn(u64) -> String,
    tally: &mut Tally,
) -> Result<(), Unreadable> {
    let size = old.size.max(1);
    let per_piece = (PIECE_BYTES / size).max(1);
    let (mut left, mut index) = (count, 0);
    let mut pieces = (Vec::new(), Vec::new());
    if old.size == 0 {
        tally.equal(count);
        return Ok(());
    }
    while left > 0 {
        let taken = usize::try_from(left).unwrap_or(per_piece).min(per_piece);
        pieces.0.resize(taken * size, 0);
        pieces.1.resize(taken * size, 0);
        read_exact(&mut &mut *before, &mut pieces.0)?;
        read_exact(&mut &mut *after, &mut pieces.1)?;
        if old.same_bytes(new) && pieces.0 == pieces.1 {
            tally.equal(taken as u64);
        } else {
            for (place, (a, b)) in (index..).zip(pieces.0.chunks_exact(size).zip(pieces.1.chunks_exact(size)))
            {
                element(old, new, a, b, || at(place), tally);
            }
        }
        index += taken as u64;
        left -= taken as u64;
    }
    Ok(())
}

fn element(old: &Element, new: &Element, a: &[u8], b: &[u8], at: impl Fn() -> String, tally: &mut Tally) {
    if a == b && old.same_bytes(new) {
        return tally.equal(1);
    }
    match old.kind {
        Kind::Float | Kind::BrainFloat => {
            tally.numbers(at, float(old.kind, a, old.big_endian), float(old.kind, b, new.big_endian));
        }
        Kind::Complex => {
            let half = old.size / 2;
            for (part, (a, b)) in
                ["real", "imaginary"].into_iter().zip(a.chunks_exact(half).zip(b.chunks_exact(half)))
            {
                let at = || format!("{} {part}", at());
                tally.numbers(
                    at,
                    float(Kind::Float, a, old.big_endian),
                    float(Kind::Float, b, new.big_endian),
                );
            }
        }
        Kind::Bool | Kind::Signed | Kind::Unsigned => {
            let (a, b) = (integer(old.kind, a, old.big_endian), integer(new.kind, b, new.big_endian));
            tally.exact(at, &a, &b);
        }
        Kind::Bytes => tally.exact(at, &text(old, a), &text(new, b)),
    }
}

/// At most eight bytes, the highest first.
fn word(bytes: &[u8], big_endian: bool) -> u64 {
    let take = |word, byte: &u8| (word << 8) | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, take) } else { bytes.iter().rev().fold(0, take) }
}

#[expect(clippy::cast_possible_truncation, reason = "the width was looked at")]
fn float(kind: Kind, bytes: &[u8], big_endian: bool) -> f64 {
    let bits = word(bytes, big_endian);
    match (kind, bytes.len()) {
        (Kind::BrainFloat, _) => f64::from(f32::from_bits((bits as u32) << 16)),
        (_, 2) => half(bits as u16),
        (_, 4) => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits),
    }
}

/// A number of 16 bits. Source: IEEE 754, binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    }
}

fn integer(kind: Kind, bytes: &[u8], big_endian: bool) -> String {
    let bits = word(bytes, big_endian);
    let unused = 64 - 8 * u32::try_from(bytes.len()).unwrap_or(8).min(8);
    match kind {
        Kind::Signed => (((bits << unused).cast_signed()) >> unused).to_string(),
        _ => bits.to_string(),
    }
}

/// Text of four bytes a character without the zeros that fill it up, other bytes as they are.
fn text(element: &Element, bytes: &[u8]) -> String {
    if !element.unit.starts_with('U') {
        return aseptic_model::escape_bytes(bytes);
    }
    let characters = bytes.chunks_exact(4).map(|unit| {
        let code = u32::try_from(word(unit, element.big_endian)).unwrap_or(0);
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    });
    characters.collect::<String>().trim_end_matches('\0').to_owned()
}

/// The indices of the element at `index` of the file.
fn indices(mut index: u64, shape: &[u64], fortran_order: bool) -> Vec<u64> {
    let mut indices = vec![0; shape.len()];
    let mut places: Vec<_> = (0..shape.len()).collect();
    if !fortran_order {
        places.reverse();
    }
    for place in places {
        if let (Some(length @ 1..), Some(at)) = (shape.get(place), indices.get_mut(place)) {
            *at = index % length;
            index /= length;
        }
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_sixteen_bits() {
        for (bits, number) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (1, 2_f64.powi(-24)),
            (0x3555, 0.333_251_953_125),
        ] {
            assert_eq!(half(bits), number, "{bits:x}");
        }
        assert!(half(0x7e00).is_nan() && half(0xfc00) == f64::NEG_INFINITY);
    }

    #[test]
    fn places_in_both_orders() {
        assert_eq!(indices(5, &[2, 3], false), [1, 2]);
        assert_eq!(indices(1, &[2, 3], false), [0, 1]);
        assert_eq!(indices(1, &[2, 3], true), [1, 0]);
        assert!(indices(0, &[], false).is_empty());
    }

    #[test]
    fn integers_keep_their_sign() {
        assert_eq!(integer(Kind::Signed, &[0xff, 0xff], false), "-1");
        assert_eq!(integer(Kind::Unsigned, &[1, 0], true), "256");
        assert_eq!(integer(Kind::Signed, &[0; 8], false), "0");
        assert_eq!(integer(Kind::Unsigned, &[0xff; 8], false), u64::MAX.to_string());
    }
}
