//! Two engines, and a third party between them that has no key: it sees, keeps, changes and
//! repeats everything.

mod addressees;
mod greetings;
mod keys;
mod repeats;
mod strangers;

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
        let mut world = World::with(seal(mode, &[1, 2], 1), seal(mode, &[1, 2], 2));
        world.say("hello?");
        assert_eq!(world.say("hello"), ["hello"]);
        world.recorded.clear();
        world.a.send(address(9), "the content of it, and an offer");
        let boot = world.b.seal().sealer.boot();
        world.a.seal().greet(Greeting { to: address(9), boot, asks: true });
        let greetings = world.a.seal().greetings(address(1));
        world.a.wire.inner.send(&greetings);
        let mut kinds = Vec::new();
        while !world.between.receive(256, &mut kinds) {}
        let of = |kind: Kind| kinds.iter().any(|it| it.bytes[2] == kind as u8);
        assert!(of(Kind::Content) && of(Kind::Greeting) && of(Kind::Offer), "{kinds:?}");
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
