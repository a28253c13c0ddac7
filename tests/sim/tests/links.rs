//! Links that stay bad: rings come to rest all the same, and become one when the links heal.

mod scene;

use anasazi_sim::options::{Multicast, Options};
use scene::{Scene, ms};

/// Changes that may be needed until everybody knows which links are bad.
const SETTLED_AFTER: u64 = 20_000;
const REST_OF_TIME: u64 = 30_000;
const HEALED_WITHIN: u64 = 3_000;

fn both(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    pairs.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect()
}

fn members(scene: &Scene, node: usize) -> usize {
    scene.cluster.nodes[node].ring.as_ref().map_or(0, |(_, members)| members.len())
}

/// First all are alone, then all links heal but these one-way ones: the rings must come to rest,
/// and be as large as expected.
fn stable_then_one(options: Options, cuts: &[(usize, usize)], largest: usize) {
    let nodes = options.nodes;
    let mut scene = Scene::with(options);
    cuts.iter().for_each(|(from, to)| scene.cluster.network.cut(*from, *to));
    let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))).collect::<Vec<_>>();
    both(&pairs).iter().for_each(|(from, to)| scene.cluster.network.cut(*from, *to));
    scene.run(ms(2_000));
    both(&pairs).iter().for_each(|(from, to)| scene.cluster.network.join(*from, *to));
    scene.run(ms(SETTLED_AFTER));
    let installed = scene.installed();
    let sizes = |scene: &Scene| (0..nodes).map(|n| members(scene, n)).collect::<Vec<_>>();
    let before = sizes(&scene);
    scene.load(20, 200);
    scene.run(ms(REST_OF_TIME));
    let lines = scene.cluster.last_lines();
    assert_eq!(scene.installed(), installed, "{before:?} {:?}\n{lines}", sizes(&scene));
    assert_eq!(before.iter().max(), Some(&largest), "{before:?}");
    cuts.iter().for_each(|(from, to)| scene.cluster.network.join(*from, *to));
    scene.settle(ms(HEALED_WITHIN));
    scene.end();
}

/// With multicast, and where nodes know each other by their addresses only.
fn everywhere(nodes: usize, cuts: &[(usize, usize)], largest: usize) {
    for multicast in [Multicast::On, Multicast::Off] {
        let mut options = Options::quiet(nodes);
        options.network.multicast = multicast;
        stable_then_one(options, cuts, largest);
    }
}

#[test]
fn one_pair_of_three_cannot_talk() {
    for pair in [(0, 1), (0, 2), (1, 2)] {
        everywhere(3, &both(&[pair]), 2);
    }
}

#[test]
fn one_of_three_is_not_heard_by_another() {
    for cut in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        everywhere(3, &[cut], 2);
    }
}

#[test]
fn a_chain_of_six() {
    let pairs = (0..6).flat_map(|a| (a + 2..6).map(move |b| (a, b))).collect::<Vec<_>>();
    everywhere(6, &both(&pairs), 2);
}

#[test]
fn halves_that_two_nodes_keep_apart() {
    // Between the representatives of what would be the halves, and between two others.
    for pair in [(0, 3), (2, 5)] {
        everywhere(6, &both(&[pair]), 5);
    }
}

#[test]
fn a_bridge_between_halves() {
    // Only the third node hears the other half.
    let pairs = [(0, 3), (0, 4), (1, 3), (1, 4)];
    everywhere(5, &both(&pairs), 3);
}

#[test]
fn overlapping_majorities() {
    // 1 2 3 and 2 3 4 and 3 4 5 can each talk.
    everywhere(5, &both(&[(0, 3), (0, 4), (1, 4)]), 3);
}
