//! Nodes crash, leave, pause, are cut off and come back. The oracle watches all of it.

mod scene;

use anasazi_sim::options::{Multicast, NetworkOptions, Options};
use scene::{Scene, ms};

#[test]
fn a_member_crashes_under_load() {
    let mut scene = Scene::new(4);
    scene.load(200, 300);
    scene.run(ms(3));
    scene.cluster.crash(2);
    scene.load(50, 300);
    let time = scene.settle(ms(1_000));
    assert!(time < ms(500), "{time:?}");
    scene.rest(ms(2_000));
    assert_eq!(scene.members(0), 3);
    assert!(scene.end().deliveries > 3 * 600);
}

#[test]
fn two_from_two_are_parted_and_merge() {
    let mut scene = Scene::new(4);
    scene.load(20, 100);
    scene.run(ms(2));
    let cuts = scene.cluster.partition(&[&[0, 1], &[2, 3]]);
    scene.load(20, 100);
    scene.run(ms(1_500));
    assert_eq!((scene.members(0), scene.members(3)), (2, 2));
    scene.load(20, 100);
    scene.run(ms(100));
    scene.cluster.mend(&cuts);
    let time = scene.settle(ms(5_000));
    assert!(time < ms(2_000), "{time:?}");
    scene.rest(ms(1_000));
    assert_eq!((scene.members(0), scene.members(3)), (4, 4));
    scene.end();
}

#[test]
fn a_node_restarts_before_its_loss_is_noticed() {
    let mut scene = Scene::new(3);
    scene.load(10, 100);
    scene.run(ms(50));
    scene.cluster.crash(1);
    scene.run(ms(20));
    scene.cluster.boot(1);
    scene.settle(ms(3_000));
    assert_eq!(scene.members(0), 2, "the old incarnation's member is gone");
    scene.join(1);
    scene.rest(ms(1_000));
    assert_eq!(scene.members(0), 3);
    scene.end();
}

#[test]
fn all_crash_and_start_again_at_once() {
    let mut scene = Scene::new(5);
    scene.load(20, 100);
    scene.run(ms(2));
    (0..5).for_each(|node| scene.cluster.crash(node));
    scene.run(ms(5));
    (0..5).for_each(|node| scene.cluster.boot(node));
    scene.settle(ms(3_000));
    scene.end();
}

#[test]
fn eight_nodes_start_at_once() {
    let scene = Scene::new(8);
    for node in 0..8 {
        let installed = scene.stats(node).configurations_installed;
        assert!(installed <= 4, "node {node} went through {installed} configurations");
    }
    scene.end();
}

#[test]
fn thirty_two_nodes_start_at_once() {
    let mut scene = Scene::new(32);
    scene.load(2, 100);
    scene.cluster.crash(31);
    scene.cluster.crash(0);
    scene.settle(ms(3_000));
    scene.end();
}

#[test]
fn sixteen_nodes_start_at_once_without_multicast() {
    let mut options = Options::quiet(16);
    options.network.multicast = Multicast::Off;
    Scene::with(options).end();
}

#[test]
fn an_idle_ring_stays_as_it_is() {
    let mut scene = Scene::new(4);
    let installed = scene.installed();
    scene.run(ms(30_000));
    assert_eq!(scene.installed(), installed);
    scene.end();
}

#[test]
fn one_that_leaves_cleanly_is_gone_at_once() {
    let mut scene = Scene::new(4);
    scene.load(20, 200);
    scene.run(ms(30));
    scene.cluster.shutdown(3);
    let time = scene.settle(ms(1_000));
    assert!(time < ms(100), "nobody had to wait for a token to be lost, but it took {time:?}");
    scene.rest(ms(100));
    assert_eq!(scene.members(0), 3);
    scene.end();
}

#[test]
fn all_but_one_leave_cleanly_at_once() {
    let mut scene = Scene::new(4);
    scene.load(5, 200);
    (1..4).for_each(|node| scene.cluster.shutdown(node));
    let left =
        scene.cluster.run_until(ms(3_000), |c| c.nodes[1..].iter().all(|n| n.core().is_none()));
    assert!(left, "{}", scene.cluster.last_lines());
    scene.settle(ms(1_000));
    assert_eq!(scene.members(0), 1);
    scene.end();
}

