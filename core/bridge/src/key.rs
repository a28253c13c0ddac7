//! Where in the source group's order a message stands. Every message that a member gets has a key,
//! and the keys that one member sees only grow; members that share a segment have the same message
//! under the same key.

use anasazi_protocol::{GroupView, Incarnation, NodeId, Process, RingId, ViewId, ViewKind};
use bytes::{Buf, BufMut};

/// A stretch of a group's order in which positions name messages: a view; or what is left of one
/// after a transitional signal, since other parts of the old ring may go on in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    // Compared in this order. Ring numbers grow along the way of every process; on the way into a
    // ring come the signal, then views of the transitional configuration, then its own views.
    ring: RingId,
    phase: u8,
    ordinal: u64,
    sub: u32,
}

/// A message of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Where its position counts.
    pub segment: Segment,
    /// In the group's order within the view.
    pub position: u64,
}

/// Set in the `sub` of views of a transitional configuration.
const TRANSITIONAL_VIEW: u32 = 1 << 31;

impl Segment {
    /// What begins with this view.
    pub fn of(view: &GroupView) -> Self {
        let ViewId { ring, ordinal, sub } = view.id;
        let phase = match view.kind {
            ViewKind::Transitional => 0,
            ViewKind::Regular if sub & TRANSITIONAL_VIEW != 0 => 1,
            ViewKind::Regular => 2,
        };
        Self { ring, phase, ordinal, sub }
    }
}

impl Key {
    /// Bytes of an encoded key.
    pub const LEN: usize = 8 + 4 + 8 + 1 + 8 + 4 + 8;

    pub(crate) fn encode(self, out: &mut impl BufMut) {
        let Self { segment: Segment { ring, phase, ordinal, sub }, position } = self;
        out.put_u64_le(ring.sequence);
        out.put_u32_le(ring.representative.node.0);
        out.put_u64_le(ring.representative.incarnation.0);
        out.put_u8(phase);
        out.put_u64_le(ordinal);
        out.put_u32_le(sub);
        out.put_u64_le(position);
    }

    /// From at least [`LEN`](Self::LEN) bytes.
    pub(crate) fn decode(from: &mut impl Buf) -> Self {
        let sequence = from.get_u64_le();
        let node = NodeId(from.get_u32_le());
        let representative = Process { node, incarnation: Incarnation(from.get_u64_le()) };
        let ring = RingId { sequence, representative };
        let (phase, ordinal, sub) = (from.get_u8(), from.get_u64_le(), from.get_u32_le());
        Self { segment: Segment { ring, phase, ordinal, sub }, position: from.get_u64_le() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn segment(ring: u64, phase: u8, ordinal: u64) -> Segment {
        let representative = Process { node: NodeId(1), incarnation: Incarnation(5) };
        Segment { ring: RingId { sequence: ring, representative }, phase, ordinal, sub: 0 }
    }

    pub(crate) fn key(ring: u64, position: u64) -> Key {
        Key { segment: segment(ring, 2, 0), position }
    }

    #[test]
    fn keys_grow_along_the_way_into_a_ring() {
        let way = [
            segment(4, 2, 900), // a view of the old ring
            segment(9, 0, 1),   // the signal
            segment(9, 1, 901), // a view of the transitional configuration
            segment(9, 2, 3),   // the first view of the new ring
            segment(9, 2, 4),
        ];
        assert!(way.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        let key = Key { segment: segment(1 << 40, 1, 77), position: 12 };
        key.encode(&mut bytes);
        assert_eq!(bytes.len(), Key::LEN);
        assert_eq!(Key::decode(&mut &bytes[..]), key);
    }
}
