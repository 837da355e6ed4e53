//! A graph in the language of Graphviz.

use std::fmt::Write as _;

use super::{Graph, short, shown};

/// `graph` for `dot`.
///
/// Source: <https://graphviz.org/doc/info/lang.html> and its `escString`, in which a backslash means something.
pub fn dot(graph: &Graph) -> String {
    let mut text = format!(
        "digraph lineage {{\n  rankdir=LR;\n  label=\"{}\";\n  node [shape=box, style=\"rounded,filled\", \
         fillcolor=white, fontname=\"Helvetica\", fontsize=11];\n  edge [fontname=\"Helvetica\", fontsize=9];\n",
        escape(&graph.title)
    );
    for (index, node) in graph.nodes.iter().enumerate() {
        let colour = match node.class {
            _ if node.quarantined => "#dc2626",
            "run" => "#64748b",
            "dataset" => "#2563eb",
            "artifact" => "#059669",
            "file" | "snapshot" => "#0891b2",
            "elsewhere" => "#a16207",
            _ => "#7c3aed",
        };
        let width = if node.asked { 3 } else { 1 };
        let mut lines = vec![short(&node.name, 60), short(&node.detail, 60)];
        if !node.labels.is_empty() {
            lines.push(short(&format!("[{}]", node.labels.join("] [")), 60));
        }
        let _ = writeln!(
            text,
            "  n{index} [label=\"{}\", tooltip=\"{}\", color=\"{colour}\", penwidth={width}];",
            escape(&lines.join("\n")),
            escape(&node.title)
        );
    }
    for edge in &graph.edges {
        let style = if edge.declared { ", style=dashed" } else { "" };
        let _ =
            writeln!(text, "  n{} -> n{} [tooltip=\"{}\"{style}];", edge.from, edge.to, escape(&edge.title));
    }
    text.push_str("}\n");
    text
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            // Graphviz reads entities of HTML in every text.
            '&' => escaped.push_str("&amp;"),
            other => escaped.push(shown(other)),
        }
    }
    escaped
}
