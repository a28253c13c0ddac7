//! Opens what others have sent. Nothing changes because of a datagram that was not authenticated,
//! but a counter, and what people are told of who may be there.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anasazi_transport::Received;
use bytes::{Bytes, BytesMut};

use crate::boots::{Boot, Boots, CipherName, part};
use crate::counters::SealCounters;
use crate::header::{Header, Kind, NotSealed};
use crate::keys::{KeyId, KeyRing};
use crate::limits::{DATAGRAMS_PER_KEY_LOG2, HEADER_LEN, OVERHEAD_LEN, TAG_LEN};
use crate::limits::{DERIVATIONS_PER_BATCH_MAX, VAIN_DERIVATIONS_PER_BATCH_MAX};
use crate::mismatch::{Mismatch, Mismatches};
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

    pub(crate) fn remove(&mut self, key: KeyId) -> bool {
        self.hints.retain(|(id, _)| *id != key);
        self.ring.remove(key)
    }

    /// Takes those in that are not there.
    pub(crate) fn add(&mut self, ring: KeyRing) {
        self.ring.add(ring);
        let hint = |id| Some((id, hint(self.ring.get(id)?, self.domain)));
        self.hints = self.ring.infos().filter_map(|info| hint(info.id)).collect();
    }

    pub(crate) fn hint(&self, key: KeyId) -> Option<[u8; 4]> {
        self.hints.iter().find(|(id, _)| *id == key).map(|(_, hint)| *hint)
    }

    pub(crate) fn cipher(&self, key: KeyId, suite: Suite, boot: Boot, part: u64) -> Option<Cipher> {
        Some(Cipher::derive(self.ring.get(key)?, suite, boot, self.domain, part))
    }

    fn cipher_of(&self, boot: Boot, name: CipherName) -> Option<Cipher> {
        self.cipher(name.key, name.suite, boot, name.part)
    }
}

/// What came of a datagram.
pub(crate) enum Opened {
    /// The protocol's.
    Content(Received),
    /// Its sender does not know this boot, so that it has to be told. Dropped.
    Stranger { sender: Boot, from: SocketAddr },
    /// Its sender has this key and seals with another one.
    Offer { sender: Boot, from: SocketAddr },
    /// To us, if it is for our boot.
    Greeting { sender: Boot, counter: u64, from: SocketAddr, content: Bytes },
    /// Counted.
    Dropped,
}

pub(crate) struct Opener {
    mode: Mode,
    pub(crate) boots: Boots,
    pub(crate) counters: SealCounters,
    /// Keys that were missing, and who sealed with them last.
    pub(crate) missing: BTreeMap<KeyId, SocketAddr>,
    pub(crate) mismatches: Mismatches,
    /// The newest key that others seal with.
    pub(crate) newest_heard: Option<KeyId>,
    derivations: Derivations,
    arena: BytesMut,
}

/// How many keys may still be derived in this batch.
struct Derivations {
    any: usize,
    vain: usize,
}

impl Derivations {
    const ALL: Self = Self { any: DERIVATIONS_PER_BATCH_MAX, vain: VAIN_DERIVATIONS_PER_BATCH_MAX };
}

/// Whether a datagram was made with the key that it names.
enum Authentic {
    Yes(Bytes),
    No,
    /// It would cost too much to find out.
    Unknown,
}

