//! What stands in front of a sealed datagram. All of it is authenticated, none of it is secret.
//!
//! ```text
//!  0  version u8 | suite u8 | kind u8 | key id u8
//!  4  hint u32         which key that is, among all that have its id; and of which domain
//!  8  boot u8 x 16     drawn by the sender when it started
//! 24  addressee u64    0: all; else half of the boot id of whom it is for
//! 32  counter u64      of this boot, never repeated, below 2^63
//! 40  content ...      encrypted, except in the suites for integrity only
//! -16 tag
//! ```

use crate::boots::Boot;
use crate::keys::KeyId;
use crate::limits::{HEADER_LEN, OVERHEAD_LEN};
use crate::suite::Suite;

/// Version of this format.
const VERSION: u8 = 0xB1;
/// The high half of the first byte of datagrams without a seal.
const UNSEALED: u8 = 0xA0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The content is a datagram of the protocol.
    Content = 0,
    /// "I have heard of you": the content is the boot id of whom it is for, and whether the sender
    /// asks for the same in return.
    Greeting = 1,
    /// "I have this key, too": without content, sealed with a key that the sender does not seal
    /// with yet, for those who seal with nothing else any more.
    Offer = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) suite: Suite,
    pub(crate) kind: Kind,
    pub(crate) key: KeyId,
    pub(crate) hint: [u8; 4],
    pub(crate) boot: Boot,
    /// 0: all.
    pub(crate) addressee: u64,
    pub(crate) counter: u64,
}

/// Why it cannot be one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSealed {
    Malformed,
    /// One of an engine that seals nothing.
    Unsealed,
}

/// It looks like a sealed datagram.
pub fn is_sealed(datagram: &[u8]) -> bool {
    datagram.first() == Some(&VERSION)
}

/// Whose nonce is used in a sealed datagram, and which: never the same twice, but for the same
/// datagram.
pub fn nonce_of(datagram: &[u8]) -> Option<(Boot, u64)> {
    let header = Header::of(datagram).ok()?;
    Some((header.boot, header.counter))
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&[VERSION, self.suite as u8, self.kind as u8, self.key.0]);
        bytes[4..8].copy_from_slice(&self.hint);
        bytes[8..24].copy_from_slice(&self.boot.0);
        bytes[24..32].copy_from_slice(&self.addressee.to_le_bytes());
        bytes[32..].copy_from_slice(&self.counter.to_le_bytes());
        bytes
    }

    /// Of a whole datagram.
    pub(crate) fn of(datagram: &[u8]) -> Result<Self, NotSealed> {
        match datagram.first() {
            Some(&VERSION) => {}
            Some(first) if first & 0xf0 == UNSEALED => return Err(NotSealed::Unsealed),
            _ => return Err(NotSealed::Malformed),
        }
        if datagram.len() < OVERHEAD_LEN {
            return Err(NotSealed::Malformed);
        }
        let [_, suite, kind, key, rest @ ..] = datagram else { return Err(NotSealed::Malformed) };
        let kind = match kind {
            0 => Kind::Content,
            1 => Kind::Greeting,
            2 => Kind::Offer,
            _ => return Err(NotSealed::Malformed),
        };
        let suite = Suite::of(*suite).ok_or(NotSealed::Malformed)?;
        let (hint, rest) = rest.split_first_chunk().ok_or(NotSealed::Malformed)?;
        let (boot, rest) = rest.split_first_chunk().ok_or(NotSealed::Malformed)?;
        let (addressee, rest) = rest.split_first_chunk().ok_or(NotSealed::Malformed)?;
        let counter = rest.first_chunk().ok_or(NotSealed::Malformed)?;
        let counter = u64::from_le_bytes(*counter);
        // Nobody gets there, and one more can always be counted.
        if counter > i64::MAX as u64 {
            return Err(NotSealed::Malformed);
        }
        Ok(Self {
            suite,
            kind,
            key: KeyId(*key),
            hint: *hint,
            boot: Boot(*boot),
            addressee: u64::from_le_bytes(*addressee),
            counter,
        })
    }
}
