//! A graph as SVG.

use std::fmt::Write as _;

use super::layout::{BOX, LANE, layout};
use super::{Graph, Node, escape, short};

/// Characters of a line that surely fit into a box.
const NAME_CHARACTERS: usize = 31;
const DETAIL_CHARACTERS: usize = 38;

/// The style of a picture, light or dark as the reader likes it. A kind has its colour in the bar on the left, what
/// is in quarantine is red, what was asked about has a heavy frame.
pub(super) const STYLE: &str = "\
.lineage{font:13px system-ui,sans-serif;--ink:#1c2430;--soft:#5b6675;--paper:#fff;--box:#fff;--line:#c3cad4;\
--edge:#8a95a5}\
@media(prefers-color-scheme:dark){.lineage{--ink:#e8ecf2;--soft:#a3adbb;--paper:#12161c;--box:#1a2029;\
--line:#3a4452;--edge:#7a8696}}\
.paper{fill:var(--paper)}.box{fill:var(--box);stroke:var(--line)}.name{fill:var(--ink);font-weight:600}\
.detail{fill:var(--soft);font-size:11px}.edge{fill:none;stroke:var(--edge);stroke-width:1.4}\
.declared{stroke-dasharray:5 4}.tip{fill:var(--edge)}.asked .box{stroke:var(--ink);stroke-width:2}\
.run .bar{fill:#64748b}.dataset .bar{fill:#2563eb}.artifact .bar{fill:#059669}.file .bar,.snapshot .bar{fill:#0891b2}\
.host .bar,.package .bar,.policy .bar{fill:#7c3aed}.elsewhere .bar{fill:#a16207}\
.quarantined .box{stroke:#dc2626;stroke-width:2}.quarantined .bar{fill:#dc2626}\
.label{fill:#fde68a}.labelled{fill:#713f12;font-size:10px;font-weight:600}";

/// `graph` as a document of its own.
pub fn svg(graph: &Graph) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", element(graph))
}

/// `graph` as an element of a page.
pub fn element(graph: &Graph) -> String {
    let ends: Vec<_> = graph.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let layout = layout(graph.nodes.len(), &ends);
    let (width, height) = layout.size;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"lineage\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path class=\"tip\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
        escape(&graph.title)
    );
    for (edge, lanes) in graph.edges.iter().zip(&layout.lanes) {
        let corners = (layout.corners.get(edge.from), layout.corners.get(edge.to));
        let (Some(from), Some(to)) = corners else { continue };
        let class = if edge.declared { "edge declared" } else { "edge" };
        let _ = writeln!(
            text,
            "<path class=\"{class}\" marker-end=\"url(#tip)\" d=\"{}\"><title>{}</title></path>",
            curve(*from, lanes, *to),
            escape(&edge.title)
        );
    }
    for (node, corner) in graph.nodes.iter().zip(&layout.corners) {
        draw(&mut text, node, *corner);
    }
    text.push_str("</svg>\n");
    text
}

/// From the right side of one box to the left side of another, straight where it has a lane.
fn curve(from: (i64, i64), lanes: &[(i64, i64)], to: (i64, i64)) -> String {
    let (mut x, mut y) = (from.0 + BOX.0, from.1 + BOX.1 / 2);
    let mut path = format!("M{x} {y}");
    let ends = lanes.iter().map(|(x, y)| (*x, *y + LANE / 2, true));
    for (end_x, end_y, lane) in ends.chain([(to.0 - 2, to.1 + BOX.1 / 2, false)]) {
        let bend = ((end_x - x) / 2).max(40);
        let _ = write!(path, "C{} {y} {} {end_y} {end_x} {end_y}", x + bend, end_x - bend);
        (x, y) = (end_x, end_y);
        if lane {
            x += BOX.0;
            let _ = write!(path, "H{x}");
        }
    }
    path
}

fn draw(text: &mut String, node: &Node, (x, y): (i64, i64)) {
    let asked = if node.asked { " asked" } else { "" };
    let quarantined = if node.quarantined { " quarantined" } else { "" };
    let _ = write!(
        text,
        "<g class=\"{}{asked}{quarantined}\" transform=\"translate({x} {y})\"><title>{}</title>\
         <rect class=\"box\" width=\"{}\" height=\"{}\" rx=\"6\"/>\
         <rect class=\"bar\" width=\"5\" height=\"{}\" rx=\"2\"/>\
         <text class=\"name\" x=\"14\" y=\"20\">{}</text><text class=\"detail\" x=\"14\" y=\"37\">{}</text>",
        node.class,
        escape(&node.title),
        BOX.0,
        BOX.1,
        BOX.1,
        escape(&short(&node.name, NAME_CHARACTERS)),
        escape(&short(&node.detail, DETAIL_CHARACTERS)),
    );
    let mut right = BOX.0 - 6;
    for label in node.labels.iter().take(3) {
        let label = short(label, 14);
        let width = 7 * i64::try_from(label.chars().count()).unwrap_or(0) + 10;
        right -= width;
        let _ = write!(
            text,
            "<rect class=\"label\" x=\"{right}\" y=\"-8\" width=\"{width}\" height=\"15\" rx=\"7\"/>\
             <text class=\"labelled\" x=\"{}\" y=\"3\">{}</text>",
            right + 5,
            escape(&label)
        );
        right -= 4;
    }
    text.push_str("</g>\n");
}
