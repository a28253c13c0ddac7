//! What happens to single datagrams: lost, doubled, early, late, damaged, from another time.

mod scene;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anasazi_protocol::Stats;
use anasazi_sim::cluster::{Cluster, kind_name};
use anasazi_sim::options::{Multicast, NetworkOptions, Options};
use bytes::Bytes;
use scene::{Scene, ms};

#[test]
fn a_lost_token_is_sent_again() {
    let mut scene = Scene::new(3);
    let installed = scene.installed();
    for skip in 0..10 {
        let mut passed = 0;
        scene.filter(move |passing| {
            passed += usize::from(passing.kind() == "token");
            passing.kind() != "token" || passed != skip + 1
        });
        scene.load(5, 100);
        scene.run(ms(200));
        scene.unfilter();
    }
    scene.rest(ms(1_000));
    assert_eq!(scene.installed(), installed, "a lost token is no lost member");
    scene.end();
}

/// One receiver misses a packet: it asks, somebody repeats it, and nobody has to leave.
#[test]
fn a_lost_packet_is_sent_again() {
    for safe in [false, true] {
        let mut scene = Scene::new(3);
        let installed = scene.installed();
        for which in 0..20 {
            let mut seen = 0;
            scene.filter(move |passing| {
                let lost = passing.kind() == "data" && passing.to == 2;
                seen += usize::from(lost);
                !lost || seen != which % 5 + 1
            });
            (0..5).for_each(|_| scene.send(which % 2, 1_000, safe));
            scene.rest(ms(150));
            scene.unfilter();
        }
        assert!(scene.stats(2).repeats_requested >= 20);
        assert_eq!(scene.installed(), installed);
        scene.end();
    }
}

#[test]
fn the_same_token_is_lost_again_and_again() {
    let mut scene = Scene::new(3);
    let mut lost = 0;
    scene.filter(move |passing| {
        let token = passing.kind() == "token" && passing.from == 1;
        lost += usize::from(token);
        !token || lost > 5
    });
    scene.load(5, 100);
    scene.run(ms(3_000));
    assert_eq!(scene.members(0), 3);
    scene.end();
}

#[test]
fn every_token_comes_three_times() {
    let mut options = Options::quiet(4);
    options.network = NetworkOptions { duplicate: 1_000, ..NetworkOptions::good() };
    let mut scene = Scene::with(options);
    let installed = scene.installed();
    for _ in 0..20 {
        scene.load(5, 300);
        scene.run(ms(10));
    }
    scene.rest(ms(1_000));
    assert_eq!(scene.installed(), installed);
    scene.end();
}

#[test]
fn tokens_overtake_the_data() {
    let mut options = Options::quiet(4);
    options.network = NetworkOptions { jitter_us: 3_000, reorder: 1_000, ..NetworkOptions::good() };
    let mut scene = Scene::with(options);
    let installed = scene.installed();
    for _ in 0..20 {
        scene.load(10, 300);
        scene.run(ms(20));
    }
    scene.rest(ms(1_000));
    assert_eq!(scene.installed(), installed);
    scene.end();
}

/// One of each kind of datagram, with where it was sent.
fn one_of_each_kind() -> BTreeMap<&'static str, Bytes> {
    let seen = Rc::new(RefCell::new(BTreeMap::new()));
    let mut options = Options::quiet(4);
    options.network.multicast = Multicast::Silent;
    let mut scene = Scene::with(options);
    let writer = Rc::clone(&seen);
    let mut lost = 0;
    scene.filter(move |passing| {
        writer.borrow_mut().insert(passing.kind(), passing.bytes.clone());
        lost += usize::from(passing.kind() == "token");
        // Now and then a token ack is needed.
        passing.kind() != "token-ack" && (passing.kind() != "token" || lost % 7 > 0)
    });
    scene.load(10, 3_000);
    scene.run(ms(300));
    scene.cluster.crash(3);
    scene.run(ms(1_000));
    scene.cluster.boot(3);
    scene.run(ms(3_000));
    scene.cluster.shutdown(3);
    scene.run(ms(1_000));
    let seen = seen.borrow().clone();
    for kind in ["data", "token", "join", "propose", "state", "plan", "plan-ack", "beacon", "bye"] {
        assert!(seen.contains_key(kind), "no {kind} among {:?}", seen.keys());
    }
    seen
}

/// A panic is our bug, never bad input: every bit of every kind is turned, every kind is cut at
/// every length.
#[test]
fn damaged_datagrams_are_counted_and_change_nothing() {
    let mut scene = Scene::new(3);
    let installed = scene.installed();
    let before = scene.stats(0);
    let mut fed = 0;
    for (kind, datagram) in one_of_each_kind() {
        for len in 0..datagram.len() {
            scene.cluster.inject(1, 0, len % 2 == 0, datagram.slice(..len));
            fed += 1;
        }
        for bit in 0..datagram.len() * 8 {
            let mut damaged = datagram.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(damaged, datagram, "{kind}");
            scene.cluster.inject(1, 0, bit % 2 == 0, damaged.into());
            fed += 1;
        }
        scene.expect_good();
    }
    let after = scene.stats(0);
    assert_eq!(unreadable(&after) - unreadable(&before), fed);
    scene.load(5, 100);
    scene.rest(ms(1_000));
    assert_eq!(scene.installed(), installed);
    scene.end();
}

