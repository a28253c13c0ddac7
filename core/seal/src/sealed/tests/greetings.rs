//! Who has said that it is alive, and knew this engine when it said so.

use super::*;

#[test]
fn what_comes_before_a_greeting_is_not_taken() {
    for mode in [Mode::Aead, Mode::Integrity] {
        let mut world = World::new(mode);
        world.a.send(address(9), "one");
        assert_eq!(world.say("two"), [""; 0], "it may be a recording");
        assert_eq!(world.say("three"), ["three"]);
        let counters = world.b.counters();
        assert_eq!((counters.greetings_sent, counters.greetings_taken), (1, 1));
        assert_eq!((counters.ungreeted, counters.dropped()), (2, 2));
    }
}

/// Whoever starts again knows nothing of what was sent before, by those who still live.
#[test]
fn what_the_living_said_before_is_not_taken_by_whoever_starts_again() {
    let mut world = World::known(Mode::Aead);
    assert_eq!(world.say("hello"), ["hello"]);
    assert_eq!(world.say("and more"), ["and more"]);
    let recorded = std::mem::take(&mut world.recorded);
    let (before, after) = recorded.split_at(recorded.len() / 2);
    assert!(world.b.seal().renew());
    let play = |world: &mut World, recorded: &[Bytes]| {
        recorded.iter().flat_map(|bytes| world.inject(2, bytes).0).collect::<Vec<_>>()
    };
    assert_eq!(play(&mut world, before), [""; 0]);
    world.say("who are you?");
    assert_eq!(world.say("hello again"), ["hello again"]);
    // Counters that were never seen here.
    assert_eq!(play(&mut world, after), [""; 0]);
}

#[test]
fn whoever_starts_again_is_somebody_new() {
    let mut world = World::known(Mode::Aead);
    assert_eq!(world.say("before"), ["before"]);
    for renew_a in [true, false] {
        let node = if renew_a { &mut world.a } else { &mut world.b };
        assert!(node.seal().renew());
        assert_eq!(world.say("who is it?"), [""; 0]);
        assert_eq!(world.say("after"), ["after"]);
    }
    let mut late = Seal::new(Mode::Aead, ring(&[1]), DOMAIN, Box::new(|| None));
    assert!(late.is_none(), "no boot without randomness");
    late = Some(seal(Mode::Aead, &[1], 9));
    late.as_mut().expect("a seal").draw = Box::new(|| None);
    assert!(!late.expect("a seal").renew());
    // Nothing goes out under a boot that somebody else may have, until there is another one.
    let mut fits = false;
    world.a.seal().draw = Box::new(move || {
        fits = !fits;
        (!fits).then_some(Boot([77; 16]))
    });
    assert!(!world.a.seal().renew());
    let sealed = world.a.counters().sealed;
    world.a.wire.seal.as_mut().expect("a seal").is_void = true;
    world.a.send(address(9), "with a new boot");
    assert_eq!(world.a.seal().sealer.boot(), Boot([77; 16]));
    assert_eq!(world.a.counters().sealed, sealed + 1);
}

/// A part of the cluster that was cut off comes back after the others have sent a lot.
#[test]
fn whoever_was_away_for_long_hears_the_others_again() {
    for mode in [Mode::Aead, Mode::Integrity] {
        let mut world = World::known(mode);
        world.a.seal().sealer.skip_to(1_000 << DATAGRAMS_PER_KEY_LOG2);
        assert_eq!(world.say("where were you?"), ["where were you?"]);
        assert_eq!(world.b.counters().forged, 0);
    }
}

/// Recordings of many boots are asked ever less, each datagram of them once, and honest ones greet
/// meanwhile.
#[test]
fn those_who_never_greet_take_bounded_room_and_time() {
    let mut world = World::new(Mode::Aead);
    let mut recorded = Vec::new();
    let mut other = seal(Mode::Aead, &[1], 1);
    let mut next = 1_000_u128;
    other.draw = Box::new(move || {
        next += 1;
        Some(Boot(next.to_be_bytes()))
    });
    for _ in 0..200 {
        assert!(other.renew());
        recorded.extend((0..20).map(|number| other.seal(Kind::Content, 0, &[number])));
    }
    let mut replies = 0;
    for bytes in recorded.iter().chain(&recorded) {
        let (got, count) = world.inject(2, bytes);
        assert_eq!(got, [""; 0]);
        replies += count;
    }
    // At the first, second, fourth, eighth and sixteenth.
    assert_eq!(replies, 200 * 5);
    let counters = world.b.counters();
    assert_eq!((counters.ungreeted, counters.replayed), (200 * 20, 200 * 20));
    assert_eq!(world.b.seal().boots_len(), (0, 200));
    world.say("who is it?");
    assert_eq!(world.say("I am alive"), ["I am alive"]);
}

