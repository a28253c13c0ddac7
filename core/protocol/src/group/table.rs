//! The table of groups, and the ordered messages that change it: joins, leaves and messages are one
//! sequence, the same at every node (axioms G1, G2, G3, G5, G6), and a same-view message that
//! reaches another view is delivered to nobody (G7).

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::fragments::Fragments;
use super::message::Reached;
use crate::contract::Statement;
use crate::id::{Configuration, GroupId, MemberId, NodeId, Process, SessionId, ViewId};
use crate::limits;
use crate::output::{Fate, GroupView, Pieces, Recipients, ViewCause, ViewKind};
use crate::service::{Audience, Service};
use crate::wire::audience::split_head;
use crate::wire::frame::{Frame, FrameKind};
use crate::wire::{Reader, WireError};

/// One group, as every node has it.
#[derive(Clone, Hash)]
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    /// In the order of joining.
    pub(crate) members: Vec<MemberId>,
    pub(crate) view: ViewId,
    /// Messages so far in this view.
    pub(crate) sequence: u64,
}

/// All groups of the domain.
#[derive(Clone, Hash)]
pub(crate) struct Groups {
    pub(super) node: NodeId,
    pub(super) table: BTreeMap<GroupId, Group>,
    /// Of how many groups each session is a member; follows from the table.
    pub(super) memberships: BTreeMap<MemberId, usize>,
    pub(super) fragments: Fragments,
    /// From the transitional signal to the next configuration: the nodes that move together.
    pub(super) moving: Option<Vec<NodeId>>,
}

/// Where in the order something happens.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) configuration: Configuration,
    pub(crate) ordinal: u64,
    pub(crate) origin: Process,
    /// The frame within the packet, from 1; 0 for the packet as a whole.
    pub(crate) frame: u32,
    /// This node's component, in a change of configuration.
    pub(crate) component: usize,
}

/// What a change of the table has to say.
pub(crate) enum GroupOutput {
    View(GroupView),
    Refused {
        session: SessionId,
        group: GroupId,
        reason: &'static str,
    },
    /// Of a node, about a contract.
    Statement {
        by: NodeId,
        statement: Statement,
    },
    /// Of an engine, for the other engines.
    Notice {
        by: Process,
        content: Bytes,
    },
}

/// A whole message was reached.
pub(crate) struct Whole {
    pub(crate) counter: u64,
    pub(crate) sender: MemberId,
    pub(crate) service: Service,
    pub(crate) no_self: bool,
    pub(crate) payload: Pieces,
    /// The local sessions that get it, if any do.
    pub(crate) to: Option<Recipients>,
    /// What to tell its sender, unless that sees the message itself.
    pub(crate) receipt: Option<(Audience, Fate)>,
    /// False if it changes what no member of ours changes so.
    pub(crate) is_sound: bool,
}

impl Groups {
    pub(crate) fn new(node: NodeId) -> Self {
        let (table, memberships) = (BTreeMap::new(), BTreeMap::new());
        Self { node, table, memberships, fragments: Fragments::default(), moving: None }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        self.table.iter()
    }

    pub(crate) fn has_member(&self, group: GroupId, member: MemberId) -> bool {
        self.table.get(&group).is_some_and(|group| group.members.contains(&member))
    }

    pub(crate) fn name(&self, group: GroupId) -> Option<&str> {
        self.table.get(&group).map(|group| &*group.name)
    }

    /// Bytes of large messages of which pieces are missing.
    pub(crate) fn fragment_bytes(&self) -> usize {
        self.fragments.bytes()
    }

    /// Sessions of this node that are in any group.
    pub(crate) fn local_sessions(&self) -> Vec<SessionId> {
        let members = self.table.values().flat_map(|g| &g.members);
        let mut local: Vec<_> =
            members.filter(|m| m.node == self.node).map(|m| m.session).collect();
        local.sort_unstable();
        local.dedup();
        local
    }

