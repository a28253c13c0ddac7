//! Others who seal in another way. Anybody can send what looks like that, so it is for people to
//! read, and nothing else follows.

use std::mem::{discriminant, take};
use std::net::SocketAddr;

use crate::header::{Header, is_sealed};
use crate::keys::KeyId;
use crate::suite::Mode;

/// What is different about a datagram that was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Its key has the number of one that is here, and is another one, or is for another domain.
    Key(KeyId),
    /// Its key has a number that none of those here has.
    Missing(KeyId),
    /// It is sealed in this mode, and here another one is used, or none.
    Mode(Mode),
    /// It is not sealed.
    Unsealed,
}

/// The last one of each kind, and where it came from.
#[derive(Default)]
pub(crate) struct Mismatches(Vec<(Mismatch, SocketAddr)>);

impl Mismatches {
    pub(crate) fn note(&mut self, mismatch: Mismatch, from: SocketAddr) {
        let same = |other: &&mut (Mismatch, _)| discriminant(&other.0) == discriminant(&mismatch);
        match self.0.iter_mut().find(same) {
            Some(last) => *last = (mismatch, from),
            None => self.0.push((mismatch, from)),
        }
    }

    /// Notes a datagram if it is sealed, which nothing is here.
    pub(crate) fn note_sealed(&mut self, datagram: &[u8], from: SocketAddr) {
        if is_sealed(datagram)
            && let Ok(header) = Header::of(datagram)
        {
            self.note(Mismatch::Mode(header.suite.mode()), from);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<(Mismatch, SocketAddr)> {
        take(&mut self.0)
    }
}
