//! From the protocol to the clients' receive rings: what was given to the node, in its order (axiom
//! CL).

use std::collections::{BTreeMap, HashSet};

use anasazi_protocol::{
    Audience, Fate, GroupId, GroupView, MessageDelivery, Recipients, SessionId, ViewKind,
};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{GapRecord, event};
use anasazi_queue::status::Status;

use super::connection::{Connection, Ending, Handle, Role};
use super::encode::{message_head, multi_head, view_body, view_head, view_of_newcomer};
use super::groups::LocalMember;
use super::slow::Delivery;
use super::{Sessions, Slot};
use crate::domains::{DomainGroup, DomainId};

impl Sessions {
    /// A message of a domain for local sessions. Then [`Self::flush`].
    pub fn message(&mut self, domain: DomainId, message: &MessageDelivery) {
        // Sessions of different nodes may have the same number.
        let is_ours = message.sender.node == self.identity.node;
        let is_own = |session: SessionId| is_ours && session == message.sender.session;
        match &message.to {
            Recipients::Group(group, sequence) => self.deliver_each(
                domain.group(*group),
                |_| true,
                |connection, member| {
                    let own = is_own(member.session);
                    if own && message.no_self {
                        return connection.done(message.tag);
                    }
                    let head = message_head(message, (member.handle, *sequence), own);
                    connection.deliver_message(&Delivery {
                        kind: event::MESSAGE,
                        head: head.as_bytes(),
                        pieces: &message.payload,
                        handles: &[member.handle],
                        tag: head.tag,
                        under: Some(member.handle),
                    })
                },
            ),
            Recipients::Groups(groups) => self.deliver_once(message, (domain, groups), is_own),
            Recipients::Session(session) => {
                let to_sender = Audience::Member(message.sender);
                self.with((domain, *session), |connection| {
                    if message.no_self && is_own(*session) {
                        return connection.done(message.tag);
                    }
                    let head = message_head(message, (0, 0), is_own(*session));
                    let find = || sent_under(connection, &to_sender, Fate::Done);
                    let under = (head.tag != 0).then(find).flatten();
                    connection.deliver_message(&Delivery {
                        kind: event::UNICAST,
                        head: head.as_bytes(),
                        pieces: &message.payload,
                        handles: &[],
                        tag: head.tag,
                        under,
                    })
                });
            }
        }
    }

    /// Messages of another domain are missing here, for all members of a group; how many is not
    /// known. Then [`Self::flush`].
    pub fn gap(&mut self, group: DomainGroup) {
        self.deliver_each(
            group,
            |_| true,
            |connection, member| {
                let record = GapRecord { handle: member.handle, reserved: 0, count: 0 };
                connection.tell_gaps()?;
                connection.deliver(event::GAP, record.as_bytes(), &[])
            },
        );
    }

    /// To every session that is in any of the groups, once.
    fn deliver_once(
        &mut self,
        message: &MessageDelivery,
        (domain, groups): (DomainId, &[(GroupId, u64)]),
        is_own: impl Fn(SessionId) -> bool,
    ) {
        let mut sessions: BTreeMap<(usize, SessionId), Vec<(u32, u64)>> = BTreeMap::new();
        for (group, sequence) in groups {
            for member in self.groups.of(domain.group(*group)).iter().filter(|m| m.admitted) {
                let handles = sessions.entry((member.slot, member.session)).or_default();
                handles.push((member.handle, *sequence));
            }
        }
        for (at, handles) in sessions {
            let own = is_own(at.1);
            self.with_slot(at, |connection| {
                if own && message.no_self {
                    return connection.done(message.tag);
                }
                let (head, list) = multi_head(message, &handles, own);
                let pieces: Vec<_> =
                    std::iter::once(list).chain(message.payload.iter().cloned()).collect();
                let handles: Vec<_> = handles.iter().map(|(handle, _)| *handle).collect();
                connection.deliver_message(&Delivery {
                    kind: event::MULTI,
                    head: head.as_bytes(),
                    pieces: &pieces,
                    handles: &handles,
                    tag: head.tag,
                    under: handles.first().copied(),
                })
            });
        }
    }

    /// A view for the local members of its group: it admits those who joined, and ends the handles
    /// of those who left. Then [`Self::flush`].
    pub fn view(&mut self, domain: DomainId, view: &GroupView) {
        let group = domain.group(view.group);
        let own_node = self.identity.node;
        let is_local = |id: &&anasazi_protocol::MemberId| id.node == own_node;
        if view.kind == ViewKind::Regular {
            for id in view.left.iter().filter(is_local) {
                self.end_membership(group, view, id.session);
            }
            for id in view.joined.iter().filter(is_local) {
                // A handle that is still there has missed its end.
                let is_again = |m: &&LocalMember| m.session == id.session && m.admitted;
                if self.groups.of(group).iter().any(|m| is_again(&m)) {
                    self.end_membership(group, view, id.session);
                }
                self.groups.admit(group, id.session);
            }
        }
        let present: HashSet<SessionId> =
            view.members.iter().filter(is_local).map(|id| id.session).collect();
        let first =
            view_of_newcomer(view).map(|first| (view.joined[0], [view_body(&first)], first));
        let body = [view_body(view)];
        self.deliver_each(
            group,
            |member| present.contains(&member.session),
            |connection, member| {
                let first = first.as_ref().filter(|(id, ..)| id.session == member.session);
                let first = first.filter(|(id, ..)| id.node == own_node);
                let (view, body) = first.map_or((view, &body), |(_, body, first)| (first, body));
                let head = view_head(view, member.handle);
                let handle = connection.handles.get_mut(&member.handle);
                if let Some(handle) = handle.filter(|_| view.kind == ViewKind::Regular) {
                    (handle.view, handle.views) = (view.id, handle.views.wrapping_add(1));
                }
                connection.tell_gaps()?;
                connection.deliver(event::VIEW, head.as_bytes(), body)
            },
        );
    }

