//! What is shown again.

use super::*;

/// What one said comes back to it, and it answers itself.
#[test]
fn nobody_takes_what_it_said_itself() {
    let mut world = World::new(Mode::Aead);
    for _ in 0..4 {
        world.a.send(address(9), "echo");
        let mut sent = Vec::new();
        while !world.between.receive(256, &mut sent) {}
        for Received { bytes, .. } in sent {
            assert_eq!(world.inject(1, &bytes), (Vec::new(), 0));
        }
    }
    assert_eq!(world.a.counters().replayed, 4);
}

/// To those who were there, to those that start again, to others, and in other clusters and
/// domains: a million datagrams that were genuine once.
#[test]
fn what_is_repeated_is_never_taken() {
    let mut world = World::known(Mode::Aead);
    for number in 0..500 {
        assert_eq!(world.say(&number.to_string()), [number.to_string()]);
    }
    let recorded = std::mem::take(&mut world.recorded);
    assert!(recorded.len() > 500);
    let other = |mode, keys: &[u8], node, domain| {
        Seal::new(mode, ring(keys), domain, draw(node)).expect("there is randomness")
    };
    let restarted = [
        other(Mode::Aead, &[1], 101, DOMAIN),
        other(Mode::Aead, &[1], 102, DOMAIN),
        other(Mode::Aead, &[1], 103, DOMAIN + 1),
        other(Mode::Aead, &[2], 104, DOMAIN),
        Seal::new(
            Mode::Aead,
            KeyRing::new(vec![(KeyId(1), secret(99))]).expect("a ring"),
            DOMAIN,
            draw(105),
        )
        .expect("there is randomness"),
    ];
    let mut targets: Vec<u8> = vec![1, 2];
    let mut others = Vec::new();
    for (at, seal) in restarted.into_iter().enumerate() {
        let last = 20 + at as u8;
        targets.push(last);
        others.push((last, Node::new(&world.network, last, seal)));
    }
    let mut count = 0;
    while count < 1_000_000 {
        for bytes in &recorded {
            for to in &targets {
                world.between.send(&[(Target::Unicast(address(*to)), bytes.clone())]);
                count += 1;
            }
        }
        assert_eq!((world.a.receive(), world.b.receive()), (Vec::new(), Vec::new()));
        for (_, node) in &mut others {
            assert_eq!(node.receive(), [""; 0]);
        }
        // What was asked back may even reach whom it is for.
        world.pass();
        assert_eq!((world.a.receive(), world.b.receive()), (Vec::new(), Vec::new()));
    }
    assert_eq!(world.say("still here"), ["still here"]);
    let (mut opened, mut stopped) = (0, 0);
    for (_, node) in &mut others {
        let counters = node.counters();
        opened += counters.greetings_taken;
        stopped += counters.dropped();
    }
    assert_eq!(opened, 0, "nobody who was recorded knew them");
    assert!(stopped > 700_000 * 9 / 10, "{stopped}");
}

#[test]
fn what_is_too_late_is_not_taken_and_what_is_near_is() {
    let mut world = World::known(Mode::Integrity);
    assert_eq!(world.say("first"), ["first"]);
    let seal = world.a.seal();
    let mut at = |counter: u64| {
        seal.sealer.skip_to(counter);
        seal.seal(Kind::Content, 0, counter.to_string().as_bytes())
    };
    let (old, near, newest) = (at(50), at(51), at(50 + WINDOW_LEN));
    assert_eq!(world.inject(2, &newest).0.len(), 1);
    assert_eq!(world.inject(2, &old), (Vec::new(), 0));
    assert_eq!(world.inject(2, &near).0, ["51"]);
    assert_eq!(world.inject(2, &near), (Vec::new(), 0));
    let counters = world.b.counters();
    assert_eq!((counters.late, counters.replayed), (1, 1));
}
