//! Places for the boxes of a graph: from left to right in layers, with few crossings.
//!
//! An edge over several layers has a lane of its own through each between.
//!
//! **Invariant:** equal graphs have equal drawings, and no two boxes overlap.
//! **Absent on purpose:** what is in the boxes.

/// Width and height of every box, and the room between two.
pub(super) const BOX: (i64, i64) = (236, 48);
const GAP: (i64, i64) = (84, 18);
/// Room around all.
const MARGIN: i64 = 24;

/// How often the layers are sorted by their neighbours, once from either side: after a few passes hardly anything
/// changes.
const PASSES: usize = 6;

/// Height of a lane.
pub(super) const LANE: i64 = 6;

/// Lanes in one drawing; edges beyond go behind boxes.
const LANES_MAX: usize = 20_000;

/// Where boxes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The upper left corner of each.
    pub(super) corners: Vec<(i64, i64)>,
    /// For each edge, the left ends of its lanes, which are as wide as a box.
    pub(super) lanes: Vec<Vec<(i64, i64)>>,
    /// Width and height of the whole.
    pub(super) size: (i64, i64),
}

/// Lays out `count` boxes that `edges` lead between, each by its number.
pub(super) fn layout(count: usize, edges: &[(usize, usize)]) -> Layout {
    let fits = |(from, to): &(usize, usize)| from != to && *from < count && *to < count;
    let real: Vec<_> = edges.iter().copied().filter(fits).collect();
    let mut layer_of = layers(count, &real);
    // Every lane is a node of its own.
    let mut steps = Vec::with_capacity(real.len());
    let mut ways: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    for (way, edge) in ways.iter_mut().zip(edges).filter(|(_, edge)| fits(edge)) {
        let (mut last, to) = *edge;
        for layer in layer_of[last] + 1..layer_of[to] {
            if layer_of.len() - count >= LANES_MAX {
                break;
            }
            way.push(layer_of.len());
            steps.push((last, layer_of.len()));
            last = layer_of.len();
            layer_of.push(layer);
        }
        steps.push((last, to));
    }
    let depth = layer_of.iter().max().map_or(0, |last| last + 1);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (node, layer) in layer_of.iter().enumerate() {
        if let Some(layer) = layers.get_mut(*layer) {
            layer.push(node);
        }
    }
    let all = layer_of.len();
    let mut neighbours = Neighbours { before: vec![Vec::new(); all], after: vec![Vec::new(); all] };
    for (from, to) in &steps {
        neighbours.after[*from].push(*to);
        neighbours.before[*to].push(*from);
    }
    order(&mut layers, &neighbours, all);
    let (mut corners, size) = place(&layers, &neighbours, count, all);
    let lanes = ways.into_iter().map(|way| way.into_iter().map(|lane| corners[lane]).collect()).collect();
    corners.truncate(count);
    Layout { corners, lanes, size }
}

struct Neighbours {
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

/// The longest way to each node. An edge that closes a cycle counts for nothing.
fn layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut after = vec![Vec::new(); count];
    for (from, to) in edges {
        after[*from].push(*to);
    }
    // Nodes in the order in which a search leaves them; an edge to one that is still being searched closes a cycle.
    let (mut state, mut left) = (vec![0_u8; count], Vec::with_capacity(count));
    let mut back = std::collections::BTreeSet::new();
    for root in 0..count {
        let mut stack = if state[root] == 0 { vec![(root, 0)] } else { Vec::new() };
        while let Some((node, next)) = stack.pop() {
            state[node] = 1;
            match after[node].get(next) {
                Some(to) => {
                    stack.push((node, next + 1));
                    match state[*to] {
                        0 => stack.push((*to, 0)),
                        1 => {
                            back.insert((node, *to));
                        }
                        _ => {}
                    }
                }
                None => {
                    state[node] = 2;
                    left.push(node);
                }
            }
        }
    }
    let mut layer = vec![0; count];
    for node in left.into_iter().rev() {
        for to in &after[node] {
            if !back.contains(&(node, *to)) {
                layer[*to] = layer[*to].max(layer[node] + 1);
            }
        }
    }
    layer
}

