//! What is for one, for several, and for all.

use super::*;

/// Each of them gets it once, sealed once.
#[test]
fn the_same_for_several_is_sealed_once() {
    let mut world = World::new(Mode::Aead);
    let to = |last| Target::Unicast(address(last));
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    let (x, y) =
        (world.network.attach(address(30), false), world.network.attach(address(31), false));
    let mut ends = [x.expect("an address"), y.expect("an address")];
    let batch = [
        (to(30), one.clone()),
        (to(31), one.clone()),
        (to(30), two),
        (to(30), one.clone()),
        (to(30), one),
    ];
    world.a.wire.send(&batch);
    assert_eq!(world.a.counters().sealed, 4);
    let mut got = [Vec::new(), Vec::new()];
    ends.iter_mut().zip(&mut got).for_each(|(end, got)| _ = end.receive(256, got));
    assert_eq!((got[0].len(), got[1].len()), (4, 1));
    assert_eq!(got[0][0].bytes, got[1][0].bytes);
    for (one, other) in [(0, 2), (2, 3), (0, 3)] {
        assert_ne!(got[0][one].bytes, got[0][other].bytes, "the same again is another datagram");
    }
}

/// What is for one is not taken by another one, to whom somebody shows it.
#[test]
fn what_is_for_one_is_for_nobody_else() {
    let mut world = World::known(Mode::Aead);
    let boot = world.b.seal().sealer.boot();
    let a = world.a.seal();
    assert_eq!(a.addressee(&Target::Unicast(address(2))), boot.addressee());
    assert_eq!(a.addressee(&Target::Unicast(address(9))), 0, "nobody is known there");
    assert_eq!(a.addressee(&Target::Multicast), 0);
    let other = Boot([9; 16]).addressee();
    let [for_b, for_other] =
        [boot.addressee(), other].map(|to| a.seal(Kind::Content, to, b"for one alone"));
    let before = world.b.counters();
    // It is told who is here now.
    assert_eq!(world.inject(2, &for_other), (Vec::new(), 1));
    let after = world.b.counters();
    assert_eq!((after.misdirected, after.opened), (before.misdirected + 1, before.opened));
    // The same again is a repetition, whomever it is for.
    assert_eq!(world.inject(2, &for_other), (Vec::new(), 0));
    assert_eq!(world.b.counters().replayed, after.replayed + 1);
    assert_eq!(world.inject(2, &for_b).0, ["for one alone"]);
    // Nobody is told because of what was itself said to tell somebody.
    for _ in 0..2 * ASKS_EVERY {
        let greeting = world.a.seal().seal(Kind::Greeting, other, &[0; GREETING_LEN]);
        assert_eq!(world.inject(2, &greeting), (Vec::new(), 0));
    }
}

/// What goes to several is for all of them, even if each is known.
#[test]
fn the_same_for_several_who_are_known_is_for_all() {
    let mut world = World::known(Mode::Aead);
    let bytes = Bytes::from_static(b"for both");
    let to = |last| Target::Unicast(address(last));
    world.a.wire.send(&[(to(2), bytes.clone()), (to(9), bytes)]);
    assert_eq!(world.b.receive(), ["for both"]);
    world.pass();
    assert_eq!(world.recorded.last().map(|it| it[24..32].to_vec()), Some(vec![0; 8]));
}

#[test]
fn places_are_read_as_they_are_written() {
    for place in ["10.0.0.1:7", "[fe80::1]:9", "0.0.0.0:0", "[::]:5"] {
        let place: SocketAddr = place.parse().expect("a place");
        let read = read_place(&write_place(place)).expect("a place");
        assert_eq!(read.port(), place.port());
        assert!(
            read.ip() == place.ip() || place.ip().is_unspecified() && read.ip().is_unspecified()
        );
    }
    assert!(read_place(&[0; 17]).is_none() && read_place(&[0; 19]).is_none());
}
