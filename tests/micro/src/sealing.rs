//! Sealing and opening, between two engines with nothing between them.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use anasazi_seal::{Boot, KeyId, KeyRing, Mode, Seal, Sealed, Secret};
use anasazi_transport::{Life, Received, Target, Transport, TransportCounters};
use bytes::Bytes;

/// Keeps what is sent, and has what is put in.
#[derive(Default)]
struct Wire {
    sent: Vec<(Target, Bytes)>,
    arrived: Vec<Received>,
}

/// Two who know each other.
pub struct SealedPair {
    one: Sealed<Wire>,
    other: Sealed<Wire>,
    got: Vec<Received>,
}

impl SealedPair {
    /// # Panics
    /// There is no memory for keys.
    pub fn new(mode: Mode) -> Self {
        let end = |boot: u8| {
            let secret = Secret::new(&mut [7; 32]).expect("memory for a key");
            let ring = KeyRing::new(vec![(KeyId(1), secret)]).expect("a key");
            let seal = Seal::new(mode, ring, 1, Box::new(move || Some(Boot([boot; 16]))));
            Sealed::new(Wire::default(), seal)
        };
        let mut pair = Self { one: end(1), other: end(2), got: Vec::new() };
        // They greet each other.
        let mut carried = pair.seal_some(&Bytes::from_static(b"hello"), 1);
        for _ in 0..4 {
            pair.open(&mut carried);
            pair.one.inner_mut().arrived.extend(pair.other.inner_mut().sent.drain(..).map(arrive));
            while !pair.one.receive(64, &mut pair.got) {}
            carried = pair.one.inner_mut().sent.drain(..).map(arrive).collect();
        }
        pair
    }

    /// One datagram, sealed.
    pub fn seal(&mut self, content: &Bytes) -> usize {
        self.one.send(&[(Target::Multicast, content.clone())]);
        self.one.inner_mut().sent.drain(..).map(|(_, bytes)| bytes.len()).sum()
    }

    /// So many, as they arrive.
    pub fn seal_some(&mut self, content: &Bytes, count: usize) -> Vec<Received> {
        let batch = vec![(Target::Multicast, content.clone()); count];
        self.one.send(&batch);
        self.one.inner_mut().sent.drain(..).map(arrive).collect()
    }

    /// Opens them; how many could be opened.
    pub fn open(&mut self, sealed: &mut Vec<Received>) -> usize {
        self.other.inner_mut().arrived.append(sealed);
        self.got.clear();
        while !self.other.receive(64, &mut self.got) {}
        self.got.len()
    }
}

fn arrive((_, bytes): (Target, Bytes)) -> Received {
    Received { from: address(), multicast: true, bytes }
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

impl Transport for Wire {
    fn local_address(&self) -> SocketAddr {
        address()
    }

    fn has_multicast(&self) -> bool {
        true
    }

    fn fds(&self) -> Vec<RawFd> {
        Vec::new()
    }

    fn receive(&mut self, _: usize, out: &mut Vec<Received>) -> bool {
        out.append(&mut self.arrived);
        true
    }

    fn send(&mut self, batch: &[(Target, Bytes)]) {
        self.sent.extend_from_slice(batch);
    }

    fn unreachable(&mut self, _: &mut Vec<SocketAddr>) {}

    fn watch(&mut self, _: Life, _: &[(SocketAddr, Life)]) {}

    fn ended(&mut self, _: &mut Vec<Life>) {}

    fn counters(&self) -> TransportCounters {
        TransportCounters::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened() {
        for mode in [Mode::Aead, Mode::Integrity] {
            let mut pair = SealedPair::new(mode);
            let mut sealed = pair.seal_some(&Bytes::from_static(b"content"), 10);
            assert_eq!(pair.open(&mut sealed), 10);
        }
    }
}
