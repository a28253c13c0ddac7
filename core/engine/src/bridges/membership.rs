//! The groups of which the engine itself is a member.

use std::collections::BTreeMap;
use std::sync::Arc;

use anasazi_protocol::{Command, GroupView, Instant, MemberId, ViewCause, ViewId, ViewKind};
use anasazi_transport::Transport;

use super::own_session;
use crate::domains::{DomainGroup, DomainId, DomainSet};
use crate::storage::Storage;
use crate::turn::Table;

/// By group.
#[derive(Default)]
pub(super) struct Memberships(BTreeMap<DomainGroup, Membership>);

#[derive(Clone, Debug)]
enum Membership {
    /// It has asked to join.
    Asked,
    /// It is a member; with the last view, all in it, in their order, and whether rings merged in
    /// it.
    Member(ViewId, Arc<[MemberId]>, bool),
    /// It has asked to leave.
    Leaving,
    /// It may not join.
    Refused,
}

impl Memberships {
    /// The members of a group of which it is one.
    pub(super) fn of(&self, group: DomainGroup) -> Option<&[MemberId]> {
        match self.0.get(&group) {
            Some(Membership::Member(_, members, _)) => Some(members),
            _ => None,
        }
    }

    /// The last view of such a group.
    pub(super) fn view_of(&self, group: DomainGroup) -> Option<ViewId> {
        match self.0.get(&group) {
            Some(Membership::Member(view, ..)) => Some(*view),
            _ => None,
        }
    }

    /// Rings merged in its last view.
    pub(super) fn has_merged(&self, group: DomainGroup) -> bool {
        matches!(self.0.get(&group), Some(Membership::Member(_, _, true)))
    }

    /// A view of a group came. False if nothing changes for the engine.
    pub(super) fn view(&mut self, group: DomainGroup, me: MemberId, view: &GroupView) -> bool {
        let Some(membership) = self.0.get_mut(&group) else { return false };
        if !view.members.contains(&me) {
            return view.left.contains(&me) && self.0.remove(&group).is_some();
        }
        match membership {
            // Those who are gone are so from the next view on.
            Membership::Member(..) if view.kind == ViewKind::Transitional => return false,
            Membership::Leaving => return false,
            _ => {
                let has_merged = view.cause == ViewCause::Merge;
                *membership = Membership::Member(view.id, view.members.clone(), has_merged);
            }
        }
        true
    }

    pub(super) fn refuse(&mut self, group: DomainGroup) {
        self.0.insert(group, Membership::Refused);
    }

    pub(super) fn forget(&mut self, domain: DomainId) {
        self.0.retain(|group, _| group.domain != domain);
    }

    /// Joins groups that are needed, and leaves those that are not any more. Which domains have no
    /// room for that now.
    pub(super) fn settle<T: Transport, S: Storage>(
        &mut self,
        needed: &BTreeMap<DomainGroup, String>,
        domains: &mut Table<T, S>,
        now: Instant,
    ) -> DomainSet {
        let mut full = DomainSet::NONE;
        for (group, name) in needed {
            if self.0.contains_key(group) {
                continue;
            }
            let domain = &mut domains[group.domain];
            if domain.takes_commands() {
                let (session, name) = (own_session(domain.process), name.clone());
                domain.work().command(now, Command::Join { session, name });
                self.0.insert(*group, Membership::Asked);
            } else {
                full.insert(group.domain);
            }
        }
        let is_refused = |of: &Membership| matches!(of, Membership::Refused);
        self.0.retain(|group, of| needed.contains_key(group) || !is_refused(of));
        let is_over = |(group, of): (&DomainGroup, &mut Membership)| {
            if needed.contains_key(group) || !matches!(of, Membership::Member(..)) {
                return;
            }
            let domain = &mut domains[group.domain];
            if domain.takes_commands() {
                let session = own_session(domain.process);
                domain.work().command(now, Command::Leave { session, group: group.group });
                *of = Membership::Leaving;
            } else if domain.removal.is_none() {
                // Of one that is being removed it is put out anyway.
                full.insert(group.domain);
            }
        };
        self.0.iter_mut().for_each(is_over);
        full
    }
}

#[cfg(test)]
mod tests {
    use anasazi_protocol::{GroupId, NodeId, SessionId, ViewId};

    use super::*;

    const ME: MemberId = MemberId { node: NodeId(1), session: SessionId(256) };
    const OTHER: MemberId = MemberId { node: NodeId(2), session: SessionId(256) };

    fn view(
        kind: ViewKind,
        cause: ViewCause,
        members: &[MemberId],
        left: &[MemberId],
    ) -> GroupView {
        GroupView {
            group: GroupId::of("g"),
            name: "g".into(),
            kind,
            id: ViewId::default(),
            cause,
            reason: String::new(),
            members: members.into(),
            sets: vec![0; members.len()].into(),
            joined: Vec::new(),
            left: left.to_vec(),
            together: Vec::new(),
        }
    }

    #[test]
    fn an_engine_is_a_member_from_its_first_view_until_it_asks_to_leave() {
        use ViewKind::{Regular, Transitional};
        let (mut all, group) = (Memberships::default(), DomainId::DEFAULT.group(GroupId::of("g")));
        let both = view(Regular, ViewCause::Join, &[OTHER, ME], &[]);
        assert!(!all.view(group, ME, &both), "it has not asked");
        all.0.insert(group, Membership::Asked);
        assert!(all.view(group, ME, &both));
        assert_eq!(all.of(group), Some(&[OTHER, ME][..]));
        // Those who are gone are so from the next view on.
        assert!(!all.view(group, ME, &view(Transitional, ViewCause::Network, &[ME], &[])));
        assert_eq!(all.of(group), Some(&[OTHER, ME][..]));
        assert!(all.view(group, ME, &view(Regular, ViewCause::Merge, &[ME], &[])));
        assert!(all.of(group) == Some(&[ME]) && all.has_merged(group));
        all.0.insert(group, Membership::Leaving);
        assert!(!all.view(group, ME, &both));
        assert_eq!(all.of(group), None);
        let gone = view(Regular, ViewCause::Leave, &[OTHER], &[ME]);
        assert!(all.view(group, ME, &gone) && !all.view(group, ME, &gone));
    }
}
