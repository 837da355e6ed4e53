//! Why a text is no search, with the place.

use std::fmt;

use aseptic_model::{Class, Diagnose, Diagnosis};

/// The text is no search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchError {
    pub(crate) text: String,
    /// Byte of `text` at which it goes wrong, at the border of a character.
    pub(crate) at: usize,
    pub(crate) what: String,
    pub(crate) help: String,
}

/// Characters of the text that are shown before and after the place.
const SHOWN: usize = 60;

impl SearchError {
    /// Byte at which the text goes wrong.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }
}

impl fmt::Display for SearchError {
    /// What is wrong, the text around the place, and a caret below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.text.split_at_checked(self.at).unwrap_or((&self.text, ""));
        let skipped = before.chars().count().saturating_sub(SHOWN);
        let start = if skipped > 0 { "…" } else { "" };
        let end = if after.chars().count() > SHOWN { "…" } else { "" };
        let before: String = before.chars().skip(skipped).map(shown).collect();
        let after: String = after.chars().take(SHOWN).map(shown).collect();
        let indent = " ".repeat(start.chars().count() + before.chars().count());
        write!(f, "{}\n  {start}{before}{after}{end}\n  {indent}^", self.what)
    }
}

/// One column for each character: what a terminal would act on is a question mark.
fn shown(character: char) -> char {
    match character {
        ' ' => ' ',
        character if character.is_whitespace() || character.is_control() => ' ',
        character if character.escape_debug().len() > 1 && !"'\"\\".contains(character) => '?',
        character => character,
    }
}

impl std::error::Error for SearchError {}

impl Diagnose for SearchError {
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis::new(Class::User, "runs/search", self.help.clone())
    }
}
