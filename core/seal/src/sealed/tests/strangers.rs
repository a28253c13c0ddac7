//! Those without a key, or with another one.

use super::*;

#[test]
fn strangers_are_told_apart_by_what_is_wrong_with_them() {
    let other_key = KeyRing::new(vec![(KeyId(1), secret(99))]).expect("a ring");
    let other_key = Seal::new(Mode::Aead, other_key, DOMAIN, draw(3)).expect("randomness");
    type Count = fn(&SealCounters) -> u64;
    let (key, missing) = (Mismatch::Key(KeyId(1)), Mismatch::Missing(KeyId(7)));
    let mode = Mismatch::Mode(Mode::Integrity);
    let counts: [(Seal, Count, Mismatch); 3] = [
        (other_key, |c: &SealCounters| c.key_other, key),
        (seal(Mode::Aead, &[7, 1], 4), |c: &SealCounters| c.key_missing, missing),
        (seal(Mode::Integrity, &[1], 5), |c: &SealCounters| c.other_mode, mode),
    ];
    for (stranger, count, mismatch) in counts {
        let mut world = World::with(stranger, seal(Mode::Aead, &[1], 2));
        assert_eq!(world.say("let me in"), [""; 0]);
        let counters = world.b.counters();
        assert_eq!((count(&counters), counters.dropped()), (1, 1));
        assert_eq!(world.recorded.len(), 1, "nobody is answered");
        assert_eq!(world.b.wire.take_mismatches(), [(mismatch, address(9))]);
        assert_eq!(world.b.wire.take_mismatches(), [], "once");
    }
    let mut world = World::new(Mode::Aead);
    world.inject(2, &Bytes::from_static(&[0xA1; 80]));
    world.inject(
        2,
        &Bytes::from_static(b"GET / HTTP/1.0 and so on, as long as it takes to be a seal"),
    );
    let counters = world.b.counters();
    assert_eq!((counters.unsealed, counters.malformed), (1, 1));
    assert_eq!(world.b.wire.take_mismatches(), [(Mismatch::Unsealed, address(9))]);
    let mut world = World::with(seal(Mode::Aead, &[7, 1], 1), seal(Mode::Aead, &[1], 2));
    world.say("let me in");
    assert_eq!(world.b.seal().missing().collect::<Vec<_>>(), [(KeyId(7), address(9))]);
    world.b.seal().add_keys(ring(&[1, 7]));
    assert_eq!(world.b.seal().missing().count(), 0);
    world.say("who is it?");
    assert_eq!(world.say("now"), ["now"]);
    assert_eq!(world.b.seal().newest_heard(), Some(KeyId(7)));
}

#[test]
fn of_a_flood_of_strangers_the_last_one_of_each_kind_is_known() {
    let mut world = World::with(seal(Mode::Integrity, &[1], 1), seal(Mode::Aead, &[1], 2));
    for last in 20..120 {
        let mut stranger = world.network.attach(address(last), true).expect("a free address");
        let bytes = Bytes::from_static(&[0xA1; 80]);
        stranger.send(&[(Target::Unicast(address(2)), bytes)]);
        assert_eq!(world.b.receive(), [""; 0]);
        world.say("in another mode");
    }
    let expected =
        [(Mismatch::Unsealed, address(119)), (Mismatch::Mode(Mode::Integrity), address(9))];
    assert_eq!(world.b.wire.take_mismatches(), expected);
}

#[test]
fn who_does_not_seal_knows_of_those_who_do() {
    let mut world = World::new(Mode::Integrity);
    world.b.wire.seal = None;
    world.say("sealed");
    let expected = [(Mismatch::Mode(Mode::Integrity), address(9))];
    assert_eq!(world.b.wire.take_mismatches(), expected);
    // Of others, and what only begins like a sealed one.
    for bytes in [&[0xA1; 80], &[0xB1; 80]] {
        world.inject(2, &Bytes::copy_from_slice(bytes));
    }
    world.b.receive();
    assert_eq!(world.b.wire.take_mismatches(), []);
}

/// With another key, and with the next lot of datagrams, members are opened that stand behind as
/// many strangers as there can be: nothing of theirs has to be derived then.
#[test]
fn strangers_do_not_get_in_the_way_of_a_known_member() {
    let mut world = World::known(Mode::Aead);
    let strangers = |world: &mut World, key: u8| {
        let hint = world.b.seal().keys.hint(KeyId(key)).expect("a hint");
        for number in 0..2 * VAIN_DERIVATIONS_PER_BATCH_MAX as u8 {
            let (suite, kind) = (Mode::Aead.suite(), Kind::Content);
            let (key, boot) = (KeyId(key), Boot([number + 50; 16]));
            let header = Header { suite, kind, key, hint, boot, addressee: 0, counter: 1 };
            let bytes = [&header.encode()[..], &[7; 50]].concat();
            world.between.send(&[(Target::Unicast(address(2)), bytes.into())]);
        }
        let before = world.b.counters().deferred;
        let heard = world.say("hello");
        assert!(world.b.counters().deferred > before, "there were too few strangers");
        heard
    };
    let almost = (1 << DATAGRAMS_PER_KEY_LOG2) - 2;
    world.a.seal().sealer.skip_to(almost);
    assert_eq!(world.say("the last but one"), ["the last but one"]);
    world.a.seal().sealer.skip_to(almost + 2);
    assert_eq!(strangers(&mut world, 1), ["hello"]);
    for node in [&mut world.a, &mut world.b] {
        node.seal().add_keys(ring(&[1, 2]));
    }
    assert!(world.a.seal().activate(KeyId(2)));
    assert_eq!(strangers(&mut world, 2), ["hello"]);
    // However many are staged, the one in use is not forgotten for them.
    for newest in 3..9 {
        let keys: Vec<u8> = (1..=newest).collect();
        world.b.seal().add_keys(ring(&keys));
        assert_eq!(strangers(&mut world, 2), ["hello"]);
    }
    let evil = Boot([50; 16]);
    assert!(world.b.seal().opener.boots.get(evil).is_none());
}
