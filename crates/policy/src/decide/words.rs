//! What policies say, with the values of a request in it. Values are of whoever wrote the spec, and can be anything.

use crate::text::{listed, shown};
use crate::{Request, Value};

/// Most characters of a value in a message, so that a decision can be kept and read.
const VALUE_CHARS_MAX: usize = 200;

/// Most characters of a message or an advice.
const WORDS_CHARS_MAX: usize = 1200;

/// Most elements of a set in a message.
const ELEMENTS_MAX: usize = 8;

/// Placeholders that every message may have.
pub(crate) const ALWAYS: [&str; 3] = ["element", "resource", "value"];

/// Where the words of a message come from.
pub(crate) enum Part<'t> {
    /// As it stands.
    Plain(&'t str),
    /// `{name}`, and the byte at which it begins.
    Placeholder(&'t str, usize),
}

/// A message as its parts. A brace that is not around a name is plain.
pub(crate) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut plain, mut at) = (0, 0);
    while let Some(open) = text.get(at..).and_then(|rest| rest.find('{')).map(|open| at + open) {
        let inside = text.get(open + 1..).unwrap_or_default();
        let length = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        at = open + 1;
        if let Some(length) = length.filter(|length| *length > 0)
            && inside.get(length..).is_some_and(|rest| rest.starts_with('}'))
        {
            parts.push(Part::Plain(text.get(plain..open).unwrap_or_default()));
            parts.push(Part::Placeholder(inside.get(..length).unwrap_or_default(), open));
            at = open + length + 2;
            plain = at;
        }
    }
    parts.push(Part::Plain(text.get(plain..).unwrap_or_default()));
    parts
}

/// `text` with every `{name}` replaced by what the request has of that name. What is put in is not looked at again.
pub(crate) fn filled(text: &str, request: &Request) -> String {
    let mut filled = String::new();
    for part in parts(text) {
        match part {
            Part::Plain(plain) => filled.push_str(plain),
            Part::Placeholder(name, _) => filled.push_str(&value(name, request)),
        }
    }
    shown(&filled, WORDS_CHARS_MAX)
}

fn value(name: &str, request: &Request) -> String {
    let text: &str = match (request.shown.get(name), request.context.get(name), name) {
        (Some(shown), ..) => shown,
        (None, Some(value), _) => &in_words(value),
        (None, None, "value") => &request.value,
        (None, None, "element") => &request.element,
        (None, None, "resource") => &request.resource.name,
        (None, None, _) => "unknown",
    };
    shown(text, VALUE_CHARS_MAX)
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Long(number) => number.to_string(),
        Value::Text(text) => shown(text, VALUE_CHARS_MAX),
        Value::Set(texts) if texts.is_empty() => "none".to_owned(),
        Value::Set(texts) => listed(texts, ELEMENTS_MAX, |text| shown(text, VALUE_CHARS_MAX / 4)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Action, Kind, Resource};

    fn request() -> Request {
        let shown = [("why", "a {value} b"), ("name", "\u{1b}[2J\u{202e}x")];
        Request {
            element: "data.train".to_owned(),
            value: "{why}".to_owned(),
            at: None,
            action: Action::Mount,
            resource: Resource { kind: Kind::Version, name: "digits@3".to_owned() },
            within: Vec::new(),
            context: BTreeMap::from([
                ("labels".to_owned(), Value::Set((0..10).map(|label| format!("l{label}")).collect())),
                ("holdout".to_owned(), Value::Bool(true)),
                ("evaluations".to_owned(), Value::Long(7)),
            ]),
            shown: shown.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }

    #[test]
    fn placeholders_are_filled_once() {
        let words = "{why} {value} {element} {resource} {holdout} {evaluations} {labels} {nothing}";
        assert_eq!(
            filled(words, &request()),
            "a {value} b {why} data.train digits@3 yes 7 l0, l1, l2, l3, l4, l5, l6, l7 and 2 more unknown"
        );
    }

    #[test]
    fn other_braces_stay() {
        for words in ["{}", "{ value }", "{value", "}{", "a { b } {-", "{va lue}"] {
            assert_eq!(filled(words, &request()), words);
        }
        assert_eq!(filled("{{value}}", &request()), "{{why}}");
    }

    #[test]
    fn nothing_hidden_is_shown_and_nothing_endless() {
        assert_eq!(filled("{name}", &request()), "\\u{1b}[2J\\u{202e}x");
        let request = Request { value: "x".repeat(1 << 20), ..request() };
        assert_eq!(filled("{value}", &request).chars().count(), VALUE_CHARS_MAX + 1);
        assert_eq!(filled(&"{value}".repeat(100), &request).chars().count(), WORDS_CHARS_MAX + 1);
    }
}