impl Opener {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            boots: Boots::default(),
            counters: SealCounters::default(),
            missing: BTreeMap::new(),
            mismatches: Mismatches::default(),
            newest_heard: None,
            derivations: Derivations::ALL,
            arena: BytesMut::new(),
        }
    }

    /// A batch of datagrams begins.
    pub(crate) fn begin_batch(&mut self) {
        self.derivations = Derivations::ALL;
    }

    /// It is alive, there, and knew us when it sealed the datagram with this counter.
    pub(crate) fn greeted(
        &mut self,
        keys: &DomainKeys,
        (boot, counter): (Boot, u64),
        from: SocketAddr,
    ) {
        self.boots.greeted(boot, counter, from);
        let derive = |boot, name| keys.cipher_of(boot, name);
        self.boots.foresee_key_of(boot, keys.ring.newest(), &derive);
    }

    /// Others will seal with this key.
    pub(crate) fn foresee_key(&mut self, keys: &DomainKeys, key: KeyId) {
        self.boots.foresee_key(key, &|boot, name| keys.cipher_of(boot, name));
    }

    /// A key is gone: nothing is left that was derived from it.
    pub(crate) fn forget_key(&mut self, key: KeyId) {
        self.boots.forget_key(key);
        self.newest_heard = self.newest_heard.filter(|newest| *newest != key);
    }

    /// Opens a datagram that was not sent by `own`.
    pub(crate) fn open(&mut self, keys: &DomainKeys, own: Boot, received: Received) -> Opened {
        let Some(header) = self.plausible(keys, own, &received) else { return Opened::Dropped };
        let content = match self.authentic(keys, &header, &received.bytes) {
            Authentic::Yes(content) => content,
            Authentic::No => {
                self.counters.forged += 1;
                return Opened::Dropped;
            }
            Authentic::Unknown => {
                self.counters.deferred += 1;
                return Opened::Dropped;
            }
        };
        // Also of who has not greeted: it may not hear this engine's key any more (seed 37).
        let is_used = header.kind != Kind::Offer;
        if is_used && self.newest_heard.is_none_or(|newest| header.key.is_newer_than(newest)) {
            self.newest_heard = Some(header.key);
        }
        if is_near_end(header.counter) {
            let derive = |boot, name| keys.cipher_of(boot, name);
            let next = part(header.counter) + 1;
            self.boots.foresee_part(header.boot, header.key, next, &derive);
        }
        let Received { from, multicast, .. } = received;
        let (sender, known) = (header.boot, self.boots.get_or_begin(header.boot));
        known.window.mark(header.counter);
        known.use_cipher(header.cipher());
        // Whoever has a datagram for one can show it to all: only that one takes it.
        if header.addressee != 0 && header.addressee != own.addressee() {
            self.counters.misdirected += 1;
            // Its sender may know who was here before.
            let is_lost = header.kind == Kind::Content && known.is_greeted_again();
            return if is_lost { Opened::Stranger { sender, from } } else { Opened::Dropped };
        }
        if header.kind == Kind::Offer {
            self.counters.opened += 1;
            let is_due = known.is_answered_again();
            return if is_due { Opened::Offer { sender, from } } else { Opened::Dropped };
        }
        if header.kind == Kind::Greeting {
            self.counters.opened += 1;
            return Opened::Greeting { sender, counter: header.counter, from, content };
        }
        if known.has_greeted() {
            self.counters.opened += 1;
            return Opened::Content(Received { from, multicast, bytes: content });
        }
        self.counters.ungreeted += 1;
        if known.is_greeted_again() { Opened::Stranger { sender, from } } else { Opened::Dropped }
    }

    /// What can be said without the key: cheap, since anybody can send anything.
    fn plausible(&mut self, keys: &DomainKeys, own: Boot, received: &Received) -> Option<Header> {
        let (counters, from) = (&mut self.counters, received.from);
        let header = match Header::of(&received.bytes) {
            Ok(header) => header,
            Err(NotSealed::Unsealed) => {
                counters.unsealed += 1;
                self.mismatches.note(Mismatch::Unsealed, from);
                return None;
            }
            Err(NotSealed::Malformed) => {
                counters.malformed += 1;
                return None;
            }
        };
        let dropped = match keys.hint(header.key) {
            _ if header.suite.mode() != self.mode => {
                self.mismatches.note(Mismatch::Mode(header.suite.mode()), from);
                &mut counters.other_mode
            }
            // Not in use, and so not missed.
            None if header.kind == Kind::Offer => &mut counters.key_missing,
            None => {
                self.missing.insert(header.key, from);
                self.mismatches.note(Mismatch::Missing(header.key), from);
                &mut counters.key_missing
            }
            Some(hint) if hint != header.hint => {
                self.mismatches.note(Mismatch::Key(header.key), from);
                &mut counters.key_other
            }
            Some(_) if header.boot == own => &mut counters.replayed,
            Some(_) => match self.boots.get(header.boot) {
                None => return Some(header),
                Some(known) => match known.window.look(header.counter) {
                    Counter::New => return Some(header),
                    Counter::Seen => &mut counters.replayed,
                    Counter::Late => &mut counters.late,
                },
            },
        };
        *dropped += 1;
        None
    }

    fn authentic(&mut self, keys: &DomainKeys, header: &Header, datagram: &Bytes) -> Authentic {
        let Header { suite, boot, counter, .. } = *header;
        let name = header.cipher();
        let is_encrypted = suite.mode() == Mode::Aead;
        let len = if is_encrypted { datagram.len() - OVERHEAD_LEN } else { 0 };
        if self.arena.capacity() < len {
            self.arena.reserve(ARENA_LEN.max(len));
        }
        self.arena.resize(len, 0);
        let is_authentic = match self.boots.get(boot).and_then(|known| known.cipher(name)) {
            Some(cipher) => cipher.open(datagram, counter, &mut self.arena),
            None if self.derivations.any == 0 || self.derivations.vain == 0 => {
                return Authentic::Unknown;
            }
            None => {
                let Some(cipher) = keys.cipher_of(boot, name) else {
                    return Authentic::No;
                };
                let is_authentic = cipher.open(datagram, counter, &mut self.arena);
                self.derivations.any -= 1;
                if is_authentic {
                    self.boots.get_or_begin(boot).keep_cipher(name, cipher);
                } else {
                    self.derivations.vain -= 1;
                }
                is_authentic
            }
        };
        match (is_authentic, is_encrypted) {
            (false, _) => Authentic::No,
            (true, true) => Authentic::Yes(self.arena.split().freeze()),
            (true, false) => Authentic::Yes(datagram.slice(HEADER_LEN..datagram.len() - TAG_LEN)),
        }
    }
}

impl Header {
    /// The cipher that it was sealed with.
    fn cipher(&self) -> CipherName {
        CipherName { key: self.key, suite: self.suite, part: part(self.counter) }
    }
}

/// The last sixteenth of its sender's lot of datagrams has begun.
fn is_near_end(counter: u64) -> bool {
    const LOT: u64 = 1 << DATAGRAMS_PER_KEY_LOG2;
    counter % LOT >= LOT - LOT / 16
}
