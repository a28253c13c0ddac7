//! Keys change while the cluster works: nothing is lost, and nobody leaves.

mod scene;

use anasazi_seal::{KeyId, Mode};
use anasazi_sim::options::Options;
use scene::{Scene, ms};

fn sealed(nodes: usize, mode: Mode) -> Scene {
    let mut options = Options::quiet(nodes);
    options.seal.mode = Some(mode);
    Scene::with(options)
}

/// Steps at all nodes, one after the other, with traffic between them.
fn rotate(scene: &mut Scene, until: u64) {
    let mut rounds = 0;
    while scene.cluster.rotations() < until {
        for node in 0..scene.cluster.nodes.len() {
            scene.cluster.step_of_keys(node);
            scene.load(3, 3_000);
            scene.run(ms(1));
        }
        rounds += 1;
        assert!(rounds < until * 20, "no end after {rounds} rounds");
    }
}

#[test]
fn a_hundred_changes_under_load_lose_nothing_and_change_no_view() {
    for mode in [Mode::Aead, Mode::Integrity] {
        let mut scene = sealed(4, mode);
        let installed = scene.installed();
        rotate(&mut scene, 101);
        scene.rest(ms(2_000));
        assert_eq!(scene.installed(), installed, "a configuration changed");
        let all: Vec<_> = (0..4).map(|node| scene.received(node).to_vec()).collect();
        assert!(all[0].len() > 1_000 && all.iter().all(|of| *of == all[0]));
        let keys: Vec<_> = (0..4).map(|node| scene.cluster.active_key(node)).collect();
        assert!(keys.iter().all(|key| *key == keys[0]) && keys[0] != Some(KeyId(1)), "{keys:?}");
        scene.end();
    }
}

/// It has the next key in its file, and comes back when the others seal with that.
#[test]
fn a_node_that_was_stopped_meanwhile_comes_back_without_loss() {
    let mut scene = sealed(3, Mode::Aead);
    // All three have key 2 in their files.
    (0..3).for_each(|node| scene.cluster.step_of_keys(node));
    scene.run(ms(20));
    scene.cluster.pause(2);
    scene.run(ms(2_000));
    scene.cluster.step_of_keys(0);
    scene.run(ms(50));
    assert_eq!(scene.cluster.active_key(0), Some(KeyId(2)), "the others went on alone");
    scene.load(10, 500);
    scene.cluster.step_of_keys(0);
    scene.cluster.step_of_keys(1);
    scene.run(ms(50));
    scene.cluster.resume(2);
    scene.settle(ms(10_000));
    scene.rest(ms(2_000));
    assert_eq!(scene.cluster.active_key(2), Some(KeyId(2)));
    scene.load(10, 500);
    scene.rest(ms(2_000));
    scene.end();
}

/// Each part changes over for itself, or follows the other one when they meet.
#[test]
fn parts_that_changed_over_at_different_times_merge() {
    let mut scene = sealed(4, Mode::Aead);
    (0..4).for_each(|node| scene.cluster.step_of_keys(node));
    scene.run(ms(20));
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        scene.cluster.network.cut(a, b);
        scene.cluster.network.cut(b, a);
    }
    scene.run(ms(2_000));
    scene.cluster.step_of_keys(0);
    scene.run(ms(50));
    let active = |scene: &Scene, node| scene.cluster.active_key(node).map(|key| key.0);
    assert_eq!([0, 1, 2, 3].map(|node| active(&scene, node).unwrap()), [2, 2, 1, 1]);
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        scene.cluster.network.join(a, b);
        scene.cluster.network.join(b, a);
    }
    scene.settle(ms(10_000));
    scene.run(ms(500));
    assert_eq!([0, 1, 2, 3].map(|node| active(&scene, node).unwrap()), [2; 4]);
    scene.end();
}

/// A node without the new key stays out, quietly: the others see nothing of it.
#[test]
fn a_node_that_lacks_the_key_disturbs_nobody() {
    let mut scene = sealed(3, Mode::Aead);
    scene.cluster.crash(2);
    scene.settle(ms(5_000));
    // The two that are left go over to key 2, and forget key 1.
    (0..2).for_each(|node| scene.cluster.step_of_keys(node));
    scene.cluster.give_keys(2, &[1]);
    scene.run(ms(20));
    assert!(scene.cluster.activate(0, 2));
    scene.run(ms(50));
    assert!(scene.cluster.retire(0, 1) && scene.cluster.retire(1, 1));
    let installed = scene.installed();
    scene.cluster.boot(2);
    scene.load(10, 500);
    scene.run(ms(10_000));
    assert_eq!(scene.installed(), installed + 1, "its own ring, and no other");
    assert_eq!(scene.cluster.missing_key(2), Some(KeyId(2)), "it knows what it lacks");
    assert_eq!(scene.cluster.missing_key(0), Some(KeyId(1)));
    scene.cluster.give_keys(2, &[2]);
    scene.cluster.crash(2);
    scene.cluster.boot(2);
    scene.settle(ms(5_000));
    scene.end();
}
