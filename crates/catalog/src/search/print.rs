//! The one text form of a search.

use std::fmt::{self, Display};

use super::field::Field;
use super::lex::{is_mark, is_plain};
use super::value::number;
use super::{Mark, Search, Statistic, Term, Value};

impl Display for Search {
    /// Reads back as the same search.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => joined(f, parts, " and ", |part| matches!(part, Self::All(_) | Self::Any(_))),
            Self::Any(parts) => joined(f, parts, " or ", |part| matches!(part, Self::Any(_))),
            Self::Not(inner) if matches!(**inner, Self::All(_) | Self::Any(_)) => write!(f, "not ({inner})"),
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::Term(term) => term.fmt(f),
        }
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    parts: &[Search],
    between: &str,
    needs_parentheses: impl Fn(&Search) -> bool,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        if needs_parentheses(part) { write!(f, "({part})")? } else { part.fmt(f)? }
    }
    Ok(())
}

impl Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Has(field) => field.fmt(f),
            Self::Mark(mark, text) => write!(f, "{mark}:{}", Name(text, is_mark)),
            Self::Compare(field, operator, value) => write!(f, "{field} {} {value}", operator.as_str()),
            Self::OneOf(field, values) => {
                write!(f, "{field} in (")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |name: &str, f: &mut fmt::Formatter<'_>| Name(name, is_plain).fmt(f);
        match self {
            Self::Metric(name, statistic) => {
                f.write_str("metric.")?;
                // A name that ends as a statistic does is read as a name only in quotes.
                match Statistic::ALL.iter().any(|known| ends_as(name, *known)) {
                    true => quoted(f, name)?,
                    false => plain(name, f)?,
                }
                match statistic {
                    Statistic::Last => Ok(()),
                    other => write!(f, ".{}", other.as_str()),
                }
            }
            Self::Param(name) => f.write_str("param.").and_then(|()| plain(name, f)),
            Self::Data(name) => f.write_str("data.").and_then(|()| plain(name, f)),
            Self::Package(name) => f.write_str("package.").and_then(|()| plain(name, f)),
            Self::Column(column) => f.write_str(column.as_str()),
        }
    }
}

/// Whether `name` has `.min` or the like at its end.
fn ends_as(name: &str, statistic: Statistic) -> bool {
    name.strip_suffix(statistic.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) if number(text).is_some() => quoted(f, text),
            Self::Text(text) => Name(text, is_plain).fmt(f),
            Self::Day(start) => f.write_str(start.to_string().get(..10).unwrap_or_default()),
            Self::Instant(instant) => instant.fmt(f),
            Self::Ago(milliseconds) => write!(f, "-{milliseconds}ms"),
            Self::Duration(milliseconds) => write!(f, "{milliseconds}ms"),
        }
    }
}

/// A text, in quotes where one of its characters is not plain.
struct Name<'t>(&'t str, fn(char) -> bool);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, is_plain) = self;
        let plain = !text.is_empty() && text.chars().all(is_plain);
        if plain { f.write_str(text) } else { quoted(f, text) }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
