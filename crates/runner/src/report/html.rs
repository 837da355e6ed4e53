//! The report as one page of HTML that needs nothing else: no script, nothing from anywhere, and it prints well.

use std::fmt::Write as _;

use super::document::ProjectReport;
use super::page::{Block, Part, blocks, parts, title};
use crate::graph::escape;

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
caption { text-align: left; font-weight: 600; padding: 0.5rem 0 0.25rem; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.6rem; border-bottom: 1px solid #888; }
td { font-size: 13px; overflow-wrap: anywhere; min-width: 4.5rem; }
code { font: 0.9em/1 ui-monospace, monospace; }
.warning { border-left: 4px solid #b45309; padding-left: 0.8rem; }
@media (max-width: 40rem) { table { display: block; overflow-x: auto; } }
@media print {
  body { font-size: 10pt; max-width: none; margin: 0; }
  h2, h3, caption { break-after: avoid; }
  tr { break-inside: avoid; }
  thead { display: table-header-group; }
}
";

/// The report as a page of HTML.
#[must_use]
pub fn html(report: &ProjectReport) -> String {
    let title = escape(&title(report));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width\"/>\n<title>{title}</title>\n<style>{STYLE}</style></head>\n\
         <body><main>\n<h1>{title}</h1>\n"
    );
    for block in blocks(report) {
        write(&mut page, &block);
    }
    page.push_str("</main></body></html>\n");
    page
}

/// `text`, with commands as code.
fn with_code(text: &str) -> String {
    let part = |part| match part {
        Part::Plain(plain) => escape(plain),
        Part::Command(command) => format!("<code>{command}</code>"),
    };
    parts(text).into_iter().map(part).collect()
}

fn write(page: &mut String, block: &Block) {
    let _ = match block {
        Block::Heading(heading) => writeln!(page, "<h2>{}</h2>", escape(heading)),
        Block::Subheading(heading) => writeln!(page, "<h3>{}</h3>", escape(heading)),
        Block::Paragraph(words) => writeln!(page, "<p>{}</p>", with_code(words)),
        Block::Warning(words) => {
            writeln!(page, "<p class=\"warning\"><strong>Note:</strong> {}</p>", with_code(words))
        }
        Block::List(items) => {
            page.push_str("<ul>\n");
            for item in items {
                let _ = writeln!(page, "<li>{}</li>", with_code(item));
            }
            writeln!(page, "</ul>")
        }
        Block::Table { caption, titles, rows } => {
            let _ = write!(page, "<table><caption>{}</caption>\n<thead><tr>", escape(caption));
            for title in titles {
                let _ = write!(page, "<th scope=\"col\">{}</th>", escape(title));
            }
            page.push_str("</tr></thead>\n<tbody>\n");
            for row in rows {
                page.push_str("<tr>");
                for (column, cell) in row.iter().enumerate() {
                    let _ = match column {
                        0 => write!(page, "<th scope=\"row\">{}</th>", escape(cell)),
                        _ => write!(page, "<td>{}</td>", escape(cell)),
                    };
                }
                page.push_str("</tr>\n");
            }
            writeln!(page, "</tbody></table>")
        }
    };
}
