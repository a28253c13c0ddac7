//! What the active gateway tells the nodes of the target's domain of the source: who is in it, for
//! people and programs that ask. Advice, in the target's order: it says what was so at the gateway.
//! It travels in notices of engines, which are short, so in parts.

use anasazi_protocol::{
    GroupId, Incarnation, MemberId, NodeId, Process, RingId, SessionId, ViewId,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Members that are told of at most; how many there are is said in any case.
pub const FAR_MEMBERS_MAX: usize = 256;
/// Bytes of a part: what a notice carries, without its kind.
const PART_LEN_MAX: usize = anasazi_protocol::limits::NOTICE_LEN_MAX - 1;
/// Bridge, index of the part, number of parts.
const PART_HEAD_LEN: usize = 8 + 2 + 2;
const MEMBER_LEN: usize = 4 + 8;
const VIEW_LEN: usize = 8 + 4 + 8 + 8 + 4;
/// Bytes of a name: 2 for its length, and it.
const NAME_LEN_MAX: usize = 2 + 512;
const FAR_LEN_MAX: usize = 8 + VIEW_LEN + 4 + 2 * NAME_LEN_MAX + FAR_MEMBERS_MAX * MEMBER_LEN;
const PARTS_MAX: usize = FAR_LEN_MAX.div_ceil(PART_LEN_MAX - PART_HEAD_LEN);

/// The source of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Far {
    /// What the bridge is called.
    pub name: String,
    /// The source, with its domain.
    pub from: String,
    /// The group to which it forwards, in this domain.
    pub to: GroupId,
    /// The source's view.
    pub view: ViewId,
    /// Members that it has there.
    pub count: u32,
    /// The first of them, in the view's order.
    pub members: Vec<MemberId>,
}

impl Far {
    /// In parts, to be said in this order.
    pub fn parts(&self, bridge: u64) -> Vec<Bytes> {
        let bytes = self.encode();
        let parts = bytes.chunks(PART_LEN_MAX - PART_HEAD_LEN);
        let count = parts.len() as u16;
        let part = |(index, content): (usize, &[u8])| {
            let mut out = BytesMut::with_capacity(PART_HEAD_LEN + content.len());
            out.put_u64_le(bridge);
            out.put_u16_le(index as u16);
            out.put_u16_le(count);
            out.put_slice(content);
            out.freeze()
        };
        parts.enumerate().map(part).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64_le(self.to.0);
        let ViewId { ring, ordinal, sub } = self.view;
        out.put_u64_le(ring.sequence);
        out.put_u32_le(ring.representative.node.0);
        out.put_u64_le(ring.representative.incarnation.0);
        out.put_u64_le(ordinal);
        out.put_u32_le(sub);
        out.put_u32_le(self.count);
        for name in [&self.name, &self.from] {
            out.put_u16_le(name.len() as u16);
            out.put_slice(name.as_bytes());
        }
        for member in self.members.iter().take(FAR_MEMBERS_MAX) {
            out.put_u32_le(member.node.0);
            out.put_u64_le(member.session.0);
        }
        out
    }

    fn decode(mut from: &[u8]) -> Option<Self> {
        if from.len() < 8 + VIEW_LEN + 4 {
            return None;
        }
        let to = GroupId(from.get_u64_le());
        let sequence = from.get_u64_le();
        let node = NodeId(from.get_u32_le());
        let representative = Process { node, incarnation: Incarnation(from.get_u64_le()) };
        let ring = RingId { sequence, representative };
        let view = ViewId { ring, ordinal: from.get_u64_le(), sub: from.get_u32_le() };
        let count = from.get_u32_le();
        let (name, from_name) = (take_name(&mut from)?, take_name(&mut from)?);
        let members = from.chunks(MEMBER_LEN).map(|mut bytes| {
            (bytes.len() == MEMBER_LEN).then(|| MemberId {
                node: NodeId(bytes.get_u32_le()),
                session: SessionId(bytes.get_u64_le()),
            })
        });
        let members = members.collect::<Option<Vec<_>>>()?;
        let is_sound = members.len() <= FAR_MEMBERS_MAX && members.len() as u64 <= count.into();
        is_sound.then_some(Self { name, from: from_name, to, view, count, members })
    }
}

