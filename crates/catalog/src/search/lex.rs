//! Characters of a search: words, texts in quotes, and errors at a place.

use super::error::SearchError;

/// Whether a character needs no quotes.
pub(super) fn is_plain(character: char) -> bool {
    !character.is_whitespace() && !character.is_control() && !"()=!<>~,'\"\\".contains(character)
}

/// Whether a character needs no quotes after `label:` and the like, where `role=train` is one word.
pub(super) fn is_mark(character: char) -> bool {
    is_plain(character) || character == '='
}

/// A text that is read from its start to its end.
pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) terms: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, depth: 0, terms: 0 }
    }

    /// A word of plain characters, or a text in quotes. Never empty.
    pub(super) fn text(&mut self, plain: fn(char) -> bool, what: &str) -> Result<String, SearchError> {
        let start = self.at;
        let Some(quote) = self.rest().chars().next().filter(|c| "'\"".contains(*c)) else {
            let word = self.run(plain);
            if word.is_empty() {
                return Err(self.wrong(
                    start,
                    format!("expected {what} here"),
                    "texts with spaces need quotes",
                ));
            }
            return Ok(word.to_owned());
        };
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((index, character)) = characters.next() {
            match character {
                end if end == quote => {
                    self.at += index + 1;
                    return match text.is_empty() {
                        true => {
                            Err(self.wrong(start, "this text is empty", "put at least one character in it"))
                        }
                        false => Ok(text),
                    };
                }
                '\\' => match characters.next() {
                    Some((_, escaped)) if "\\'\"".contains(escaped) => text.push(escaped),
                    _ => {
                        let help = "write `\\\\` for a backslash and `\\\"` for a quote";
                        return Err(self.wrong(
                            start + index,
                            "this `\\` stands before nothing it can escape",
                            help,
                        ));
                    }
                },
                '\0' => return Err(self.wrong(start + index, "a text has no zero byte", "take it away")),
                other => text.push(other),
            }
        }
        Err(self.wrong(start, "this quote is never closed", "add one at the end of the text"))
    }

    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn space(&mut self) {
        self.run(char::is_whitespace);
    }

    pub(super) fn run(&mut self, of: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !of(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    pub(super) fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    /// Takes `word` if it comes next as a whole, in lower or upper case.
    pub(super) fn keyword(&mut self, word: &str) -> bool {
        let rest = self.rest().trim_start();
        let end = rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
        let found = rest.get(..end).is_some_and(|next| next.eq_ignore_ascii_case(word));
        if found {
            self.at = self.text.len() - rest.len() + end;
        }
        found
    }

    pub(super) fn wrong(&self, at: usize, what: impl Into<String>, help: &str) -> SearchError {
        SearchError { text: self.text.to_owned(), at, what: what.into(), help: help.to_owned() }
    }
}
