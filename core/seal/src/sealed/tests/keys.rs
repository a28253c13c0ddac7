//! Keys that change, and the ciphers derived from them.

use super::*;

#[test]
fn a_change_of_keys_loses_nothing() {
    let mut world = World::with(seal(Mode::Aead, &[1, 2], 1), seal(Mode::Aead, &[1, 2], 2));
    world.say("hello?");
    assert_eq!(world.say("under 1"), ["under 1"]);
    world.a.send(address(9), "under 1, late");
    assert!(world.a.seal().activate(KeyId(2)));
    assert!(!world.a.seal().activate(KeyId(3)));
    assert_eq!(world.say("under 2"), ["under 1, late", "under 2"]);
    // Who is behind does not make others forget the newer one.
    assert!(world.a.seal().activate(KeyId(1)));
    assert_eq!(world.say("under 1 again"), ["under 1 again"]);
    assert_eq!(world.b.seal().newest_heard(), Some(KeyId(2)));
    assert!(world.a.seal().activate(KeyId(2)));
    assert!(!world.a.seal().retire(KeyId(2)), "the active key stays");
    assert!(world.b.seal().activate(KeyId(2)) && world.b.seal().retire(KeyId(1)));
    assert!(!world.b.seal().retire(KeyId(1)));
    assert_eq!(world.say("and on"), ["and on"]);
}

#[test]
fn after_eight_million_datagrams_comes_another_key() {
    let mut world = World::known(Mode::Aead);
    assert_eq!(world.say("first"), ["first"]);
    let next = 1 << DATAGRAMS_PER_KEY_LOG2;
    let mut sealed = Vec::new();
    for counter in [next - 1, next, next + 1] {
        let seal = world.a.seal();
        seal.sealer.skip_to(counter);
        sealed.push(seal.seal(Kind::Content, 0, counter.to_string().as_bytes()));
    }
    sealed.reverse();
    let got: Vec<_> = sealed.iter().flat_map(|bytes| world.inject(2, bytes).0).collect();
    assert_eq!(got, [(next + 1).to_string(), next.to_string(), (next - 1).to_string()]);
    let bodies: Vec<_> = sealed.iter().map(|b| &b[HEADER_LEN..b.len() - TAG_LEN]).collect();
    assert_ne!(bodies[0], bodies[1]);
}

/// A key that was replaced by another one of its number opens nothing, not even of those who used
/// it before.
#[test]
fn nothing_is_left_of_a_key_that_is_gone() {
    let mut world = World::with(seal(Mode::Aead, &[1, 2], 1), seal(Mode::Aead, &[1, 2], 2));
    world.say("hello?");
    assert_eq!(world.say("under 1"), ["under 1"]);
    let thief = world.a.seal().sealer.boot();
    assert_eq!(world.b.seal().newest_heard(), Some(KeyId(1)));
    assert!(world.b.seal().activate(KeyId(2)) && world.b.seal().retire(KeyId(1)));
    assert_eq!(world.b.seal().newest_heard(), None);
    let other = KeyRing::new(vec![(KeyId(1), secret(99))]).expect("a ring");
    world.b.seal().add_keys(other);
    let mut stolen = seal(Mode::Aead, &[1], 1);
    stolen.sealer = Sealer::new(&stolen.keys, Suite::Aes256Gcm, thief);
    stolen.sealer.skip_to(500);
    let mut evil = stolen.seal(Kind::Content, 0, b"evil").to_vec();
    let hint = world.b.seal().keys.hint(KeyId(1)).expect("a hint");
    evil[4..8].copy_from_slice(&hint);
    assert_eq!(world.inject(2, &evil.into()), (Vec::new(), 0));
    assert_eq!(world.b.counters().forged, 1);
}

