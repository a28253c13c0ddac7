//! Nodes that do not all speak the same wire versions, or do not all have the same features.

mod scene;

use anasazi_protocol::limits;
use anasazi_sim::cluster::Cluster;
use anasazi_sim::options::Options;
use scene::{Scene, ms};

fn cluster(nodes: usize, wire: impl Fn(usize) -> (u8, u8) + 'static) -> Cluster {
    let mut cluster = Cluster::new(Options::quiet(nodes));
    cluster.configure = Some(Box::new(move |node, config| config.wire = wire(node)));
    (0..nodes).for_each(|node| cluster.boot(node));
    cluster
}

fn version(cluster: &Cluster, node: usize) -> u8 {
    cluster.nodes[node].core().map_or(0, |core| core.status().wire_version)
}

/// Members of the ring that a node is in.
fn members(cluster: &Cluster, node: usize) -> usize {
    cluster.nodes[node].ring.as_ref().map_or(0, |(_, members)| members.len())
}

#[test]
fn a_ring_speaks_the_newest_version_that_all_have() {
    let mut cluster = cluster(4, |node| if node == 2 { (1, 2) } else { (1, 4) });
    cluster.run_for(ms(3_000));
    assert_eq!(cluster.settled(), Ok(()), "{}", cluster.last_lines());
    (0..4).for_each(|node| assert_eq!(version(&cluster, node), 2));
    assert!(cluster.finish(true).is_ok());
}

#[test]
fn rings_without_a_common_version_stay_apart_and_undisturbed() {
    let mut cluster = cluster(5, |node| if node < 3 { (1, 2) } else { (3, 5) });
    cluster.run_for(ms(5_000));
    let sizes: Vec<_> = (0..5).map(|node| members(&cluster, node)).collect();
    assert_eq!(sizes, [3, 3, 3, 2, 2], "{}", cluster.last_lines());
    let told = |node: usize, what: &str| cluster.nodes[node].lines.iter().any(|l| l.contains(what));
    assert!(told(0, "wire versions 3 to 5, this ring speaks 1 to 2"), "{}", cluster.last_lines());
    assert!(told(3, "wire versions 1 to 2, this ring speaks 3 to 5"), "{}", cluster.last_lines());
    let installed = cluster.installed();
    cluster.run_for(ms(30_000));
    assert!(cluster.failure().is_none(), "{}", cluster.failure().unwrap());
    assert_eq!(cluster.installed(), installed, "{}", cluster.last_lines());
}

/// The one that both others understand goes with one of them, and stays there.
#[test]
fn between_two_that_do_not_understand_each_other_rings_are_stable() {
    let mut cluster = cluster(3, |node| [(1, 1), (1, 2), (2, 2)][node]);
    cluster.run_for(ms(5_000));
    let installed = cluster.installed();
    cluster.run_for(ms(30_000));
    assert!(cluster.failure().is_none(), "{}", cluster.failure().unwrap());
    assert_eq!(cluster.installed(), installed, "{}", cluster.last_lines());
    assert_eq!(members(&cluster, 1), 2, "{}", cluster.last_lines());
}

/// One daemon after the other is replaced by one that speaks a newer version as well; when all are,
/// the next ring speaks it.
#[test]
fn daemons_are_replaced_one_by_one() {
    let mut scene = Scene::new(3);
    for node in 0..3 {
        scene.cluster.crash(node);
        scene.cluster.configure = Some(Box::new(move |n, config| {
            config.wire = if n <= node { (1, 2) } else { (1, 1) };
            config.features = if n <= node { 0 } else { limits::FEATURE_ACCELERATED };
        }));
        scene.cluster.boot(node);
        scene.settle(ms(5_000));
        scene.join(node);
        scene.load(20, 300);
        scene.rest(ms(5_000));
        let expected = if node == 2 { 2 } else { 1 };
        (0..3).for_each(|n| assert_eq!(version(&scene.cluster, n), expected));
    }
    scene.end();
}