/// Sorts each layer by where the neighbours of its nodes are.
fn order(layers: &mut [Vec<usize>], neighbours: &Neighbours, count: usize) {
    let mut at = vec![0; count];
    let note = |layer: &[usize], at: &mut Vec<usize>| {
        for (position, node) in layer.iter().enumerate() {
            at[*node] = position;
        }
    };
    for layer in layers.iter() {
        note(layer, &mut at);
    }
    for pass in 0..PASSES {
        let forward = pass % 2 == 0;
        let side = if forward { &neighbours.before } else { &neighbours.after };
        let numbers: Vec<usize> =
            if forward { (0..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for number in numbers {
            let layer = &mut layers[number];
            // The mean as a fraction with one denominator, so that no rounding decides.
            let key = |node: &usize| match side[*node].as_slice() {
                [] => at[*node] * 1000,
                near => near.iter().map(|other| at[*other] * 1000).sum::<usize>() / near.len(),
            };
            let mut keyed: Vec<_> = layer.iter().map(|node| (key(node), at[*node], *node)).collect();
            keyed.sort_unstable();
            *layer = keyed.into_iter().map(|(_, _, node)| node).collect();
            note(layer, &mut at);
        }
    }
}

/// Gives each node the height of those before it, or the next that is free. Nodes from `count` on are lanes.
fn place(
    layers: &[Vec<usize>],
    neighbours: &Neighbours,
    count: usize,
    all: usize,
) -> (Vec<(i64, i64)>, (i64, i64)) {
    let as_int = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let height = |node: usize| if node < count { BOX.1 } else { LANE };
    let tall = |layer: &Vec<usize>| layer.iter().map(|node| height(*node) + GAP.1).sum::<i64>();
    let tallest = layers.iter().map(tall).max().unwrap_or(0);
    let mut corners = vec![(0, 0); all];
    let mut x = MARGIN;
    let mut bottom = 0;
    for (number, layer) in layers.iter().enumerate() {
        let mut free = MARGIN;
        if number == 0 {
            free += (tallest - tall(layer)) / 2;
        }
        // The middle of a node wishes to be where the middles of those before it are.
        let wish = |node: usize, corners: &[(i64, i64)]| match neighbours.before[node].as_slice() {
            [] => None,
            near => {
                let middle = |other: &usize| corners[*other].1 + height(*other) / 2;
                Some(near.iter().map(middle).sum::<i64>() / as_int(near.len()) - height(node) / 2)
            }
        };
        // A layer is moved up as a whole where its wishes push it below the tallest one.
        let mut heights = Vec::with_capacity(layer.len());
        let mut pushed = 0;
        for node in layer {
            let wished = wish(*node, &corners);
            let y = wished.unwrap_or(free).max(free);
            pushed += y - wished.unwrap_or(y);
            heights.push(y);
            free = y + height(*node) + GAP.1;
        }
        let room = heights.first().map_or(0, |first| first - MARGIN);
        let shift = (pushed / as_int(layer.len().max(1))).min(room);
        for (node, y) in layer.iter().zip(heights) {
            corners[*node] = (x, y - shift);
            bottom = bottom.max(y - shift + height(*node));
        }
        x += BOX.0 + GAP.0;
    }
    (corners, ((x - GAP.0).max(MARGIN) + MARGIN, bottom + MARGIN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chain_is_a_line() {
        let Layout { corners, size, .. } = layout(3, &[(0, 1), (1, 2)]);
        let step = BOX.0 + GAP.0;
        assert_eq!(corners, [(MARGIN, MARGIN), (MARGIN + step, MARGIN), (MARGIN + 2 * step, MARGIN)]);
        assert_eq!(size, (MARGIN + 2 * step + BOX.0 + MARGIN, 2 * MARGIN + BOX.1));
    }

    #[test]
    fn the_longest_way_counts_and_a_cycle_ends() {
        assert_eq!(layers(4, &[(0, 3), (0, 1), (1, 2), (2, 3)]), [0, 1, 2, 3]);
        assert_eq!(layers(3, &[(0, 1), (1, 2), (2, 0)]), [0, 1, 2]);
        assert_eq!(layout(0, &[]).corners, []);
        assert_eq!(layout(1, &[(0, 0), (7, 0)]).corners.len(), 1);
    }

    #[test]
    fn crossings_that_need_not_be_are_not() {
        // Two parallel chains whose nodes come in the opposite order.
        let corners = layout(4, &[(0, 3), (1, 2)]).corners;
        assert!((corners[0].1 < corners[1].1) == (corners[3].1 < corners[2].1), "{corners:?}");
    }

    #[test]
    fn a_long_edge_goes_past_the_boxes_between() {
        let Layout { corners, lanes, .. } = layout(3, &[(0, 1), (1, 2), (0, 2)]);
        let [lane] = lanes[2].as_slice() else { panic!("{lanes:?}") };
        assert_eq!(lane.0, corners[1].0);
        assert!(lane.1 >= corners[1].1 + BOX.1 || lane.1 + LANE <= corners[1].1, "{lane:?} {corners:?}");
        assert!(lanes[0].is_empty() && lanes[1].is_empty());
    }

    proptest! {
        #[test]
        fn boxes_never_overlap_and_edges_go_right(
            count in 1_usize..40,
            edges in proptest::collection::vec((0_usize..40, 0_usize..40), 0..80),
        ) {
            let Layout { corners, size, .. } = layout(count, &edges);
            prop_assert_eq!(&layout(count, &edges).corners, &corners);
            for (index, one) in corners.iter().enumerate() {
                prop_assert!(one.0 >= 0 && one.1 >= 0 && one.0 + BOX.0 <= size.0 && one.1 + BOX.1 <= size.1);
                for other in &corners[..index] {
                    let apart = (one.0 - other.0).abs() >= BOX.0 || (one.1 - other.1).abs() >= BOX.1;
                    prop_assert!(apart, "{one:?} {other:?}");
                }
            }
            // Edges to higher numbers alone make no cycle.
            let forward: Vec<_> = edges.iter().copied().filter(|(a, b)| a < b && *b < count).collect();
            let corners = layout(count, &forward).corners;
            prop_assert!(forward.iter().all(|(a, b)| corners[*a].0 < corners[*b].0));
        }
    }
}
