//! Text of others as one line that a person can read: nothing hidden in it, nothing endless, and names in a list.

use aseptic_model::is_hidden;
use aseptic_model::spec::nearest;

/// Most names that help lists.
const KNOWN_MAX: usize = 30;

/// `text` with nothing in it that moves a cursor, hides, or turns the direction of what is around it.
pub(crate) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            visible.extend(character.escape_unicode());
        } else {
            visible.push(character);
        }
    }
    visible
}

/// [`visible`], and at most so many characters.
pub(crate) fn shown(text: &str, characters: usize) -> String {
    shortened(&visible(&shortened(text, characters)), characters)
}

/// `text`, or its beginning.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// The first names of a list, and how many more there are.
pub(crate) fn listed<T>(
    things: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    most: usize,
    name: impl FnMut(T) -> String,
) -> String {
    let things = things.into_iter();
    let more = things.len().saturating_sub(most);
    let first = things.take(most).map(name).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

/// Help with a name that is not one of `known`: the one that was likely meant, or all that there are, as `form` writes
/// them.
pub(crate) fn did_you_mean<'k>(
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
    form: impl Fn(&str) -> String,
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("did you mean {}?", form(nearest)),
        None => format!("there are {}", listed(known, KNOWN_MAX, form)),
    }
}

/// `name` in backquotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{name}`")
}
