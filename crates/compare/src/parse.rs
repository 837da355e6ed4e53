//! JSON as Python writes it: RFC 8259 with `NaN`, `Infinity` and `-Infinity`, which `json.dump` writes for a loss
//! that diverged and which readers of plain JSON refuse.
//!
//! Numbers stay text, so that integers of any length are compared exactly. A name that an object has twice is
//! refused: which of both counts depends on the reader.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::Unreadable;

/// Values of one document: a hundred megabytes in memory.
const VALUES_MAX: usize = 1_000_000;
/// Lists and objects in each other, as `serde_json` has it.
const DEPTH_MAX: usize = 128;

/// A value.
#[derive(Debug, PartialEq)]
pub(crate) enum Json<'t> {
    /// `null`, `true`, `false`.
    Word(&'static str),
    Number(&'t str),
    Text(Cow<'t, str>),
    List(Vec<Json<'t>>),
    Object(BTreeMap<Cow<'t, str>, Json<'t>>),
}

impl<'t> Json<'t> {
    /// The document `text`, whole.
    pub(crate) fn parse(text: &'t [u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(text).map_err(|_| Unreadable::new("it is not UTF-8"))?;
        let mut parser = Parser { text, at: 0, values: 0 };
        let value = parser.value(DEPTH_MAX)?;
        parser.space();
        if parser.at == text.len() { Ok(value) } else { Err(parser.wrong("more than one value")) }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    values: usize,
}

const WORDS: [&str; 3] = ["null", "true", "false"];
const NO_FINITE_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

impl<'t> Parser<'t> {
    fn wrong(&self, what: &str) -> Unreadable {
        Unreadable::new(format_args!("{what} at byte {}", self.at))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes `byte`, if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json<'t>, Unreadable> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Unreadable::new(format_args!("it has more than {VALUES_MAX} values")));
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Unreadable::new(format_args!("it is deeper than {DEPTH_MAX}")));
        };
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Json<'t>, Unreadable> {
        let rest = self.rest();
        if let Some(word) = WORDS.into_iter().find(|word| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(Json::Word(word));
        }
        let length = match NO_FINITE_NUMBERS.into_iter().find(|word| rest.starts_with(word)) {
            Some(word) => word.len(),
            None => number(rest.as_bytes()).ok_or_else(|| self.wrong("no value"))?,
        };
        self.at += length;
        Ok(Json::Number(rest.get(..length).unwrap_or_default()))
    }

    fn list(&mut self, depth: usize) -> Result<Json<'t>, Unreadable> {
        self.at += 1;
        let mut list = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Json::List(list));
        }
        loop {
            list.push(self.value(depth)?);
            self.space();
            match (self.take(b','), self.take(b']')) {
                (true, false) => {}
                (false, true) => return Ok(Json::List(list)),
                _ => return Err(self.wrong("neither `,` nor `]`")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'t>, Unreadable> {
        self.at += 1;
        let mut object = BTreeMap::new();
        self.space();
        if self.take(b'}') {
            return Ok(Json::Object(object));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            if !self.take(b':') {
                return Err(self.wrong("no `:`"));
            }
            let value = self.value(depth)?;
            if object.insert(name, value).is_some() {
                return Err(self.wrong("a name for the second time"));
            }
            self.space();
            match (self.take(b','), self.take(b'}')) {
                (true, false) => {}
                (false, true) => return Ok(Json::Object(object)),
                _ => return Err(self.wrong("neither `,` nor `}`")),
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'t, str>, Unreadable> {
        if !self.take(b'"') {
            return Err(self.wrong("no string"));
        }
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let Some(end) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) else {
                return Err(self.wrong("a string without an end"));
            };
            let piece = rest.get(..end).unwrap_or_default();
            if text.is_empty() {
                text = Cow::Borrowed(piece);
            } else {
                text.to_mut().push_str(piece);
            }
            self.at += end + 1;
            match rest.as_bytes().get(end) {
                Some(b'"') => return Ok(text),
                Some(b'\\') => text.to_mut().push(self.escaped()?),
                _ => return Err(self.wrong("a control character")),
            }
        }
    }

    /// The character that an escape stands for. Half of a surrogate pair, which Python writes, is U+FFFD.
    fn escaped(&mut self) -> Result<char, Unreadable> {
        let kind = self.peek();
        self.at += 1;
        Ok(match kind {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
                    let start = self.at;
                    self.at += 2;
                    let second = self.unit()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = start;
                }
                char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.wrong("an unknown escape")),
        })
    }

    fn unit(&mut self) -> Result<u32, Unreadable> {
        let digits =
            self.rest().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        unit.ok_or_else(|| self.wrong("no four hexadecimal digits"))
    }
}

/// The length of the number that `text` begins with.
fn number(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text.get(at) == Some(&b'0')) {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_python() {
        let text =
            br#" {"a": [1, -2.5e3, NaN, -Infinity], "b\n\u00e9\ud83d\ude00": {"c": null}, "d": "\ud800"} "#;
        let Json::Object(object) = Json::parse(text).unwrap() else { panic!() };
        let numbers = ["1", "-2.5e3", "NaN", "-Infinity"].map(Json::Number);
        assert_eq!(object["a"], Json::List(numbers.into()));
        assert!(object.contains_key("b\n\u{e9}\u{1f600}"));
        assert_eq!(object["d"], Json::Text("\u{fffd}".into()));
    }

    #[test]
    fn what_is_no_json() {
        for text in [
            "",
            "[",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "01",
            "1.",
            "-",
            "1e",
            "+1",
            "\"a",
            "\"\n\"",
            "nan",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12é\"",
            "1 2",
            "{1:2}",
            "[1}",
            "tru",
            "\u{feff}1",
        ] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        let deep = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
        assert!(Json::parse(&deep(DEPTH_MAX)).is_ok() && Json::parse(&deep(DEPTH_MAX + 1)).is_err());
        assert!(Json::parse(&[b"[0".as_slice(), &b",0".repeat(VALUES_MAX), b"]"].concat()).is_err());
    }
}
