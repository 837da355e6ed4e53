//! Where a page goes on.

use std::fmt;
use std::str::FromStr;

use aseptic_model::{Class, Diagnose, Diagnosis, Digest, Timestamp};
use data_encoding::BASE32_NOPAD;

use crate::column::Parameter;

/// The place after a page, for one search in one order. Opaque: its text form may change.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// Of the question that it belongs to.
    pub(super) question: [u8; QUESTION_BYTES],
    /// When the search began.
    pub(super) now: Timestamp,
    pub(super) place: Place,
}

/// The last run that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// The value that it is sorted by; nothing where it has none, or where the order is that of the ledger.
    pub(super) key: Option<Parameter>,
    pub(super) entry: i64,
}

/// The text is no cursor, or one of another search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It was not made by a search.
    #[error("this is no cursor")]
    Malformed,
    /// It was made by another search.
    #[error("this cursor belongs to another search")]
    Other,
}

impl Diagnose for CursorError {
    fn diagnosis(&self) -> Diagnosis {
        let help = match self {
            Self::Malformed => "copy the whole cursor, or leave `--cursor` out to begin with the first page",
            Self::Other => {
                "give the same `--where`, `--sort`, `--experiment`, `--status` and project, or leave `--cursor` out"
            }
        };
        Diagnosis::new(Class::User, "runs/cursor", help)
    }
}

/// Enough that no two questions of a person meet.
const QUESTION_BYTES: usize = 10;

/// Names, which texts are sorted by, are far shorter.
const TEXT_BYTES_MAX: usize = 512;

const VERSION: u8 = 1;

/// The part of a cursor that says which question it belongs to.
pub(super) fn fingerprint(question: &str) -> [u8; QUESTION_BYTES] {
    let digest = Digest::of(question.as_bytes());
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bytes.extend(self.question);
        bytes.extend(self.now.as_unix_ms().to_be_bytes());
        bytes.extend(self.place.entry.to_be_bytes());
        match &self.place.key {
            None | Some(Parameter::Blob(_)) => bytes.push(0),
            Some(Parameter::Int(number)) => {
                bytes.push(1);
                bytes.extend(number.to_be_bytes());
            }
            Some(Parameter::Real(number)) => {
                bytes.push(2);
                bytes.extend(number.to_bits().to_be_bytes());
            }
            Some(Parameter::Text(text)) => {
                bytes.push(3);
                bytes.extend(text.as_bytes());
            }
        }
        f.write_str(&BASE32_NOPAD.encode(&bytes).to_lowercase())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        read(text).filter(|cursor| cursor.to_string() == text).ok_or(CursorError::Malformed)
    }
}

fn read(text: &str) -> Option<Cursor> {
    if text.len() > 2 * TEXT_BYTES_MAX {
        return None;
    }
    let bytes = BASE32_NOPAD.decode(text.to_uppercase().as_bytes()).ok()?;
    let (&[VERSION], rest) = bytes.split_first_chunk()? else { return None };
    let (question, rest) = rest.split_first_chunk()?;
    let (now, rest) = rest.split_first_chunk()?;
    let (entry, rest) = rest.split_first_chunk()?;
    let (kind, rest) = rest.split_first()?;
    let key = match kind {
        0 if rest.is_empty() => None,
        1 => Some(Parameter::Int(i64::from_be_bytes(rest.try_into().ok()?))),
        2 => {
            let number = f64::from_bits(u64::from_be_bytes(rest.try_into().ok()?));
            Some(Parameter::Real(Some(number).filter(|number| number.is_finite())?))
        }
        3 => {
            Some(Parameter::Text(String::from_utf8(rest.to_vec()).ok().filter(|text| !text.contains('\0'))?))
        }
        _ => return None,
    };
    Some(Cursor {
        question: *question,
        now: Timestamp::from_unix_ms(i64::from_be_bytes(*now))?,
        place: Place { key, entry: i64::from_be_bytes(*entry) },
    })
}
