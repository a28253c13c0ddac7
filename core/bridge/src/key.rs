//! Where in the source's order a message stands. Each has one key, whoever gets it, and the keys
//! that one member gets only grow: ordinals do within a ring, ring numbers along the way of every
//! process. A key says nothing of views and positions, which parts of a divided ring count apart.

use anasazi_protocol::{Incarnation, NodeId, Place, Process, RingId};
use bytes::{Buf, BufMut};

/// A message of the source. Compared in the order of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The ring that ordered it.
    pub(crate) ring: RingId,
    /// Its packet.
    pub(crate) ordinal: u64,
    /// Its frame in the packet.
    pub(crate) frame: u32,
}

impl From<Place> for Key {
    fn from(Place { ring, ordinal, frame }: Place) -> Self {
        Self { ring, ordinal, frame }
    }
}

impl Key {
    /// Bytes of an encoded key.
    pub const LEN: usize = 8 + 4 + 8 + 8 + 4;

    pub(crate) fn encode(self, out: &mut impl BufMut) {
        out.put_u64_le(self.ring.sequence);
        out.put_u32_le(self.ring.representative.node.0);
        out.put_u64_le(self.ring.representative.incarnation.0);
        out.put_u64_le(self.ordinal);
        out.put_u32_le(self.frame);
    }

    /// From at least [`LEN`](Self::LEN) bytes.
    pub(crate) fn decode(from: &mut impl Buf) -> Self {
        let sequence = from.get_u64_le();
        let node = NodeId(from.get_u32_le());
        let representative = Process { node, incarnation: Incarnation(from.get_u64_le()) };
        let ring = RingId { sequence, representative };
        Self { ring, ordinal: from.get_u64_le(), frame: from.get_u32_le() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn place(ring: u64, ordinal: u64) -> Place {
        let representative = Process { node: NodeId(1), incarnation: Incarnation(5) };
        let ring = RingId { sequence: ring, representative };
        Place { ring, ordinal, frame: 1 }
    }

    pub(crate) fn key(ring: u64, ordinal: u64) -> Key {
        place(ring, ordinal).into()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        let key = key(1 << 40, 77);
        key.encode(&mut bytes);
        assert_eq!(bytes.len(), Key::LEN);
        assert_eq!(Key::decode(&mut &bytes[..]), key);
    }
}
