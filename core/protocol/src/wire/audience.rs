//! The head of a message that is for others than the members of one group: who they are. It comes
//! before the message's own bytes and may be cut with them.

use bytes::{Bytes, BytesMut};

use super::codec::{Reader, Writer};
use super::header::WireError;
use crate::id::{GroupId, Incarnation, MemberId, NodeId, Process, RingId, SessionId, ViewId};
use crate::limits;
use crate::service::Audience;

/// How a frame says whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// The frame's group; no head.
    Group,
    /// The frame's group, in the view that the head names.
    GroupInView,
    /// The groups that the head lists.
    Groups,
    /// The session that the head names.
    Member,
}

const VIEW_LEN: usize = 8 + 4 + 8 + 8 + 4;
const MEMBER_LEN: usize = 4 + 8;
/// Bytes of the longest head.
pub(crate) const HEAD_LEN_MAX: usize = 2 + limits::GROUPS_PER_MESSAGE_MAX * (8 + 1 + VIEW_LEN);

impl Scope {
    pub(crate) fn of(audience: &Audience) -> Self {
        match audience {
            Audience::Group(_, None) => Self::Group,
            Audience::Group(_, Some(_)) => Self::GroupInView,
            Audience::Groups(_) => Self::Groups,
            Audience::Member(_) => Self::Member,
        }
    }
}

/// The message with its head in front.
pub(crate) fn with_head(audience: &Audience, payload: Bytes) -> Bytes {
    let mut w = Writer::default();
    match audience {
        Audience::Group(_, None) => return payload,
        Audience::Group(_, Some(view)) => encode_view(&mut w, *view),
        Audience::Groups(groups) => {
            w.count(groups.len());
            for (group, view) in groups {
                w.u64(group.0);
                w.u8(u8::from(view.is_some()));
                if let Some(view) = view {
                    encode_view(&mut w, *view);
                }
            }
        }
        Audience::Member(member) => {
            w.u32(member.node.0);
            w.u64(member.session.0);
        }
    }
    w.slice(&payload);
    w.bytes.freeze()
}

/// Takes the head off a whole message, which is in pieces.
pub(crate) fn split_head(
    scope: Scope,
    group: GroupId,
    pieces: &mut [Bytes],
) -> Result<Audience, WireError> {
    Ok(match scope {
        Scope::Group => Audience::Group(group, None),
        Scope::GroupInView => {
            let head = take(pieces, VIEW_LEN)?;
            let mut r = Reader::new(&head);
            Audience::Group(group, Some(decode_view(&mut r)?))
        }
        Scope::Member => {
            let head = take(pieces, MEMBER_LEN)?;
            let mut r = Reader::new(&head);
            Audience::Member(MemberId { node: r.node()?, session: SessionId(r.u64()?) })
        }
        Scope::Groups => {
            let count = usize::from(Reader::new(&take(pieces, 2)?).u16()?);
            if !(2..=limits::GROUPS_PER_MESSAGE_MAX).contains(&count) {
                return Err(WireError::Invalid("number of groups"));
            }
            let mut groups: Vec<(GroupId, Option<ViewId>)> = Vec::with_capacity(count);
            for _ in 0..count {
                let head = take(pieces, 9)?;
                let mut r = Reader::new(&head);
                let (group, has_view) = (GroupId(r.u64()?), r.flag()?);
                let view =
                    has_view.then(|| decode_view(&mut Reader::new(&take(pieces, VIEW_LEN)?)));
                if groups.iter().any(|(known, _)| *known == group) {
                    return Err(WireError::Invalid("a group twice"));
                }
                groups.push((group, view.transpose()?));
            }
            Audience::Groups(groups)
        }
    })
}

/// The first bytes of a message; its pieces lose them.
fn take(pieces: &mut [Bytes], len: usize) -> Result<Bytes, WireError> {
    let first = pieces.iter_mut().find(|piece| !piece.is_empty());
    if let Some(first) = first.filter(|first| first.len() >= len) {
        return Ok(first.split_to(len));
    }
    let mut taken = BytesMut::with_capacity(len);
    for piece in pieces.iter_mut() {
        let part = piece.split_to(piece.len().min(len - taken.len()));
        taken.extend_from_slice(&part);
    }
    if taken.len() == len { Ok(taken.freeze()) } else { Err(WireError::Truncated) }
}

fn encode_view(w: &mut Writer, view: ViewId) {
    w.ring(view.ring);
    w.u64(view.ordinal);
    w.u32(view.sub);
}

fn decode_view(r: &mut Reader) -> Result<ViewId, WireError> {
    let sequence = r.u64()?;
    // Compared only: no node has the id 0, and no group such a view.
    let representative = Process { node: NodeId(r.u32()?), incarnation: Incarnation(r.u64()?) };
    let ring = RingId { sequence, representative };
    Ok(ViewId { ring, ordinal: r.u64()?, sub: r.u32()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(ordinal: u64) -> ViewId {
        let representative = Process { node: NodeId(3), incarnation: Incarnation(9) };
        ViewId { ring: RingId { sequence: 5, representative }, ordinal, sub: 1 << 31 }
    }

    fn audiences() -> Vec<Audience> {
        vec![
            Audience::Group(GroupId(7), None),
            Audience::Group(GroupId(7), Some(view(1))),
            Audience::Member(MemberId { node: NodeId(2), session: SessionId(77) }),
            Audience::Groups(vec![(GroupId(1), None), (GroupId(2), Some(view(4)))]),
        ]
    }

    #[test]
    fn heads_come_back_wherever_the_message_is_cut() {
        for audience in audiences() {
            let whole = with_head(&audience, Bytes::from_static(b"message"));
            for cut in 0..=whole.len() {
                let mut pieces = vec![whole.slice(..cut), whole.slice(cut..)];
                let scope = Scope::of(&audience);
                let split = split_head(scope, GroupId(7), &mut pieces);
                assert_eq!(split, Ok(audience.clone()));
                assert_eq!(pieces.concat(), b"message");
            }
        }
    }

    #[test]
    fn heads_that_are_none_are_refused() {
        for audience in audiences().split_off(1) {
            let whole = with_head(&audience, Bytes::new());
            for len in 0..whole.len() {
                let mut pieces = vec![whole.slice(..len)];
                assert!(split_head(Scope::of(&audience), GroupId(7), &mut pieces).is_err());
            }
        }
        let twice = Audience::Groups(vec![(GroupId(1), None), (GroupId(1), None)]);
        let one = Audience::Groups(vec![(GroupId(1), None)]);
        let many = (0..=limits::GROUPS_PER_MESSAGE_MAX as u64).map(|n| (GroupId(n), None));
        for bad in [twice, one, Audience::Groups(many.collect())] {
            let mut pieces = vec![with_head(&bad, Bytes::new())];
            assert!(split_head(Scope::Groups, GroupId(7), &mut pieces).is_err());
        }
    }
}
