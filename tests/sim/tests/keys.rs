//! Keys change while the cluster works: nothing is lost, and nobody leaves.

mod scene;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anasazi_seal::{KeyId, Mode, OVERHEAD_LEN};
use anasazi_sim::options::Options;
use bytes::Bytes;
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

/// Divides the cluster into two halves and joins them again, with traffic all the time, and a step
/// of whoever owns the keys now and then, if there is one.
fn divide(scene: &mut Scene, has_owner: bool) {
    let halves: &[&[usize]] = &[&[0, 1], &[2, 3]];
    let work = |scene: &mut Scene, time_ms: usize| {
        for at in 0..time_ms / 20 {
            scene.load(2, 1_000);
            if has_owner {
                scene.cluster.step_of_keys(at % 4);
            }
            scene.run(ms(20));
        }
    };
    let cuts = scene.cluster.partition(halves);
    work(scene, 1_000);
    scene.cluster.mend(&cuts);
    work(scene, 1_000);
    scene.settle(ms(5_000));
}

#[test]
fn a_hundred_changes_through_partitions_lose_nothing_and_change_no_view_of_their_own() {
    let mut scenes = [true, false].map(|has_owner| (has_owner, sealed(4, Mode::Aead)));
    let mut partitions = 0;
    while scenes[0].1.cluster.rotations() < 101 {
        scenes.iter_mut().for_each(|(has_owner, scene)| divide(scene, *has_owner));
        partitions += 1;
        assert!(partitions < 100, "no end after {} rotations", scenes[0].1.cluster.rotations());
    }
    let [(_, with), (_, without)] = scenes;
    assert!(partitions > 10, "{partitions}");
    assert_eq!(with.installed(), without.installed(), "more configurations than partitions need");
    assert_eq!(without.cluster.active_key(0), Some(KeyId(1)));
    with.end();
    without.end();
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

/// Datagrams of every length that a cluster sends while rings form, break, are restored and end, so
/// one of every kind, and of most of them several.
fn overheard(scene: &mut Scene) -> BTreeMap<usize, (usize, Bytes)> {
    let seen = Rc::new(RefCell::new(BTreeMap::new()));
    let writer = Rc::clone(&seen);
    scene.filter(move |passing| {
        if passing.to == 0 && passing.bytes.len() <= LEN_MAX {
            let datagram = (passing.from, passing.bytes.clone());
            writer.borrow_mut().insert(passing.bytes.len(), datagram);
        }
        true
    });
    scene.load(5, 300);
    scene.run(ms(100));
    scene.cluster.crash(2);
    scene.run(ms(1_500));
    scene.cluster.boot(2);
    scene.settle(ms(5_000));
    scene.cluster.pause(1);
    scene.run(ms(1_500));
    scene.cluster.resume(1);
    scene.settle(ms(5_000));
    scene.load(5, 40);
    scene.rest(ms(2_000));
    scene.unfilter();
    seen.take()
}

/// Longer ones are of the kinds of shorter ones.
const LEN_MAX: usize = 700;

#[test]
fn a_live_node_does_nothing_about_what_is_changed_or_cut() {
    for mode in [Mode::Aead, Mode::Integrity] {
        let mut scene = sealed(3, mode);
        // Who has a newer key offers it.
        (0..3).for_each(|node| scene.cluster.give_keys(node, &[1, 2]));
        let overheard = overheard(&mut scene);
        assert!(overheard.contains_key(&OVERHEAD_LEN), "an offer is empty");
        assert!(overheard.len() > 15, "too few kinds: {:?}", overheard.keys());
        let mut count = 0;
        for (from, whole) in overheard.into_values() {
            let cut = (0..whole.len()).map(|len| whole.slice(..len));
            let flipped = (0..whole.len() * 8).map(|bit| {
                let mut bytes = whole.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                Bytes::from(bytes)
            });
            for changed in cut.chain(flipped).chain([whole.clone()]) {
                let state = |scene: &Scene| {
                    let core = scene.cluster.nodes[0].core().expect("it lives");
                    format!("{:?} {:?}", core.stats(), core.status())
                };
                let seals = scene.cluster.seal_counters(0).expect("it seals");
                let (before, sent) = (state(&scene), scene.cluster.counts.datagrams);
                scene.cluster.inject(from, 0, false, changed);
                let after = scene.cluster.seal_counters(0).expect("it seals");
                assert_eq!(after.dropped(), seals.dropped() + 1, "one counter");
                assert_eq!((after.opened, after.sealed), (seals.opened, seals.sealed));
                assert_eq!(state(&scene), before, "its state");
                assert_eq!(scene.cluster.counts.datagrams, sent, "a reply");
                count += 1;
            }
        }
        assert!(count > 30_000, "{count}");
        scene.end();
    }
}

/// Somebody without a key, who sees all there is, shows each node what is for the others alone:
/// tokens that were handed to another one, and what it says of itself.
#[test]
fn what_is_for_one_node_does_nothing_at_the_others() {
    for mode in [Mode::Aead, Mode::Integrity] {
        let mut scene = sealed(4, mode);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let writer = Rc::clone(&seen);
        scene.filter(move |passing| {
            if !passing.multicast {
                writer.borrow_mut().push((passing.from, passing.to, passing.bytes.clone()));
            }
            true
        });
        let installed = scene.installed();
        let mut shown = 0;
        for round in 0..3_000 {
            if round % 40 == 0 {
                // A token that rests is handed to who wakes it.
                scene.send(round / 40 % 4, 200, round % 80 == 0);
            }
            scene.run(Duration::from_micros(100));
            for (from, to, bytes) in seen.take() {
                for other in (0..4).filter(|other| *other != to && *other != from) {
                    scene.cluster.inject(from, other, false, bytes.clone());
                    shown += 1;
                }
            }
            scene.expect_good();
        }
        assert!(shown > 1_000, "{shown}");
        let misdirected = scene.cluster.seal_counters(0).map(|counters| counters.misdirected);
        assert!(misdirected > Some(100), "{misdirected:?}");
        scene.unfilter();
        assert_eq!(scene.installed(), installed);
        scene.end();
    }
}

/// As after a pause of the machine, or where too many others are known.
#[test]
fn a_node_that_becomes_somebody_else_loses_nothing() {
    let mut scene = sealed(4, Mode::Aead);
    let installed = scene.installed();
    for round in 0..40 {
        scene.load(3, 1_000);
        scene.cluster.renew_seal(round % 4);
        scene.run(ms(20));
    }
    // All at the same time.
    (0..4).for_each(|node| scene.cluster.renew_seal(node));
    scene.rest(ms(2_000));
    assert_eq!(scene.installed(), installed, "a configuration changed");
    scene.end();
}