/// Strangers who copy what stands in front of our datagrams.
#[test]
fn keys_are_derived_for_few_strangers_in_a_batch_and_no_more() {
    let mut world = World::known(Mode::Aead);
    let known = world.a.seal().sealer.boot();
    let hint = world.b.seal().keys.hint(KeyId(1)).expect("a hint");
    let key = KeyId(1);
    let suite = Mode::Aead.suite();
    for number in 0..200u64 {
        let boot = if number < 100 { Boot([number as u8 + 50; 16]) } else { known };
        // Lots that nothing was opened of.
        let counter = (number + 5) << DATAGRAMS_PER_KEY_LOG2;
        let kind = Kind::Content;
        let header = Header { suite, kind, key, hint, boot, addressee: 0, counter };
        let bytes = [&header.encode()[..], &[7; 50]].concat();
        world.between.send(&[(Target::Unicast(address(2)), bytes.into())]);
    }
    let before = world.b.counters();
    assert_eq!(world.b.receive(), [""; 0]);
    let after = world.b.counters();
    let derived = VAIN_DERIVATIONS_PER_BATCH_MAX as u64;
    assert_eq!(after.deferred - before.deferred, 200 - derived);
    assert_eq!(after.forged - before.forged, derived);
}

/// Where there is no hardware for AES.
#[test]
fn two_processors_with_different_ciphers_understand_each_other() {
    let mut world = World::known(Mode::Aead);
    world.recorded.clear();
    let Seal { keys, sealer, .. } = world.a.seal();
    let boot = sealer.boot();
    *sealer = Sealer::new(keys, Suite::ChaCha20Poly1305, boot);
    sealer.skip_to(100);
    assert_eq!(world.say("slowly"), ["slowly"]);
    assert_eq!(world.a.seal().suite_name(), "ChaCha20-Poly1305");
    assert_eq!(world.recorded[0].len(), "slowly".len() + OVERHEAD_LEN);
}

/// It was away while the others went over to a key that it has, and took the old one away; they do
/// not know where it is.
#[test]
fn who_seals_with_a_key_that_is_gone_hears_which_of_its_newer_ones_is_in_use() {
    for (away, others) in [(&[1, 2][..], &[2][..]), (&[1, 2, 3], &[2]), (&[1, 2, 3], &[2, 3])] {
        let mut world = World::with(seal(Mode::Aead, away, 1), seal(Mode::Aead, others, 2));
        for _ in 0..4 {
            assert_eq!(world.say("here I am"), [""; 0]);
        }
        assert_eq!(world.a.seal().newest_heard(), Some(KeyId(2)), "{away:?}, {others:?}");
        assert!(world.a.seal().activate(KeyId(2)));
        (0..4).for_each(|_| drop(world.say("with the new one")));
        assert_eq!(world.say("again"), ["again"]);
    }
}

/// It has not got the key that is in use, but one that is not: it hears which one it lacks.
#[test]
fn who_lacks_the_key_in_use_hears_so() {
    let mut world = World::with(seal(Mode::Aead, &[1, 2], 1), seal(Mode::Aead, &[3, 2], 2));
    world.say("here I am");
    assert_eq!(world.a.seal().missing().map(|(key, _)| key).collect::<Vec<_>>(), [KeyId(3)]);
    assert_eq!(world.a.wire.take_mismatches(), [(Mismatch::Missing(KeyId(3)), address(9))]);
}

/// Whoever has the newer key only in its file does not make others believe that it is in use, be
/// it there or not.
#[test]
fn an_offer_is_no_use() {
    for others in [&[1, 2][..], &[1]] {
        let mut world = World::with(seal(Mode::Aead, &[1, 2], 1), seal(Mode::Aead, others, 2));
        for _ in 0..40 {
            world.say("under 1");
        }
        let is_offer = |bytes: &&Bytes| bytes[2] == Kind::Offer as u8;
        assert!(world.recorded.iter().filter(is_offer).count() > 2, "some were offered");
        assert_eq!(world.b.seal().newest_heard(), Some(KeyId(1)));
        assert_eq!((world.b.seal().missing().count(), world.b.wire.take_mismatches()), (0, vec![]));
        assert_eq!(world.say("and on"), ["and on"]);
    }
}
