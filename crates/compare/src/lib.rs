//! Two files by their values: what differs first, in how many places, and by how much.
//!
//! `format` says as what both are read; `json` (with `parse`), `lines`, `table`, `array` (with `header`), `archive`,
//! `tensors`, `parquet` and `text` read them; `tally` counts what differs; `content` is a file or its bytes.
//!
//! **Invariant:** whatever a file holds, nothing panics, memory and depth are bounded, and what comes out of an
//! archive is bounded, too. What cannot be compared by its values is different, with the reason.
//! **Invariant:** no object of Python is ever loaded.
//! **Absent on purpose:** the store, runs, and whether bytes are equal, which digests say.
#![forbid(unsafe_code)]

mod archive;
mod array;
mod content;
mod format;
mod header;
mod json;
mod lines;
mod parquet;
mod parse;
mod table;
mod tally;
mod tensors;
mod text;

use aseptic_model::{FileComparison, FileFormat, Tolerance, Verdict};

pub use content::Content;

use crate::tally::Tally;

/// Why two files cannot be compared by their values, in words for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(pub(crate) String);

impl Unreadable {
    pub(crate) fn new(why: impl std::fmt::Display) -> Self {
        Self(aseptic_model::escape_bytes(tally::cut(&why.to_string()).as_bytes()))
    }
}

/// Compares `after` with `before`, two files of one path whose bytes differ.
///
/// `name` is their file name, which says what plain text is. Equal values give [`Verdict::Equivalent`]; numbers
/// that are no integers are equal within `tolerance`, everything else is compared exactly.
#[must_use]
pub fn compare(name: &[u8], before: &Content, after: &Content, tolerance: Tolerance) -> FileComparison {
    let formats = (format::of(name, before), format::of(name, after));
    let format = formats.0;
    let mut tally = Tally::new(tolerance, format);
    let read = match formats {
        (before, after) if before != after => {
            Err(Unreadable::new(format_args!("one is {before}, the other {after}")))
        }
        _ => values(format, before, after, &mut tally),
    };
    tally.finish(read)
}

/// Compares two files of metrics: JSON lines as [`compare`] does, but for the `time` of each line, which is left out.
///
/// Equal values give [`Verdict::Identical`] here, since no other difference counts.
#[must_use]
pub fn compare_metrics(before: &Content, after: &Content, tolerance: Tolerance) -> FileComparison {
    let mut tally = Tally::new(tolerance, FileFormat::JsonLines);
    let read = lines::compare(before, after, Some("time"), &mut tally);
    let mut found = tally.finish(read);
    if found.verdict == Verdict::Equivalent && found.within == 0 {
        found.verdict = Verdict::Identical;
    }
    found
}

fn values(
    format: FileFormat,
    before: &Content,
    after: &Content,
    tally: &mut Tally,
) -> Result<(), Unreadable> {
    match format {
        FileFormat::Json => json::compare(before, after, tally),
        FileFormat::JsonLines => lines::compare(before, after, None, tally),
        FileFormat::Csv => table::compare(b',', before, after, tally),
        FileFormat::Tsv => table::compare(b'\t', before, after, tally),
        FileFormat::Npy => array::compare("", before.reader(), after.reader(), tally),
        FileFormat::Npz => archive::compare(before, after, tally),
        FileFormat::Parquet => parquet::compare(before, after, tally),
        FileFormat::Safetensors => tensors::compare(before, after, tally),
        FileFormat::Text => text::compare(before, after, tally),
        FileFormat::Pickle => Err(Unreadable::new("objects of Python are code, and are not loaded")),
        FileFormat::Bytes => Err(Unreadable::new("they have no format whose values can be read")),
    }
}

/// The verdict of several.
#[must_use]
pub fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    verdicts.into_iter().max().unwrap_or(Verdict::Identical)
}
