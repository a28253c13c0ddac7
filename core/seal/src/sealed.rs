//! A transport whose datagrams are sealed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;

use anasazi_transport::{Life, Received, Target, Transport, TransportCounters};
use bytes::Bytes;

use crate::boots::{Boot, Known};
use crate::counters::SealCounters;
use crate::header::Kind;
use crate::keys::{KeyId, KeyInfo, KeyRing};
use crate::limits::{OFFERS_EVERY, QUESTIONS_PER_BATCH_MAX};
use crate::mismatch::{Mismatch, Mismatches};
use crate::opener::{DomainKeys, Opened, Opener};
use crate::sealer::Sealer;
use crate::suite::Mode;

/// Draws a boot id that nobody else has drawn; `None` if there is no randomness just now.
pub type Draw = Box<dyn FnMut() -> Option<Boot> + Send>;

/// What a domain seals with.
pub struct Seal {
    keys: DomainKeys,
    sealer: Sealer,
    opener: Opener,
    draw: Draw,
    /// Its boot id may be in use elsewhere, and there was no randomness for another one: nothing is
    /// sealed.
    is_void: bool,
    /// Answers and questions to engines that are not known, to be sent.
    greetings: Vec<Greeting>,
    /// Datagrams for one engine, while a newer key is here than the one that seals; and offers.
    unheard: u64,
    offers: usize,
}

struct Greeting {
    to: SocketAddr,
    boot: Boot,
    /// It is to greet, too.
    asks: bool,
}

impl Seal {
    /// Seals with the first key of the ring. `domain` is a number that no other domain with these
    /// keys has. `None` if there is no randomness.
    pub fn new(mode: Mode, ring: KeyRing, domain: u64, mut draw: Draw) -> Option<Self> {
        let boot = draw()?;
        let keys = DomainKeys::new(ring, domain);
        let sealer = Sealer::new(&keys, mode.suite(), boot);
        let (opener, is_void, greetings) = (Opener::new(mode), false, Vec::new());
        Some(Self { keys, sealer, opener, draw, is_void, greetings, unheard: 0, offers: 0 })
    }

    /// Encrypted, or only authenticated.
    pub fn mode(&self) -> Mode {
        self.sealer.suite().mode()
    }

