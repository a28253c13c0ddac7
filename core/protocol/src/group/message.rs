//! Whom a message reaches, from replicated state only: every node decides alike.

use crate::id::{GroupId, MemberId, NodeId, ViewId};
use crate::output::{Fate, Recipients};
use crate::planted::planted;
use crate::service::Audience;

use super::table::{Group, Groups};

/// What comes of a message at its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// Those of this node who get it.
    pub(super) to: Option<Recipients>,
    /// What to tell its sender, unless that sees the message itself.
    pub(super) fate: Option<Fate>,
}

impl Reached {
    /// A group that has no members.
    const NOBODY: Self = Self { to: None, fate: Some(Fate::Done) };
}

impl Groups {
    /// An ordered message is at its place: it counts in its groups, unless it is refused.
    pub(super) fn reach(&mut self, sender: MemberId, audience: &Audience) -> Reached {
        // Nearly all are for one group, which is looked up once.
        if let Audience::Group(id, None) = audience {
            let Some(group) = self.table.get_mut(id) else { return Reached::NOBODY };
            group.sequence += 1;
            return group.reached(self.node, *id, sender, true);
        }
        let other = |(group, view): (GroupId, Option<ViewId>)| {
            let other = |view| self.table.get(&group).is_none_or(|g| g.view != view);
            view.is_some_and(other) && !planted!("same_view_anywhere")
        };
        if audience.groups().any(other) {
            return Reached { to: None, fate: Some(Fate::OtherView) };
        }
        for (id, _) in audience.groups() {
            if let Some(group) = self.table.get_mut(&id) {
                group.sequence += 1;
            }
        }
        self.find(sender, audience, true)
    }

    /// A message without order is here, or is sent.
    pub(super) fn find_unordered(&self, sender: MemberId, audience: &Audience) -> Reached {
        self.find(sender, audience, false)
    }

    fn find(&self, sender: MemberId, audience: &Audience, ordered: bool) -> Reached {
        if let Audience::Member(member) = audience {
            let known = self.memberships.contains_key(member);
            let here = known && member.node == self.node;
            let fate = if known { Fate::Done } else { Fate::NotMember };
            return Reached {
                to: here.then_some(Recipients::Session(member.session)),
                fate: (!known || *member != sender).then_some(fate),
            };
        }
        if let Audience::Group(id, _) = audience {
            let group = self.table.get(id);
            return group.map_or(Reached::NOBODY, |g| g.reached(self.node, *id, sender, ordered));
        }
        let groups = || audience.groups().filter_map(|(id, _)| Some((id, self.table.get(&id)?)));
        let position =
            |(id, group): (GroupId, &Group)| Some((id, group.position(self.node, ordered)?));
        let local: Vec<_> = groups().filter_map(position).collect();
        let to = (!local.is_empty()).then_some(Recipients::Groups(local));
        let inside = groups().any(|(_, group)| group.members.contains(&sender));
        Reached { to, fate: (!inside).then_some(Fate::Done) }
    }
}

impl Group {
    /// What comes of a message to this group alone.
    fn reached(&self, node: NodeId, id: GroupId, sender: MemberId, ordered: bool) -> Reached {
        let to = self.position(node, ordered).map(|at| Recipients::Group(id, at));
        let inside = self.members.contains(&sender);
        Reached { to, fate: (!inside).then_some(Fate::Done) }
    }

    /// The message's position, if there are members at this node.
    fn position(&self, node: NodeId, ordered: bool) -> Option<u64> {
        let local = self.members.iter().any(|m| m.node == node);
        local.then_some(if ordered { self.sequence } else { 0 })
    }
}
