//! A lineage as a list.

use aseptic_runner::{EdgeKind, Lineage};

use super::directions;
use super::words::{how, name};
use aseptic_runner::graph::Row;

const TITLES: &str = "direction,hops,from,kind,to,input,evidence,opened,path\n";

/// Lines of comma-separated values (RFC 4180), titles first.
pub(super) fn csv(lineage: &Lineage) -> String {
    let mut text = TITLES.to_owned();
    for (direction, graph) in directions(lineage) {
        for edge in &graph.edges {
            let (input, evidence, opened, path) = match &edge.kind {
                EdgeKind::Read { input, evidence, opened, path } => (
                    input.to_string(),
                    evidence.as_str().to_owned(),
                    opened.map(|files| files.to_string()).unwrap_or_default(),
                    path.as_ref().map(ToString::to_string).unwrap_or_default(),
                ),
                EdgeKind::Part { path } => (String::new(), String::new(), String::new(), path.to_string()),
                _ => Default::default(),
            };
            let cells = [
                direction.to_owned(),
                edge.hops.to_string(),
                edge.from.to_string(),
                edge.kind.as_str().to_owned(),
                edge.to.to_string(),
                input,
                evidence,
                opened,
                path,
            ];
            text.push_str(&cells.map(|cell| quoted(&cell)).join(","));
            text.push('\n');
        }
    }
    text
}

/// A cell; one that a spreadsheet would take for a formula is text.
fn quoted(cell: &str) -> String {
    let cell = if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// The same for a page.
pub(super) fn rows(lineage: &Lineage) -> Vec<Row> {
    directions(lineage)
        .flat_map(|(direction, graph)| graph.edges.iter().map(move |edge| (direction, edge)))
        .map(|(direction, edge)| Row {
            direction,
            hops: edge.hops,
            from: name(&edge.from),
            how: how(&edge.kind),
            to: name(&edge.to),
        })
        .collect()
}
