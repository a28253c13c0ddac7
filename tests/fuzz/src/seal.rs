//! Sealed datagrams before one who opens them: honest ones, late, twice, changed and cut; and
//! anything at all.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use anasazi_seal::{Boot, KeyId, KeyRing, Mode, Seal, Sealed, Secret};
use anasazi_transport::{Memory, MemoryNetwork, Received, Target, Transport};
use bytes::Bytes;

use crate::input::Input;

const DOMAIN: u64 = 5;
/// Steps of one input.
const STEPS_MAX: usize = 64;
/// Honest datagrams that may come again.
const KEPT_MAX: usize = 32;

fn seal(mode: Mode, node: u8) -> Seal {
    let mut boots = u128::from(node) << 64;
    seal_of(mode, move || {
        boots += 1;
        Boot(boots.to_be_bytes())
    })
}

fn seal_of(mode: Mode, mut draw: impl FnMut() -> Boot + Send + 'static) -> Seal {
    let secret = |id| Secret::new(&mut [id; 32]).expect("memory for a key");
    let keys = vec![(KeyId(1), secret(1)), (KeyId(2), secret(2))];
    let ring = KeyRing::new(keys).expect("two keys");
    Seal::new(mode, ring, DOMAIN, Box::new(move || Some(draw()))).expect("there are boots")
}

/// An honest sender, somebody in the middle, and who opens.
struct Line {
    sender: Sealed<Memory>,
    between: Memory,
    opener: Sealed<Memory>,
    /// What the sender said, by number, and how often that came out.
    said: BTreeMap<u32, u32>,
    kept: Vec<Bytes>,
    got: Vec<Received>,
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 1))
}

impl Line {
    fn new(mode: Mode) -> Self {
        let network = MemoryNetwork::new();
        let attach = |last| network.attach(address(last), true).expect("a free address");
        let mut line = Self {
            sender: Sealed::new(attach(1), Some(seal(mode, 1))),
            between: attach(2),
            opener: Sealed::new(attach(3), Some(seal(mode, 3))),
            said: BTreeMap::new(),
            kept: Vec::new(),
            got: Vec::new(),
        };
        (0..4).for_each(|_| line.greet());
        line
    }

    /// The two come to know each other, if they do not yet.
    fn greet(&mut self) {
        self.sender.send(&[(Target::Unicast(address(2)), Bytes::from_static(b"hello"))]);
        self.pass();
        self.got.clear();
        while !self.sender.receive(64, &mut self.got) {}
        self.pass();
        self.got.clear();
    }

    fn pass(&mut self) {
        let mut waiting = Vec::new();
        while !self.between.receive(64, &mut waiting) {}
        for Received { from, bytes, .. } in waiting {
            let to = if from == address(1) { address(3) } else { address(1) };
            self.between.send(&[(Target::Unicast(to), bytes)]);
        }
        while !self.opener.receive(64, &mut self.got) {}
    }

    /// A new one, on its way.
    fn say(&mut self, len: usize) {
        let number = self.said.len() as u32;
        self.said.insert(number, 0);
        let mut content = number.to_le_bytes().to_vec();
        content.resize(4 + len, 0x5A);
        self.sender.send(&[(Target::Unicast(address(2)), content.into())]);
        let mut sent = Vec::new();
        while !self.between.receive(64, &mut sent) {}
        self.kept.extend(sent.into_iter().filter(|it| it.from == address(1)).map(|it| it.bytes));
        if self.kept.len() > KEPT_MAX {
            self.kept.remove(0);
        }
    }

    /// Something reaches the opener. What comes out was said, and comes out once.
    fn arrive(&mut self, bytes: Bytes) -> usize {
        self.between.send(&[(Target::Unicast(address(3)), bytes)]);
        while !self.opener.receive(64, &mut self.got) {}
        let count = self.got.len();
        for received in self.got.drain(..) {
            let number = received.bytes.first_chunk().map(|four| u32::from_le_bytes(*four));
            let said = number.and_then(|number| self.said.get_mut(&number));
            let times = said.expect("nobody said that");
            *times += 1;
            assert_eq!(*times, 1, "it came out twice");
        }
        count
    }
}

