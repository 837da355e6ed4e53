//! JSON: the order of the names of an object says nothing, that of a list does.

use crate::Unreadable;
use crate::content::Content;
use crate::parse::Json;
use crate::tally::Tally;

/// Largest document, which is read whole.
const BYTES_MAX: u64 = 64 << 20;

pub(crate) fn compare(before: &Content, after: &Content, tally: &mut Tally) -> Result<(), Unreadable> {
    let read = |content: &Content| {
        if content.size() > BYTES_MAX {
            return Err(Unreadable::new(format_args!("JSON over {BYTES_MAX} bytes is not compared")));
        }
        content.start(BYTES_MAX).map_err(Unreadable::new)
    };
    let (before, after) = (read(before)?, read(after)?);
    documents(&before, &after, "", None, tally)
}

/// Two documents; `place` says where they are, and `left_out` is a name of the outermost object.
pub(crate) fn documents(
    before: &[u8],
    after: &[u8],
    place: &str,
    left_out: Option<&str>,
    tally: &mut Tally,
) -> Result<(), Unreadable> {
    let (mut before, mut after) = (Json::parse(before)?, Json::parse(after)?);
    for document in [&mut before, &mut after] {
        if let (Json::Object(object), Some(name)) = (document, left_out) {
            object.remove(name);
        }
    }
    values(&before, &after, &mut place.to_owned(), tally);
    Ok(())
}

/// `at` is the place as a JSON pointer (RFC 6901), one text for the whole walk.
fn values(before: &Json<'_>, after: &Json<'_>, at: &mut String, tally: &mut Tally) {
    match (before, after) {
        (Json::Object(before), Json::Object(after)) => {
            let mut new = after.iter().peekable();
            for (name, old) in before {
                while let Some((name, value)) = new.next_if(|(other, _)| *other < name) {
                    below(at, &pointer(name), |at| tally.one_sided(|| shown(at), None, Some(&text(value))));
                }
                below(at, &pointer(name), |at| match new.next_if(|(other, _)| *other == name) {
                    Some((_, value)) => values(old, value, at, tally),
                    None => tally.one_sided(|| shown(at), Some(&text(old)), None),
                });
            }
            for (name, value) in new {
                below(at, &pointer(name), |at| tally.one_sided(|| shown(at), None, Some(&text(value))));
            }
        }
        (Json::List(before), Json::List(after)) => {
            for index in 0..before.len().max(after.len()) {
                below(at, &index.to_string(), |at| match (before.get(index), after.get(index)) {
                    (Some(before), Some(after)) => values(before, after, at, tally),
                    (before, after) => {
                        let (before, after) = (before.map(text), after.map(text));
                        tally.one_sided(|| shown(at), before.as_deref(), after.as_deref());
                    }
                });
            }
        }
        (Json::Number(before), Json::Number(after)) => numbers(|| shown(at), before, after, tally),
        (before, after) if kind(before) == kind(after) => {
            tally.exact(|| shown(at), &text(before), &text(after));
        }
        (before, after) => tally.one_sided(|| shown(at), Some(&text(before)), Some(&text(after))),
    }
}

/// Integers exactly, however long they are, anything else as numbers of 64 bits.
pub(crate) fn numbers(at: impl FnOnce() -> String, before: &str, after: &str, tally: &mut Tally) {
    let is_integer = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_integer(before) && is_integer(after) {
        return tally.exact(at, before, after);
    }
    // `Infinity` and `NaN` of Python are read by their names.
    match (before.parse(), after.parse()) {
        (Ok(before), Ok(after)) => tally.numbers(at, before, after),
        _ => tally.exact(at, before, after),
    }
}

fn below(at: &mut String, name: &str, show: impl FnOnce(&mut String)) {
    let length = at.len();
    at.push('/');
    at.push_str(name);
    show(at);
    at.truncate(length);
}

fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn shown(at: &str) -> String {
    if at.is_empty() { "/".to_owned() } else { at.to_owned() }
}

fn kind(value: &Json<'_>) -> u8 {
    match value {
        Json::Word("null") => 0,
        Json::Word(_) => 1,
        Json::Number(_) => 2,
        Json::Text(_) => 3,
        Json::List(_) => 4,
        Json::Object(_) => 5,
    }
}

fn text(value: &Json<'_>) -> String {
    match value {
        Json::Word(word) => (*word).to_owned(),
        Json::Number(number) => (*number).to_owned(),
        Json::Text(text) => text.to_string(),
        Json::List(list) => format!("a list of {}", list.len()),
        Json::Object(object) => format!("an object of {}", object.len()),
    }
}
