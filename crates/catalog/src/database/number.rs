//! The numbers of PostgreSQL that have any number of digits, which is what it adds up in.

/// A NUMERIC in its binary form, as the nearest `f64`, or exactly when it is a whole `i64`.
///
/// Source: `numeric_send` in PostgreSQL: four 16-bit words (how many digits, weight of the first, sign, scale), then
/// digits to the base of 10,000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(i64),
    Other(f64),
}

pub(super) fn numeric(bytes: &[u8]) -> Option<Number> {
    let mut words = bytes.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let count = words.next()?;
    let weight = i32::from(words.next()?.cast_signed());
    let negative = match words.next()? {
        0 => false,
        0x4000 => true,
        _ => return Some(Number::Other(f64::NAN)), // NaN and both infinities.
    };
    words.next()?;
    let mut whole: Option<i64> = Some(0);
    let mut value = 0.0_f64;
    for (place, digit) in (0..i32::from(count)).zip(words) {
        let power = weight - place;
        value += f64::from(digit) * 10_000_f64.powi(power);
        whole = match power {
            0.. => whole.and_then(|whole| whole.checked_mul(10_000)?.checked_add(i64::from(digit))),
            _ if digit == 0 => whole,
            _ => None,
        };
    }
    // Zeros at the end are not sent.
    for _ in i32::from(count)..=weight {
        whole = whole.and_then(|whole| whole.checked_mul(10_000));
    }
    let whole = whole.map(|whole| if negative { -whole } else { whole });
    Some(whole.map_or(Number::Other(if negative { -value } else { value }), Number::Whole))
}

#[cfg(test)]
mod tests {
    use super::{Number, numeric};

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numbers_are_read_exactly_when_they_are_whole() {
        let read = |all: &[u16]| numeric(&words(all));
        assert_eq!(read(&[0, 0, 0, 0]), Some(Number::Whole(0)));
        assert_eq!(read(&[2, 1, 0, 0, 12, 345]), Some(Number::Whole(120_345)));
        assert_eq!(read(&[1, 1, 0x4000, 0, 12]), Some(Number::Whole(-120_000)));
        assert_eq!(read(&[2, 0, 0, 1, 1, 5000]), Some(Number::Other(1.5)));
        assert_eq!(read(&[1, 10, 0, 0, 1]), Some(Number::Other(1e40)));
        assert_eq!(read(&[1]), None);
    }
}
