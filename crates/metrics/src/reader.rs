//! A file of metrics, read as it comes.

use std::collections::HashMap;
use std::io::{self, Read};

use crate::line::{self, When};

/// Bytes that are read of one file: some 15 million lines. What follows is not read, and the caller says so.
pub const READ_BYTES_MAX: u64 = 1 << 30;

/// Longest line in bytes; 10,000 metrics at once fit.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Metrics of one file.
const NAMES_MAX: usize = 10_000;

/// Longest name in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Bytes taken at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The mark of UTF-8 with which some editors begin a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One value of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point<'a> {
    /// Number of the metric, in the order in which they came first.
    pub series: usize,
    /// Its name.
    pub name: &'a str,
    /// The step that its line names, or how many values of this metric came before.
    pub step: i64,
    /// Seconds since 1970, if its line names them.
    pub time: Option<f64>,
    /// The value, which may be infinite or no number.
    pub value: f64,
}

/// Takes the bytes of a file and gives its points. Lines that end in the middle of what was fed wait for the rest.
#[derive(Debug, Default)]
pub struct Reader {
    lines: u64,
    unreadable: u64,
    read: u64,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// Whether the line that comes is too long to be kept.
    too_long: bool,
    series: Series,
    path: String,
}

/// The metrics that have come, and the values of the line that is read.
#[derive(Debug, Default)]
struct Series {
    numbers: HashMap<String, usize>,
    all: Vec<Seen>,
    values: Vec<(usize, f64)>,
    /// Number of the line, from 1.
    line: u64,
    /// Whether the line has a value that is not kept.
    lost: bool,
}

#[derive(Debug)]
struct Seen {
    name: String,
    count: i64,
    /// The last line that had it, and where in `values` that has it.
    line: u64,
    at: usize,
}

impl Reader {
    /// Of a file of which nothing was read.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many lines have come; blank ones do not count.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// How many of them are not read, or not all of their values.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// How many bytes were read.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.read
    }

    /// Reads what `source` has, up to [`READ_BYTES_MAX`] of the file, and shows each point to `take`. Lines of
    /// the end that are not complete wait for the next call or for [`Reader::finish`].
    ///
    /// # Errors
    /// Those of `source` and of `take`.
    pub fn read<T>(&mut self, source: &mut dyn Read, take: &mut T) -> io::Result<()>
    where
        T: FnMut(Point<'_>) -> io::Result<()> + ?Sized,
    {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let room = usize::try_from(READ_BYTES_MAX.saturating_sub(self.read)).unwrap_or(CHUNK_BYTES);
            if room == 0 {
                return Ok(());
            }
            let most = room.min(CHUNK_BYTES);
            match source.read(&mut buffer[..most]) {
                Ok(0) => return Ok(()),
                Ok(count) => self.feed(&buffer[..count], take)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn feed<T>(&mut self, bytes: &[u8], take: &mut T) -> io::Result<()>
    where
        T: FnMut(Point<'_>) -> io::Result<()> + ?Sized,
    {
        self.read += bytes.len() as u64;
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if self.begun.is_empty() && !self.too_long {
                self.line(line, take)?;
            } else {
                self.keep(line);
                self.end_line(take)?;
            }
        }
        self.keep(rest);
        Ok(())
    }

    /// Takes the last line, which nothing ends.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn finish<T>(&mut self, take: &mut T) -> io::Result<()>
    where
        T: FnMut(Point<'_>) -> io::Result<()> + ?Sized,
    {
        if self.begun.is_empty() && !self.too_long {
            return Ok(());
        }
        self.end_line(take)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.too_long || self.begun.len() + bytes.len() > LINE_BYTES_MAX {
            self.too_long = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    fn end_line<T>(&mut self, take: &mut T) -> io::Result<()>
    where
        T: FnMut(Point<'_>) -> io::Result<()> + ?Sized,
    {
        let mut line = std::mem::take(&mut self.begun);
        if std::mem::take(&mut self.too_long) {
            self.lines += 1;
            self.unreadable += 1;
            return Ok(());
        }
        let taken = self.line(&line, take);
        line.clear();
        self.begun = line; // Its memory is used again.
        taken
    }

    fn line<T>(&mut self, line: &[u8], take: &mut T) -> io::Result<()>
    where
        T: FnMut(Point<'_>) -> io::Result<()> + ?Sized,
    {
        let line = match self.lines {
            0 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
            _ => line,
        };
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        self.lines += 1;
        if line.len() > LINE_BYTES_MAX {
            self.unreadable += 1;
            return Ok(());
        }
        let known = self.series.begin();
        let series = &mut self.series;
        let read = match std::str::from_utf8(line) {
            Ok(text) => line::read(text, &mut self.path, &mut |name, value| series.add(name, value)),
            Err(_) => Err(line::Unreadable),
        };
        let Ok(when) = read else {
            self.unreadable += 1;
            self.series.forget(known);
            return Ok(());
        };
        self.unreadable += u64::from(self.series.lost);
        self.series.give(when, take)
    }
}

impl Series {
    /// Begins a line; returns how many metrics there are.
    fn begin(&mut self) -> usize {
        self.line += 1;
        self.lost = false;
        self.values.clear();
        self.all.len()
    }

    /// A value of the line. Of a name that a line has twice the last counts, as in every reader of JSON.
    fn add(&mut self, name: &str, value: f64) {
        if name.len() > NAME_BYTES_MAX {
            self.lost = true; // Before anything looks at all of it: a line may repeat it for each of its values.
            return;
        }
        // A line mostly has the same names in the same order as the one before.
        let guess = self.values.last().map_or(0, |(last, _)| last + 1);
        let number = match self.all.get(guess) {
            Some(seen) if seen.name == name => guess,
            _ => match self.numbers.get(name) {
                Some(number) => *number,
                None if self.all.len() < NAMES_MAX && is_name(name) => self.insert(name),
                None => {
                    self.lost = true;
                    return;
                }
            },
        };
        let Some(seen) = self.all.get_mut(number) else { return };
        if seen.line == self.line {
            if let Some(known) = self.values.get_mut(seen.at) {
                known.1 = value;
            }
            return;
        }
        seen.line = self.line;
        seen.at = self.values.len();
        self.values.push((number, value));
    }

    fn insert(&mut self, name: &str) -> usize {
        let number = self.all.len();
        self.numbers.insert(name.to_owned(), number);
        self.all.push(Seen { name: name.to_owned(), count: 0, line: 0, at: 0 });
        number
    }

    /// Takes back the metrics of a line that cannot be read.
    fn forget(&mut self, known: usize) {
        for seen in self.all.drain(known..) {
            self.numbers.remove(&seen.name);
        }
    }

    fn give<T>(&mut self, when: When, take: &mut T) -> io::Result<()>
    where
        T: FnMut(Point<'_>) -> io::Result<()> + ?Sized,
    {
        for (series, value) in self.values.iter().copied() {
            let Some(seen) = self.all.get_mut(series) else { continue };
            let step = when.step.unwrap_or(seen.count);
            seen.count += 1;
            take(Point { series, name: &seen.name, step, time: when.time, value })?;
        }
        Ok(())
    }
}

/// A name that every place which keeps names can hold.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests;
