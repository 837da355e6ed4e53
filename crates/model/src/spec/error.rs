//! Why a spec is refused, and where.

use crate::{Class, Diagnose, Diagnosis, Excerpt};

use super::SPEC_BYTES_MAX;

/// Why a spec is refused. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Over [`SPEC_BYTES_MAX`].
    #[error("the spec has {bytes} bytes, and at most {SPEC_BYTES_MAX} are read")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Not UTF-8, or not TOML.
    #[error("{}:{}: {message}", .at.line, .at.column)]
    Syntax {
        /// Where.
        at: Box<Excerpt>,
        /// The parser's words.
        message: String,
    },
    /// A key that no version knows.
    #[error("{}:{}: unknown key `{key}` in {table}", .at.line, .at.column)]
    UnknownKey {
        /// Where.
        at: Box<Excerpt>,
        /// The key.
        key: String,
        /// The table it stands in.
        table: String,
        /// The nearest known key.
        nearest: Option<&'static str>,
    },
    /// A key that must be there.
    #[error("{}:{}: {table} has no `{key}`", .at.line, .at.column)]
    MissingKey {
        /// Where the table is.
        at: Box<Excerpt>,
        /// The key.
        key: &'static str,
        /// The table it belongs in.
        table: String,
    },
    /// A value of the wrong type or form.
    #[error("{}:{}: `{key}`: {message}", .at.line, .at.column)]
    Value {
        /// Where.
        at: Box<Excerpt>,
        /// The key.
        key: String,
        /// What is wrong.
        message: String,
    },
}

impl SpecError {
    /// The place that it is about.
    #[must_use]
    pub fn at(&self) -> Option<&Excerpt> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Syntax { at, .. }
            | Self::UnknownKey { at, .. }
            | Self::MissingKey { at, .. }
            | Self::Value { at, .. } => Some(at),
        }
    }
}

impl Diagnose for SpecError {
    fn diagnosis(&self) -> Diagnosis {
        let (code, help) = match self {
            Self::TooLarge { .. } => {
                ("spec/too-large", "keep data out of the spec; name it under `data`".into())
            }
            Self::Syntax { .. } => ("spec/syntax", "correct the line; the format is TOML 1.0".into()),
            Self::UnknownKey { nearest: Some(nearest), .. } => {
                ("spec/unknown-key", format!("did you mean `{nearest}`?"))
            }
            Self::UnknownKey { .. } => {
                ("spec/unknown-key", "remove the key; `docs/spec.md` lists those there are".into())
            }
            Self::MissingKey { key, .. } => ("spec/missing-key", format!("add `{key}`; see `docs/spec.md`")),
            Self::Value { .. } => ("spec/value", "correct the value; see `docs/spec.md`".into()),
        };
        let diagnosis = Diagnosis::new(Class::User, code, help);
        match self.at() {
            Some(at) => diagnosis.at(at.clone()),
            None => diagnosis,
        }
    }
}
