//! Whom a message reaches, from replicated state only: every node decides alike.

use crate::id::{GroupId, MemberId, ViewId};
use crate::output::{Fate, Recipients};
use crate::planted::planted;
use crate::service::Audience;

use super::table::Groups;

/// What comes of a message at its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// Those of this node who get it.
    pub(super) to: Option<Recipients>,
    /// What to tell its sender, unless that sees the message itself.
    pub(super) fate: Option<Fate>,
}

impl Groups {
    /// An ordered message is at its place: it counts in its groups, unless it is refused.
    pub(super) fn reach(&mut self, sender: MemberId, audience: &Audience) -> Reached {
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
        let position = |id: GroupId| {
            let group = self.table.get(&id)?;
            let local = group.members.iter().any(|m| m.node == self.node);
            local.then_some((id, if ordered { group.sequence } else { 0 }))
        };
        let to = match audience {
            Audience::Group(id, _) => position(*id).map(|(id, at)| Recipients::Group(id, at)),
            _ => {
                let local: Vec<_> = audience.groups().filter_map(|(id, _)| position(id)).collect();
                (!local.is_empty()).then_some(Recipients::Groups(local))
            }
        };
        let inside = audience.groups().any(|(id, _)| self.is_member(id, sender));
        Reached { to, fate: (!inside).then_some(Fate::Done) }
    }

    fn is_member(&self, group: GroupId, member: MemberId) -> bool {
        self.table.get(&group).is_some_and(|g| g.members.contains(&member))
    }
}
