//! What a new configuration does to groups: the transitional signal to those that lose members,
//! then one view for each group of which the members or the sets change; other groups see nothing
//! (axioms G8, G9, G10).

use std::collections::{BTreeMap, BTreeSet};

use super::snapshot::{Snapshot, SnapshotGroup};
use super::table::{Group, GroupOutput, Groups};
use crate::id::{GroupId, MemberId, NodeId, RingId, ViewId};
use crate::output::{GroupView, ViewCause, ViewKind};
use crate::planted::{self, planted};

/// A change of configuration, as seen by one component.
pub(crate) struct Change {
    pub(crate) new: RingId,
    /// The nodes of this node's component: they move together.
    pub(crate) together: Vec<NodeId>,
    /// The component's place among all components.
    pub(crate) component: usize,
    /// The ordinal after which the new ring's messages begin.
    pub(crate) ordinal: u64,
    /// Who is gone is so because a member broke the contract.
    pub(crate) is_demotion: bool,
    /// For people: who is gone or new, and on what evidence.
    pub(crate) reason: String,
}

impl Change {
    /// Of a loss.
    fn cause(&self) -> ViewCause {
        if self.is_demotion { ViewCause::Demoted } else { ViewCause::Network }
    }
}

impl Groups {
    /// What is unfinished now is never finished.
    pub(crate) fn forget_fragments(&mut self) {
        self.fragments.clear();
    }

    /// The transitional signal.
    pub(crate) fn transitional(&mut self, change: &Change, out: &mut Vec<GroupOutput>) {
        self.moving = Some(change.together.clone());
        for (id, group) in &self.table {
            let stays = |m: &&MemberId| change.together.contains(&m.node);
            let members: Vec<_> = group.members.iter().filter(stays).copied().collect();
            if members.len() == group.members.len() || !members.iter().any(|m| m.node == self.node)
            {
                continue;
            }
            let ordinal = change.component as u64;
            out.push(GroupOutput::View(GroupView {
                group: *id,
                name: group.name.clone(),
                kind: ViewKind::Transitional,
                id: ViewId { ring: change.new, ordinal, sub: 1 },
                cause: change.cause(),
                reason: change.reason.clone(),
                sets: vec![0; members.len()].into(),
                joined: Vec::new(),
                left: without(&group.members, &members),
                together: members.clone(),
                members: members.into(),
            }));
        }
    }

    /// Replaces the table by what all components bring along, in their order, and tells local
    /// members.
    pub(crate) fn install(
        &mut self,
        change: &Change,
        components: &[Snapshot],
        out: &mut Vec<GroupOutput>,
    ) {
        self.forget_fragments();
        self.moving = None;
        let before = core::mem::take(&mut self.table);
        let merged = merge(components);
        for (id, parts) in &merged {
            let group = Group::from_parts(change, parts);
            if let Some(view) = self.network_view(change, *id, &group, parts, before.get(id)) {
                out.push(GroupOutput::View(view));
            }
            self.table.insert(*id, group);
        }
        self.memberships.clear();
        for member in self.table.values().flat_map(|g| &g.members) {
            *self.memberships.entry(*member).or_insert(0) += 1;
        }
        // This node is in its own component.
        let is_kept = |(id, g): (&GroupId, &Group)| {
            merged.contains_key(id) || g.members.iter().all(|m| m.node != self.node)
        };
        let all_kept = before.iter().all(is_kept) || planted::any();
        assert!(all_kept, "a group of this node's clients is gone");
    }

    fn network_view(
        &self,
        change: &Change,
        id: GroupId,
        group: &Group,
        parts: &Parts<'_>,
        before: Option<&Group>,
    ) -> Option<GroupView> {
        if !parts.is_affected() {
            return None;
        }
        let old = before.map_or(&[][..], |g| &g.members);
        let left = without(old, &group.members);
        let mut view = group.view_for(self.node, id, &left)?;
        view.cause = if parts.components.len() > 1 { ViewCause::Merge } else { change.cause() };
        view.reason.clone_from(&change.reason);
        view.sets = parts.sets(change.component).into();
        // A member that was in the old view but comes by another way has seen other things.
        let is_hidden = |m: &MemberId| planted!("together_is_me") && m.node != self.node;
        let together =
            |m: &&MemberId| change.together.contains(&m.node) && old.contains(m) && !is_hidden(m);
        view.together = group.members.iter().filter(together).copied().collect();
        view.joined = without(&group.members, old);
        view.left = left;
        Some(view)
    }
}

/// One group's parts, by component.
struct Parts<'a> {
    components: Vec<(usize, &'a SnapshotGroup)>,
}

impl Parts<'_> {
    fn is_affected(&self) -> bool {
        self.components.len() > 1 || self.components.iter().any(|(_, g)| g.lost)
    }

    /// Per member the set it comes with: 0 for `own`, the others counted up.
    fn sets(&self, own: usize) -> Vec<u32> {
        let mut others = 0;
        let mut sets = Vec::new();
        for (component, group) in &self.components {
            let set = if *component == own {
                0
            } else {
                others += 1;
                others
            };
            sets.extend(group.members.iter().map(|_| set));
        }
        sets
    }
}

impl Group {
    fn from_parts(change: &Change, parts: &Parts<'_>) -> Self {
        let first = parts.components[0].1;
        let affected = ViewId { ring: change.new, ordinal: change.ordinal, sub: 0 };
        Self {
            name: first.name.as_str().into(),
            members: parts.components.iter().flat_map(|(_, g)| g.members.clone()).collect(),
            view: if parts.is_affected() { affected } else { first.view },
            sequence: if parts.is_affected() { 0 } else { first.sequence },
        }
    }
}

fn merge(components: &[Snapshot]) -> BTreeMap<GroupId, Parts<'_>> {
    let mut merged: BTreeMap<GroupId, Parts<'_>> = BTreeMap::new();
    for (index, snapshot) in components.iter().enumerate() {
        for group in &snapshot.groups {
            let parts = merged
                .entry(GroupId::of(&group.name))
                .or_insert_with(|| Parts { components: Vec::new() });
            parts.components.push((index, group));
        }
    }
    merged
}

fn without(list: &[MemberId], other: &[MemberId]) -> Vec<MemberId> {
    let other: BTreeSet<_> = other.iter().collect();
    list.iter().filter(|m| !other.contains(m)).copied().collect()
}
