//! The 8 bytes before a record's payload, always loaded and stored as one word.

use super::Corrupt;

/// Bytes of a header.
pub(super) const HEADER_LEN: usize = 8;
/// The kind of a record without meaning: the rest before the end of the memory, or an aborted
/// claim.
pub(super) const PADDING: u16 = 0;
/// In `len`: its consumer is zeroing it.
const RELEASING: u64 = 1 << 30;
/// In `len`: zeroed; the head may pass.
const RELEASED: u64 = 1 << 31;

/// A record's header: from the low bits up, `len` (header included, so never 0) in 32 bits, `kind`
/// and `flags` in 16 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header(pub(super) u64);

impl Header {
    /// A header for a payload of `len` bytes.
    pub(super) fn new(kind: u16, flags: u16, len: usize) -> Self {
        Self((len + HEADER_LEN) as u64 | u64::from(kind) << 32 | u64::from(flags) << 48)
    }

    pub(super) fn kind(self) -> u16 {
        (self.0 >> 32) as u16
    }

    pub(super) fn flags(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Bytes of payload; only of a checked header.
    pub(super) fn payload_len(self) -> usize {
        (self.0 as u32 as usize & LEN_MASK).saturating_sub(HEADER_LEN)
    }

    /// Bytes that the record takes in the ring.
    pub(super) fn total(self) -> u64 {
        align(self.0 as u32 as usize & LEN_MASK)
    }

    /// Refuses a header whose record would be shorter than its header or longer than `room`.
    pub(super) fn check(self, room: u64) -> Result<Self, Corrupt> {
        let long_enough = self.0 as u32 as usize & LEN_MASK >= HEADER_LEN;
        if long_enough && self.total() <= room { Ok(self) } else { Err(Corrupt) }
    }

    /// Not given back, nor on the way to it.
    pub(super) fn is_held(self) -> bool {
        self.0 & (RELEASING | RELEASED) == 0
    }

    pub(super) fn is_released(self) -> bool {
        self.0 & RELEASED != 0
    }

    pub(super) fn releasing(self) -> Self {
        Self(self.0 | RELEASING)
    }

    pub(super) fn released(self) -> Self {
        Self(self.0 | RELEASED)
    }
}

/// `len` up to the next multiple of 8.
pub(super) fn align(len: usize) -> u64 {
    (len as u64 + 7) & !7
}

const LEN_MASK: usize = (RELEASING - 1) as usize;

// The longest record leaves the two marks alone.
const _: () = assert!((super::CAPACITY_MAX as u64) < RELEASING);
