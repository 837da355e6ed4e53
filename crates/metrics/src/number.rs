//! Numbers for people.

use std::time::Duration;

use aseptic_model::ByteSize;

/// At most five digits that count: `0.98765`, `1.2346e-7`, `123456`, `1.5e12`.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{}", if value == 0.0 { 0.0 } else { value }); // No `-0`.
    }
    let size = value.abs();
    if size.fract() == 0.0 && size < 1e9 {
        return format!("{value}");
    }
    if (1e-4..1e6).contains(&size) {
        return plain(value, size);
    }
    let text = format!("{value:.4e}");
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{}e{exponent}", without_zeros(digits)),
        None => text,
    }
}

/// A value of a metric: bytes as such, by the name of the metric, anything else in short.
#[must_use]
pub fn value(name: &str, value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as many bytes as can be")]
    if is_bytes(name) && value >= 0.0 { ByteSize(value as u64).to_string() } else { short(value) }
}

/// Whether the values of a metric are numbers of bytes.
pub(crate) fn is_bytes(name: &str) -> bool {
    name.ends_with("_bytes")
}

/// With as many decimals as five digits leave.
fn plain(value: f64, size: f64) -> String {
    let decimals = match size {
        10_000.0.. => 0,
        1_000.0.. => 1,
        100.0.. => 2,
        10.0.. => 3,
        1.0.. => 4,
        0.1.. => 5,
        0.01.. => 6,
        0.001.. => 7,
        _ => 8,
    };
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn without_zeros(digits: &str) -> &str {
    if !digits.contains('.') {
        return digits;
    }
    digits.trim_end_matches('0').trim_end_matches('.')
}

/// A time since a beginning, as people say it: `0`, `1.5 s`, `3 min`, `2.5 h`, `4 d`. `span` is that of all that
/// are said beside each other, which chooses the unit.
#[must_use]
pub(crate) fn since(seconds: f64, span: Duration) -> String {
    if seconds == 0.0 {
        return "0".to_owned();
    }
    let (unit, name) = match span.as_secs() {
        172_800.. => (86_400.0, "d"),
        7_200.. => (3_600.0, "h"),
        120.. => (60.0, "min"),
        _ => (1.0, "s"),
    };
    format!("{} {name}", short(seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.987_654_321, "0.98765"),
            (123_456.0, "123456"),
            (123_456.7, "123457"),
            (0.000_123_456, "0.00012346"),
            (0.000_012_345_6, "1.2346e-5"),
            (1.5e12, "1.5e12"),
            (-1e300, "-1e300"),
            (1234.5678, "1234.6"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn times_are_in_the_unit_of_their_span() {
        let since = |seconds, span| since(seconds, Duration::from_secs(span));
        assert_eq!([since(0.0, 9), since(1.5, 9), since(90.0, 600)], ["0", "1.5 s", "1.5 min"]);
        assert_eq!([since(9_000.0, 10_000), since(345_600.0, 500_000)], ["2.5 h", "4 d"]);
    }
}
