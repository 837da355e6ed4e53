//! Safetensors: a JSON head that says where each tensor lies, then their elements.
//!
//! Source: the format as its README gives it: a length of eight bytes (little-endian), the head, the data.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use crate::Unreadable;
use crate::array;
use crate::content::Content;
use crate::header::{Element, Kind};
use crate::parse::Json;
use crate::tally::Tally;

/// Longest head; the format itself allows a hundred megabytes.
const HEAD_BYTES_MAX: u64 = 32 << 20;

/// Says what the file is about, and is no tensor.
const METADATA: &str = "__metadata__";

pub(crate) fn compare(before: &Content, after: &Content, tally: &mut Tally) -> Result<(), Unreadable> {
    let (old_head, new_head) = (head(before)?, head(after)?);
    let (old, new) = (Tensors::read(&old_head, before)?, Tensors::read(&new_head, after)?);
    let names: std::collections::BTreeSet<_> = old.tensors.keys().chain(new.tensors.keys()).collect();
    for name in names {
        let place = || name.to_string();
        let (a, b) = match (old.tensors.get(name), new.tensors.get(name)) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => {
                tally.one_sided(place, a.map(|_| "a tensor"), b.map(|_| "a tensor"));
                continue;
            }
        };
        if (a.shape.as_slice(), &a.element) != (b.shape.as_slice(), &b.element) {
            let shown = |tensor: &Tensor| format!("{} {:?}", tensor.element.name(), tensor.shape);
            tally.one_sided(place, Some(&shown(a)), Some(&shown(b)));
            continue;
        }
        let mut readers = (before.reader_at(old.data + a.start), after.reader_at(new.data + b.start));
        let at = |index: u64| format!("{name} element {index}");
        array::elements(&a.element, &b.element, a.count, &mut readers.0, &mut readers.1, &at, tally)?;
    }
    if old.metadata != new.metadata {
        tally.one_sided(|| METADATA.to_owned(), Some("its metadata"), Some("others"));
    }
    Ok(())
}

fn head(content: &Content) -> Result<Vec<u8>, Unreadable> {
    let mut length = [0; 8];
    let mut reader = content.reader();
    reader.read_exact(&mut length).map_err(Unreadable::new)?;
    let length = u64::from_le_bytes(length);
    if length > HEAD_BYTES_MAX || length > content.size().saturating_sub(8) {
        return Err(Unreadable::new("its head is longer than it may be"));
    }
    let mut head = Vec::new();
    reader.take(length).read_to_end(&mut head).map_err(Unreadable::new)?;
    Ok(head)
}

struct Tensors<'t> {
    tensors: BTreeMap<Cow<'t, str>, Tensor>,
    metadata: Option<Json<'t>>,
    /// Where the elements begin.
    data: u64,
}

struct Tensor {
    element: Element,
    shape: Vec<u64>,
    count: u64,
    start: u64,
}

impl<'t> Tensors<'t> {
    fn read(head: &'t [u8], content: &Content) -> Result<Self, Unreadable> {
        let data = 8 + head.len() as u64;
        let wrong = || Unreadable::new("its head is not as the format has it");
        let Json::Object(mut object) = Json::parse(head)? else { return Err(wrong()) };
        let metadata = object.remove(METADATA);
        let mut tensors = BTreeMap::new();
        for (name, value) in object {
            let tensor = Tensor::read(&value).ok_or_else(wrong)?;
            let bytes = tensor.count.checked_mul(tensor.element.size as u64);
            let end = bytes.and_then(|bytes| bytes.checked_add(tensor.start));
            if end.is_none_or(|end| end > content.size() - data) {
                return Err(Unreadable::new(format_args!("tensor {name} lies outside of the file")));
            }
            tensors.insert(name, tensor);
        }
        Ok(Self { tensors, metadata, data })
    }
}

impl Tensor {
    fn read(value: &Json<'_>) -> Option<Self> {
        let Json::Object(fields) = value else { return None };
        let numbers = |name: &str| match fields.get(name) {
            Some(Json::List(list)) => list
                .iter()
                .map(|item| match item {
                    Json::Number(number) => number.parse::<u64>().ok(),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let Some(Json::Text(kind)) = fields.get("dtype") else { return None };
        let shape = numbers("shape")?;
        let [start, end] = numbers("data_offsets")?.try_into().ok()?;
        let element = element(kind);
        let count = shape.iter().try_fold(1_u64, |count, length| count.checked_mul(*length))?;
        let bytes = count.checked_mul(element.size as u64)?;
        // A type that is not known is compared by its bytes.
        let count = if element.kind == Kind::Bytes { end.checked_sub(start)? } else { count };
        (element.kind == Kind::Bytes || end.checked_sub(start) == Some(bytes)).then_some(Self {
            element,
            shape,
            count,
            start,
        })
    }
}

fn element(kind: &str) -> Element {
    let (kind, size) = match kind {
        "F64" => (Kind::Float, 8),
        "F32" => (Kind::Float, 4),
        "F16" => (Kind::Float, 2),
        "BF16" => (Kind::BrainFloat, 2),
        "I64" => (Kind::Signed, 8),
        "I32" => (Kind::Signed, 4),
        "I16" => (Kind::Signed, 2),
        "I8" => (Kind::Signed, 1),
        "U64" => (Kind::Unsigned, 8),
        "U32" => (Kind::Unsigned, 4),
        "U16" => (Kind::Unsigned, 2),
        "U8" => (Kind::Unsigned, 1),
        "BOOL" => (Kind::Bool, 1),
        _ => (Kind::Bytes, 1),
    };
    Element { kind, size, big_endian: false, unit: String::new() }
}
