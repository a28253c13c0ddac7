//! Protocol types as records for clients.

use anasazi_protocol::{GroupView, MemberId, MessageDelivery, ViewCause, ViewKind};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{Member, MessageRecord, MultiRecord, ViewId, ViewRecord, cause};
use bytes::Bytes;

/// What comes before a message for the handle; `own` if it is for the session that sent it.
pub(super) fn message_head(
    message: &MessageDelivery,
    (handle, sequence): (u32, u64),
    own: bool,
) -> MessageRecord {
    MessageRecord {
        handle,
        service: message.service.number(),
        sender: member(message.sender),
        sequence,
        tag: if own { message.tag } else { 0 },
    }
}

/// What comes before a message to several groups, for a session that is in these.
pub(super) fn multi_head(
    message: &MessageDelivery,
    handles: &[(u32, u64)],
    own: bool,
) -> (MultiRecord, Bytes) {
    let head = MultiRecord {
        service: message.service.number(),
        handles: handles.len() as u32,
        sender: member(message.sender),
        sequence: handles.first().map_or(0, |(_, sequence)| *sequence),
        tag: if own { message.tag } else { 0 },
    };
    let mut list = Vec::with_capacity(4 * handles.len() + 4);
    handles.iter().for_each(|(handle, _)| list.extend_from_slice(&handle.to_ne_bytes()));
    list.resize(list.len().next_multiple_of(8), 0);
    (head, list.into())
}

/// What comes before a view's arrays for the handle.
pub(super) fn view_head(view: &GroupView, handle: u32) -> ViewRecord {
    ViewRecord {
        handle,
        cause: match view.cause {
            ViewCause::Join => cause::JOIN,
            ViewCause::Leave => cause::LEAVE,
            ViewCause::Disconnect => cause::DISCONNECT,
            ViewCause::Network => cause::NETWORK,
            ViewCause::Merge => cause::MERGE,
            ViewCause::Demoted => cause::DEMOTED,
            ViewCause::Removed => cause::REMOVED,
        },
        id: ViewId {
            ring_seq: view.id.ring.sequence,
            ring_rep: u64::from(view.id.ring.representative.node.0),
            ring_incarnation: view.id.ring.representative.incarnation.0,
            ordinal: view.id.ordinal,
            sub: view.id.sub,
            reserved: 0,
        },
        transitional: u32::from(view.kind == ViewKind::Transitional),
        members: count(&view.members),
        joined: count(&view.joined),
        left: count(&view.left),
        together: count(&view.together),
        reason_len: view.reason.len() as u32,
    }
}

/// A view as the session that joins is told of it: it has come from no view, so with nobody; the
/// others are a set of their own. None if the view is nobody's first.
pub(super) fn view_of_newcomer(view: &GroupView) -> Option<GroupView> {
    let joins = view.cause == ViewCause::Join && view.kind == ViewKind::Regular;
    let newcomer = *view.joined.first().filter(|_| joins)?;
    let others = view.members.iter().zip(view.sets.iter());
    let set = |(member, set): (&MemberId, &u32)| match *member == newcomer {
        true => 0,
        false => (*set).max(1),
    };
    Some(GroupView { sets: others.map(set).collect(), together: vec![newcomer], ..view.clone() })
}

/// A view's arrays and reason, the same for every session but one that joins.
pub(super) fn view_body(view: &GroupView) -> Bytes {
    let lists: [&[MemberId]; 4] = [&view.members, &view.joined, &view.left, &view.together];
    let mut body = Vec::new();
    for list in lists {
        list.iter().for_each(|id| body.extend_from_slice(member(*id).as_bytes()));
    }
    // One set per member, whatever the core says.
    let sets = view.sets.iter().copied().chain(std::iter::repeat(0)).take(view.members.len());
    sets.for_each(|set| body.extend_from_slice(&set.to_ne_bytes()));
    body.resize(body.len().next_multiple_of(8), 0);
    body.extend_from_slice(view.reason.as_bytes());
    body.push(0);
    body.into()
}

fn member(id: MemberId) -> Member {
    Member { node: u64::from(id.node.0), session: id.session.0 }
}

fn count(list: &[MemberId]) -> u32 {
    list.len() as u32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anasazi_protocol::{GroupId, NodeId, SessionId};

    use super::*;

    #[test]
    fn whoever_joins_is_its_own_set_and_came_with_nobody() {
        let id = |node| MemberId { node: NodeId(node), session: SessionId(1) };
        let view = GroupView {
            group: GroupId::of("room"),
            name: Arc::from("room"),
            kind: ViewKind::Regular,
            id: anasazi_protocol::ViewId::default(),
            cause: ViewCause::Join,
            reason: String::new(),
            members: [id(1), id(2), id(3)].into(),
            sets: [0, 2, 1].into(),
            joined: vec![id(3)],
            left: Vec::new(),
            together: vec![id(1)],
        };
        let first = view_of_newcomer(&view).expect("somebody joins");
        assert_eq!((&*first.sets, &first.together[..]), (&[1, 2, 0][..], &[id(3)][..]));
        let merge = GroupView { cause: ViewCause::Merge, ..view };
        assert!(view_of_newcomer(&merge).is_none(), "its members have come from views");
    }
}
