//! Two engines, and a third party between them that has no key: it sees, keeps, changes and
//! repeats everything.

use std::net::SocketAddr;

use anasazi_transport::{Memory, MemoryNetwork};

use super::*;
use crate::header::Header;
use crate::keys::tests::{ring, secret};
use crate::limits::{ASKS_EVERY, BOOTS_MAX, DATAGRAMS_PER_KEY_LOG2, HEADER_LEN, OVERHEAD_LEN};
use crate::limits::{TAG_LEN, VAIN_DERIVATIONS_PER_BATCH_MAX, WAITING_BOOTS_MAX, WINDOW_LEN};
use crate::suite::Suite;

const DOMAIN: u64 = 77;

fn draw(first: u8) -> Draw {
    let mut next = u128::from(first) << 64;
    Box::new(move || {
        next += 1;
        Some(Boot(next.to_be_bytes()))
    })
}

fn seal(mode: Mode, keys: &[u8], node: u8) -> Seal {
    Seal::new(mode, ring(keys), DOMAIN, draw(node)).expect("there is randomness")
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 7_750))
}

struct Node {
    wire: Sealed<Memory>,
}

impl Node {
    fn new(network: &MemoryNetwork, last: u8, seal: Seal) -> Self {
        let memory = network.attach(address(last), true).expect("a free address");
        Self { wire: Sealed::new(memory, Some(seal)) }
    }

    fn send(&mut self, to: SocketAddr, text: &str) {
        self.wire.send(&[(Target::Unicast(to), Bytes::copy_from_slice(text.as_bytes()))]);
    }

    fn receive(&mut self) -> Vec<String> {
        let mut got = Vec::new();
        while !self.wire.receive(256, &mut got) {}
        got.iter().map(|it| String::from_utf8_lossy(&it.bytes).into_owned()).collect()
    }

    fn seal(&mut self) -> &mut Seal {
        self.wire.seal_mut().expect("it seals")
    }

    fn counters(&mut self) -> SealCounters {
        self.seal().counters()
    }
}

/// `a` and `b` reach each other only through `between`.
struct World {
    network: MemoryNetwork,
    a: Node,
    b: Node,
    between: Memory,
    /// All that it saw, of both.
    recorded: Vec<Bytes>,
}

impl World {
    fn new(mode: Mode) -> Self {
        Self::with(seal(mode, &[1], 1), seal(mode, &[1], 2))
    }

    /// They have greeted.
    fn known(mode: Mode) -> Self {
        let mut world = Self::new(mode);
        world.say("hello?");
        world
    }

    fn with(a: Seal, b: Seal) -> Self {
        let network = MemoryNetwork::new();
        let (a, b) = (Node::new(&network, 1, a), Node::new(&network, 2, b));
        let between = network.attach(address(9), true).expect("a free address");
        Self { network, a, b, between, recorded: Vec::new() }
    }

    /// Passes on what waits, to whom it did not come from.
    fn pass(&mut self) -> usize {
        let mut got = Vec::new();
        while !self.between.receive(256, &mut got) {}
        for Received { from, bytes, .. } in &got {
            let to = if *from == address(1) { address(2) } else { address(1) };
            self.recorded.push(bytes.clone());
            self.between.send(&[(Target::Unicast(to), bytes.clone())]);
        }
        got.len()
    }

    /// What `a` says to `b`, and what `b` has in the end.
    fn say(&mut self, text: &str) -> Vec<String> {
        self.a.send(address(9), text);
        let mut got = Vec::new();
        for _ in 0..4 {
            self.pass();
            got.extend(self.b.receive());
            assert_eq!(self.a.receive(), [""; 0]);
        }
        got
    }

    /// What reaches a node, from between; and how many datagrams it sends because of that.
    fn inject(&mut self, to: u8, bytes: &Bytes) -> (Vec<String>, usize) {
        self.between.send(&[(Target::Unicast(address(to)), bytes.clone())]);
        let got = if to == 1 { self.a.receive() } else { self.b.receive() };
        let mut replies = Vec::new();
        while !self.between.receive(256, &mut replies) {}
        (got, replies.len())
    }
}

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

