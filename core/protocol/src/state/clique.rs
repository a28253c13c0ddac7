//! Who can form a ring with whom, when not everybody can talk to everybody: a partition of the
//! nodes into cliques that everybody who has the same facts computes alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::NodeId;
use crate::node::Node;

/// Pairs that cannot talk to each other, smaller id first.
pub(super) type Edges = BTreeSet<(NodeId, NodeId)>;

pub(super) fn edge(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

/// Nodes that held this one back lately are as good as out of its reach.
pub(super) fn blamed_edges(node: &Node, nodes: &BTreeSet<NodeId>) -> Vec<(NodeId, NodeId)> {
    let blamed = nodes.iter().filter(|n| node.is_blamed(**n));
    blamed.map(|n| edge(node.me.node, *n)).collect()
}

/// The clique of `me`.
pub(super) fn clique_of(me: NodeId, nodes: &BTreeSet<NodeId>, edges: &Edges) -> Vec<NodeId> {
    let mine = partition(nodes, edges).into_iter().find(|clique| clique.contains(&me));
    mine.unwrap_or_else(|| vec![me])
}

/// The largest clique that has members of all of `sets`: what comes of it for them if they merge.
pub(super) fn largest_across(
    sets: &[&BTreeSet<NodeId>],
    nodes: &BTreeSet<NodeId>,
    edges: &Edges,
) -> Vec<NodeId> {
    let across = |c: &Vec<NodeId>| sets.iter().all(|set| c.iter().any(|n| set.contains(n)));
    let cliques = partition(nodes, edges).into_iter().filter(across);
    cliques.max_by_key(Vec::len).unwrap_or_default()
}

/// Cliques grow greedily, from the best connected node on, lowest id first.
fn partition(nodes: &BTreeSet<NodeId>, edges: &Edges) -> Vec<Vec<NodeId>> {
    let mut bad: BTreeMap<NodeId, usize> = nodes.iter().map(|n| (*n, 0)).collect();
    for (a, b) in edges {
        if nodes.contains(a) && nodes.contains(b) {
            *bad.entry(*a).or_default() += 1;
            *bad.entry(*b).or_default() += 1;
        }
    }
    let mut left: Vec<NodeId> = nodes.iter().copied().collect();
    left.sort_by_key(|n| (bad[n], *n));
    let mut cliques = Vec::new();
    while !left.is_empty() {
        let mut clique: Vec<NodeId> = Vec::new();
        for candidate in &left {
            if clique.iter().all(|member| !edges.contains(&edge(*member, *candidate))) {
                clique.push(*candidate);
            }
        }
        left.retain(|n| !clique.contains(n));
        clique.sort_unstable();
        cliques.push(clique);
    }
    cliques
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u32]) -> BTreeSet<NodeId> {
        ids.iter().map(|i| NodeId(*i)).collect()
    }

    fn edges(pairs: &[(u32, u32)]) -> Edges {
        pairs.iter().map(|(a, b)| edge(NodeId(*a), NodeId(*b))).collect()
    }

    #[test]
    fn cliques_are_a_partition_that_everybody_computes_alike() {
        let all = nodes(&[1, 2, 3, 4]);
        let bad = edges(&[(1, 2), (3, 2)]);
        let of = |me| clique_of(NodeId(me), &all, &bad);
        assert_eq!(of(4), vec![NodeId(1), NodeId(3), NodeId(4)]);
        assert_eq!((of(1), of(3)), (of(4), of(4)));
        assert_eq!(of(2), vec![NodeId(2)]);
    }

    #[test]
    fn a_node_that_nobody_hears_costs_nobody_else() {
        let all = nodes(&[1, 2, 3]);
        assert_eq!(
            clique_of(NodeId(2), &all, &edges(&[(1, 2), (1, 3)])),
            vec![NodeId(2), NodeId(3)]
        );
    }
}
