//! How large a ring could be where some cannot talk to each other: what docs/PROTOCOL.md promises,
//! computed otherwise than the protocol does, of what the network really is.

/// Nodes of the largest set in which nobody has a bad link to anybody.
pub(crate) fn largest(nodes: &[usize], bad: impl Fn(usize, usize) -> bool) -> usize {
    assert!(nodes.len() <= 64, "a set of bits");
    let enemies: Vec<u64> = nodes
        .iter()
        .map(|a| bits(nodes.iter().enumerate().filter(|(_, b)| *b != a && bad(*a, **b))))
        .collect();
    among(bits(nodes.iter().enumerate()), &enemies) as usize
}

fn bits<'a>(of: impl Iterator<Item = (usize, &'a usize)>) -> u64 {
    of.fold(0, |set, (index, _)| set | 1 << index)
}

/// Either the first one with a bad link is left out, or all that it has bad links to are.
fn among(left: u64, enemies: &[u64]) -> u32 {
    let torn = (0..enemies.len()).filter(|n| left >> n & 1 == 1);
    match torn.max_by_key(|n| (enemies[*n] & left).count_ones()) {
        Some(worst) if enemies[worst] & left != 0 => {
            let rest = left & !(1 << worst);
            among(rest, enemies).max(1 + among(rest & !enemies[worst], enemies))
        }
        _ => left.count_ones(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_link_costs_the_worse_connected_end() {
        let bad = |a: usize, b: usize| matches!((a.min(b), a.max(b)), (0, 1) | (1, 2));
        assert_eq!(largest(&[0, 1, 2, 3], bad), 3);
        assert_eq!(largest(&[0, 1, 2], bad), 2);
        assert_eq!(largest(&[1], bad), 1);
    }

    #[test]
    fn what_the_best_connected_do_not_show_is_found() {
        let pairs = [(0, 2), (0, 4), (0, 5), (3, 4), (3, 5)];
        let bad = |a: usize, b: usize| pairs.contains(&(a.min(b), a.max(b)));
        assert_eq!(largest(&[0, 1, 2, 3, 4, 5], bad), 4);
    }
}