/// Anybody can say that nobody listens.
#[test]
fn no_host_is_believed_that_nobody_listens_there() {
    let network = MemoryNetwork::new();
    for is_sealed in [false, true] {
        let memory = network.attach(address(1), true).expect("a free address");
        let mut wire = Sealed::new(memory, is_sealed.then(|| seal(Mode::Aead, &[1], 1)));
        wire.send(&[(Target::Unicast(address(99)), Bytes::from_static(b"hello?"))]);
        let mut nobody = Vec::new();
        wire.unreachable(&mut nobody);
        assert_eq!(nobody.len(), usize::from(!is_sealed));
    }
}

#[test]
fn only_integrity_shows_what_is_said() {
    for (mode, is_shown) in [(Mode::Aead, false), (Mode::Integrity, true)] {
        let mut world = World::new(mode);
        world.say("a secret that is long enough");
        let shows = |bytes: &Bytes| bytes.windows(8).any(|part| part == b"a secret");
        assert_eq!(world.recorded.iter().any(shows), is_shown);
    }
}

/// One datagram of each kind in each suite, each bit of it changed, and cut at each length.
#[test]
fn what_is_changed_or_cut_changes_nothing_but_one_counter() {
    for mode in [Mode::Aead, Mode::Integrity] {
        let mut world = World::known(mode);
        assert_eq!(world.say("hello"), ["hello"]);
        world.a.send(address(9), "the content of it");
        let boot = world.b.seal().sealer.boot();
        world.a.seal().greet(Greeting { to: address(9), boot, asks: true });
        let greetings = world.a.seal().greetings(address(1));
        world.a.wire.inner.send(&greetings);
        let mut kinds = Vec::new();
        while !world.between.receive(256, &mut kinds) {}
        assert_eq!(kinds.len(), 2);
        for Received { bytes: whole, .. } in kinds {
            let cut = (0..whole.len()).map(|len| whole.slice(..len));
            let flipped = (0..whole.len() * 8).map(|bit| {
                let mut bytes = whole.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                Bytes::from(bytes)
            });
            for changed in cut.chain(flipped) {
                let before = world.b.counters();
                let boots = world.b.seal().boots_len();
                assert_eq!(world.inject(2, &changed), (Vec::new(), 0), "{changed:02x?}");
                let after = world.b.counters();
                assert_eq!(after.dropped(), before.dropped() + 1, "{changed:02x?}");
                assert_eq!((after.opened, after.sealed), (before.opened, before.sealed));
                assert_eq!(world.b.seal().boots_len(), boots);
            }
            // Unchanged it is still taken: nothing of the above was.
            let opened = world.b.counters().opened;
            world.inject(2, &whole);
            assert_eq!(world.b.counters().opened, opened + 1);
        }
    }
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

#[test]
fn strangers_are_told_apart_by_what_is_wrong_with_them() {
    let other_key = KeyRing::new(vec![(KeyId(1), secret(99))]).expect("a ring");
    let other_key = Seal::new(Mode::Aead, other_key, DOMAIN, draw(3)).expect("randomness");
    type Count = fn(&SealCounters) -> u64;
    let (key, mode) = (Mismatch::Key(KeyId(1)), Mismatch::Mode(Mode::Integrity));
    let counts: [(Seal, Count, Option<Mismatch>); 3] = [
        (other_key, |c: &SealCounters| c.key_other, Some(key)),
        (seal(Mode::Aead, &[7, 1], 4), |c: &SealCounters| c.key_missing, None),
        (seal(Mode::Integrity, &[1], 5), |c: &SealCounters| c.other_mode, Some(mode)),
    ];
    for (stranger, count, mismatch) in counts {
        let mut world = World::with(stranger, seal(Mode::Aead, &[1], 2));
        assert_eq!(world.say("let me in"), [""; 0]);
        let counters = world.b.counters();
        assert_eq!((count(&counters), counters.dropped()), (1, 1));
        assert_eq!(world.recorded.len(), 1, "nobody is answered");
        let noted: Vec<_> = mismatch.into_iter().map(|of| (of, address(9))).collect();
        assert_eq!(world.b.wire.take_mismatches(), noted);
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
