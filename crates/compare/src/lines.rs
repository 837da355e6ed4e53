//! JSON lines: each line a document, compared with the line of the same number.

use std::io::{BufRead, BufReader, Read};

use crate::Unreadable;
use crate::content::{Content, Reader};
use crate::json;
use crate::tally::Tally;

/// Longest line.
pub(crate) const LINE_BYTES_MAX: u64 = 4 << 20;

/// `left_out` is a name of the outermost object of each line that is not compared.
pub(crate) fn compare(
    before: &Content,
    after: &Content,
    left_out: Option<&str>,
    tally: &mut Tally,
) -> Result<(), Unreadable> {
    let mut files = [Lines::new(before), Lines::new(after)];
    let mut number = 0_u64;
    loop {
        number += 1;
        let [before, after] = &mut files;
        let at = || format!("line {number}");
        match (before.next()?, after.next()?) {
            (None, None) => return Ok(()),
            (Some(before), Some(after)) if before == after => tally.equal(1),
            (Some(before), Some(after)) => {
                json::documents(before, after, &format!("line {number} "), left_out, tally)
                    .map_err(|Unreadable(why)| Unreadable::new(format_args!("line {number}: {why}")))?;
            }
            (before, after) => {
                let text = |line: Option<&[u8]>| line.map(|line| String::from_utf8_lossy(line).into_owned());
                tally.one_sided(at, text(before).as_deref(), text(after).as_deref());
            }
        }
    }
}

/// The lines of a file, without their ends.
pub(crate) struct Lines {
    reader: BufReader<Reader>,
    line: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(content: &Content) -> Self {
        Self { reader: BufReader::new(content.reader()), line: Vec::new() }
    }

    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Unreadable> {
        self.line.clear();
        let mut line = self.reader.by_ref().take(LINE_BYTES_MAX + 1);
        let length = line.read_until(b'\n', &mut self.line).map_err(Unreadable::new)?;
        if length as u64 > LINE_BYTES_MAX {
            return Err(Unreadable::new(format_args!("a line is over {LINE_BYTES_MAX} bytes")));
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok((length > 0).then(|| line.strip_suffix(b"\r").unwrap_or(line)))
    }
}
