//! The head of an array of NumPy: its type, order and shape.
//!
//! Source: `numpy.lib.format`, versions 1.0, 2.0 and 3.0. It is a dictionary as Python writes it, of which only
//! what NumPy itself writes is read. An array of objects is a pickle: it is refused before anything of it is read.

use std::io::Read;

use crate::Unreadable;

/// Longest head; that of an ordinary array has 118 bytes, and NumPy itself refuses more than 10,000.
const HEAD_BYTES_MAX: u32 = 10_000;
/// Dimensions, as NumPy has it.
const DIMENSIONS_MAX: usize = 64;

/// What an array is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) element: Element,
    /// Whether the first index changes fastest.
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<u64>,
    /// Elements of it.
    pub(crate) count: u64,
}

/// The type of the elements of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) kind: Kind,
    /// Bytes of one.
    pub(crate) size: usize,
    pub(crate) big_endian: bool,
    /// Of times: `[ns]`.
    pub(crate) unit: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Signed,
    Unsigned,
    Float,
    /// The upper half of a float32.
    BrainFloat,
    Complex,
    /// Text and other bytes, compared as such.
    Bytes,
}

impl Header {
    pub(crate) fn read(reader: &mut impl Read) -> Result<Self, Unreadable> {
        let mut fixed = [0; 8];
        read_exact(reader, &mut fixed)?;
        let [magic @ .., major, _] = fixed;
        if magic != *b"\x93NUMPY" {
            return Err(Unreadable::new("it is no array of NumPy"));
        }
        let length = match major {
            1 => {
                let mut length = [0; 2];
                read_exact(reader, &mut length)?;
                u32::from(u16::from_le_bytes(length))
            }
            2 | 3 => {
                let mut length = [0; 4];
                read_exact(reader, &mut length)?;
                u32::from_le_bytes(length)
            }
            other => return Err(Unreadable::new(format_args!("version {other} of the format is not known"))),
        };
        if length > HEAD_BYTES_MAX {
            return Err(Unreadable::new(format_args!("its head is over {HEAD_BYTES_MAX} bytes")));
        }
        let mut head = Vec::new();
        reader.take(u64::from(length)).read_to_end(&mut head).map_err(Unreadable::new)?;
        let head = String::from_utf8_lossy(&head);
        Literal { rest: head.trim_end() }
            .header()
            .ok_or_else(|| Unreadable::new("its head is not as NumPy writes it"))?
    }

    /// Bytes of all elements.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.count.checked_mul(self.element.size as u64)
    }
}

pub(crate) fn read_exact(reader: &mut impl Read, buffer: &mut [u8]) -> Result<(), Unreadable> {
    reader
        .read_exact(buffer)
        .map_err(|error| Unreadable::new(format_args!("it cannot be read to its end: {error}")))
}

impl Element {
    /// Of a text such as `<f8` or `<M8[ns]`.
    fn parse(text: &str) -> Result<Self, Unreadable> {
        let unknown =
            || Unreadable::new(format_args!("elements of type `{text}` are not compared by their values"));
        let mut characters = text.chars();
        let order = characters.next().filter(|order| "<>|=".contains(*order)).ok_or_else(unknown)?;
        let letter = characters.next().ok_or_else(unknown)?;
        if letter == 'O' {
            return Err(Unreadable::new("it holds objects of Python, which are code and are not loaded"));
        }
        let rest = characters.as_str();
        let (size, unit) = rest.split_at(rest.find('[').unwrap_or(rest.len()));
        let size: usize = size.parse().map_err(|_| unknown())?;
        let (kind, size) = match (letter, size) {
            ('b', 1) => (Kind::Bool, 1),
            ('i', 1 | 2 | 4 | 8) | ('M' | 'm', 8) => (Kind::Signed, size),
            ('u', 1 | 2 | 4 | 8) => (Kind::Unsigned, size),
            ('f', 2 | 4 | 8) => (Kind::Float, size),
            ('c', 8 | 16) => (Kind::Complex, size),
            ('S' | 'V', 0..=ELEMENT_BYTES_MAX) => (Kind::Bytes, size),
            ('U', 0..=ELEMENT_BYTES_MAX) => (Kind::Bytes, size * 4),
            _ => return Err(unknown()),
        };
        let is_time = matches!(letter, 'M' | 'm');
        if !is_time && !unit.is_empty() || unit.len() > 20 {
            return Err(unknown());
        }
        Ok(Self { kind, size, big_endian: order == '>', unit: format!("{letter}{unit}") })
    }

    /// Whether both have equal values where their bytes are equal.
    pub(crate) fn same_bytes(&self, other: &Self) -> bool {
        self.big_endian == other.big_endian || self.size == 1
    }

    /// Whether the values of both can be compared.
    pub(crate) fn same_type(&self, other: &Self) -> bool {
        let text_order = self.kind != Kind::Bytes || !self.unit.starts_with('U') || self.same_bytes(other);
        self.kind == other.kind && self.size == other.size && self.unit == other.unit && text_order
    }

