//! A transport whose datagrams are sealed.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use anasazi_transport::{Life, Received, Target, Transport, TransportCounters};
use bytes::Bytes;

use crate::boots::Boot;
use crate::counters::SealCounters;
use crate::header::Kind;
use crate::keys::{KeyId, KeyInfo, KeyRing};
use crate::limits::GREETINGS_PER_BATCH_MAX;
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
    /// Answers and questions to engines that are not known, to be sent.
    greetings: Vec<(SocketAddr, Boot, bool)>,
}

impl Seal {
    /// Seals with the first key of the ring. `domain` is a number that no other domain with these
    /// keys has. `None` if there is no randomness.
    pub fn new(mode: Mode, ring: KeyRing, domain: u64, mut draw: Draw) -> Option<Self> {
        let boot = draw()?;
        let keys = DomainKeys::new(ring, domain);
        let sealer = Sealer::new(&keys, mode.suite(), boot);
        Some(Self { keys, sealer, opener: Opener::new(mode), draw, greetings: Vec::new() })
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

    /// The newest key with which others have sealed something that was opened here.
    pub fn newest_heard(&self) -> Option<KeyId> {
        self.opener.newest_heard
    }

    /// The last key that somebody seals with and that is not here; it may be a stranger's.
    pub fn missing(&self) -> Option<(KeyId, SocketAddr)> {
        self.opener.missing
    }

    /// What has happened so far.
    pub fn counters(&self) -> SealCounters {
        self.opener.counters
    }

    /// Engines that have proved to be alive since this one started; and those that have not yet.
    pub fn boots_len(&self) -> (usize, usize) {
        (self.opener.boots.greeted_len(), self.opener.boots.waiting_len())
    }

    /// Takes other keys, the active one among them. False, and nothing changes: it is not among
    /// them, or is another one there.
    #[must_use]
    pub fn set_keys(&mut self, ring: KeyRing) -> bool {
        let active = |info: &KeyInfo| info.id == self.active();
        if ring.infos().find(active) != self.keys().find(active) {
            return false;
        }
        let missing = self.opener.missing.filter(|(id, _)| !ring.has(*id));
        self.opener.missing = missing;
        self.keys = DomainKeys::new(ring, self.keys.domain());
        true
    }

    /// Opens nothing with a key any more. False: it is not here, or is active.
    #[must_use]
    pub fn retire(&mut self, key: KeyId) -> bool {
        key != self.active() && self.keys.remove(key)
    }

    /// Seals with another key from now on. False: it is not here.
    #[must_use]
    pub fn activate(&mut self, key: KeyId) -> bool {
        self.sealer.set_key(&self.keys, key)
    }

    /// Goes on under another boot id, since this one may be in use elsewhere (the process, or the
    /// whole machine, may have been copied), or since too many others are known. What others
    /// send is taken once they have greeted again. False: there is no randomness.
    pub fn renew(&mut self) -> bool {
        let Some(boot) = (self.draw)() else { return false };
        self.sealer.set_boot(&self.keys, boot);
        self.opener.boots.forget();
        true
    }

    fn seal(&mut self, kind: Kind, content: &[u8]) -> Bytes {
        self.opener.counters.sealed += 1;
        self.sealer.seal(&self.keys, kind, content)
    }

    fn open(&mut self, received: Received, out: &mut Vec<Received>) {
        let own = self.sealer.boot();
        match self.opener.open(&self.keys, own, received) {
            Opened::Content(received) => out.push(received),
            Opened::Unknown { sender, from } => self.greet(from, sender, true),
            Opened::Greeting { sender, counter, from, content } => {
                self.take_greeting((sender, counter), from, &content);
            }
            Opened::Dropped => {}
        }
    }

    fn take_greeting(&mut self, (sender, counter): (Boot, u64), from: SocketAddr, content: &[u8]) {
        let Some((to, [asks])) = content.split_first_chunk() else { return };
        if Boot(*to) != self.sealer.boot() {
            return;
        }
        self.opener.counters.greetings_taken += 1;
        if self.opener.boots.are_too_many() {
            // What it repeated is not ours any more then, so that it has to greet again.
            self.renew();
            return;
        }
        self.opener.boots.greeted(sender, counter);
        if *asks != 0 {
            self.greet(from, sender, false);
        }
    }

    fn greet(&mut self, to: SocketAddr, boot: Boot, asks: bool) {
        let is_new = self.greetings.iter().all(|(_, other, _)| *other != boot);
        if is_new && self.greetings.len() < GREETINGS_PER_BATCH_MAX {
            self.greetings.push((to, boot, asks));
        }
    }

    /// The greetings that are due, sealed.
    fn greetings(&mut self) -> Vec<(Target, Bytes)> {
        let due = std::mem::take(&mut self.greetings);
        self.opener.counters.greetings_sent += due.len() as u64;
        let sealed = |(to, Boot(boot), asks): (SocketAddr, Boot, bool)| {
            let mut content = [0; 17];
            content[..16].copy_from_slice(&boot);
            content[16] = u8::from(asks);
            (Target::Unicast(to), self.seal(Kind::Greeting, &content))
        };
        due.into_iter().map(sealed).collect()
    }
}

/// A transport that seals, or does nothing of its own without a [`Seal`].
pub struct Sealed<T> {
    inner: T,
    seal: Option<Seal>,
    received: Vec<Received>,
    sending: Vec<(Target, Bytes)>,
}

impl<T: Transport> Sealed<T> {
    /// Wraps a transport.
    pub fn new(inner: T, seal: Option<Seal>) -> Self {
        Self { inner, seal, received: Vec::new(), sending: Vec::new() }
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
        let Some(seal) = &mut self.seal else { return self.inner.receive(max, out) };
        let drained = self.inner.receive(max, &mut self.received);
        for received in self.received.drain(..) {
            seal.open(received, out);
        }
        if !seal.greetings.is_empty() {
            let greetings = seal.greetings();
            self.inner.send(&greetings);
        }
        drained
    }

    fn send(&mut self, batch: &[(Target, Bytes)]) {
        let Some(seal) = &mut self.seal else { return self.inner.send(batch) };
        for (at, (target, bytes)) in batch.iter().enumerate() {
            // Where there is no multicast the same goes to one after the other: sealed once, each
            // of them gets it once.
            let before = at.checked_sub(1).map(|before| &batch[before]);
            let is_same = before.is_some_and(|(other, before)| {
                other != target && before.as_ptr() == bytes.as_ptr() && before.len() == bytes.len()
            });
            let sealed = match self.sending.last() {
                Some((_, sealed)) if is_same => sealed.clone(),
                _ => seal.seal(Kind::Content, bytes),
            };
            self.sending.push((*target, sealed));
        }
        self.inner.send(&self.sending);
        self.sending.clear();
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
