//! A graph for people to look at: SVG, a page of HTML, or the language of Graphviz.
//!
//! **Invariant:** what a picture shows came from jobs and files: every text is escaped, and nothing is loaded from
//! anywhere.

mod dot;
mod html;
mod layout;
mod svg;

pub use dot::dot;
pub use html::{Row, html};
pub use svg::{element, svg};

/// What is drawn.
#[derive(Debug, Default)]
pub struct Graph {
    /// What it is about.
    pub title: String,
    /// The boxes.
    pub nodes: Vec<Node>,
    /// The arrows.
    pub edges: Vec<Edge>,
}

/// A box.
#[derive(Debug)]
pub struct Node {
    /// First line.
    pub name: String,
    /// Second line.
    pub detail: String,
    /// Everything that is known.
    pub title: String,
    /// Class of the style sheet: the kind of thing.
    pub class: &'static str,
    /// Whether the question is about it.
    pub asked: bool,
    /// Whether it must not be used.
    pub quarantined: bool,
    /// Words in its corner.
    pub labels: Vec<String>,
}

/// An arrow.
#[derive(Debug)]
pub struct Edge {
    /// The box that it comes from, by its number.
    pub from: usize,
    /// The box that it leads to.
    pub to: usize,
    /// What it is.
    pub title: String,
    /// Whether it is not known to have happened.
    pub declared: bool,
}

/// `character`, or the sign for what cannot be shown: XML has no such character, or it changes how those around it are
/// read.
#[must_use]
pub fn shown(character: char) -> char {
    let turns = matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_no_text =
        character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}');
    if turns || is_no_text { '\u{fffd}' } else { character }
}

/// `text` in XML, as content or attribute. What XML cannot hold becomes the sign for what cannot be shown.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push_str("&#10;"),
            other => escaped.push(shown(other)),
        }
    }
    escaped
}

/// The first characters of `text`.
fn short(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}
