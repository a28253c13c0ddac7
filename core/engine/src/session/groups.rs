//! Which local sessions are in which group, under which of their handles.

use std::collections::HashMap;

use anasazi_protocol::SessionId;

use crate::domains::DomainGroup;

/// The local memberships of all groups.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<DomainGroup, Vec<LocalMember>>);

/// One handle of one session. A session that leaves a group and joins it again has two, the leaving
/// one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalMember {
    pub(super) slot: usize,
    pub(super) session: SessionId,
    pub(super) handle: u32,
    /// A view with the session has come, so messages are for it.
    pub(super) admitted: bool,
}

impl Groups {
    pub(super) fn of(&self, group: DomainGroup) -> &[LocalMember] {
        self.0.get(&group).map_or(&[], Vec::as_slice)
    }

    /// A session asks to join.
    pub(super) fn add(&mut self, group: DomainGroup, member: LocalMember) {
        self.0.entry(group).or_default().push(member);
    }

    /// A view has this session in it: its first handle is a member's from now on.
    pub(super) fn admit(&mut self, group: DomainGroup, session: SessionId) {
        let members = self.0.get_mut(&group);
        if let Some(first) = members.and_then(|m| m.iter_mut().find(|m| m.session == session)) {
            first.admitted = true;
        }
    }

    /// Takes out the session's first handle that fits, which is the one whose membership ends
    /// first.
    pub(super) fn remove_first(
        &mut self,
        group: DomainGroup,
        session: SessionId,
        fits: impl Fn(&LocalMember) -> bool,
    ) -> Option<LocalMember> {
        let members = self.0.get_mut(&group)?;
        let index = members.iter().position(|m| m.session == session && fits(m))?;
        let member = members.remove(index);
        if members.is_empty() {
            self.0.remove(&group);
        }
        Some(member)
    }

    /// How many groups have local members or joiners.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
