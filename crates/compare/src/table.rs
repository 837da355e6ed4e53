//! Tables of text (CSV, TSV): cell by cell, row by row. A cell that is a number in both is compared as one.
//!
//! Source: RFC 4180, as the crate `csv` reads it; rows may have different lengths.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use csv::ByteRecord;

use crate::Unreadable;
use crate::content::{Content, Reader};
use crate::lines::LINE_BYTES_MAX;
use crate::tally::Tally;

pub(crate) fn compare(
    delimiter: u8,
    before: &Content,
    after: &Content,
    tally: &mut Tally,
) -> Result<(), Unreadable> {
    let mut tables = [Table::new(delimiter, before), Table::new(delimiter, after)];
    let mut header = ByteRecord::new();
    loop {
        let [old, new] = &mut tables;
        let line = old.line();
        let (has_old, has_new) = (old.advance()?, new.advance()?);
        if !has_old && !has_new {
            return Ok(());
        }
        let whole = |table: &Table| {
            String::from_utf8_lossy(&table.row.iter().collect::<Vec<_>>().join(&delimiter)).into_owned()
        };
        if !(has_old && has_new) {
            let (old, new) = (has_old.then(|| whole(old)), has_new.then(|| whole(new)));
            tally.one_sided(|| format!("line {line}"), old.as_deref(), new.as_deref());
            continue;
        }
        if header.is_empty() {
            header.clone_from(&old.row);
        }
        if old.row == new.row {
            tally.equal(old.row.len() as u64);
            continue;
        }
        rows(line, &header, &old.row, &new.row, tally);
    }
}

fn rows(line: u64, header: &ByteRecord, old: &ByteRecord, new: &ByteRecord, tally: &mut Tally) {
    let text = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
    for index in 0..old.len().max(new.len()) {
        let at = || match header.get(index) {
            Some(name) => format!("line {line}, column {}", String::from_utf8_lossy(name)),
            None => format!("line {line}, column {}", index + 1),
        };
        match (old.get(index), new.get(index)) {
            (Some(old), Some(new)) if old == new => tally.equal(1),
            (Some(old), Some(new)) => match (float(old), float(new)) {
                (Some(old_number), Some(new_number)) if !(integer(old) && integer(new)) => {
                    tally.numbers(at, old_number, new_number);
                }
                _ => tally.one_sided(at, Some(&text(old)), Some(&text(new))),
            },
            (old, new) => {
                tally.one_sided(at, old.map(text).as_deref(), new.map(text).as_deref());
            }
        }
    }
}

fn float(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.trim().parse().ok()
}

fn integer(cell: &[u8]) -> bool {
    cell.trim_ascii().iter().enumerate().all(|(at, byte)| byte.is_ascii_digit() || (at == 0 && *byte == b'-'))
}

/// A table that is read row by row.
struct Table {
    reader: csv::Reader<Bounded>,
    row: ByteRecord,
    /// Bytes that may still be read for the row.
    left: Rc<Cell<u64>>,
}

impl Table {
    fn new(delimiter: u8, content: &Content) -> Self {
        let left = Rc::new(Cell::new(LINE_BYTES_MAX));
        let bounded = Bounded { reader: content.reader(), left: Rc::clone(&left) };
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(delimiter).has_headers(false).flexible(true);
        Self { reader: builder.from_reader(bounded), row: ByteRecord::new(), left }
    }

    /// The line on which the next row begins, from 1.
    fn line(&self) -> u64 {
        self.reader.position().line()
    }

    /// Whether there is another row, which is in `row` then.
    fn advance(&mut self) -> Result<bool, Unreadable> {
        self.left.set(LINE_BYTES_MAX);
        self.reader.read_byte_record(&mut self.row).map_err(Unreadable::new)
    }
}

/// Ends with an error where a row is longer than one may be: a quote that is never closed makes the rest of the
/// file one cell.
struct Bounded {
    reader: Reader,
    left: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let Some(left) = self.left.get().checked_sub(count as u64) else {
            return Err(io::Error::other(format!("a row is over {LINE_BYTES_MAX} bytes")));
        };
        self.left.set(left);
        Ok(count)
    }
}
