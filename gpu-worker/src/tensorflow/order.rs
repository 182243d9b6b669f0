//! Nodes in an order in which each comes after what it needs; a file has them in any.

use std::collections::{HashMap, VecDeque};

use super::TensorflowError;
use super::read::Node;

/// The same nodes, ordered (Kahn 1962).
pub(super) fn ordered(nodes: Vec<Node<'_>>) -> Result<Vec<Node<'_>>, TensorflowError> {
    let places = nodes.iter().enumerate().map(|(at, node)| (node.name, at));
    let places: HashMap<&str, usize> = places.collect();
    if places.len() != nodes.len() {
        return Err(TensorflowError::shape("graph", "two nodes of one name"));
    }
    let mut waits: Vec<usize> = nodes.iter().map(|node| node.inputs.len()).collect();
    let mut wanted_by: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            let before = places.get(input);
            let none = || TensorflowError::shape(node.name, "an input that there is none of");
            wanted_by[*before.ok_or_else(none)?].push(at);
        }
    }
    let mut ready: VecDeque<usize> = (0..nodes.len()).filter(|at| waits[*at] == 0).collect();
    let mut order = vec![usize::MAX; nodes.len()];
    let mut next = 0;
    while let Some(at) = ready.pop_front() {
        order[at] = next;
        next += 1;
        for wanting in &wanted_by[at] {
            waits[*wanting] -= 1;
            if waits[*wanting] == 0 {
                ready.push_back(*wanting);
            }
        }
    }
    if next != nodes.len() {
        return Err(TensorflowError::shape(
            "graph",
            "nodes that need each other",
        ));
    }
    let mut sorted: Vec<(usize, Node<'_>)> = order.into_iter().zip(nodes).collect();
    sorted.sort_by_key(|(place, _)| *place);
    Ok(sorted.into_iter().map(|(_, node)| node).collect())
}
