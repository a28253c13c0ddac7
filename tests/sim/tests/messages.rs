//! Messages of all sizes, many of them, and through changes of configuration.

mod scene;

use anasazi_sim::options::Options;
use scene::{Scene, ms};

#[test]
fn large_messages_through_a_change() {
    for crash_after_ms in [1, 3, 9, 25] {
        let mut scene = Scene::new(4);
        for node in 0..4 {
            scene.send(node, 1 << 20, node % 2 == 0);
            scene.send(node, 200_000, true);
            scene.send(node, 10, false);
        }
        scene.run(ms(crash_after_ms));
        scene.cluster.crash(3);
        scene.settle(ms(2_000));
        scene.rest(ms(5_000));
        for node in 0..3 {
            let whole = scene.received(node).iter().filter(|(_, len)| *len == 1 << 20).count();
            assert!((3..=4).contains(&whole), "node {node} got {whole} of the largest");
        }
        scene.end();
    }
}

#[test]
fn the_largest_message_of_all() {
    let mut options = Options::quiet(2);
    options.message_len_max = 16 << 20;
    let mut scene = Scene::with(options);
    scene.send(0, 16 << 20, true);
    scene.rest(ms(10_000));
    assert_eq!(scene.received(1).last().map(|(_, len)| *len), Some(16 << 20));
    scene.end();
}

#[test]
fn every_length_around_the_size_of_a_packet() {
    let mut scene = Scene::new(2);
    for len in (1_200..1_500).chain(2_500..2_800) {
        scene.send(0, len, false);
        scene.send(1, 1, true);
    }
    scene.rest(ms(5_000));
    assert_eq!(scene.received(1).len(), 1_200);
    scene.end();
}

/// Sessions want more than the ring can carry: they are held back, and nothing is lost.
#[test]
fn sessions_that_are_too_fast_are_held_back() {
    let mut options = Options::quiet(3);
    options.window = 8;
    let mut scene = Scene::with(options);
    scene.load(6_000, 200);
    let bytes_waiting = |s: &Scene| {
        s.cluster.nodes.iter().flat_map(|n| &n.sessions).map(|s| s.waiting().1).sum::<u64>()
    };
    assert!(bytes_waiting(&scene) > 200_000, "the core takes no more than it has room for");
    scene.rest(ms(60_000));
    assert_eq!(scene.received(2).len(), 18_000);
    scene.end();
}

#[test]
fn a_ring_of_one_delivers_at_once() {
    let mut scene = Scene::new(1);
    scene.load(100, 3_000);
    scene.run(ms(1));
    assert_eq!(scene.received(0).len(), 100);
    scene.end();
}

/// An idle ring gives a sender the token within a few hops.
#[test]
fn an_idle_ring_wakes_up_quickly() {
    let mut scene = Scene::new(5);
    for node in 0..5 {
        scene.run(ms(1_000));
        let start = scene.cluster.now;
        scene.send(node, 50, false);
        let everywhere = scene.received(0).len() + 1;
        let seen = |s: &anasazi_sim::cluster::Cluster| {
            s.nodes.iter().all(|n| n.sessions.iter().all(|x| x.received.len() >= everywhere))
        };
        assert!(scene.cluster.run_until(ms(100), seen));
        let took_us = (scene.cluster.now - start) / 1_000;
        assert!(took_us < 5_000, "node {node}: {took_us} us");
    }
    scene.end();
}