fn take_name(from: &mut &[u8]) -> Option<String> {
    let len = (from.len() >= 2).then(|| usize::from(from.get_u16_le()))?;
    let (name, rest) = from.split_at_checked(len)?;
    *from = rest;
    String::from_utf8(name.to_vec()).ok()
}

/// A part, as it was told.
#[derive(Clone, Copy, Debug)]
pub struct FarPart<'a> {
    /// Of which bridge it tells.
    pub bridge: u64,
    index: u16,
    count: u16,
    content: &'a [u8],
}

impl<'a> FarPart<'a> {
    /// `None`: this is none.
    pub fn read(mut bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() <= PART_HEAD_LEN {
            return None;
        }
        let bridge = bytes.get_u64_le();
        let (index, count) = (bytes.get_u16_le(), bytes.get_u16_le());
        let is_sound = index < count && usize::from(count) <= PARTS_MAX;
        is_sound.then_some(Self { bridge, index, count, content: bytes })
    }
}

/// The parts that one gateway tells of one bridge, on their way to a whole.
#[derive(Clone, Debug, Default)]
pub struct FarParts {
    next: u16,
    bytes: Vec<u8>,
}

impl FarParts {
    /// The next one of that gateway. The whole, if it is the last part. What has lost its beginning
    /// is left out.
    pub fn add(&mut self, part: FarPart<'_>) -> Option<Far> {
        if part.index == 0 {
            *self = Self::default();
        }
        if part.index != self.next {
            return None;
        }
        self.bytes.extend_from_slice(part.content);
        self.next += 1;
        if self.next < part.count {
            return None;
        }
        let whole = std::mem::take(self);
        Far::decode(&whole.bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn far(members: usize, name: &str) -> Far {
        let representative = Process { node: NodeId(3), incarnation: Incarnation(1 << 40) };
        let ring = RingId { sequence: 9, representative };
        let member = |at| MemberId { node: NodeId(at as u32), session: SessionId(7 << 24 | 5) };
        Far {
            name: name.to_owned(),
            from: format!("fast/{name}"),
            to: GroupId(77),
            view: ViewId { ring, ordinal: 5, sub: 2 },
            count: 300,
            members: (0..members).map(member).collect(),
        }
    }

    fn put_together(parts: &[Bytes]) -> Option<Far> {
        let (mut whole, mut far) = (FarParts::default(), None);
        for bytes in parts {
            assert!(far.is_none() && bytes.len() <= PART_LEN_MAX);
            far = whole.add(FarPart::read(bytes)?);
        }
        far
    }

    #[test]
    fn what_is_told_in_parts_is_heard_as_a_whole() {
        for members in [0, 1, 20, FAR_MEMBERS_MAX] {
            for name in ["up", &"x".repeat(288)] {
                let far = far(members, name);
                let parts = far.parts(12);
                assert!(parts.len() <= PARTS_MAX);
                assert_eq!(FarPart::read(&parts[0]).map(|part| part.bridge), Some(12));
                assert_eq!(put_together(&parts), Some(far));
            }
        }
        let more = far(FAR_MEMBERS_MAX + 9, "up");
        let heard = put_together(&more.parts(1)).expect("a whole");
        assert_eq!((heard.members.len(), heard.count), (FAR_MEMBERS_MAX, 300));
    }

    #[test]
    fn what_is_no_whole_is_left_out() {
        let parts = far(60, "up").parts(1);
        assert!(parts.len() > 2);
        assert_eq!(put_together(&parts[1..]), None);
        assert_eq!(put_together(&[&parts[..1], &parts[2..]].concat()), None);
        // One who begins again is heard from there on.
        assert_eq!(put_together(&[&parts[..1], &parts[..]].concat()), Some(far(60, "up")));
        assert!(FarPart::read(&parts[0][..PART_HEAD_LEN]).is_none());
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(
            parts in proptest::collection::vec(
                (0_u16..3, 0_u16..4, proptest::collection::vec(any::<u8>(), 0..80)), 0..6),
        ) {
            let mut whole = FarParts::default();
            for (index, count, content) in parts {
                let mut bytes = vec![0; 8];
                bytes.put_u16_le(index);
                bytes.put_u16_le(count);
                bytes.extend(content);
                if let Some(part) = FarPart::read(&bytes) {
                    whole.add(part);
                }
                prop_assert!(whole.bytes.len() <= 3 * 80);
            }
        }
    }
}