    /// The cipher, for people.
    pub fn suite_name(&self) -> &'static str {
        self.sealer.suite().name()
    }

    /// The key that seals.
    pub fn active(&self) -> KeyId {
        self.sealer.key()
    }

    /// The keys that open.
    pub fn keys(&self) -> impl Iterator<Item = KeyInfo> + '_ {
        self.keys.ring.infos()
    }

    /// The newest key that is here.
    pub fn newest(&self) -> KeyId {
        self.keys.ring.newest()
    }

    /// The newest key with which others have sealed something that was opened here.
    pub fn newest_heard(&self) -> Option<KeyId> {
        self.opener.newest_heard
    }

    /// Keys that somebody seals with and that are not here; they may be strangers'.
    pub fn missing(&self) -> impl Iterator<Item = (KeyId, SocketAddr)> + '_ {
        self.opener.missing.iter().map(|(key, from)| (*key, *from))
    }

    /// What has happened so far.
    pub fn counters(&self) -> SealCounters {
        self.opener.counters
    }

    /// Engines that have proved to be alive since this one started; and those that have not yet.
    pub fn boots_len(&self) -> (usize, usize) {
        (self.opener.boots.greeted_len(), self.opener.boots.waiting_len())
    }

    /// Takes in the keys whose numbers are not here yet.
    pub fn add_keys(&mut self, ring: KeyRing) {
        self.keys.add(ring);
        self.opener.foresee_key(&self.keys, self.keys.ring.newest());
        let ring = &self.keys.ring;
        self.opener.missing.retain(|key, _| !ring.has(*key));
    }

    /// Opens nothing with a key any more. False: it is not here, or is active.
    #[must_use]
    pub fn retire(&mut self, key: KeyId) -> bool {
        let is_gone = key != self.active() && self.keys.remove(key);
        if is_gone {
            self.opener.forget_key(key);
        }
        is_gone
    }

    /// Seals with another key from now on. False: it is not here.
    #[must_use]
    pub fn activate(&mut self, key: KeyId) -> bool {
        self.opener.foresee_key(&self.keys, key);
        self.sealer.set_key(&self.keys, key)
    }

    /// Goes on under another boot id, since this one may be in use elsewhere (the process, or the
    /// whole machine, may have been copied), or since too many others are known. What others
    /// send is taken once they have greeted again. False: there is no randomness; nothing is
    /// sealed until there is.
    pub fn renew(&mut self) -> bool {
        let boot = (self.draw)();
        self.is_void = boot.is_none();
        self.opener.boots.forget();
        self.greetings.clear();
        let Some(boot) = boot else { return false };
        self.sealer.set_boot(&self.keys, boot);
        true
    }

    /// Whether anything can be sealed.
    fn is_fit(&mut self) -> bool {
        !self.is_void || self.renew()
    }

    fn seal(&mut self, kind: Kind, addressee: u64, content: &[u8]) -> Bytes {
        self.opener.counters.sealed += 1;
        self.sealer.seal(&self.keys, (kind, addressee), content)
    }

    /// What stands in a datagram that goes there alone. For one who has not greeted it is as for
    /// all: it says who there is, to whoever hears it.
    fn addressee(&self, target: &Target) -> u64 {
        match target {
            Target::Multicast => 0,
            Target::Unicast(to) | Target::Probe(to) => {
                self.opener.boots.at(*to).map_or(0, Boot::addressee)
            }
        }
    }

    fn open(&mut self, received: Received, out: &mut Vec<Received>) {
        let own = self.sealer.boot();
        match self.opener.open(&self.keys, own, received) {
            Opened::Content(received) => out.push(received),
            Opened::Stranger { sender, from } => {
                let known = self.opener.boots.get(sender);
                let asks = !known.is_some_and(Known::has_greeted);
                self.greet(Greeting { to: from, boot: sender, asks });
            }
            // It hears from the answer which key is in use.
            Opened::Offer { sender, from } => {
                self.greet(Greeting { to: from, boot: sender, asks: true });
            }
            Opened::Greeting { sender, counter, from, content } => {
                self.take_greeting((sender, counter), from, &content);
            }
            Opened::Dropped => {}
        }
    }

    fn take_greeting(&mut self, (sender, counter): (Boot, u64), from: SocketAddr, content: &[u8]) {
        let Some((to, rest)) = content.split_first_chunk() else { return };
        let Some((asks, place)) = rest.split_first() else { return };
        let Some(place) = read_place(place) else { return };
        if Boot(*to) != self.sealer.boot() {
            return;
        }
        self.opener.counters.greetings_taken += 1;
        if self.opener.boots.are_too_many() {
            // What it repeated is not ours any more then, so that it has to greet again.
            self.renew();
            return;
        }
        // Where it says that it is, as far as it knows: anybody can pass a greeting on.
        let is_known = !place.ip().is_unspecified() && place.port() != 0;
        let place = if is_known { place } else { from };
        self.opener.greeted(&self.keys, (sender, counter), place);
        if *asks != 0 {
            self.greet(Greeting { to: from, boot: sender, asks: false });
        }
    }

    fn greet(&mut self, greeting: Greeting) {
        let is_new = self.greetings.iter().all(|other| other.boot != greeting.boot);
        let questions = self.greetings.iter().filter(|other| other.asks).count();
        if is_new && (!greeting.asks || questions < QUESTIONS_PER_BATCH_MAX) {
            self.greetings.push(greeting);
        }
    }

    /// The greetings that are due, sealed.
    fn greetings(&mut self, own: SocketAddr) -> Vec<(Target, Bytes)> {
        let due = std::mem::take(&mut self.greetings);
        self.opener.counters.greetings_sent += due.len() as u64;
        let sealed = |Greeting { to, boot, asks }| {
            let mut content = [0; GREETING_LEN];
            content[..16].copy_from_slice(&boot.0);
            content[16] = u8::from(asks);
            content[17..].copy_from_slice(&write_place(own));
            (Target::Unicast(to), self.seal(Kind::Greeting, boot.addressee(), &content))
        };
        due.into_iter().map(sealed).collect()
    }

    /// Where there is no multicast the same goes to one after the other: it is for all then, and
    /// sealed once, since each of them gets it once.
    fn seal_batch(&mut self, batch: &[(Target, Bytes)], out: &mut Vec<(Target, Bytes)>) {
        let is_same = |(_, one): &(Target, Bytes), (_, other): &(Target, Bytes)| {
            one.as_ptr() == other.as_ptr() && one.len() == other.len()
        };
        for run in batch.chunk_by(is_same) {
            let first = out.len();
            for (target, bytes) in run {
                let has_it = out[first..].iter().any(|(other, _)| other == target);
                let sealed = match out[first..].last() {
                    Some((_, sealed)) if !has_it => sealed.clone(),
                    _ => {
                        let addressee = if run.len() == 1 { self.addressee(target) } else { 0 };
                        self.seal(Kind::Content, addressee, bytes)
                    }
                };
                out.push((*target, sealed));
            }
        }
        if self.newest() != self.active() {
            self.offer_keys(batch, out);
        }
    }

    /// Those who seal with a newer key only, and do not know where this engine is, would never hear
    /// of it, nor it of the key (seed 511482). It may be any that is here: they take turns.
    fn offer_keys(&mut self, batch: &[(Target, Bytes)], out: &mut Vec<(Target, Bytes)>) {
        let active = self.active();
        let newer: Vec<KeyId> =
            self.keys().map(|info| info.id).filter(|id| id.is_newer_than(active)).collect();
        for (target, _) in batch {
            let Target::Unicast(to) = target else { continue };
            self.unheard += 1;
            let is_due = self.unheard.is_multiple_of(OFFERS_EVERY);
            if is_due || self.opener.boots.at(*to).is_none() {
                self.offers += 1;
                let key = newer[self.offers % newer.len()];
                let offer = self.sealer.offer(&self.keys, key).expect("the key is here");
                self.opener.counters.sealed += 1;
                out.push((*target, offer));
            }
        }
    }
}

