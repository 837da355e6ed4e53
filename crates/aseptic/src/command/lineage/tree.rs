//! A lineage as a tree in text: each node once, and a reference where it comes again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use aseptic_runner::{Lineage, LineageEdge, LineageGraph, Node, NodeDetails};

use super::words::{about, how, name};

/// Levels that are drawn; the rest is in the list.
const DEPTH_MAX: usize = 40;

pub(super) fn text(lineage: &Lineage) -> String {
    let mut text = String::new();
    let place = lineage.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    let _ = writeln!(text, "{}{place}", lineage.object);
    for object in &lineage.objects {
        let _ = writeln!(text, "  {}: {}", name(&object.id), about(object));
    }
    if lineage.objects.is_empty() {
        text.push_str("  never occurred in this project\n");
    }
    if let Some(up) = &lineage.up {
        text.push_str("\ncame from\n");
        Tree::new(up, &lineage.objects, |edge| (&edge.to, &edge.from)).draw(&mut text);
    }
    if let Some(down) = &lineage.down {
        text.push_str("\nwent into\n");
        Tree::new(down, &lineage.objects, |edge| (&edge.from, &edge.to)).draw(&mut text);
    }
    text
}

struct Tree<'g> {
    graph: &'g LineageGraph,
    roots: Vec<&'g Node>,
    next: BTreeMap<&'g Node, Vec<(&'g LineageEdge, &'g Node)>>,
    details: BTreeMap<&'g Node, &'g NodeDetails>,
}

impl<'g> Tree<'g> {
    fn new(
        graph: &'g LineageGraph,
        objects: &'g [NodeDetails],
        along: fn(&LineageEdge) -> (&Node, &Node),
    ) -> Self {
        let mut next: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut reached = BTreeSet::new();
        for edge in &graph.edges {
            let (from, to) = along(edge);
            next.entry(from).or_default().push((edge, to));
            reached.insert(to);
        }
        // What was asked about, then what nothing leads to; in a cycle, or on a later page, whatever comes first.
        let asked = objects.iter().map(|object| &object.id).filter(|node| next.contains_key(node));
        let first = graph.edges.iter().map(|edge| along(edge).0);
        let loose = first.clone().filter(|node| !reached.contains(node));
        let mut known = BTreeSet::new();
        let roots = asked.chain(loose).chain(first).filter(|node| known.insert(*node)).collect();
        let details = graph.nodes.iter().map(|node| (&node.id, node)).collect();
        Self { graph, roots, next, details }
    }

    fn draw(&self, text: &mut String) {
        if self.graph.edges.is_empty() {
            text.push_str("  nothing that is recorded\n");
            return;
        }
        let mut shown: BTreeSet<&Node> = BTreeSet::new();
        for root in &self.roots {
            if !shown.insert(root) {
                continue;
            }
            let _ = writeln!(text, "  {}", name(root));
            self.below(root, text, &mut shown);
        }
        let runs = self.graph.nodes.iter().filter(|node| node.run.is_some()).count();
        let more = if self.graph.truncated { " on this page" } else { "" };
        let _ = writeln!(text, "  {} steps through {runs} runs{more}", self.graph.edges.len());
    }

    /// Everything below `root`, without recursion: a chain may be as long as the ledger.
    fn below(&self, root: &'g Node, text: &mut String, shown: &mut BTreeSet<&'g Node>) {
        let of = |node: &Node| self.next.get(node).map(Vec::as_slice).unwrap_or_default();
        let mut stack = vec![(of(root).iter(), "  ".to_owned())];
        while let Some((edges, indent)) = stack.last_mut() {
            let Some((edge, node)) = edges.next() else {
                stack.pop();
                continue;
            };
            let last = edges.len() == 0;
            let (branch, rest) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let deeper = format!("{indent}{rest}");
            let _ = write!(text, "{indent}{branch}{}: {}", how(&edge.kind), name(node));
            if !shown.insert(node) {
                text.push_str(if of(node).is_empty() { "\n" } else { " (see above)\n" });
                continue;
            }
            let about = self.details.get(node).map(|node| about(node)).unwrap_or_default();
            let _ = writeln!(text, "{}{about}", if about.is_empty() { "" } else { " — " });
            if stack.len() < DEPTH_MAX {
                stack.push((of(node).iter(), deeper));
            } else if !of(node).is_empty() {
                let _ = writeln!(text, "{deeper}… `aseptic lineage {node}` goes on here");
            }
        }
    }
}
