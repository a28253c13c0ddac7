//! Who could form a ring with whom where some cannot talk to each other: the rule of
//! docs/PROTOCOL.md, written a second time, of what the network really is.

/// The cliques that nodes form, given in the order of their ids: from the best connected node on,
/// lowest first.
pub(crate) fn greedy(nodes: &[usize], bad: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let bad_links = |n: usize| nodes.iter().filter(|m| **m != n && bad(n, **m)).count();
    let mut left: Vec<(usize, usize)> =
        nodes.iter().enumerate().map(|(index, n)| (bad_links(*n), index)).collect();
    left.sort_unstable();
    let mut left: Vec<usize> = left.into_iter().map(|(_, index)| nodes[index]).collect();
    let mut cliques = Vec::new();
    while !left.is_empty() {
        let mut clique: Vec<usize> = Vec::new();
        for node in &left {
            if clique.iter().all(|member| !bad(*member, *node)) {
                clique.push(*node);
            }
        }
        left.retain(|n| !clique.contains(n));
        cliques.push(clique);
    }
    cliques
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_link_costs_the_worse_connected_end() {
        let bad = |a: usize, b: usize| matches!((a.min(b), a.max(b)), (0, 1) | (1, 2));
        assert_eq!(greedy(&[0, 1, 2, 3], bad), [vec![3, 0, 2], vec![1]]);
    }
}