/// Content of a greeting: a boot id, a flag, a place.
const GREETING_LEN: usize = 16 + 1 + PLACE_LEN;
const PLACE_LEN: usize = 16 + 2;

/// An address and a port; IPv4 as it is mapped into IPv6.
fn write_place(place: SocketAddr) -> [u8; PLACE_LEN] {
    let ip = match place.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED,
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; PLACE_LEN];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&place.port().to_le_bytes());
    bytes
}

fn read_place(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_first_chunk::<16>()?;
    let port = u16::from_le_bytes(port.try_into().ok()?);
    Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical(), port))
}

/// A transport that seals, or does nothing of its own without a [`Seal`].
pub struct Sealed<T> {
    inner: T,
    seal: Option<Seal>,
    /// Without a seal: of those who have one.
    mismatches: Mismatches,
    received: Vec<Received>,
    sending: Vec<(Target, Bytes)>,
}

impl<T: Transport> Sealed<T> {
    /// Wraps a transport.
    pub fn new(inner: T, seal: Option<Seal>) -> Self {
        let mismatches = Mismatches::default();
        Self { inner, seal, mismatches, received: Vec::new(), sending: Vec::new() }
    }

    /// The wrapped transport.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The wrapped transport, to be changed.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// What it seals with.
    pub fn seal(&self) -> Option<&Seal> {
        self.seal.as_ref()
    }

    /// What it seals with, to be changed.
    pub fn seal_mut(&mut self) -> Option<&mut Seal> {
        self.seal.as_mut()
    }

    /// How those seal who were heard since the last call and do it in another way; the last one of
    /// each kind. They may be strangers.
    pub fn take_mismatches(&mut self) -> Vec<(Mismatch, SocketAddr)> {
        match &mut self.seal {
            Some(seal) => seal.opener.mismatches.take(),
            None => self.mismatches.take(),
        }
    }
}

impl<T: Transport> Transport for Sealed<T> {
    fn local_address(&self) -> SocketAddr {
        self.inner.local_address()
    }

    fn has_multicast(&self) -> bool {
        self.inner.has_multicast()
    }

    fn fds(&self) -> Vec<RawFd> {
        self.inner.fds()
    }

    fn receive(&mut self, max: usize, out: &mut Vec<Received>) -> bool {
        let Some(seal) = &mut self.seal else {
            let before = out.len();
            let drained = self.inner.receive(max, out);
            for Received { from, bytes, .. } in &out[before..] {
                self.mismatches.note_sealed(bytes, *from);
            }
            return drained;
        };
        let drained = self.inner.receive(max, &mut self.received);
        if !seal.is_fit() {
            self.received.clear();
            return drained;
        }
        seal.opener.begin_batch();
        for received in self.received.drain(..) {
            seal.open(received, out);
        }
        if !seal.greetings.is_empty() && seal.is_fit() {
            let greetings = seal.greetings(self.inner.local_address());
            self.inner.send(&greetings);
        }
        drained
    }

    fn send(&mut self, batch: &[(Target, Bytes)]) {
        let Some(seal) = &mut self.seal else { return self.inner.send(batch) };
        if seal.is_fit() {
            seal.seal_batch(batch, &mut self.sending);
            self.inner.send(&self.sending);
            self.sending.clear();
        }
    }

    /// Nothing: anybody can send an answer that says so.
    fn unreachable(&mut self, out: &mut Vec<SocketAddr>) {
        let before = out.len();
        self.inner.unreachable(out);
        if self.seal.is_some() {
            out.truncate(before);
        }
    }

    fn watch(&mut self, own: Life, others: &[(SocketAddr, Life)]) {
        self.inner.watch(own, others);
    }

    fn ended(&mut self, out: &mut Vec<Life>) {
        self.inner.ended(out);
    }

    fn counters(&self) -> TransportCounters {
        self.inner.counters()
    }
}

#[cfg(test)]
mod tests;
