//! Messages that go before or behind what else waits in their session's ring.

use std::sync::atomic::Ordering;

use anasazi_protocol::GroupId;

use super::*;

const HIGH: u32 = 0x1004;
const NORMAL: u32 = 4;
const BULK: u32 = 0x2004;

/// What the protocol is given, one request at a time, until the ring is empty: tags of messages,
/// and 0 for what is none.
fn taken_one_by_one(engine: &mut Engine, client: &RawClient) -> Vec<u64> {
    let mut order = Vec::new();
    for _ in 0..1_000 {
        for key in engine.epoll.wait(0) {
            engine.sessions.ready(key, &engine.epoll);
        }
        let before = order.len();
        engine.sessions.poll(usize::MAX, DomainSet::NONE, &mut |request| {
            order.push(match request {
                Request::Command(_, Command::Send { tag, .. }) => tag,
                _ => 0,
            });
            false
        });
        engine.sessions.flush(&engine.epoll);
        client.drain();
        if order.len() == before {
            assert_eq!(client.producer.used(), 0, "all room is given back");
            return order;
        }
    }
    panic!("never empty");
}

#[test]
fn a_priority_goes_before_what_waits_in_the_ring_and_not_past_what_is_no_message() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    engine.run();
    client.drain();
    let sends = [(BULK, 1), (NORMAL, 2), (HIGH, 3), (BULK, 4), (HIGH, 5), (NORMAL, 6)];
    sends.iter().for_each(|(service, tag)| client.send(1, *service, *tag, b"x"));
    client.join(2, "another room");
    client.send(1, NORMAL, 7, b"x");
    client.send(2, HIGH, 8, b"x");
    assert_eq!(taken_one_by_one(&mut engine, &client), [3, 5, 2, 6, 1, 4, 0, 8, 7]);
    assert_eq!(client.told.borrow().0, [3, 5, 2, 6, 1, 4, 8, 7], "its library knows");
}

#[test]
fn what_is_taken_ahead_keeps_its_place_until_what_lies_before_it_is_taken() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    engine.run();
    client.drain();
    // More than is looked at for one that is taken.
    let room = client.producer.released_to();
    for tag in 1..=200 {
        client.send(1, NORMAL, tag, b"x");
    }
    client.send(1, HIGH, 1_000, b"x");
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut order = Vec::new();
    while !order.contains(&1_000) {
        engine.sessions.poll(usize::MAX, DomainSet::NONE, &mut |request| {
            let Request::Command(_, Command::Send { tag, .. }) = request else {
                panic!("a message")
            };
            order.push(tag);
            false
        });
        engine.sessions.flush(&engine.epoll);
    }
    assert!(order.len() < 10, "found soon: {order:?}");
    let taken_in_order = order.len() as u64 - 1;
    assert_eq!(
        client.producer.released_to(),
        room + taken_in_order * 40,
        "a header, a head, a byte"
    );
    // What its library is told of the one ahead is where it lies.
    while client.next().is_some() {}
    let place = client.ahead.borrow().clone();
    assert_eq!(place, [room + 200 * 40]);
    let rest = taken_one_by_one(&mut engine, &client);
    assert_eq!(rest, (order.len() as u64..=200).collect::<Vec<_>>());
}

/// Gives everything that lies in the rings and looks like a message another service.
fn change_all(client: &RawClient, service: u32) {
    for index in 0..client.layout.len() / 8 {
        let word = client.word(index);
        let (handle, now) = {
            let word = word.load(Ordering::Relaxed);
            (word as u32, (word >> 32) as u32)
        };
        if handle == 1 && [HIGH, NORMAL, BULK].contains(&now) {
            word.store(1 | u64::from(service) << 32, Ordering::Relaxed);
        }
    }
}

/// A client that changes what it has sent harms itself only.
#[test]
fn priorities_that_change_while_they_wait_do_no_harm() {
    let mut engine = Engine::new();
    let (client, other) = (engine.open(), engine.open());
    client.join(1, "room");
    other.join(1, "room");
    engine.run();
    for tag in 1..=100 {
        client.send(1, if tag % 3 == 0 { BULK } else { NORMAL }, tag, b"x");
    }
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    for round in 0..300_u64 {
        engine.sessions.poll(usize::MAX, DomainSet::NONE, &mut |_| false);
        engine.sessions.flush(&engine.epoll);
        // All that lies in the ring is of another priority now.
        change_all(&client, if round % 2 == 0 { BULK } else { NORMAL });
    }
    other.drain();
    other.send(1, NORMAL, 1, b"fine");
    engine.run();
    other.expect_message();
}

/// What the protocol was given, in order, by the lengths of messages.
fn lens(engine: &Engine) -> Vec<usize> {
    let sends = engine.core.log.iter().filter_map(|line| line.strip_prefix("send "));
    sends.filter_map(|line| line.split(' ').next_back()?.parse().ok()).collect()
}

/// A client in two groups, the first of which is held by another node.
fn held(engine: &mut Engine) -> RawClient {
    let client = engine.open();
    client.join(1, "room");
    client.join(2, "another room");
    engine.run();
    client.drain();
    engine.sessions.hold((DomainId::DEFAULT, NodeId(2)), &[GroupId::of("room")], 250, engine.now);
    client
}

#[test]
fn a_priority_does_not_pass_a_hold_of_its_group() {
    let mut engine = Engine::new();
    let client = held(&mut engine);
    for _ in 0..100 {
        client.send(2, NORMAL, 0, b"x");
    }
    client.send(1, HIGH, 0, b"held");
    for _ in 0..100 {
        client.send(2, NORMAL, 0, b"x");
    }
    engine.run();
    assert!(!lens(&engine).contains(&4), "{:?}", lens(&engine));
    engine.sessions.hold((DomainId::DEFAULT, NodeId(2)), &[GroupId::of("room")], 0, engine.now);
    engine.run();
    assert_eq!(lens(&engine).len(), 201);
}

#[test]
fn a_priority_to_another_group_goes_past_what_is_held() {
    let mut engine = Engine::new();
    let client = held(&mut engine);
    client.send(1, NORMAL, 0, b"held");
    engine.run();
    assert!(lens(&engine).is_empty());
    client.send(2, HIGH, 0, b"x");
    engine.run();
    assert_eq!(lens(&engine), [1]);
    engine.sessions.hold((DomainId::DEFAULT, NodeId(2)), &[GroupId::of("room")], 0, engine.now);
    engine.run();
    assert_eq!(lens(&engine), [1, 4]);
    assert_eq!(client.producer.used(), 0);
}

/// What was claimed and given up is passed over, and counts.
#[test]
fn padding_is_charged() {
    let mut engine = Engine::new();
    let (near, far) = socket::pair().expect("socketpair");
    engine.sessions.accept(near, &engine.epoll, engine.now);
    let client = RawClient::with_capacity(far, 1 << 20);
    client.greet();
    engine.run();
    client.join(1, "room");
    engine.run();
    for tag in 1..=3 {
        let claim = client.producer.claim(request::SEND, 0, 250_000).expect("room");
        client.producer.abort(claim);
        client.send(1, NORMAL, tag, b"x");
    }
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut taken = 0;
    engine.sessions.poll(4, DomainSet::NONE, &mut |_| {
        taken += 1;
        true
    });
    assert_eq!(taken, 1, "it has used up what four short ones may");
}
