//! The metrics of a file and nothing else of it, written anew.
//!
//! A file whose writer is not trusted can say anything between its numbers: text, the order of keys, white space, how
//! a number is written, a clock. What comes out here has one form for equal metrics, so that what it can say is bounded
//! by how long it is.
//!
//! **Invariant:** what was written is at most as long as the caller permits, and every line of it is one that
//! [`crate::Reader`] reads, with names of few letters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};

use crate::line;

/// Bytes that are read: what is permitted is a small part of it.
const READ_BYTES_MAX: u64 = 64 << 20;

/// Longest line in bytes that is read.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Different names.
const NAMES_MAX: usize = 64;

/// Longest name in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Largest step; longer trainings have no hold-out evaluation a step.
const STEP_MAX: i64 = 1_000_000_000;

/// Why not all of a file was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// The metrics are longer than is permitted, or the file is than is read; the first ones are there.
    TooMuch,
    /// A line is no JSON object that [`crate::Reader`] reads, or too long.
    Unreadable,
    /// A line has no metric.
    NoMetric,
    /// A name is too long or has other characters than letters of ASCII, digits, `_`, `-`, `.` and `/`.
    Name,
    /// There are too many different names.
    Names,
    /// A step is negative or too large.
    Step,
}

impl LeftOut {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooMuch => "metrics beyond the bytes that are kept",
            Self::Unreadable => "lines that cannot be read",
            Self::NoMetric => "lines without a metric",
            Self::Name => {
                "metrics whose names are longer than 64 bytes or not of letters, digits, `_`, `-`, `.` and `/`"
            }
            Self::Names => "metrics beyond 64 different ones",
            Self::Step => "lines with a step below 0 or above 1,000,000,000",
        }
    }
}

/// The metrics of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// JSON lines: a step, if the line had one, then the metrics in the order of their names.
    pub lines: String,
    /// Why they are not all.
    pub left_out: BTreeSet<LeftOut>,
}

/// Takes the metrics out of `source`, at most `bytes_max` bytes of them. From the first line on that has no room any
/// more, nothing is taken.
///
/// # Errors
/// Those of `source`.
pub fn only_metrics(source: &mut dyn Read, bytes_max: usize) -> io::Result<Only> {
    let mut source = BufReader::new(source.take(READ_BYTES_MAX + 1));
    let mut only = Only::default();
    let (mut names, mut read, mut bytes) = (BTreeSet::new(), 0, Vec::new());
    loop {
        bytes.clear();
        let length = (&mut source).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes)? as u64;
        read += length;
        if length == 0 {
            return Ok(only);
        }
        if read > READ_BYTES_MAX {
            only.left_out.insert(LeftOut::TooMuch);
            return Ok(only);
        }
        if length > LINE_BYTES_MAX {
            only.left_out.insert(LeftOut::Unreadable);
            read += skip_line(&mut source)?;
            continue;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let before = only.left_out.clone();
        match written(&bytes, &mut names, &mut only.left_out) {
            Ok(line) if only.lines.len() + line.len() > bytes_max => {
                only.left_out = before;
                only.left_out.insert(LeftOut::TooMuch);
                return Ok(only);
            }
            Ok(line) => only.lines.push_str(&line),
            Err(why) => {
                only.left_out.insert(why);
            }
        }
    }
}

/// Passes over the rest of a line, which may be as long as the file.
fn skip_line(source: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let found = source.fill_buf()?;
        let end = found.iter().position(|byte| *byte == b'\n');
        let (length, over) = (end.map_or(found.len(), |end| end + 1), end.is_some() || found.is_empty());
        source.consume(length);
        skipped += length as u64;
        if over {
            return Ok(skipped);
        }
    }
}

/// A line as it is kept, with its line break.
fn written(
    line: &[u8],
    names: &mut BTreeSet<String>,
    left_out: &mut BTreeSet<LeftOut>,
) -> Result<String, LeftOut> {
    let text = std::str::from_utf8(line).map_err(|_| LeftOut::Unreadable)?;
    let mut values = BTreeMap::new();
    let mut take = |name: &str, value: f64| {
        if is_plain(name) {
            values.insert(name.to_owned(), value); // Of a name that a line has twice the last counts.
        } else {
            left_out.insert(LeftOut::Name);
        }
    };
    let when = line::read(text, &mut String::new(), &mut take).map_err(|_| LeftOut::Unreadable)?;
    if when.step.is_some_and(|step| !(0..=STEP_MAX).contains(&step)) {
        return Err(LeftOut::Step);
    }
    values.retain(|name, _| {
        let fits = names.contains(name) || names.len() < NAMES_MAX;
        if fits {
            names.insert(name.clone());
        } else {
            left_out.insert(LeftOut::Names);
        }
        fits
    });
    if values.is_empty() {
        return Err(LeftOut::NoMetric);
    }
    let mut members: Vec<_> = when.step.iter().map(|step| format!("\"step\":{step}")).collect();
    members.extend(values.iter().map(|(name, value)| format!("\"{name}\":{}", number(*value))));
    Ok(format!("{{{}}}\n", members.join(",")))
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !matches!(name, "step" | "time") && name.bytes().all(plain)
}

/// The shortest text that is this number again; every number that is none is the same.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let mut text = String::new();
    let _ = write!(text, "{:?}", value + 0.0); // No `-0`.
    text
}

#[cfg(test)]
mod tests;
