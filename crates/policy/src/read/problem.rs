//! What is the matter with a file of policies, where exactly, and what would mend it.

use std::fmt::Write as _;
use std::ops::Range;

use aseptic_model::is_hidden;
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::PolicyDocument;
use crate::text::{shown, visible};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The policies cannot be used.
    Error,
    /// They can, and likely do not say what was meant.
    Warning,
}

impl Severity {
    /// The word used in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is the matter with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The file, such as `policy/own.cedar`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters of the line it is about, at least 1.
    pub length: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter, on one line.
    pub message: String,
    /// What would mend it, on one line.
    pub help: String,
}

/// Most problems that are listed: nobody corrects more at once.
pub(crate) const PROBLEMS_MAX: usize = 100;

/// Most characters of a message or help.
const WORDS_CHARS_MAX: usize = 500;

/// Most characters of a source line that are shown.
const LINE_CHARS_MAX: usize = 120;

/// Characters before a place that are shown of a long line.
const BEFORE_CHARS: usize = 40;

impl Problem {
    /// An error about the bytes `range` of `text`, the file at `path`.
    pub(crate) fn new(path: &str, text: &str, range: Range<usize>, message: &str, help: &str) -> Self {
        let place = Place::of(text, range);
        Self {
            path: visible(path),
            line: place.line,
            column: place.column,
            length: place.length,
            severity: Severity::Error,
            message: shown(message, WORDS_CHARS_MAX),
            help: shown(help, WORDS_CHARS_MAX),
        }
    }

    pub(crate) fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// It with the line of `document` that it is about, and a mark below the place. Ends with a line break.
    #[must_use]
    pub fn render(&self, document: &PolicyDocument) -> String {
        let mut rendered = format!("{}: {}\n", self.severity.as_str(), self.message);
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        // Writing to a text cannot fail.
        let _ = writeln!(rendered, "{margin}--> {}:{}:{}", self.path, self.line, self.column);
        let line = document.files.get(&self.path).and_then(|text| lines(text).nth(self.line - 1));
        if let Some(line) = line {
            let (shown, before, length) = self.excerpt(line);
            let _ = writeln!(rendered, "{margin} |");
            let _ = writeln!(rendered, "{}", format!("{number} | {shown}").trim_end());
            let _ = writeln!(rendered, "{margin} | {}{}", " ".repeat(before), "^".repeat(length));
        }
        let _ = writeln!(rendered, "{margin} = help: {}", self.help);
        rendered
    }

    /// What is shown of `line`, and where in it the marks begin and how many there are.
    fn excerpt(&self, line: &str) -> (String, usize, usize) {
        let (first, last) = (self.column - 1, self.column - 1 + self.length);
        let start =
            if line.chars().count() > LINE_CHARS_MAX { first.saturating_sub(BEFORE_CHARS) } else { 0 };
        let mut shown = if start > 0 { "…".to_owned() } else { String::new() };
        let mut width = shown.chars().count();
        let (mut before, mut length) = (None, 0);
        for (at, character) in line.chars().enumerate().skip(start) {
            if at - start >= LINE_CHARS_MAX {
                shown.push('…');
                break;
            }
            if at == first {
                before = Some(width);
            }
            let text = in_excerpt(character);
            let columns = text.chars().count() * columns(character);
            width += columns;
            if (first..last).contains(&at) {
                length += columns;
            }
            shown.push_str(&text);
        }
        (shown, before.unwrap_or(width), length.max(1))
    }
}

/// A character as a line of a terminal shows it.
fn in_excerpt(character: char) -> String {
    match character {
        '\t' => "    ".to_owned(),
        hidden if is_hidden(hidden) => hidden.escape_unicode().collect(),
        plain => plain.to_string(),
    }
}

/// Columns of a terminal that a character takes: scripts of East Asia and emoji take two.
fn columns(character: char) -> usize {
    let is_wide = matches!(character,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}');
    if is_wide { 2 } else { 1 }
}

