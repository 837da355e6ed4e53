//! Text for a terminal, with nothing in it that a terminal would obey or that changes how the rest of it is read.
//!
//! Names of files and what people write come from anywhere. What the library gives has no control characters; characters
//! that turn the direction of a line, or show nothing, are shown here, whichever command prints them.

use std::borrow::Cow;
use std::fmt::Write as _;

use aseptic_model::is_hidden;

/// Lines for people. What is hidden becomes the bytes of it, as in the text form of a path: `\xe2\x80\xae`.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    replaced(text, |visible, character| {
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            let _ = write!(visible, "\\x{byte:02x}");
        }
    })
}

/// A JSON document. What is hidden can only be in a string, where an escape sequence of JSON means the same.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    replaced(text, |visible, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(visible, "\\u{unit:04x}");
        }
    })
}

fn replaced(text: &str, mut replace: impl FnMut(&mut String, char)) -> Cow<'_, str> {
    let is_hidden = |character: char| is_hidden(character) && !matches!(character, '\n' | '\t');
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len() + 64);
    for character in text.chars() {
        if is_hidden(character) { replace(&mut visible, character) } else { visible.push(character) }
    }
    Cow::Owned(visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hidden_is_left() {
        let text = "a\u{202e}b\u{1b}[31m\u{9b}1m\u{200b}\r\u{2028}\n\tä";
        assert_eq!(
            lines(text),
            "a\\xe2\\x80\\xaeb\\x1b[31m\\xc2\\x9b1m\\xe2\\x80\\x8b\\x0d\\xe2\\x80\\xa8\n\tä"
        );
        assert!(matches!(lines("plain\n"), Cow::Borrowed("plain\n")));
    }

    #[test]
    fn a_document_says_the_same() {
        let value = serde_json::json!({ "a\u{202e}": ["\u{9b}", "\u{e0001}", "\u{7f}\n", "\\\u{200b}"] });
        for text in [value.to_string(), format!("{value:#}")] {
            let visible = json(&text);
            assert!(!visible.chars().any(|one| one != '\n' && is_hidden(one)), "{visible}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&visible).unwrap(), value);
        }
    }
}