    /// Applies the frames of an ordered packet, and tells of each whole message, with what it has
    /// changed. Returns how many frames no member of ours makes: all drop these alike, and a broken
    /// one with all that follow it.
    pub(crate) fn packet(
        &mut self,
        mut place: Place,
        content: &Bytes,
        mut tell: impl FnMut(&Place, Whole, Vec<GroupOutput>),
    ) -> u64 {
        let mut malformed = 0;
        let mut r = Reader::new(content);
        while r.remaining() > 0 {
            let Ok(frame) = Frame::decode(&mut r) else { return malformed + 1 };
            place.frame += 1;
            let mut changes = Vec::new();
            match self.frame(&place, frame, &mut changes) {
                Ok(Some(whole)) => {
                    malformed += u64::from(!whole.is_sound);
                    tell(&place, whole, changes);
                }
                Ok(None) => {}
                Err(_) => malformed += 1,
            }
        }
        malformed
    }

    /// The message that the frame completes, if it does.
    fn frame(
        &mut self,
        place: &Place,
        frame: Frame,
        changes: &mut Vec<GroupOutput>,
    ) -> Result<Option<Whole>, WireError> {
        let Frame { kind, no_self, service, session, group, counter, fragment, payload } = frame;
        let node = place.origin.node;
        let mut payload = match fragment {
            None => Pieces::One(payload),
            Some(fragment) => match self.fragments.add(node, counter, fragment, payload)? {
                Some(pieces) => Pieces::Several(pieces),
                None => return Ok(None),
            },
        };
        let sender = MemberId { node, session };
        let (mut to, mut receipt, mut is_sound) = (None, None, true);
        if let FrameKind::Message(scope) = kind {
            let audience = split_head(scope, group, &mut payload)?;
            let reached = self.reach(sender, &audience);
            (to, receipt) = (reached.to, reached.fate.map(|fate| (audience, fate)));
        } else {
            // No member cuts what is so short.
            let content = payload.last().cloned().unwrap_or_default();
            is_sound = self.change(place, sender, (kind, group, &content), changes);
        }
        let whole = Whole { counter, sender, service, no_self, payload, to, receipt, is_sound };
        Ok(Some(whole))
    }

    /// A session joins or leaves, or a node says something. False if it makes no sense.
    fn change(
        &mut self,
        place: &Place,
        member: MemberId,
        (kind, group, content): (FrameKind, GroupId, &Bytes),
        out: &mut Vec<GroupOutput>,
    ) -> bool {
        match kind {
            FrameKind::Message(_) => {}
            FrameKind::Join => return self.join(place, member, (group, content), out),
            FrameKind::Leave => self.remove(place, member, group, ViewCause::Leave, out),
            FrameKind::Disconnect => {
                let joined = self.table.iter().filter(|(_, g)| g.members.contains(&member));
                let ids: Vec<_> = joined.map(|(id, _)| *id).collect();
                for id in ids {
                    self.remove(place, member, id, ViewCause::Disconnect, out);
                }
            }
            FrameKind::Statement => {
                let Ok(statement) = Statement::decode(&mut Reader::new(content)) else {
                    return false;
                };
                out.push(GroupOutput::Statement { by: member.node, statement });
            }
            FrameKind::Notice => {
                out.push(GroupOutput::Notice { by: place.origin, content: content.clone() });
            }
        }
        true
    }

    /// Whom a message without order reaches now, and what to tell its sender, unless that sees it
    /// itself.
    pub(crate) fn unordered(
        &self,
        sender: MemberId,
        audience: &Audience,
    ) -> (Option<Recipients>, Option<Fate>) {
        let Reached { to, fate } = self.find_unordered(sender, audience);
        (to, fate)
    }

