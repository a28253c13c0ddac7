//! Opens what others have sent. Nothing changes because of a datagram that was not authenticated,
//! but a counter.

use std::net::SocketAddr;

use anasazi_transport::Received;
use bytes::{Bytes, BytesMut};

use crate::boots::{Boot, Boots, CipherName};
use crate::counters::SealCounters;
use crate::header::{Header, Kind, NotSealed};
use crate::keys::{KeyId, KeyRing};
use crate::limits::{DATAGRAMS_PER_KEY_LOG2, HEADER_LEN, OVERHEAD_LEN};
use crate::suite::{Cipher, Mode, Suite, hint};
use crate::window::Counter;

/// Room that is asked for at once.
const ARENA_LEN: usize = 64 << 10;

/// The keys of a domain.
pub(crate) struct DomainKeys {
    pub(crate) ring: KeyRing,
    domain: u64,
    hints: Vec<(KeyId, [u8; 4])>,
}

impl DomainKeys {
    pub(crate) fn new(ring: KeyRing, domain: u64) -> Self {
        let hint = |id| Some((id, hint(ring.get(id)?, domain)));
        let hints = ring.infos().filter_map(|info| hint(info.id)).collect();
        Self { ring, domain, hints }
    }

    pub(crate) fn domain(&self) -> u64 {
        self.domain
    }

    pub(crate) fn remove(&mut self, key: KeyId) -> bool {
        self.hints.retain(|(id, _)| *id != key);
        self.ring.remove(key)
    }

    pub(crate) fn hint(&self, key: KeyId) -> Option<[u8; 4]> {
        self.hints.iter().find(|(id, _)| *id == key).map(|(_, hint)| *hint)
    }

    pub(crate) fn cipher(&self, key: KeyId, suite: Suite, boot: Boot, part: u64) -> Option<Cipher> {
        Some(Cipher::derive(self.ring.get(key)?, suite, boot, self.domain, part))
    }
}

/// What came of a datagram.
pub(crate) enum Opened {
    /// The protocol's.
    Content(Received),
    /// Its sender has to greet first. Dropped.
    Unknown { sender: Boot, from: SocketAddr },
    /// To us, if it is for our boot.
    Greeting { sender: Boot, counter: u64, from: SocketAddr, content: Bytes },
    /// Counted.
    Dropped,
}

pub(crate) struct Opener {
    mode: Mode,
    pub(crate) boots: Boots,
    pub(crate) counters: SealCounters,
    /// The last key that was missing, and who seals with it.
    pub(crate) missing: Option<(KeyId, SocketAddr)>,
    /// The newest key that others seal with.
    pub(crate) newest_heard: Option<KeyId>,
    arena: BytesMut,
}

impl Opener {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            boots: Boots::default(),
            counters: SealCounters::default(),
            missing: None,
            newest_heard: None,
            arena: BytesMut::new(),
        }
    }

    /// Opens a datagram that was not sent by `own`.
    pub(crate) fn open(&mut self, keys: &DomainKeys, own: Boot, received: Received) -> Opened {
        let Some(header) = self.plausible(keys, own, &received) else { return Opened::Dropped };
        let Some(content) = self.authentic(keys, &header, &received.bytes) else {
            self.counters.forged += 1;
            return Opened::Dropped;
        };
        if self.newest_heard.is_none_or(|newest| header.key.is_newer_than(newest)) {
            self.newest_heard = Some(header.key);
        }
        let Received { from, multicast, .. } = received;
        let (sender, known) = (header.boot, self.boots.get_or_begin(header.boot));
        known.window.mark(header.counter);
        if header.kind == Kind::Greeting {
            self.counters.opened += 1;
            return Opened::Greeting { sender, counter: header.counter, from, content };
        }
        if known.has_greeted() {
            self.counters.opened += 1;
            return Opened::Content(Received { from, multicast, bytes: content });
        }
        self.counters.ungreeted += 1;
        Opened::Unknown { sender, from }
    }

    /// What can be said without the key: cheap, since anybody can send anything.
    fn plausible(&mut self, keys: &DomainKeys, own: Boot, received: &Received) -> Option<Header> {
        let counters = &mut self.counters;
        let header = match Header::of(&received.bytes) {
            Ok(header) => header,
            Err(NotSealed::Unsealed) => {
                counters.unsealed += 1;
                return None;
            }
            Err(NotSealed::Malformed) => {
                counters.malformed += 1;
                return None;
            }
        };
        let dropped = match keys.hint(header.key) {
            _ if header.suite.mode() != self.mode => &mut counters.other_mode,
            None => {
                self.missing = Some((header.key, received.from));
                &mut counters.key_missing
            }
            Some(hint) if hint != header.hint => &mut counters.key_other,
            Some(_) if header.boot == own => &mut counters.replayed,
            Some(_) => match self.boots.get(header.boot).map(|it| it.window.look(header.counter)) {
                None | Some(Counter::New) => return Some(header),
                Some(Counter::Seen) => &mut counters.replayed,
                Some(Counter::Late) => &mut counters.late,
            },
        };
        *dropped += 1;
        None
    }

    /// The content, if the datagram was made with the key that it names.
    fn authentic(&mut self, keys: &DomainKeys, header: &Header, datagram: &Bytes) -> Option<Bytes> {
        let part = header.counter >> DATAGRAMS_PER_KEY_LOG2;
        let Header { key, suite, boot, counter, .. } = *header;
        let name = CipherName { key, suite, part };
        let is_encrypted = suite.mode() == Mode::Aead;
        let len = if is_encrypted { datagram.len() - OVERHEAD_LEN } else { 0 };
        if self.arena.capacity() < len {
            self.arena.reserve(ARENA_LEN.max(len));
        }
        self.arena.resize(len, 0);
        let is_authentic = match self.boots.get(boot).and_then(|known| known.cipher(name)) {
            Some(cipher) => cipher.open(datagram, counter, &mut self.arena),
            None => {
                let cipher = keys.cipher(key, suite, boot, part)?;
                let is_authentic = cipher.open(datagram, counter, &mut self.arena);
                if is_authentic {
                    self.boots.get_or_begin(boot).keep_cipher(name, cipher);
                }
                is_authentic
            }
        };
        match (is_authentic, is_encrypted) {
            (false, _) => None,
            (true, true) => Some(self.arena.split().freeze()),
            (true, false) => {
                Some(datagram.slice(HEADER_LEN..datagram.len() - (OVERHEAD_LEN - HEADER_LEN)))
            }
        }
    }
}
