//! Order and integrity: runs, unequal sizes, mixed targets, and data before the token that follows
//! them.

use super::*;

fn assert_same(got: &[Received], sent: &[(Target, Bytes)]) {
    assert_eq!(got.len(), sent.len());
    for (at, (received, (target, bytes))) in got.iter().zip(sent).enumerate() {
        assert_eq!(received.bytes.len(), bytes.len(), "length of datagram {at}");
        assert_eq!(received.bytes, bytes, "content of datagram {at}");
        assert_eq!(received.multicast, *target == Target::Multicast);
    }
}

/// Sends pieces that the receiver can hold, and compares everything.
fn send_and_compare(a: &mut Udp, b: &mut Udp, sent: &[(Target, Bytes)]) {
    for piece in sent.chunks(50) {
        a.send(piece);
        assert_same(&receive(b, piece.len()), piece);
    }
    nothing_more(b);
}

/// Lengths of 400 datagrams: long runs, short ends, single ones, empty ones, one byte, and the
/// longest.
fn lengths() -> impl Iterator<Item = usize> {
    let runs = [(1_400, 120), (1_399, 1), (1_400, 46), (1, 70), (0, 3), (1_400, 1), (600, 64)];
    let odd = (0..94).map(|n| 1 + n * 37 % 1_400);
    runs.into_iter()
        .flat_map(|(len, count)| std::iter::repeat_n(len, count))
        .chain(odd)
        .chain([65_507])
}

#[test]
fn unicast_runs_and_unequal_sizes_arrive_intact_and_in_order() {
    let (mut a, mut b) = (open(&options("127.0.0.1:0")), open(&options("127.0.0.1:0")));
    let sent: Vec<_> = lengths().enumerate().map(|(n, len)| unicast(&b, content(n, len))).collect();
    send_and_compare(&mut a, &mut b, &sent);
    let counters = a.counters();
    assert!(counters.sent_runs >= 6, "{counters:?}");
    assert_eq!((counters.sent_datagrams, counters.send_lost), (sent.len() as u64, 0));
    assert_eq!(counters.sent_bytes, b.counters().received_bytes);
    let per_call = counters.sent_datagrams / counters.sent_calls;
    assert!(per_call > 20, "{per_call} datagrams per system call");
}

#[test]
fn multicast_runs_arrive_intact_and_in_order_at_everybody_with_local_loopback() {
    let group = fresh_group();
    let (mut a, mut b, mut c) = (open_in(group), open_in(group), open_in(group));
    let sent: Vec<_> = lengths().enumerate().map(|(n, len)| multicast(content(n, len))).collect();
    for piece in sent.chunks(50) {
        a.send(piece);
        assert_same(&receive(&mut b, piece.len()), piece);
        assert_same(&receive(&mut c, piece.len()), piece);
        while !a.receive(64, &mut Vec::new()) {}
    }
    assert!(a.counters().sent_runs >= 6);
    assert_eq!(a.counters().runs_refused, 0);
    assert_eq!(a.counters().own_copies, sent.len() as u64);
}

#[test]
fn a_batch_to_several_peers_keeps_its_order_at_each() {
    let mut a = open(&options("127.0.0.1:0"));
    let mut peers: Vec<_> = (0..3).map(|_| open(&options("127.0.0.1:0"))).collect();
    let batch: Vec<_> = (0..90).map(|n| unicast(&peers[n * n % 3], content(n, 500))).collect();
    a.send(&batch);
    for peer in &mut peers {
        let own = Target::Unicast(peer.local_address());
        let expected: Vec<_> = batch.iter().filter(|(to, _)| *to == own).cloned().collect();
        if !expected.is_empty() {
            assert_same(&receive(peer, expected.len()), &expected);
        }
        nothing_more(peer);
    }
}

#[test]
fn data_come_before_the_token_that_was_sent_after_them() {
    let group = fresh_group();
    let (mut a, mut b) = (open_in(group), open_in(group));
    for round in 0..200 {
        let mut batch: Vec<_> =
            (0..round % 70).map(|n| multicast(content(n, 300 + n % 5))).collect();
        batch.push(unicast(&b, "token"));
        a.send(&batch);
        assert_same(&receive(&mut b, batch.len()), &batch);
    }
}

#[test]
fn the_token_waits_for_its_data_also_when_little_is_taken_at_a_time() {
    let group = fresh_group();
    let (mut a, mut b) = (open_in(group), open_in(group));
    for max in [1, 2, 3, 7, 40] {
        let mut batch: Vec<_> = (0..70).map(|n| multicast(content(n, 300 + n % 5))).collect();
        batch.push(unicast(&b, "token"));
        a.send(&batch);
        let mut out = Vec::new();
        assert!(sys::wait_readable(&b.fds(), PATIENCE));
        loop {
            let before = out.len();
            let drained = b.receive(max, &mut out);
            assert!(out.len() - before <= max, "{} of at most {max}", out.len() - before);
            if drained {
                break;
            }
        }
        assert_same(&out, &batch);
    }
}

#[test]
fn a_flood_of_multicasts_does_not_hold_a_token_for_ever() {
    let group = fresh_group();
    let (mut a, mut b) = (open_in(group), open_in(group));
    // Unequal lengths, which the kernel puts into no runs: more arrive than one call takes.
    let flood: Vec<_> = (0..200).map(|n| multicast(content(n, 300 + n))).collect();
    a.send(&flood);
    a.send(&[unicast(&b, "token")]);
    assert!(sys::wait_readable(&b.fds(), PATIENCE));
    let mut out = Vec::new();
    for _ in 0..200 {
        b.receive(32, &mut out);
        if out.iter().any(|received| !received.multicast) {
            return;
        }
        a.send(&flood[..100]);
    }
    panic!("{} multicasts, and no token", out.len());
}

#[test]
fn what_is_held_back_by_max_is_not_forgotten_though_no_descriptor_tells() {
    let (mut a, mut b) = (open(&options("127.0.0.1:0")), open(&options("127.0.0.1:0")));
    let batch: Vec<_> = (0..10).map(|n| unicast(&b, content(n, 100))).collect();
    a.send(&batch);
    let mut out = Vec::new();
    assert!(sys::wait_readable(&b.fds(), PATIENCE));
    assert!(!b.receive(4, &mut out), "not drained");
    assert!(!b.receive(4, &mut out), "not drained");
    assert!(b.receive(4, &mut out), "drained");
    assert_same(&out, &batch);
}

#[test]
fn own_multicasts_alone_do_not_keep_a_call_busy_and_are_drained() {
    let group = fresh_group();
    let mut a = open_in(group);
    let batch: Vec<_> = (0..100).map(|n| multicast(content(n, 100 + n))).collect();
    a.send(&batch);
    let mut out = Vec::new();
    while !a.receive(4, &mut out) {}
    assert_eq!(out, []);
    assert_eq!(a.counters().own_copies, 100);
}