#[test]
fn the_goodbye_is_lost() {
    let mut scene = Scene::new(3);
    scene.filter(|passing| passing.kind() != "bye");
    scene.cluster.shutdown(2);
    scene.settle(ms(2_000));
    assert_eq!(scene.members(0), 2);
    scene.end();
}

#[test]
fn pauses_around_the_token_loss_time() {
    for pause_ms in [125, 250, 300, 750] {
        let mut scene = Scene::new(3);
        scene.load(50, 100);
        scene.run(ms(1));
        scene.cluster.pause(1);
        scene.load(50, 100);
        scene.run(ms(pause_ms));
        scene.cluster.resume(1);
        scene.settle(ms(3_000));
        scene.rest(ms(2_000));
        assert_eq!(scene.members(0), 3);
        scene.end();
    }
}

#[test]
fn three_parts_merge_in_two_steps() {
    let mut scene = Scene::new(6);
    scene.load(10, 100);
    let first = scene.cluster.partition(&[&[0, 1], &[2, 3, 4, 5]]);
    let second = scene.cluster.partition(&[&[0, 1, 2, 3], &[4, 5]]);
    scene.run(ms(1_500));
    assert_eq!([0, 2, 4].map(|node| scene.members(node)), [2, 2, 2]);
    scene.load(10, 100);
    scene.cluster.mend(&first);
    // The second one heals at any moment of the first merge.
    for _ in 0..40 {
        scene.run(ms(7));
        scene.load(1, 50);
    }
    scene.cluster.mend(&second);
    scene.settle(ms(5_000));
    scene.end();
}

#[test]
fn five_failures_one_after_the_other_during_recovery() {
    for step_ms in [1, 3, 240, 255] {
        let mut scene = Scene::new(7);
        scene.load(100, 200);
        scene.run(ms(2));
        for node in 1..6 {
            scene.cluster.crash(node);
            scene.run(ms(step_ms));
        }
        scene.settle(ms(4_000));
        scene.rest(ms(2_000));
        assert_eq!(scene.members(0), 2);
        scene.end();
    }
}

/// Everybody hears the third, but the first two do not hear each other: two rings, and no flapping.
#[test]
fn a_bad_link_makes_two_stable_rings() {
    let mut scene = Scene::new(3);
    scene.cluster.network.cut(0, 1);
    scene.cluster.network.cut(1, 0);
    scene.run(ms(5_000));
    let before = scene.installed();
    scene.run(ms(20_000));
    let changes = scene.installed() - before;
    assert!(changes <= 24, "{changes} configurations in 20 s of one bad link");
    scene.cluster.network.join(0, 1);
    scene.cluster.network.join(1, 0);
    scene.settle(ms(12_000));
    scene.end();
}

#[test]
fn a_node_that_is_heard_but_does_not_hear() {
    let mut scene = Scene::new(4);
    (0..3).for_each(|other| scene.cluster.network.cut(other, 3));
    scene.run(ms(5_000));
    assert_eq!(scene.members(0), 3);
    let before = scene.installed();
    scene.run(ms(20_000));
    let changes = scene.installed() - before;
    assert!(changes <= 30, "{changes} configurations in 20 s of one deaf node");
    (0..3).for_each(|other| scene.cluster.network.join(other, 3));
    scene.settle(ms(12_000));
    scene.end();
}

#[test]
fn a_link_that_flaps_does_not_stop_the_ring() {
    let mut scene = Scene::new(4);
    for _ in 0..40 {
        let cuts = scene.cluster.partition(&[&[0, 1, 2], &[3]]);
        scene.run(ms(260));
        scene.cluster.mend(&cuts);
        scene.load(2, 100);
        scene.run(ms(240));
    }
    scene.settle(ms(10_000));
    scene.end();
}

#[test]
fn much_is_lost() {
    for loss in [10, 100, 200] {
        let mut options = Options::quiet(4);
        options.network = NetworkOptions { loss, ..NetworkOptions::good() };
        options.seed = u64::from(loss);
        let mut scene = Scene::with(options);
        scene.load(100, 500);
        scene.run(ms(5_000));
        scene.cluster.network.options.loss = 0;
        scene.end();
    }
}