/// What Cedar says about the file at `path`, of which `byte` has the place that it means by an offset.
pub(crate) fn cedar_problem(
    path: &str,
    text: &str,
    byte: impl Fn(usize) -> usize,
    error: &dyn Diagnostic,
) -> Problem {
    let label = error.labels().and_then(|mut labels| labels.next());
    let range = label.as_ref().map_or(byte(0)..byte(0), |label| {
        let first = byte(label.offset());
        first..first + label.len()
    });
    let expected = label.and_then(|label| label.label().map(str::to_owned));
    let help = error.help().map(|help| help.to_string()).or(expected);
    let words = error.to_string();
    // Where it is, is said already.
    let message = match words.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")) {
        Some((_, message)) => message,
        None => &words,
    };
    let escape =
        message.strip_prefix("the input `").and_then(|rest| rest.strip_suffix("` is not a valid escape"));
    let at = escape.and_then(|escape| Some((escape.len(), text.get(range.clone())?.find(escape)?)));
    if let Some((length, at)) = at {
        let start = range.start + at;
        let help = "write `\\\\` for a backslash, `\\\"` for a quote";
        return Problem::new(path, text, start..start + length, message, help);
    }
    let help =
        help.unwrap_or_else(|| "correct it; `docs/policy.md` says how policies are written".to_owned());
    Problem::new(path, text, range, message, &help)
}

/// A place in a file. Lines and columns count from 1, columns and length count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) length: usize,
}

impl Place {
    /// The place of the bytes `range`, or of as many of them as the first line has.
    pub(crate) fn of(text: &str, range: Range<usize>) -> Self {
        let start = text.floor_char_boundary(range.start);
        let (before, after) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let end = range.end.saturating_sub(start).min(after.find(['\n', '\r']).unwrap_or(after.len()));
        let inside = after.get(..after.floor_char_boundary(end)).unwrap_or_default();
        Self {
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + before.get(line_start..).unwrap_or_default().chars().count(),
            length: inside.chars().count().max(1),
        }
    }
}

/// Lines as [`Place`] counts them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').map(|line| line.trim_end_matches('\r'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rendered(text: &str, range: Range<usize>) -> String {
        let files = BTreeMap::from([("policy/own.cedar".to_owned(), text.to_owned())]);
        let problem = Problem::new("policy/own.cedar", text, range, "this is wrong", "write it otherwise");
        problem.render(&PolicyDocument::new(files))
    }

    #[test]
    fn a_problem_shows_its_line_and_the_place() {
        assert_eq!(
            rendered("one\n\tzwö three;\n", 10..15),
            "error: this is wrong\n --> policy/own.cedar:2:6\n  |\n2 |     zwö three;\n  |         ^^^^^\n  = help: write it otherwise\n"
        );
    }

    #[test]
    fn what_spans_lines_is_marked_on_the_first() {
        let text = "forbid (\r\n  x\r\n);";
        assert!(rendered(text, 0..text.len()).contains("1 | forbid (\n  | ^^^^^^^^\n"));
    }

    #[test]
    fn the_end_of_a_file_can_be_shown() {
        for range in [3..3, 3..90, 40..50] {
            assert!(rendered("a;\n", range).contains("2 |\n  | ^\n"));
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let rendered = rendered(&text, 500..504);
        let lines: Vec<&str> = rendered.lines().collect();
        assert_eq!(lines[4].find('^'), lines[3].replace('…', ".").find("HERE"));
        assert!(lines[3].chars().count() < 140 && lines[3].ends_with('…'), "{rendered}");
    }

    #[test]
    fn nothing_reaches_the_terminal_as_it_is() {
        let text = "\u{1b}[31m \u{202e} x;";
        let rendered = rendered(text, text.len() - 2..text.len() - 1);
        assert!(!rendered.contains(['\u{1b}', '\u{202e}']), "{rendered}");
        let lines: Vec<&str> = rendered.lines().collect();
        assert_eq!(lines[4].find('^'), lines[3].find("x;"));
    }
}
