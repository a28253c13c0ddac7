//! Who can form a ring with whom, when not everybody can talk to everybody: a partition of the
//! nodes into cliques that everybody who has the same facts computes alike.
//!
//! The first clique is a largest one, not only a large one. Who knows fewer bad links than there
//! are then never sees less in a merge than there is: it is tried, and what was not known is
//! learned. With a clique that is only large, rings stay apart for ever behind links that none of
//! their members ever tried (axiom L1; seed 1004233).

use std::collections::BTreeSet;

use crate::id::NodeId;
use crate::limits;
use crate::node::Node;
use crate::planted::planted;

/// Pairs that cannot talk to each other, smaller id first.
pub(super) type Edges = BTreeSet<(NodeId, NodeId)>;

/// Choices that a search for a largest clique makes; behind these it takes the best connected. A
/// network needs dozens of bad links, none of them like another, to come near.
const CHOICES_MAX: u32 = 500;

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

/// A largest clique, then a largest one of those who are left, and so on.
fn partition(nodes: &BTreeSet<NodeId>, edges: &Edges) -> Vec<Vec<NodeId>> {
    if planted!("bad_links_ignored") {
        return vec![nodes.iter().copied().collect()];
    }
    let mut left = nodes.clone();
    let mut cliques = Vec::new();
    while !left.is_empty() {
        let clique = Conflicts::new(&left, edges).largest();
        left.retain(|n| !clique.contains(n));
        cliques.push(clique);
    }
    cliques
}

/// Nodes that have bad links among them; a clique is a set of nodes without any between them.
struct Conflicts {
    /// Without bad links.
    free: Vec<NodeId>,
    /// With some, by id; no more than a set can hold, which is no more than may be members.
    torn: Vec<NodeId>,
    /// Of each of `torn`: who of them it cannot talk to.
    bad: Vec<Set>,
    choices_left: u32,
}

/// Places in `Conflicts::torn`, a bit each.
type Set = u128;

const _: () = assert!(limits::MEMBERS_MAX <= Set::BITS as usize);

/// The places in a set, the first one first.
fn places(mut set: Set) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let first = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(first)
    })
}

impl Conflicts {
    fn new(nodes: &BTreeSet<NodeId>, edges: &Edges) -> Self {
        let inside = || edges.iter().filter(|(a, b)| nodes.contains(a) && nodes.contains(b));
        let torn: BTreeSet<NodeId> = inside().flat_map(|(a, b)| [*a, *b]).collect();
        let free = nodes.difference(&torn).copied().collect();
        let torn: Vec<NodeId> = torn.into_iter().take(Set::BITS as usize).collect();
        let mut bad = vec![0; torn.len()];
        for (a, b) in inside() {
            if let (Ok(a), Ok(b)) = (torn.binary_search(a), torn.binary_search(b)) {
                bad[a] |= 1 << b;
                bad[b] |= 1 << a;
            }
        }
        Self { free, torn, bad, choices_left: CHOICES_MAX }
    }

    fn largest(mut self) -> Vec<NodeId> {
        let found = self.among((0..self.torn.len()).fold(0, |all, at| all | 1 << at));
        let mut clique = self.free;
        clique.extend(places(found).map(|at| self.torn[at]));
        clique.sort_unstable();
        clique
    }

    /// A largest clique among `left`. Who has one bad link or none is in one; else the node with
    /// the most of them is in it, or is not. Lower ids come first.
    fn among(&mut self, mut left: Set) -> Set {
        let mut taken = 0;
        loop {
            let links = |at: usize| (self.bad[at] & left).count_ones();
            let Some(best) = places(left).min_by_key(|at| links(*at)) else { return taken };
            if links(best) <= 1 || self.choices_left == 0 {
                taken |= 1 << best;
                left &= !(self.bad[best] | 1 << best);
                continue;
            }
            let worse = |a, b| if links(b) > links(a) { b } else { a };
            let worst = places(left).reduce(worse).unwrap_or(best);
            self.choices_left -= 1;
            left &= !(1 << worst);
            let without = self.among(left);
            let with = self.among(left & !self.bad[worst]) | 1 << worst;
            let more = if with.count_ones() > without.count_ones() { with } else { without };
            return taken | more;
        }
    }
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

    #[test]
    fn of_the_ends_of_a_bad_link_the_lower_one_stays() {
        let all = nodes(&[1, 2, 3]);
        assert_eq!(clique_of(NodeId(3), &all, &edges(&[(1, 2)])), [NodeId(1), NodeId(3)]);
    }

    /// Compared with all subsets.
    #[test]
    fn the_first_clique_is_a_largest_one() {
        let mut random = crate::random::Random::new(7);
        for _ in 0..2_000 {
            let count = 1 + random.below(10) as u32;
            let bad_in_ten = random.below(10);
            let all: BTreeSet<NodeId> = (1..=count).map(NodeId).collect();
            let mut bad = Edges::new();
            for a in 1..=count {
                for b in a + 1..=count {
                    if random.below(10) < bad_in_ten {
                        bad.insert((NodeId(a), NodeId(b)));
                    }
                }
            }
            let is_clique = |set: u32| {
                bad.iter().all(|(a, b)| set >> (a.0 - 1) & 1 == 0 || set >> (b.0 - 1) & 1 == 0)
            };
            let largest = (0..1_u32 << count).filter(|s| is_clique(*s)).map(u32::count_ones).max();
            let cliques = partition(&all, &bad);
            assert_eq!(Some(cliques[0].len() as u32), largest, "{bad:?}");
            let mut seen: Vec<NodeId> = cliques.concat();
            seen.sort_unstable();
            assert!(seen.iter().eq(&all), "a partition");
            for clique in &cliques {
                let set = clique.iter().map(|n| 1 << (n.0 - 1)).sum();
                assert!(is_clique(set), "{clique:?} {bad:?}");
            }
        }
    }

    /// A network that is torn everywhere costs no more than the choices allow.
    #[test]
    fn the_search_ends() {
        let mut random = crate::random::Random::new(3);
        let all: BTreeSet<NodeId> = (1..=128).map(NodeId).collect();
        let mut bad = Edges::new();
        while bad.len() < 700 {
            let (a, b) = (1 + random.below(128) as u32, 1 + random.below(128) as u32);
            if a != b {
                bad.insert(edge(NodeId(a), NodeId(b)));
            }
        }
        let found = Conflicts::new(&all, &bad).largest();
        assert!(found.len() > 30, "{}", found.len());
    }
}
