//! Points as comma-separated values.

use std::io::{self, Write};

use crate::Point;

/// The first line.
pub const CSV_HEADER: &str = "run,name,step,time,value\r\n";

/// Writes one point of the run `run`. Values and times are those that were read, to the last digit; a time that
/// nobody wrote is empty. A name that a spreadsheet would take for a formula begins with an apostrophe.
///
/// # Errors
/// Those of `out`.
///
/// Source: RFC 4180.
pub fn write_csv(out: &mut dyn Write, run: &str, point: &Point<'_>) -> io::Result<()> {
    write!(out, "{run},")?;
    write_text(out, point.name)?;
    write!(out, ",{},", point.step)?;
    if let Some(time) = point.time {
        write!(out, "{time}")?;
    }
    write!(out, ",{}\r\n", Value(point.value))
}

fn write_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let begins = text.trim_start().chars().next();
    let is_formula = begins.is_some_and(|first| "=+-@|%＝＋－＠".contains(first));
    if !is_formula && !text.contains([',', '"', '\r', '\n', ';', '\t']) {
        return out.write_all(text.as_bytes());
    }
    write!(out, "\"{}{}\"", if is_formula { "'" } else { "" }, text.replace('"', "\"\""))
}

/// A number that every program reads: very large ones with an exponent, which Rust leaves out.
struct Value(f64);

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.0.abs();
        if self.0 == 0.0 || !self.0.is_finite() || (1e-5..1e16).contains(&size) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:e}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, time: Option<f64>, value: f64) -> String {
        let mut out = Vec::new();
        write_csv(&mut out, "abc", &Point { series: 0, name, step: -3, time, value }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_as_they_were() {
        assert_eq!(line("loss", None, 0.1 + 0.2), "abc,loss,-3,,0.30000000000000004\r\n");
        assert_eq!(line("a,\"b", Some(1.5), 1e300), "abc,\"a,\"\"b\",-3,1.5,1e300\r\n");
        assert_eq!(line("a", None, f64::NAN), "abc,a,-3,,NaN\r\n");
        assert_eq!(line("a", None, f64::NEG_INFINITY), "abc,a,-3,,-inf\r\n");
    }

    #[test]
    fn no_name_is_a_formula() {
        assert_eq!(line("=1+1", None, 1.0), "abc,\"'=1+1\",-3,,1\r\n");
        assert_eq!(line(" @x", None, 1.0), "abc,\"' @x\",-3,,1\r\n");
    }
}
