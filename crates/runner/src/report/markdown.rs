//! The report as Markdown. Every character that a reader of Markdown could take for more than text is escaped.

use std::fmt::Write as _;

use super::document::ProjectReport;
use super::page::{Block, Part, blocks, parts, title};
use crate::graph::shown;

/// The report as Markdown (GitHub's, for its tables).
#[must_use]
pub fn markdown(report: &ProjectReport) -> String {
    let mut text = format!("# {}\n", escape(&title(report)));
    for block in blocks(report) {
        text.push('\n');
        write(&mut text, &block);
    }
    text
}

fn write(text: &mut String, block: &Block) {
    let _ = match block {
        Block::Heading(heading) => writeln!(text, "## {}", escape(heading)),
        Block::Subheading(heading) => writeln!(text, "### {}", escape(heading)),
        Block::Paragraph(words) => writeln!(text, "{}", with_code(words)),
        Block::Warning(words) => writeln!(text, "**Note:** {}", with_code(words)),
        Block::List(items) => items.iter().try_for_each(|item| writeln!(text, "- {}", with_code(item))),
        Block::Table { caption, titles, rows } => {
            let row = |cells: &mut dyn Iterator<Item = String>| -> String {
                cells.fold("|".to_owned(), |line, cell| line + " " + &cell + " |")
            };
            let titles_row = row(&mut titles.iter().map(|title| escape(title)));
            let rule = row(&mut titles.iter().map(|_| "---".to_owned()));
            let _ = writeln!(text, "{}:\n\n{titles_row}\n{rule}", escape(caption));
            rows.iter()
                .try_for_each(|cells| writeln!(text, "{}", row(&mut cells.iter().map(|cell| escape(cell)))))
        }
    };
}

/// `text` escaped, with commands as code.
fn with_code(text: &str) -> String {
    let part = |part| match part {
        Part::Plain(plain) => escape(plain),
        Part::Command(command) => format!("`{command}`"),
    };
    parts(text).into_iter().map(part).collect()
}

/// `text` as nothing but text: no mark-up, no HTML, no entity, no link, no formula, one line.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().map(shown).peekable();
    let mut before = None;
    while let Some(character) = characters.next() {
        // Entities, so that a reader that shows HTML as it comes has none to show.
        let entity = match character {
            '<' => "&lt;",
            '>' => "&gt;",
            '&' => "&amp;",
            _ => "",
        };
        let is_mark =
            matches!(character, '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '|' | '~' | '!' | '$');
        // What would be made a link without any mark-up: `https://…`, `www.…`, `somebody@example.org`.
        let is_link = match character {
            ':' => characters.peek() == Some(&'/'),
            '.' => before.is_some_and(|before: char| before.eq_ignore_ascii_case(&'w')),
            '@' => characters.peek().is_some_and(|next| !next.is_ascii_digit()),
            _ => false,
        };
        // At the beginning of a line these make lists and headings.
        let is_beginning = before.is_none() && matches!(character, '-' | '+' | '=');
        if is_mark || is_link || is_beginning {
            escaped.push('\\');
        }
        match entity {
            "" => escaped.push(character),
            entity => escaped.push_str(entity),
        }
        before = Some(character);
    }
    escaped
}