    /// What became of a tagged message that its sender does not see: the tag's end. Then
    /// [`Self::flush`].
    pub fn receipt(
        &mut self,
        domain: DomainId,
        session: SessionId,
        to: &Audience,
        tag: u64,
        fate: Fate,
    ) {
        let status = match fate {
            Fate::Done => Status::OK,
            Fate::OtherView => Status::EVIEW,
            Fate::NotMember => Status::ENOTMEMBER,
            Fate::NotSent => Status::ESTATE,
            Fate::TooLong => Status::EMSGSIZE,
            Fate::Lost => Status::ELOST,
        };
        self.with((domain, session), |connection| match sent_under(connection, to, fate) {
            Some(handle) => connection.receipt(handle, status, tag),
            // Its handle has ended.
            None => connection.done(tag),
        });
    }

    /// The protocol of its domain refused a join. Then [`Self::flush`].
    pub fn join_refused(&mut self, session: SessionId, group: DomainGroup, reason: &str) {
        let refused = self.groups.remove_first(group, session, |member| !member.admitted);
        if let Some(member) = refused {
            self.with((group.domain, session), |connection| {
                connection.handles.remove(&member.handle);
                connection.left(member.handle, Status::ESTATE, reason)
            });
        }
    }

    /// How many groups have local members.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    fn end_membership(&mut self, group: DomainGroup, view: &GroupView, session: SessionId) {
        let Some(member) = self.groups.remove_first(group, session, |_| true) else { return };
        let is_stopping = self.is_stopping;
        let removed = self.refusal(group.domain);
        let mut has_ended = false;
        self.with((group.domain, session), |connection| {
            let asked = connection
                .handles
                .remove(&member.handle)
                .is_some_and(|handle| handle.role == Role::Leaver);
            if is_stopping && !asked {
                return Ok(());
            }
            has_ended = removed.is_some() && !asked;
            let status = if asked { Status::OK } else { Status::ECLOSED };
            let reason = removed.filter(|_| !asked).map(|removed| removed.reason);
            connection.left(member.handle, status, reason.as_ref().unwrap_or(&view.reason))
        });
        self.domains[group.domain.index()].ended += usize::from(has_ended);
    }

    /// Gives every admitted member of a group that is wanted something; one whose session ends by
    /// it ends alone.
    fn deliver_each(
        &mut self,
        group: DomainGroup,
        wanted: impl Fn(&LocalMember) -> bool,
        give: impl Fn(&mut Connection, &LocalMember) -> Result<(), Ending>,
    ) {
        let mut ended = Vec::new();
        for member in self.groups.of(group).iter().filter(|m| m.admitted && wanted(m)) {
            let Some(Slot::Open(connection)) = self.slots.get_mut(member.slot) else { continue };
            if let Err(ending) = give(connection, member) {
                ended.push((*member, ending));
            }
            if !connection.is_dirty {
                connection.is_dirty = true;
                self.dirty.push((member.slot, member.session));
            }
        }
        for (member, ending) in ended {
            if let Some(connection) = self.take_out((member.slot, member.session)) {
                self.end(connection, member.slot, Some(&ending));
            }
        }
    }
}

/// The handle that a message was sent under, if it is still there: a session has two for a group
/// while it leaves the group and joins it again, or sends to it from outside.
fn sent_under(connection: &Connection, to: &Audience, fate: Fate) -> Option<u32> {
    if fate == Fate::Lost && !to.groups().any(|(group, _)| group != GroupId::default()) {
        // To some session; which one is not kept for so long.
        let mut handles = connection.handles.iter();
        return handles.find(|(_, handle)| handle.role.is_peer()).map(|(number, _)| *number);
    }
    if let Audience::Member(member) = to {
        let mut handles = connection.handles.iter();
        let is_one = |handle: &Handle| handle.role == Role::Peer(*member);
        return handles.find(|(_, handle)| is_one(handle)).map(|(number, _)| *number);
    }
    let groups: Vec<_> = to.groups().map(|(group, _)| connection.domain.group(group)).collect();
    let is_one = |handle: &Handle| groups.contains(&handle.group) && !handle.role.is_peer();
    let outside = fate == Fate::Done;
    let fitting = |handle: &Handle| (handle.role == Role::Sender) == outside;
    let all = || connection.handles.iter().filter(|(_, handle)| is_one(handle));
    all().find(|(_, handle)| fitting(handle)).or_else(|| all().next()).map(|(number, _)| *number)
}
