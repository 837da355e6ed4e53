//! Instants, sizes and durations, each with one text form.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant in UTC with a resolution of one millisecond; its text form is RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// The instant `milliseconds` after 1970-01-01T00:00:00Z, or nothing outside the years -9999 to 9999.
    #[must_use]
    pub fn from_unix_ms(milliseconds: i64) -> Option<Self> {
        jiff::Timestamp::from_millisecond(milliseconds).ok().map(Self)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn as_unix_ms(self) -> i64 {
        self.0.as_millisecond()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let instant: jiff::Timestamp =
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)?;
        Self::from_unix_ms(instant.as_millisecond()).ok_or_else(|| de::Error::custom("out of range"))
    }
}

/// The text is not a quantity of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct QuantityError {
    text: String,
    expected: &'static str,
}

/// A number of bytes. Text form: `512`, `100MB` (powers of 1000) or `4GiB` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const SIZE_UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || QuantityError { text: text.to_owned(), expected: "a size such as `512MiB` or `4GB`" };
        let (digits, factor) = SIZE_UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
            .unwrap_or((text, 1));
        let number = whole_number(digits.trim_end()).ok_or_else(wrong)?;
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl ByteSize {
    /// In the largest unit of powers of 1024 that divides it, so that the same number is read back.
    #[must_use]
    pub fn exact(self) -> String {
        in_unit(self.0, &SIZE_UNITS[..4], "B")
    }
}

impl fmt::Display for ByteSize {
    /// For people: at most one decimal, in powers of 1024.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((unit, factor)) = SIZE_UNITS[..4].iter().rev().find(|(_, factor)| self.0 >= *factor) else {
            return write!(f, "{} B", self.0);
        };
        let tenths = u128::from(self.0) * 10 / u128::from(*factor);
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration such as `90s`, `1h30m` or `500ms`; a unit is required.
///
/// # Errors
/// [`QuantityError`] when the text is not a sum of whole numbers with units, or is over 2^63 ms.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let wrong = || QuantityError { text: text.to_owned(), expected: "a duration such as `90s` or `1h30m`" };
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit_length = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        let factor = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        let part = whole_number(number).and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() || i64::try_from(total).is_err() {
        return Err(wrong());
    }
    Ok(Duration::from_millis(total))
}

/// A duration in the largest unit that divides it, so that [`parse_duration`] reads the same back.
#[must_use]
pub fn exact_duration(milliseconds: u64) -> String {
    in_unit(milliseconds, &DURATION_UNITS, "ms")
}

/// `amount` in the last of `units` that divides it; in the smallest where none does.
fn in_unit(amount: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let divides = |(_, factor): &&(&str, u64)| amount >= *factor && amount.is_multiple_of(*factor);
    let unit = units.iter().rev().find(divides);
    unit.map_or_else(|| format!("{amount}{smallest}"), |(unit, factor)| format!("{}{unit}", amount / factor))
}

/// A duration for people: `320 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`.
#[must_use]
pub fn describe_ms(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", seconds, milliseconds % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Digits and nothing else: `u64::from_str` alone would also take a sign.
fn whole_number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        assert_eq!(["1GiB", "1025B", "512KiB"], [1 << 30, 1025, 1 << 19].map(|size| ByteSize(size).exact()));
        assert_eq!(["90s", "2h", "1d", "1500ms"], [90_000, 7_200_000, 86_400_000, 1_500].map(exact_duration));
    }

    #[test]
    fn instants_read_back() {
        let instant = Timestamp::from_unix_ms(1_764_000_000_120).unwrap();
        assert_eq!(instant.to_string(), "2025-11-24T16:00:00.120Z");
        let json = serde_json::to_string(&instant).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), instant);
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("512", 512), ("4GiB", 4 << 30), ("100 MB", 100_000_000), ("7B", 7)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "GiB", "+4GiB", "4gib", "1.5GiB", "-1", "99999999999TiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        assert_eq!(ByteSize(1536).to_string(), "1.5 KiB");
        assert_eq!(ByteSize(12).to_string(), "12 B");
    }

    #[test]
    fn durations() {
        for (text, ms) in [("90s", 90_000), ("1h30m", 5_400_000), ("500ms", 500), ("2d", 172_800_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "10", "s", "1x", "-1s", "1h 30m", "999999999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(describe_ms(185_000), "3 min 5 s");
    }
}
