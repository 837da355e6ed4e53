//! What differs, counted as it is found.

use aseptic_model::{FileComparison, FileFormat, Tolerance, ValueDifference, Verdict, escape_bytes};

use crate::Unreadable;

/// So many differing values are listed.
const LISTED_MAX: usize = 10;
/// So many characters of a place or a value are shown.
const SHOWN_CHARACTERS_MAX: usize = 120;

/// Counts what differs between two files.
pub(crate) struct Tally {
    tolerance: Tolerance,
    found: FileComparison,
}

impl Tally {
    pub(crate) fn new(tolerance: Tolerance, format: FileFormat) -> Self {
        let found = FileComparison {
            verdict: Verdict::Equivalent,
            format,
            not_compared: None,
            values: 0,
            differing: 0,
            within: 0,
            largest_absolute: None,
            largest_relative: None,
            first: Vec::new(),
        };
        Self { tolerance, found }
    }

    /// Two numbers that are no integers.
    #[expect(clippy::float_cmp, reason = "equal numbers need no tolerance")]
    pub(crate) fn numbers(&mut self, at: impl FnOnce() -> String, before: f64, after: f64) {
        self.found.values += 1;
        if before == after || (before.is_nan() && after.is_nan()) {
            return;
        }
        let absolute = (after - before).abs();
        if absolute.is_finite() {
            largest(&mut self.found.largest_absolute, absolute);
            largest(&mut self.found.largest_relative, absolute / before.abs());
        }
        if self.tolerance.covers(before, after) {
            self.found.within += 1;
        } else {
            self.differ(at, Some(&before.to_string()), Some(&after.to_string()));
        }
    }

    /// Two values that are equal or not.
    pub(crate) fn exact(&mut self, at: impl FnOnce() -> String, before: &str, after: &str) {
        self.found.values += 1;
        if before != after {
            self.differ(at, Some(before), Some(after));
        }
    }

    /// Values that are equal and were not looked at one by one.
    pub(crate) fn equal(&mut self, values: u64) {
        self.found.values = self.found.values.saturating_add(values);
    }

    /// A value that only one of both files has.
    pub(crate) fn one_sided(
        &mut self,
        at: impl FnOnce() -> String,
        before: Option<&str>,
        after: Option<&str>,
    ) {
        self.found.values += 1;
        self.differ(at, before, after);
    }

    /// Of text in which no line differs: the ends of lines do.
    pub(crate) fn ends_differ(&mut self) {
        if self.found.differing == 0 {
            self.one_sided(|| "the ends of lines".to_owned(), None, None);
        }
    }

    fn differ(&mut self, at: impl FnOnce() -> String, before: Option<&str>, after: Option<&str>) {
        self.found.differing += 1;
        if self.found.first.len() < LISTED_MAX {
            let shown = |text: &str| escape_bytes(cut(text).as_bytes());
            self.found.first.push(ValueDifference {
                at: shown(&at()),
                before: before.map(shown),
                after: after.map(shown),
            });
        }
    }

    pub(crate) fn finish(mut self, read: Result<(), Unreadable>) -> FileComparison {
        if let Err(Unreadable(why)) = read {
            self.found.not_compared = Some(why);
        }
        if self.found.differing > 0 || self.found.not_compared.is_some() {
            self.found.verdict = Verdict::Different;
        }
        self.found
    }
}

fn largest(known: &mut Option<f64>, new: f64) {
    if new.is_finite() {
        *known = Some(known.map_or(new, |known| known.max(new)));
    }
}

/// The start of a text that may be long.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
