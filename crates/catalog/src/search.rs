//! Searching runs: a small language of conditions, one page at a time.
//!
//! [`Search`] is a condition as data, with one text form (`docs/search.md`); [`Sort`] is an order. Together with a
//! project they are a [`Question`], of which [`Catalog::search`] gives pages.
//!
//! **Invariant:** no text of a user is in an SQL statement; every value is a parameter.
//! **Invariant:** the work for one page is bounded, whatever is asked: a page may end before it is full, and then
//! its cursor says where the next one goes on.
//!
//! [`Catalog::search`]: crate::Catalog::search

mod cell;
mod compile;
mod cursor;
mod drive;
mod error;
mod field;
mod lex;
mod order;
mod page;
mod parse;
mod print;
mod value;
mod version;
mod walk;

use aseptic_model::Timestamp;

pub use cell::Cell;
pub use cursor::{Cursor, CursorError};
pub use error::SearchError;
pub use field::{Column, Field, Statistic};
pub use order::Sort;
pub use page::{Found, Page, Question, SearchFailed};

/// Longest text of a search in bytes.
pub const SEARCH_BYTES_MAX: usize = 4096;

/// How many terms a search may have, each value in a list counted.
pub const SEARCH_TERMS_MAX: usize = 64;

/// How deep parentheses and `not` may lie in each other.
pub const SEARCH_DEPTH_MAX: usize = 32;

/// A condition on runs. [`std::str::FromStr`] reads it, [`std::fmt::Display`] writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Search {
    /// All of these hold.
    All(Vec<Search>),
    /// One of these holds.
    Any(Vec<Search>),
    /// This does not hold.
    Not(Box<Search>),
    /// A condition on one field.
    Term(Term),
}

/// A condition on one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// The run has a value there.
    Has(Field),
    /// The run has something of this name: `label:pii`.
    Mark(Mark, String),
    /// The value compares so; false where there is none.
    Compare(Field, Operator, Value),
    /// The value is one of these.
    OneOf(Field, Vec<Value>),
}

/// What a run can have several of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A tag.
    Tag,
    /// A label of its outputs.
    Label,
    /// A dataset among its inputs: `NAME` or `NAME@VERSION`.
    Dataset,
    /// A file that it opened, by its path in an input.
    Read,
    /// A package in its environment: `NAME` or `NAME@VERSION`, where `1.26` stands for `1.26.4` as well.
    Package,
}

impl Mark {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Tag, Self::Label, Self::Dataset, Self::Read, Self::Package];

    /// The word before the colon.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Label => "label",
            Self::Dataset => "dataset",
            Self::Read => "read",
            Self::Package => "package",
        }
    }
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `~`: the text contains this, upper and lower case as written.
    Contains,
}

impl Operator {
    /// Every operator; one that begins as another stands before it.
    pub const ALL: [Self; 7] =
        [Self::Unequal, Self::AtMost, Self::AtLeast, Self::Equal, Self::Less, Self::Greater, Self::Contains];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Contains => "~",
        }
    }

    /// Whether it is about an order.
    #[must_use]
    pub fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::Greater | Self::AtLeast)
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
    /// A day in UTC, by its first instant.
    Day(Timestamp),
    /// An instant.
    Instant(Timestamp),
    /// So many milliseconds before the search.
    Ago(u64),
    /// A length of time in milliseconds.
    Duration(u64),
}
