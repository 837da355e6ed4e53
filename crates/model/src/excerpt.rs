//! The place in a text that an error is about, as a compiler shows it.

use std::ops::Range;

/// Most characters of a line that are shown: what fits beside a line number on most terminals.
const SHOWN_MAX: usize = 100;

/// Characters before the place that are shown of a line that is longer.
const BEFORE: usize = 40;

/// A place in a text, with the line that it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The file, as the user would name it; empty as long as nobody said.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line, or the part of it around the place, with nothing in it that a terminal would obey.
    pub text: String,
    /// Characters of [`Self::text`] before the place.
    pub indent: usize,
    /// Characters of it that the place has, at least 1.
    pub width: usize,
}

impl Excerpt {
    /// The place of the bytes `span` of `text`. Ends beyond the text, or within a character, are moved back.
    #[must_use]
    pub fn of(text: &str, span: Range<usize>) -> Self {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &text[line_start..];
        let line = rest.split('\n').next().unwrap_or(rest).trim_end_matches('\r');
        let end = floor(text, span.end.max(start)).min(line_start + line.len());
        let column = text[line_start..start].chars().count();
        let marked = text.get(start..end).map_or(0, |marked| marked.chars().count());
        let skipped = if line.chars().count() > SHOWN_MAX { column.saturating_sub(BEFORE) } else { 0 };
        let mut excerpt = Self {
            path: String::new(),
            line: text[..line_start].bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: column + 1,
            text: if skipped > 0 { "…".to_owned() } else { String::new() },
            indent: usize::from(skipped > 0),
            width: 0,
        };
        for (index, character) in line.chars().enumerate().skip(skipped).take(SHOWN_MAX) {
            let shown = shown(character);
            let width = shown.chars().count();
            if index < column {
                excerpt.indent += width;
            } else if index < column + marked {
                excerpt.width += width;
            }
            excerpt.text.push_str(&shown);
        }
        if line.chars().count() > skipped + SHOWN_MAX {
            excerpt.text.push('…');
        }
        excerpt.width = excerpt.width.max(1);
        excerpt
    }

    /// The place of a line and a column of `text`, both from 1: the word that begins there.
    #[must_use]
    pub fn at(text: &str, line: usize, column: usize) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(newline, _)| newline + 1));
        let start = starts.take(line.max(1)).last().unwrap_or(0);
        let rest = text[start..].split('\n').next().unwrap_or_default();
        let offset =
            rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(offset, _)| offset);
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let word = rest[offset..].find(|c| !is_word(c)).unwrap_or(rest.len() - offset);
        Self::of(text, start + offset..start + offset + word)
    }
}

/// The start of the character that the byte `offset` is in.
fn floor(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    (0..=offset).rev().find(|offset| text.is_char_boundary(*offset)).unwrap_or(0)
}

/// A character as it is shown: one that a terminal would obey, or not show, as in Rust.
fn shown(character: char) -> String {
    match character {
        '\t' => " ".to_owned(),
        '"' | '\'' | '\\' => character.to_string(),
        other => other.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_line_and_the_place_on_it() {
        let text = "a = 1\n\tcomand = [\"x\"]\r\nc = 3\n";
        let found = Excerpt::of(text, 7..13);
        assert_eq!((found.line, found.column), (2, 2));
        assert_eq!((found.text.as_str(), found.indent, found.width), (" comand = [\"x\"]", 1, 6));
        assert_eq!(Excerpt::at(text, 2, 2), found);
        let end = Excerpt::of(text, 99..120);
        assert_eq!((end.line, end.column, end.width), (4, 1, 1));
        assert_eq!(Excerpt::at(text, 99, 99).line, 4);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place_and_nothing_is_obeyed() {
        let text = format!("{}\u{1b}[31m{}", "ü".repeat(5_000), "y".repeat(5_000));
        let found = Excerpt::of(&text, 10_000..10_001);
        assert_eq!(found.column, 5_001);
        assert!(found.text.starts_with("…ü") && found.text.ends_with("y…"), "{}", found.text);
        assert!(found.text.contains("\\u{1b}[31m") && found.text.chars().count() < 120);
        assert_eq!((found.indent, found.width), (41, 6));
    }

    proptest! {
        #[test]
        fn any_place_is_in_the_line(text in any::<String>(), start in 0_usize..64, length in 0_usize..64) {
            let found = Excerpt::of(&text, start..start + length);
            prop_assert!(found.width >= 1 && found.indent <= found.text.chars().count());
            prop_assert!(!found.text.chars().any(char::is_control));
            prop_assert!(found.line <= text.matches('\n').count() + 1);
            let again = Excerpt::at(&text, found.line, found.column);
            prop_assert_eq!((again.line, again.column), (found.line, found.column));
        }
    }
}
