//! From the protocol to the clients' receive rings.

use std::collections::HashSet;

use anasazi_protocol::{GroupId, GroupView, MessageDelivery, SessionId, ViewKind};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::event;
use anasazi_queue::status::Status;

use super::connection::{Connection, Ending, Role};
use super::encode::{message_head, view_body, view_head};
use super::groups::LocalMember;
use super::{Sessions, Slot};

impl Sessions {
    /// A message for the local members of its group. Then [`Self::flush`].
    pub fn message(&mut self, message: &MessageDelivery) {
        // Sessions of different nodes may have the same number.
        let is_ours = message.sender.node == self.identity.node;
        let is_own = |member: &LocalMember| is_ours && member.session == message.sender.session;
        self.deliver_each(
            message.group,
            |member| !(message.no_self && is_own(member)),
            |connection, member| {
                connection.messages_received += 1;
                let head = message_head(message, member.handle, is_own(member));
                connection.deliver(event::MESSAGE, head.as_bytes(), &message.payload)
            },
        );
    }

    /// A view for the local members of its group: it admits those who joined, and ends the handles
    /// of those who left. Then [`Self::flush`].
    pub fn view(&mut self, view: &GroupView) {
        let own_node = self.identity.node;
        let is_local = |id: &&anasazi_protocol::MemberId| id.node == own_node;
        if view.kind == ViewKind::Regular {
            for id in view.left.iter().filter(is_local) {
                self.end_membership(view, id.session);
            }
            for id in view.joined.iter().filter(is_local) {
                // A handle that is still there has missed its end.
                let is_again = |m: &&LocalMember| m.session == id.session && m.admitted;
                if self.groups.of(view.group).iter().any(|m| is_again(&m)) {
                    self.end_membership(view, id.session);
                }
                self.groups.admit(view.group, id.session);
            }
        }
        let present: HashSet<SessionId> =
            view.members.iter().filter(is_local).map(|id| id.session).collect();
        let body = [view_body(view)];
        self.deliver_each(
            view.group,
            |member| present.contains(&member.session),
            |connection, member| {
                let head = view_head(view, member.handle);
                connection.deliver(event::VIEW, head.as_bytes(), &body)
            },
        );
    }

    /// A tagged message of a session that is no member of the group has its place in the order: the
    /// tag's end. Then [`Self::flush`].
    pub fn ordered(&mut self, session: SessionId, group: GroupId, tag: u64) {
        self.with(session, |connection| {
            let of_group = || connection.handles.iter().filter(|(_, h)| h.group == group);
            let sender = of_group().find(|(_, handle)| handle.role == Role::Sender);
            match sender.or_else(|| of_group().next()).map(|(handle, _)| *handle) {
                Some(handle) => connection.receipt(handle, Status::OK, tag),
                None => Ok(()),
            }
        });
    }

    /// The protocol refused a join. Then [`Self::flush`].
    pub fn join_refused(&mut self, session: SessionId, group: GroupId, reason: &str) {
        let refused = self.groups.remove_first(group, session, |member| !member.admitted);
        if let Some(member) = refused {
            self.with(session, |connection| {
                connection.handles.remove(&member.handle);
                connection.left(member.handle, Status::ESTATE, reason)
            });
        }
    }

    /// How many groups have local members.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    fn end_membership(&mut self, view: &GroupView, session: SessionId) {
        let Some(member) = self.groups.remove_first(view.group, session, |_| true) else { return };
        let is_stopping = self.is_stopping;
        self.with(session, |connection| {
            let asked = connection
                .handles
                .remove(&member.handle)
                .is_some_and(|handle| handle.role == Role::Leaver);
            if is_stopping && !asked {
                return Ok(());
            }
            let status = if asked { Status::OK } else { Status::ECLOSED };
            connection.left(member.handle, status, &view.reason)
        });
    }

    /// Gives every admitted member of a group that is wanted something; one whose session ends by
    /// it ends alone.
    fn deliver_each(
        &mut self,
        group: GroupId,
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