/// Steps with honest datagrams.
pub(crate) fn sealed_line(bytes: &[u8]) -> bool {
    let mut input = Input::new(bytes);
    let mode = if input.coin() { Mode::Aead } else { Mode::Integrity };
    let mut line = Line::new(mode);
    let mut opened = 0;
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        match input.below(8) {
            0 | 1 => line.say(input.below(200)),
            2 => {
                let key = KeyId(1 + input.below(2) as u8);
                _ = line.sender.seal_mut().is_some_and(|seal| seal.activate(key));
            }
            3 if input.below(16) == 0 => {
                // Nothing of what was kept is good any more.
                _ = line.opener.seal_mut().is_some_and(Seal::renew);
                line.kept.clear();
                (0..4).for_each(|_| line.greet());
            }
            4 if !line.kept.is_empty() => {
                let mut changed = line.kept[input.below(line.kept.len())].to_vec();
                let at = usize::from(input.u16()) % changed.len();
                changed[at] ^= input.u8().max(1);
                assert_eq!(line.arrive(changed.into()), 0, "a changed one was taken");
            }
            5 if !line.kept.is_empty() => {
                let whole = line.kept[input.below(line.kept.len())].clone();
                let len = usize::from(input.u16()) % whole.len();
                assert_eq!(line.arrive(whole.slice(..len)), 0, "a cut one was taken");
            }
            6 => {
                let len = input.below(128);
                let garbage = input.bytes(len);
                assert_eq!(line.arrive(garbage), 0, "garbage was taken");
            }
            _ if !line.kept.is_empty() => {
                let again = line.kept[input.below(line.kept.len())].clone();
                opened += line.arrive(again);
            }
            _ => {}
        }
    }
    opened > 0
}

/// Somebody on the network, and an opener that has seen nothing.
struct Stranger {
    from: Memory,
    opener: Sealed<Memory>,
}

impl Stranger {
    fn new(mode: Mode) -> Self {
        let network = MemoryNetwork::new();
        let attach = |last| network.attach(address(last), true).expect("a free address");
        let (from, opener) = (attach(2), attach(3));
        Self { from, opener: Sealed::new(opener, Some(seal_of(mode, || Boot([3; 16])))) }
    }

    /// Whether something could be opened, which nobody believes.
    fn send(&mut self, datagram: Bytes) -> bool {
        let seal = self.opener.seal_mut().expect("a seal");
        assert!(seal.renew(), "there are boots");
        let before = seal.counters();
        self.from.send(&[(Target::Unicast(address(3)), datagram)]);
        let mut got = Vec::new();
        while !self.opener.receive(64, &mut got) {}
        assert!(got.is_empty(), "an unknown sender was believed");
        while !self.from.receive(64, &mut got) {}
        let after = self.opener.seal().expect("a seal").counters();
        after.ungreeted + after.opened > before.ungreeted + before.opened
    }
}

thread_local! {
    /// One for each mode: to lock pages for keys takes longer than all the rest. They have the same
    /// boot always, and forget what they saw.
    static STRANGERS: RefCell<[Stranger; 2]> =
        RefCell::new([Mode::Aead, Mode::Integrity].map(Stranger::new));
}

/// Anything at all, as one datagram, to an opener that has seen nothing. The first byte is its
/// mode.
pub(crate) fn sealed_anything(bytes: &[u8]) -> bool {
    let mut input = Input::new(bytes);
    let at = usize::from(!input.coin());
    let datagram = input.bytes(bytes.len());
    STRANGERS.with_borrow_mut(|strangers| strangers[at].send(datagram))
}

/// A key file.
pub(crate) fn key_file(bytes: &[u8]) -> bool {
    KeyRing::parse(bytes).is_ok()
}