fn unreadable(stats: &Stats) -> u64 {
    let not_ours = stats.dropped_not_ours + stats.dropped_other_cluster;
    stats.dropped_checksum + stats.dropped_malformed + not_ours
}

/// Damage that the checksum does not show: each byte after the header takes extreme values, alone
/// and with those behind it, and the seal is renewed.
#[test]
fn well_sealed_nonsense_does_no_harm() {
    let mut scene = Scene::new(4);
    let mut counter = 1 << 40;
    for (kind, datagram) in one_of_each_kind() {
        let (_, to) = ends(&datagram);
        let before = scene.stats(to);
        forge_all(&mut scene, kind, &datagram, &mut counter, false);
        forge_all(&mut scene, kind, &datagram, &mut counter, true);
        let after = scene.stats(to);
        let count = |stats: &Stats| unreadable(stats) + stats.dropped_stale;
        assert!(count(&after) > count(&before), "none of {kind} is counted");
    }
}

/// The same, when a ring is being formed.
#[test]
fn well_sealed_nonsense_does_no_harm_to_those_who_form_a_ring() {
    for (state, backwards) in
        ["gather", "commit", "recovery"].into_iter().flat_map(|s| [(s, false), (s, true)])
    {
        for (kind, datagram) in one_of_each_kind() {
            let mut scene = Scene::new(4);
            scene.load(20, 100);
            scene.cluster.crash(2);
            let (_, to) = ends(&datagram);
            // Whoever hears of a newer process of its own node stops.
            (0..4).for_each(|node| scene.cluster.expect_stop(node));
            let reached = scene.cluster.run_until(ms(1_000), |c| c.nodes[to].state == state);
            assert!(reached, "never in {state}");
            forge_all(&mut scene, kind, &datagram, &mut (1 << 40), backwards);
            // What it was told must not be worth so much that its number spaces are used up.
            scene.run(ms(1_000));
            scene.expect_good();
            let seen = scene.cluster.nodes[to].disk.ring_sequence_max;
            assert!(seen < 1 << 50, "{kind} in {state}: ring number {seen} is on the disk");
        }
    }
}

/// Who said it, and one of the first two who did not.
fn ends(datagram: &Bytes) -> (usize, usize) {
    let from = usize::from(datagram[16]) - 1;
    (from, usize::from(from == 0))
}

fn forge_all(scene: &mut Scene, kind: &str, datagram: &Bytes, counter: &mut u64, backwards: bool) {
    let (from, to) = ends(datagram);
    // In both directions: one number that is believed makes what comes later stale.
    let (first, behind) = (32, datagram.len().min(400) - 4);
    for step in 0..behind - first {
        let at = if backwards { behind - 1 - step } else { first + step };
        for (value, run) in [(0xff, 8), (0x00, 1), (0x01, 1), (0x7f, 1), (0x80, 1), (0xff, 1)] {
            let mut forged = datagram.to_vec();
            let sealed = forged.len() - 4;
            forged[at..(at + run).min(sealed)].fill(value);
            if forged == datagram[..] {
                continue;
            }
            seal(&mut forged, counter);
            assert_eq!(kind_name(&forged), kind);
            scene.cluster.inject(from, to, false, forged.into());
            // A forgery may well end a ring; it must not end a core, nor what the oracle asks for.
            scene.expect_good();
        }
    }
}

/// Makes it a newer datagram than any before, and one that was not damaged.
fn seal(forged: &mut [u8], counter: &mut u64) {
    *counter += 1;
    forged[24..32].copy_from_slice(&counter.to_le_bytes());
    let sealed = forged.len() - 4;
    let checksum = crc32c::crc32c(&forged[..sealed]).to_le_bytes();
    forged[sealed..].copy_from_slice(&checksum);
}

/// Numbers of a data packet that no member gives it: each is counted, once.
#[test]
fn what_cannot_be_true_of_data_is_counted() {
    // Where it has its ordinal, who gave it that, and the line up to which all hold everything.
    const ORDINAL: usize = 52;
    const ORIGIN: usize = 60;
    const SAFE_LINE: usize = 73;
    let mut scene = Scene::new(3);
    let seen = Rc::new(RefCell::new(None));
    let writer = Rc::clone(&seen);
    scene.filter(move |passing| {
        if passing.kind() == "data" && ends(passing.bytes) == (0, 1) {
            *writer.borrow_mut() = Some(passing.bytes.clone());
        }
        true
    });
    scene.load(10, 100);
    scene.rest(ms(1_000));
    let datagram = seen.take().expect("some data of the first");
    let installed = scene.installed();
    let mut counter = 1 << 40;
    // Such a number can be read; the largest ones are no ordinals.
    let far = (1_u64 << 40).to_le_bytes();
    for (what, at, bytes) in
        [("ordinal", ORDINAL, &far[..]), ("origin", ORIGIN, &[99]), ("line", SAFE_LINE, &far)]
    {
        let mut forged = datagram.to_vec();
        forged[at..at + bytes.len()].copy_from_slice(bytes);
        seal(&mut forged, &mut counter);
        let before = scene.stats(1);
        scene.cluster.inject(0, 1, false, forged.into());
        scene.run(ms(1));
        let after = scene.stats(1);
        assert_eq!(after.dropped_malformed - before.dropped_malformed, 1, "{what}");
    }
    scene.load(5, 100);
    scene.rest(ms(1_000));
    assert_eq!(scene.installed(), installed);
    scene.end();
}

