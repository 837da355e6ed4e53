//! One line: a JSON object, taken apart without a copy of it.
//!
//! Strict but for what Python and C write of numbers that are not finite: `NaN`, `Infinity`, `-Infinity`, `nan`,
//! `inf`, `-nan`, `-inf`.
//!
//! Source: RFC 8259.

use std::borrow::Cow;

/// How deep objects may stand in each other and still be metrics.
pub(crate) const DEPTH_MAX: usize = 8;

/// How deep anything may be nested that is passed over. Bounds the stack.
const SKIPPED_DEPTH_MAX: usize = 64;

/// Largest step. Up to here every whole number is a number of its own in JSON, so that a record can hold it.
///
/// Source: RFC 8259 section 6, RFC 8785 section 3.2.2.3.
const STEP_MAX: f64 = 9_007_199_254_740_991.0;

/// The line cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// What a line says besides its metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct When {
    pub(crate) step: Option<i64>,
    pub(crate) time: Option<f64>,
}

type Read<T> = Result<T, Unreadable>;

/// Reads `line` and shows `take` the name and value of each metric, in order.
pub(crate) fn read(line: &str, path: &mut String, take: &mut dyn FnMut(&str, f64)) -> Read<When> {
    path.clear();
    let mut parser = Parser { text: line, at: 0 };
    let mut when = When::default();
    parser.space();
    parser.object(0, path, &mut when, take)?;
    parser.space();
    if parser.at == line.len() { Ok(when) } else { Err(Unreadable) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0) // No token begins with it.
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Read<()> {
        if self.peek() != byte {
            return Err(Unreadable);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Read<()> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Unreadable);
        }
        self.at += word.len();
        Ok(())
    }

    /// The members of an object, whose names follow `path`.
    fn object(
        &mut self,
        depth: usize,
        path: &mut String,
        when: &mut When,
        take: &mut dyn FnMut(&str, f64),
    ) -> Read<()> {
        if depth >= DEPTH_MAX {
            return Err(Unreadable);
        }
        self.members(|this, key| {
            if depth == 0 && key == "step" {
                when.step = this.step()?;
                return Ok(());
            }
            if depth == 0 && key == "time" {
                when.time = this.time()?;
                return Ok(());
            }
            let length = path.len();
            match this.peek() {
                b'{' => {
                    path.push_str(&key);
                    path.push('/');
                    this.object(depth + 1, path, when, take)?;
                }
                b'"' | b'[' | b't' | b'f' => this.skip(0)?,
                b'n' if this.word("null").is_ok() => {}
                _ => {
                    let value = this.number()?;
                    if depth == 0 {
                        take(&key, value);
                    } else {
                        path.push_str(&key);
                        take(path, value);
                    }
                }
            }
            path.truncate(length);
            Ok(())
        })
    }

    fn members(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Read<()>) -> Read<()> {
        self.expect(b'{')?;
        self.space();
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
            member(self, key)?;
            self.space();
            match self.peek() {
                b',' => self.at += 1,
                _ => return self.expect(b'}'),
            }
        }
    }

    /// Passes over a value that is no metric.
    fn skip(&mut self, depth: usize) -> Read<()> {
        if depth >= SKIPPED_DEPTH_MAX {
            return Err(Unreadable);
        }
        match self.peek() {
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' if self.word("null").is_ok() => Ok(()),
            b'{' => self.members(|this, _| this.skip(depth + 1)),
            b'[' => self.elements(depth),
            _ => self.number().map(drop),
        }
    }

    fn elements(&mut self, depth: usize) -> Read<()> {
        self.expect(b'[')?;
        self.space();
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.skip(depth + 1)?;
            self.space();
            match self.peek() {
                b',' => self.at += 1,
                _ => return self.expect(b']'),
            }
        }
    }

    /// A whole number, as Python writes an integer or a float.
    fn step(&mut self) -> Read<Option<i64>> {
        if self.word("null").is_ok() {
            return Ok(None);
        }
        let value = self.number()?;
        if value.fract() != 0.0 || value.abs() > STEP_MAX {
            return Err(Unreadable);
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is a whole number of at most 53 bits")]
        Ok(Some(value as i64))
    }

    fn time(&mut self) -> Read<Option<f64>> {
        if self.word("null").is_ok() {
            return Ok(None);
        }
        let time = self.number()?;
        if time.is_finite() { Ok(Some(time)) } else { Err(Unreadable) }
    }

    fn number(&mut self) -> Read<f64> {
        let from = self.at;
        let negative = self.peek() == b'-';
        if negative {
            self.at += 1;
        }
        match self.peek() {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return self.not_finite(negative),
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        self.text[from..self.at].parse().map_err(|_| Unreadable)
    }

    fn digits(&mut self) -> Read<()> {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(Unreadable) }
    }

    fn not_finite(&mut self, negative: bool) -> Read<f64> {
        let value = match self.peek() {
            b'N' => self.word("NaN").map(|()| f64::NAN),
            b'n' => self.word("nan").map(|()| f64::NAN),
            b'I' => self.word("Infinity").map(|()| f64::INFINITY),
            b'i' => self.word("inf").map(|()| f64::INFINITY),
            _ => Err(Unreadable),
        }?;
        Ok(if negative { -value } else { value })
    }

    fn string(&mut self) -> Read<Cow<'a, str>> {
        self.expect(b'"')?;
        let from = self.at;
        loop {
            match self.peek() {
                b'"' => {
                    let text = &self.text[from..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                b'\\' => return self.escaped(from).map(Cow::Owned),
                0..=0x1f => return Err(Unreadable), // The end of the line among them.
                _ => self.at += 1,
            }
        }
    }

    /// A string that is not written as it is.
    fn escaped(&mut self, from: usize) -> Read<String> {
        let mut text = self.text[from..self.at].to_owned();
        loop {
            let plain = self.at;
            while !matches!(self.peek(), b'"' | b'\\' | 0..=0x1f) {
                self.at += 1;
            }
            text.push_str(&self.text[plain..self.at]);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(Unreadable),
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(Unreadable),
        })
    }

    fn unicode(&mut self) -> Read<char> {
        let first = self.four()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(Unreadable);
        }
        self.expect(b'\\')?;
        self.expect(b'u')?;
        let second = self.four()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(Unreadable);
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(Unreadable)
    }

    fn four(&mut self) -> Read<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + char::from(self.peek()).to_digit(16).ok_or(Unreadable)?;
            self.at += 1;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
