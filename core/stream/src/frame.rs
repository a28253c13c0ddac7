//! What is on the wire: first a greeting each way, then frames.
//!
//! ```text
//!   greeting   len: u32 little-endian, then so many bytes: a Hello, and a Welcome for an answer
//!   frame      len: u32, kind: u16, flags: u16, all little-endian; then by its kind
//!     kind 0         nothing follows: `len` bytes of the ring without meaning
//!     kind 65534     len = 8: up to where the ring of this direction is claimed, u64; told when
//!                    the next record is claimed and not committed
//!     kind 65535     len = 8: how far the ring of the other direction was given back, u64
//!     other kinds    a record of that kind, `len` bytes
//! ```
//!
//! Records are as in the rings, in the byte order of the machine: a greeting between machines of
//! different order is refused, since its first bytes are a number.

/// Bytes of a frame's head.
pub(crate) const HEAD_LEN: usize = 8;
/// The kind of what has no meaning: padding, and claims that were given up.
pub(crate) const PADDING: u16 = 0;
/// The kind of a position up to which records are claimed.
pub(crate) const CLAIMED: u16 = u16::MAX - 1;
/// The kind of a position up to which room was given back.
pub(crate) const PASSED: u16 = u16::MAX;

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) len: u32,
    pub(crate) kind: u16,
    pub(crate) flags: u16,
}

impl Head {
    pub(crate) fn bytes(self) -> [u8; HEAD_LEN] {
        let word = u64::from(self.len) | u64::from(self.kind) << 32 | u64::from(self.flags) << 48;
        word.to_le_bytes()
    }

    pub(crate) fn of(bytes: [u8; HEAD_LEN]) -> Self {
        let word = u64::from_le_bytes(bytes);
        Self { len: word as u32, kind: (word >> 32) as u16, flags: (word >> 48) as u16 }
    }
}

/// A greeting as it goes over the stream.
pub(crate) fn greeting(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u32;
    [&len.to_le_bytes()[..], bytes].concat()
}
