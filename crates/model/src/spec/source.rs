//! A spec as TOML, with the place of everything in it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Place, SpecError};
use crate::Excerpt;

/// A TOML table by key, after its keys were checked.
pub(super) type Table<'t, 's> = BTreeMap<&'t str, &'t Spanned<DeValue<'s>>>;

/// Characters are counted in blocks of this many bytes, so that a place costs the same wherever it is.
const BLOCK: usize = 256;

/// The text of a spec.
pub(super) struct Source<'s> {
    pub(super) text: &'s str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Characters that begin before each block.
    blocks: Vec<usize>,
}

impl<'s> Source<'s> {
    pub(super) fn new(text: &'s str) -> Self {
        let starts = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let mut before = 0;
        let blocks = text.as_bytes().chunks(BLOCK).map(|block| {
            let here = before;
            before += characters(block);
            here
        });
        Self { text, lines: std::iter::once(0).chain(starts).collect(), blocks: blocks.collect() }
    }

    /// The place of the byte `offset`.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.lines.get(line)).copied().unwrap_or(0);
        Place { line, column: self.before(offset) - self.before(start) + 1 }
    }

    /// Characters that begin before the byte `offset`.
    fn before(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let block = offset / BLOCK;
        let whole = self.blocks.get(block).copied();
        let rest = |start: usize| self.text.as_bytes().get(start..offset).map_or(0, characters);
        match whole {
            Some(whole) => whole + rest(block * BLOCK),
            None => self.blocks.last().map_or(0, |last| last + rest((self.blocks.len() - 1) * BLOCK)),
        }
    }

    fn excerpt(&self, span: Range<usize>) -> Box<Excerpt> {
        Box::new(Excerpt::of(self.text, span))
    }

    /// `table` at `span` has no `key`.
    pub(super) fn missing(&self, key: &'static str, table: &str, span: Range<usize>) -> SpecError {
        SpecError::MissingKey { at: self.excerpt(span), key, table: table.to_owned() }
    }

    /// A parameter as JSON, which has neither dates nor endless numbers.
    pub(super) fn json(
        &self,
        key: &str,
        value: &Spanned<DeValue<'s>>,
    ) -> Result<serde_json::Value, SpecError> {
        match value.get_ref() {
            DeValue::Datetime(_) => Err(self.value(key, value.span(), &"write a date as text, in quotes")),
            DeValue::Float(_) => {
                let number = serde_json::Number::from_f64(self.typed(key, value)?);
                let number =
                    number.ok_or_else(|| self.value(key, value.span(), &"JSON has only finite numbers"))?;
                Ok(number.into())
            }
            DeValue::Array(values) => values.iter().map(|value| self.json(key, value)).collect(),
            DeValue::Table(table) => {
                let entries = table.iter();
                entries
                    .map(|(key, value)| Ok((key.get_ref().to_string(), self.json(key.get_ref(), value)?)))
                    .collect()
            }
            _ => self.typed(key, value),
        }
    }

    /// The entries of `table`, none of them unknown.
    pub(super) fn table<'t>(
        &self,
        title: &str,
        table: &'t DeTable<'s>,
        known: &[&'static str],
    ) -> Result<Table<'t, 's>, SpecError> {
        for key in table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                return Err(SpecError::UnknownKey {
                    at: self.excerpt(key.span()),
                    key: shown(key.get_ref()),
                    table: title.to_owned(),
                    nearest: nearest(key.get_ref(), known.iter().copied()),
                });
            }
        }
        Ok(table.iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect())
    }

    pub(super) fn as_table<'t>(
        &self,
        key: &str,
        value: &'t Spanned<DeValue<'s>>,
    ) -> Result<&'t DeTable<'s>, SpecError> {
        value.get_ref().as_table().ok_or_else(|| self.value(key, value.span(), &"expected a table"))
    }

    pub(super) fn typed<T: serde::de::DeserializeOwned>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'s>>,
    ) -> Result<T, SpecError> {
        let deserializer = toml::de::ValueDeserializer::from(value.clone());
        T::deserialize(deserializer).map_err(|error| {
            let span = error.span().unwrap_or_else(|| value.span());
            self.value(key, span, &error.message())
        })
    }

    pub(super) fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'s>>,
    ) -> Result<T, SpecError> {
        let text: String = self.typed(key, value)?;
        text.parse().map_err(|error| self.value(key, value.span(), &error))
    }

    pub(super) fn value(&self, key: &str, span: Range<usize>, message: &dyn fmt::Display) -> SpecError {
        SpecError::Value { at: self.excerpt(span), key: shown(key), message: plain(&message.to_string()) }
    }

    pub(super) fn syntax(&self, error: &toml::de::Error) -> SpecError {
        let at = self.excerpt(error.span().unwrap_or(0..0));
        SpecError::Syntax { at, message: plain(&error.message().replace('\n', "; ")) }
    }
}

/// Characters that begin in `bytes`.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// Most characters of a message, which may repeat a value.
const MESSAGE_MAX: usize = 400;

/// A message as one bounded line with nothing in it that a terminal would obey.
fn plain(message: &str) -> String {
    let escaped = |c: char| if "\"'\\".contains(c) { c.to_string() } else { c.escape_debug().to_string() };
    message.chars().take(MESSAGE_MAX).map(escaped).collect()
}

/// A key as shown in an error: one line, bounded.
pub(super) fn shown(key: &str) -> String {
    key.chars().take(80).flat_map(char::escape_debug).collect()
}

/// The one of `known` that `key` was probably meant to be.
#[must_use]
pub fn nearest<'k>(key: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Nothing that long is near to anything, and the distance takes the product of both lengths.
    if key.len() > 255 {
        return None;
    }
    let near = known.into_iter().map(|known| (strsim::damerau_levenshtein(key, known), known));
    near.filter(|(distance, known)| *distance <= 3 && *distance < known.len()).min().map(|(_, known)| known)
}

/// Whether one slip makes `word` of `text`: a letter that is another one, too much, missing, or before the one that it follows.
#[must_use]
pub fn is_slip(text: &str, word: &str) -> bool {
    text.len().abs_diff(word.len()) <= 1 && strsim::damerau_levenshtein(text, word) <= 1
}