#[test]
fn there_is_a_bound_to_those_who_are_waited_for() {
    let mut world = World::new(Mode::Integrity);
    let mut other = seal(Mode::Integrity, &[1], 1);
    let mut next = 1_000_u128;
    other.draw = Box::new(move || {
        next += 1;
        Some(Boot(next.to_be_bytes()))
    });
    for _ in 0..WAITING_BOOTS_MAX + 10 {
        assert!(other.renew());
        let bytes = other.seal(Kind::Content, 0, b"");
        world.inject(2, &bytes);
    }
    assert_eq!(world.b.seal().boots_len(), (0, WAITING_BOOTS_MAX));
}

/// Many start at the same time, and hear only each other's multicasts.
#[test]
fn all_of_many_know_each_other_soon() {
    let network = MemoryNetwork::new();
    let mut nodes: Vec<Node> = (1..=128)
        .map(|last| Node::new(&network, last, seal(Mode::Integrity, &[1], last)))
        .collect();
    let mut rounds = 0;
    while nodes.iter_mut().any(|node| node.seal().boots_len().0 < 127) {
        for node in &mut nodes {
            node.wire.send(&[(Target::Multicast, Bytes::from_static(b"join"))]);
        }
        (0..3).for_each(|_| nodes.iter_mut().for_each(|node| _ = node.receive()));
        rounds += 1;
        assert!(rounds < 10, "not all have met after {rounds} rounds");
    }
}

/// Without randomness nothing is sealed, and nothing is taken for the old boot.
#[test]
fn nothing_is_taken_by_whoever_may_have_been_copied_and_cannot_change() {
    let mut world = World::known(Mode::Aead);
    world.b.seal().draw = Box::new(|| None);
    assert!(!world.b.seal().renew());
    let before = world.b.counters();
    assert_eq!(world.say("to the old one"), [""; 0]);
    world.b.send(address(9), "of the old one");
    assert_eq!((world.pass(), world.b.counters()), (0, before));
    world.b.seal().draw = draw(7);
    assert_eq!(world.say("who is it?"), [""; 0]);
    let got = (0..ASKS_EVERY).find(|_| world.say("to the new one") == ["to the new one"]);
    assert!(got.is_some());
}

/// Nobody who is known is forgotten while our boot is the same.
#[test]
fn too_many_engines_make_a_new_boot_of_this_one() {
    let mut world = World::known(Mode::Aead);
    assert_eq!(world.say("hello"), ["hello"]);
    let first = world.b.seal().sealer.boot();
    let old = world.recorded.clone();
    let mut others = seal(Mode::Aead, &[1], 1);
    let mut next = 1_000_u128;
    others.draw = Box::new(move || {
        next += 1;
        Some(Boot(next.to_be_bytes()))
    });
    for _ in 1..=BOOTS_MAX {
        assert!(others.renew());
        let boot = world.b.seal().sealer.boot();
        others.greet(Greeting { to: address(2), boot, asks: false });
        for (_, bytes) in others.greetings(address(1)) {
            assert_eq!(world.inject(2, &bytes), (Vec::new(), 0));
        }
    }
    assert_ne!(world.b.seal().sealer.boot(), first);
    for bytes in &old {
        assert_eq!(world.inject(2, bytes).0, [""; 0]);
    }
    // Those recordings are taken for it, so that it is not asked at each datagram.
    let asked = (0..ASKS_EVERY).find(|_| world.say("who is it?") == ["who is it?"]);
    assert!(asked.is_some());
    assert_eq!(world.say("hello again"), ["hello again"]);
}
