//! A file of TOML, as the settings, the roles and the tests of policies are read.
//!
//! **Invariant:** strict and bounded. Everything that is the matter is said with its place, up to [`PROBLEMS_MAX`], and a
//! file of which anything is the matter gives nothing.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Problem;
use crate::read::problem::PROBLEMS_MAX;
use crate::text::{did_you_mean, quoted, shortened};

pub(crate) type Table<'s> = DeTable<'s>;
pub(crate) type Item<'s> = Spanned<DeValue<'s>>;

/// Most characters of a key in a message.
const KEY_CHARS_MAX: usize = 80;

/// A file that is being read, and what is the matter with it so far.
pub(crate) struct Source<'s> {
    path: &'s str,
    text: &'s str,
    /// The page that says what such a file has.
    page: &'static str,
    problems: Vec<Problem>,
}

impl<'s> Source<'s> {
    pub(crate) fn new(path: &'s str, text: &'s str, page: &'static str) -> Self {
        Self { path, text, page, problems: Vec::new() }
    }

    /// What was read, if nothing is the matter with the file.
    ///
    /// # Errors
    /// Everything that is, in the order in which it was found.
    pub(crate) fn finish<T>(self, read: Option<T>) -> Result<T, Vec<Problem>> {
        match (read, self.problems.is_empty()) {
            (Some(read), true) => Ok(read),
            _ => Err(self.problems),
        }
    }

    /// An error about the bytes `span`. Beyond the most that are said, nothing happens.
    pub(crate) fn problem(&mut self, span: Range<usize>, message: impl Display, help: impl Display) {
        if !self.is_full() {
            // Messages of parsers have several lines.
            let message = message.to_string().replace('\n', "; ");
            self.problems.push(Problem::new(self.path, self.text, span, &message, &help.to_string()));
        }
    }

    /// Whether as much is the matter as is said, so that the rest need not be looked at.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// Whether anything is the matter so far.
    pub(crate) fn is_wrong(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Whether the file is no larger than `most` bytes.
    pub(crate) fn fits(&mut self, most: usize, help: &str) -> bool {
        let bytes = self.text.len();
        let fits = bytes <= most;
        if !fits {
            self.problem(0..0, format!("the file has {bytes} bytes, and at most {most} are read"), help);
        }
        fits
    }

    /// The file as a table.
    pub(crate) fn root(&mut self) -> Option<Table<'s>> {
        let root = DeTable::parse(self.text).map(Spanned::into_inner);
        root.map_err(|error| self.not_toml(&error)).ok()
    }

    /// The file as a `T`, of which the first key that does not fit is said.
    pub(crate) fn whole<T: DeserializeOwned>(&mut self) -> Option<T> {
        toml::from_str(self.text).map_err(|error| self.not_toml(&error)).ok()
    }

    fn not_toml(&mut self, error: &toml::de::Error) {
        let help = format!("correct it; the format is TOML 1.0, and `{}` has every key", self.page);
        self.problem(error.span().unwrap_or(0..0), error.message(), help);
    }

    /// Says so if the file is not of the format `known`.
    pub(crate) fn format(&mut self, format: &str, span: Range<usize>, known: &str) {
        if format != known {
            self.problem(
                span,
                "files of this format cannot be read",
                format!("this version reads `{known}`"),
            );
        }
    }

    /// As [`Self::format`], of the key `format` of a table.
    pub(crate) fn format_of(&mut self, root: &Table<'s>, known: &str) {
        match root.get("format") {
            None => {
                self.problem(0..0, "the file has no `format`", format!("begin with `format = \"{known}\"`"));
            }
            Some(value) => self.format(value.get_ref().as_str().unwrap_or_default(), value.span(), known),
        }
    }

    /// Says which keys of a table are not `known`.
    pub(crate) fn known(&mut self, title: &str, table: &Table<'s>, known: &[&'static str]) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) && !self.is_full() {
                let message = format!("unknown key `{}` in {title}", shortened(name, KEY_CHARS_MAX));
                self.problem(key.span(), message, did_you_mean(name, known.iter().copied(), quoted));
            }
        }
    }

    pub(crate) fn table<'t>(&mut self, key: &str, value: &'t Item<'s>) -> Option<&'t Table<'s>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(key, value, &"expected a table");
        }
        table
    }

    pub(crate) fn array<'t>(&mut self, key: &str, value: &'t Item<'s>) -> Option<&'t [Item<'s>]> {
        let array = value.get_ref().as_array();
        if array.is_none() {
            self.wrong(key, value, &"expected a list");
        }
        array.map(|array| array.as_ref())
    }

    pub(crate) fn text<'t>(&mut self, key: &str, value: &'t Item<'s>) -> Option<&'t str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong(key, value, &"expected a text");
        }
        text
    }

    pub(crate) fn typed<T: DeserializeOwned>(&mut self, key: &str, value: &Item<'s>) -> Option<T> {
        let read = T::deserialize(toml::de::ValueDeserializer::from(value.clone()));
        let words = |message: &str| {
            let number = "expected a whole number from 0 on";
            message.replace("expected u32", number).replace("expected u64", number)
        };
        read.map_err(|error| self.wrong(key, value, &words(error.message()))).ok()
    }

    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str, value: &Item<'s>) -> Option<T> {
        self.text(key, value)?.parse().map_err(|error| self.wrong(key, value, &error)).ok()
    }

    fn wrong(&mut self, key: &str, value: &Item<'s>, message: &dyn Display) {
        let message = format!("`{}`: {message}", shortened(key, KEY_CHARS_MAX));
        self.problem(value.span(), message, format!("correct the value; see `{}`", self.page));
    }
}