/// Everything that was said in the first seconds, with a crash and a merge, is said again ten
/// seconds later.
#[test]
fn old_datagrams_come_again_ten_seconds_later() {
    say_again(None);
}

/// The same, with datagrams of a node that is gone for ever.
#[test]
fn what_the_dead_said_comes_again_ten_seconds_later() {
    say_again(Some(Cluster::crash));
}

/// The same, with those of a node that has said goodbye.
#[test]
fn what_was_said_before_a_goodbye_comes_again_ten_seconds_later() {
    say_again(Some(Cluster::shutdown));
}

fn say_again(end: Option<fn(&mut Cluster, usize)>) {
    let mut scene = Scene::new(3);
    let said = Rc::new(RefCell::new(Vec::new()));
    let writer = Rc::clone(&said);
    scene.filter(move |p| {
        writer.borrow_mut().push((p.from, p.to, p.multicast, p.bytes.clone()));
        true
    });
    scene.load(20, 500);
    scene.run(ms(10));
    scene.cluster.crash(2);
    scene.run(ms(1_000));
    scene.cluster.boot(2);
    scene.run(ms(2_000));
    scene.join(2);
    let cuts = scene.cluster.partition(&[&[0], &[1, 2]]);
    scene.run(ms(1_000));
    scene.cluster.mend(&cuts);
    scene.run(ms(2_000));
    scene.unfilter();
    if let Some(end) = end {
        end(&mut scene.cluster, 2);
    }
    scene.run(ms(10_000));
    scene.settle(ms(10));
    let installed = scene.installed();
    for (from, to, multicast, bytes) in said.take() {
        scene.cluster.inject(from, to, multicast, bytes);
        scene.run(std::time::Duration::from_micros(200));
    }
    scene.load(5, 100);
    scene.rest(ms(2_000));
    let lines = scene.cluster.last_lines();
    assert_eq!(scene.installed(), installed, "what is long past disturbs nobody\n{lines}");
    scene.end();
}

#[test]
fn each_kind_of_forming_a_ring_is_lost_once() {
    for kind in ["join", "propose", "state", "plan", "plan-ack"] {
        for which in 0..4 {
            let mut scene = Scene::new(3);
            scene.load(20, 300);
            scene.run(ms(1));
            let mut seen = 0;
            scene.filter(move |passing| {
                seen += usize::from(passing.kind() == kind);
                passing.kind() != kind || seen != which + 1
            });
            scene.cluster.crash(1);
            scene.settle(ms(2_000));
            assert_eq!(scene.members(0), 2, "{kind} {which}");
            scene.end();
        }
    }
}

#[test]
fn multicast_does_not_work() {
    for multicast in [Multicast::Off, Multicast::Silent, Multicast::Partial] {
        let mut options = Options::quiet(4);
        options.network.multicast = multicast;
        let mut scene = Scene::with(options);
        scene.load(50, 700);
        scene.run(ms(20));
        let cuts = scene.cluster.partition(&[&[0, 2], &[1, 3]]);
        scene.run(ms(1_000));
        scene.cluster.mend(&cuts);
        scene.load(50, 700);
        scene.settle(ms(5_000));
        assert_eq!(scene.members(1), 4);
        scene.end();
    }
}

#[test]
fn nodes_know_the_first_one_only() {
    let mut options = Options::quiet(6);
    options.network.multicast = Multicast::Off;
    options.network.sparse_peers = true;
    let mut scene = Scene::with(options);
    scene.load(5, 700);
    let cuts = scene.cluster.partition(&[&[0, 1, 2], &[3, 4, 5]]);
    scene.run(ms(1_000));
    scene.cluster.crash(5);
    scene.cluster.boot(5);
    scene.run(ms(1_000));
    scene.cluster.mend(&cuts);
    scene.settle(ms(5_000));
    scene.end();
}

#[test]
fn multicast_stops_working() {
    let mut scene = Scene::new(3);
    for from in 0..3 {
        (0..3).for_each(|to| scene.cluster.network.set_outage(from, to, true));
    }
    scene.load(50, 200);
    scene.run(ms(10_000));
    scene.rest(ms(5_000));
    assert_eq!(scene.members(0), 3, "unicast is enough");
    scene.end();
}