    /// False if it is not a join: its name is none, or is not that of the group.
    fn join(
        &mut self,
        place: &Place,
        member: MemberId,
        (id, name): (GroupId, &[u8]),
        out: &mut Vec<GroupOutput>,
    ) -> bool {
        let name = core::str::from_utf8(name).unwrap_or_default();
        let valid =
            !name.is_empty() && name.len() <= limits::GROUP_NAME_LEN_MAX && GroupId::of(name) == id;
        let full = self.table.len() >= limits::GROUPS_MAX;
        let refusal = match self.table.get(&id) {
            _ if !valid => Some("the group's name is not valid"),
            Some(group) if *group.name != *name => {
                Some("another group exists whose name has the same hash: choose another name")
            }
            Some(group) if group.members.contains(&member) => Some("already a member"),
            None if full => Some("the domain has as many groups as it can have"),
            _ => None,
        };
        if let Some(reason) = refusal {
            if member.node == self.node {
                out.push(GroupOutput::Refused { session: member.session, group: id, reason });
            }
            return valid;
        }
        let group = self.table.entry(id).or_insert_with(|| Group {
            name: name.into(),
            members: Vec::new(),
            view: ViewId::default(),
            sequence: 0,
        });
        group.members.push(member);
        *self.memberships.entry(member).or_insert(0) += 1;
        group.restart(place);
        if let Some(mut view) = group.view_for(self.node, id, &[]) {
            view.cause = ViewCause::Join;
            view.reason = format!("session {member} joined");
            view.joined = vec![member];
            self.tell_together(&mut view);
            out.push(GroupOutput::View(view));
        }
        true
    }

    fn remove(
        &mut self,
        place: &Place,
        member: MemberId,
        id: GroupId,
        cause: ViewCause,
        out: &mut Vec<GroupOutput>,
    ) {
        let Some(group) = self.table.get_mut(&id) else { return };
        let Some(at) = group.members.iter().position(|m| *m == member) else { return };
        group.members.remove(at);
        if let Some(count) = self.memberships.get_mut(&member) {
            *count -= 1;
            if *count == 0 {
                self.memberships.remove(&member);
            }
        }
        group.restart(place);
        let view = group.view_for(self.node, id, &[member]);
        if group.members.is_empty() {
            self.table.remove(&id);
        }
        if let Some(mut view) = view {
            view.cause = cause;
            view.reason = match cause {
                ViewCause::Leave => format!("session {member} left"),
                _ => format!("session {member} ended without leaving"),
            };
            view.left = vec![member];
            self.tell_together(&mut view);
            out.push(GroupOutput::View(view));
        }
    }

    /// Who was in the view before has come together, but for those whom the transitional signal
    /// left out (axiom G4).
    fn tell_together(&self, view: &mut GroupView) {
        let is_along = |m: &MemberId| self.moving.as_ref().is_none_or(|all| all.contains(&m.node));
        let set = |m: &MemberId| match view.joined.contains(m) {
            true => 1,
            false if is_along(m) => 0,
            false => 2,
        };
        let sets: Vec<u32> = view.members.iter().map(set).collect();
        let own = view.members.iter().zip(&sets).filter(|(_, set)| **set == 0);
        view.together = own.map(|(m, _)| *m).collect();
        view.sets = sets.into();
    }
}

impl Group {
    /// Another part of the old ring may reach the same ordinal behind another hole, so a view of a
    /// transitional configuration is named after that configuration: after the new ring, and the
    /// component.
    fn restart(&mut self, place: &Place) {
        self.sequence = 0;
        self.view = match place.configuration {
            Configuration::Regular(ring) => {
                ViewId { ring, ordinal: place.ordinal, sub: place.frame }
            }
            Configuration::Transitional { new, .. } => {
                let sub = 1 << 31 | (place.component as u32) << 16 | place.frame;
                ViewId { ring: new, ordinal: place.ordinal, sub }
            }
        };
    }

    /// A view of the group as it is now, if a session of `node` is in it or among `left`.
    pub(super) fn view_for(
        &self,
        node: NodeId,
        group: GroupId,
        left: &[MemberId],
    ) -> Option<GroupView> {
        let concerned = self.members.iter().chain(left).any(|m| m.node == node);
        concerned.then(|| GroupView {
            group,
            name: self.name.clone(),
            kind: ViewKind::Regular,
            id: self.view,
            cause: ViewCause::Join,
            reason: String::new(),
            members: self.members.as_slice().into(),
            sets: vec![0; self.members.len()].into(),
            joined: Vec::new(),
            left: Vec::new(),
            together: Vec::new(),
        })
    }
}
