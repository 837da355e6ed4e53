//! Values of a search, and which of them a field can have.

use aseptic_model::{Digest, InputRef, Timestamp};

use super::error::SearchError;
use super::field::{Field, Kind};
use super::lex::{Parser, is_plain};
use super::{Operator, Value};

/// A finite number as JSON writes one.
pub(super) fn number(text: &str) -> Option<f64> {
    let first = text.strip_prefix('-').unwrap_or(text).bytes().next()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number: f64 = text.parse().ok().filter(|_| plain && first.is_ascii_digit())?;
    // There is one zero.
    number.is_finite().then_some(if number == 0.0 { 0.0 } else { number })
}

impl Parser<'_> {
    /// Whether `operator` means something for the field.
    pub(super) fn allowed(&self, field: &Field, operator: Operator, place: usize) -> Result<(), SearchError> {
        use Operator::{Contains, Equal, Unequal};
        let (fits, can) = match field.kind() {
            Kind::Number | Kind::Instant | Kind::Duration => (operator != Contains, "=, !=, <, <=, >, >="),
            Kind::Text => (!operator.is_order(), "=, !=, ~ and in"),
            Kind::Scalar | Kind::Version => (true, ""),
            Kind::Word(_) | Kind::Prefix | Kind::Dataset => {
                (matches!(operator, Equal | Unequal), "=, != and in")
            }
        };
        if fits {
            return Ok(());
        }
        let what = format!("`{field}` cannot be compared with `{}`", operator.as_str());
        Err(self.wrong(place, what, &format!("use {can}")))
    }

    /// A value that a field can have.
    pub(super) fn value(&mut self, field: &Field, operator: Option<Operator>) -> Result<Value, SearchError> {
        self.space();
        let place = self.at;
        let in_quotes = self.rest().starts_with(['"', '\'']);
        let text = self.text(is_plain, "a value")?;
        let wrong = |what: &str, help: &str| Err(self.wrong(place, what, help));
        match field.kind() {
            Kind::Number => match number(&text) {
                Some(number) => Ok(Value::Number(number)),
                None => wrong("expected a number here", "write it as `0.9` or `1e-3`"),
            },
            Kind::Scalar => match number(&text).filter(|_| !in_quotes) {
                Some(number) if operator != Some(Operator::Contains) => Ok(Value::Number(number)),
                _ if operator.is_some_and(Operator::is_order) => {
                    wrong("expected a number here", "texts are compared with =, !=, ~ and in")
                }
                _ => Ok(Value::Text(text)),
            },
            Kind::Word(words) => match words.contains(&text.as_str()) {
                true => Ok(Value::Text(text)),
                false => {
                    wrong(&format!("`{field}` is never this"), &format!("it is one of {}", words.join(", ")))
                }
            },
            Kind::Prefix => {
                let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
                let digest = matches!(field, Field::Column(column) if column.is_digest());
                match digest && !(digits && text.len() <= 2 * size_of::<Digest>()) {
                    true => wrong("expected the start of a digest here", "digests have digits and a to f"),
                    false => Ok(Value::Text(text)),
                }
            }
            Kind::Instant => match instant(&text) {
                Some(value) => Ok(value),
                None => wrong(
                    "expected a time here",
                    "write a day as `2026-11-01`, an instant in UTC as `2026-11-01T12:30`, or how long ago as `-7d`",
                ),
            },
            Kind::Duration => match milliseconds(&text) {
                Some(milliseconds) => Ok(Value::Duration(milliseconds)),
                None => wrong("expected a length of time here", "write it as `90s`, `10m`, `2h` or `7d`"),
            },
            Kind::Dataset => self.dataset(&text, place).map(|()| Value::Text(text)),
            Kind::Version => Ok(Value::Text(text)),
            Kind::Text => Ok(Value::Text(text)),
        }
    }

    pub(super) fn dataset(&self, text: &str, place: usize) -> Result<(), SearchError> {
        let help = "write `NAME` or `NAME@VERSION`, where a version is a number from 1";
        match text.parse() {
            Ok(InputRef::Dataset { .. }) if !text.ends_with("@latest") => Ok(()),
            _ => Err(self.wrong(place, "this is no dataset", help)),
        }
    }
}

fn instant(text: &str) -> Option<Value> {
    let parse = |text: String| serde_json::from_value::<Timestamp>(text.into()).ok();
    if let Some(ago) = text.strip_prefix('-') {
        return milliseconds(ago).map(Value::Ago);
    }
    match text.len() {
        10 => parse(format!("{text}T00:00:00Z")).map(Value::Day),
        16 => parse(format!("{text}:00Z")).map(Value::Instant),
        19 => parse(format!("{text}Z")).map(Value::Instant),
        _ => parse(text.to_owned()).map(Value::Instant),
    }
}

/// A whole number and a unit.
fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    // A thousand years and more is a slip, and would not fit where times are computed.
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|total| *total <= 1_000 * 366 * 86_400_000)
}