    pub(crate) fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Bool => "bool",
            Kind::Signed if self.unit.starts_with(['M', 'm']) => return format!("time {}", self.unit),
            Kind::Signed => "int",
            Kind::Unsigned => "uint",
            Kind::Float => "float",
            Kind::BrainFloat => "bfloat",
            Kind::Complex => "complex",
            Kind::Bytes => return format!("{} bytes", self.size),
        };
        format!("{kind}{}", self.size * 8)
    }
}

/// Longest text of an element.
const ELEMENT_BYTES_MAX: usize = 1 << 16;

/// A literal of Python, as far as heads have it.
struct Literal<'t> {
    rest: &'t str,
}

impl<'t> Literal<'t> {
    /// `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`; nothing where it is no such dictionary.
    fn header(mut self) -> Option<Result<Header, Unreadable>> {
        let (mut element, mut fortran_order, mut shape) = (None, None, None);
        self.take("{")?;
        while self.take("}").is_none() {
            let key = self.string()?;
            self.take(":")?;
            match key {
                "descr" if element.is_none() => {
                    if self.take("[").is_some() {
                        return Some(Err(Unreadable::new(
                            "arrays with named fields are not compared by their values",
                        )));
                    }
                    match Element::parse(self.string()?) {
                        Ok(found) => element = Some(found),
                        Err(unknown) => return Some(Err(unknown)),
                    }
                }
                "fortran_order" if fortran_order.is_none() => {
                    let is = self.take("True").is_some();
                    if !is {
                        self.take("False")?;
                    }
                    fortran_order = Some(is);
                }
                "shape" if shape.is_none() => shape = Some(self.shape()?),
                _ => return None,
            }
            if self.take(",").is_none() && !self.rest.trim_start().starts_with('}') {
                return None;
            }
        }
        let (element, fortran_order, shape) = (element?, fortran_order?, shape?);
        let mut count = Some(1_u64);
        if !shape.contains(&0) {
            count = shape.iter().try_fold(1_u64, |count, length| count.checked_mul(*length));
        } else {
            count = count.map(|_| 0);
        }
        let header = Header { element, fortran_order, shape, count: count? };
        (self.rest.trim().is_empty() && header.bytes().is_some()).then_some(Ok(header))
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'t str> {
        let text = self.rest.trim_start();
        let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let (inside, rest) = text.get(1..)?.split_once(quote)?;
        self.rest = rest;
        (!inside.contains('\\')).then_some(inside)
    }

    fn shape(&mut self) -> Option<Vec<u64>> {
        let mut shape = Vec::new();
        self.take("(")?;
        while self.take(")").is_none() {
            let text = self.rest.trim_start();
            let length = text.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, rest) = text.split_at(length);
            shape.push(digits.parse().ok()?);
            self.rest = rest.strip_prefix('L').unwrap_or(rest); // As Python 2 wrote them.
            if shape.len() > DIMENSIONS_MAX {
                return None;
            }
            if self.take(",").is_none() && !self.rest.trim_start().starts_with(')') {
                return None;
            }
        }
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Option<Result<Header, String>> {
        let found = Literal { rest: text }.header()?;
        Some(found.map_err(|Unreadable(why)| why))
    }

    #[test]
    fn heads_as_numpy_writes_them() {
        let found = header("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }").unwrap().unwrap();
        assert_eq!((found.shape, found.count, found.element.size), (vec![3, 4], 12, 8));
        for (shape, count) in [("()", 1), ("(5,)", 5), ("(0, 18446744073709551615)", 0), ("(2L,)", 2)] {
            let text = format!("{{'descr': '|u1', 'fortran_order': True, 'shape': {shape}}}");
            assert_eq!(header(&text).unwrap().unwrap().count, count, "{shape}");
        }
    }

    #[test]
    fn heads_that_are_refused() {
        let with = |descr: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")
        };
        for text in [
            with("'<f8'", "(4294967296, 4294967296)"),
            with("'<f8'", "(2305843009213693952,)"),
            with("'<f8'", "(-1,)"),
            with("'<f8'", "(1 2)"),
            with("'<f8'", &format!("({})", "1,".repeat(65))),
            with("'<f8'", "(1,)") + "x",
            with("open('x')", "(1,)"),
            with("'<f8', 'descr': '<f4'", "(1,)"),
            "{'descr': '<f8', 'shape': (1,)}".to_owned(),
            "{".to_owned(),
            "{'descr".to_owned(),
        ] {
            assert_eq!(header(&text), None, "{text}");
        }
        for descr in
            ["'|O'", "'<f16'", "'<x8'", "[('a', '<f8')]", "'f8'", "'<i3'", "'<U99999999999'", "'é'", "''"]
        {
            assert!(header(&with(descr, "(1,)")).unwrap().is_err(), "{descr}");
        }
    }
}
