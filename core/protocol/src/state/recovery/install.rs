//! The step from the old configuration to the new one. Everybody of a component computes the same from the plan, so
//! everybody delivers the same messages, in the same configurations, in the same order.

use super::Recovery;
use crate::event::{Cause, Event};
use crate::group::{Change, Place, Snapshot};
use crate::id::Configuration;
use crate::node::Node;
use crate::state::deliver::{deliver, emit};
use crate::state::gather::Failure;
use crate::state::{Operational, State};
use crate::trace::Trace;
use crate::wire::Token;

impl Recovery {
    pub(super) fn install(mut self: Box<Self>, node: &mut Node, token: Token) -> State {
        let tables = if self.components.len() > 1 { self.work.tables() } else { Some(Vec::new()) };
        let Some(tables) = tables else {
            // Everybody holds every piece, and one cannot be read: a member's bug, not to be built upon.
            node.out.stats.dropped_malformed += 1;
            return self.abort(node, Failure::timeout(Cause::RecoveryTimeout));
        };
        let change = self.change(token.last_recovery.unwrap_or(0));
        let boundary = self.deliver_in_old_configuration(node);
        let (old, new) = (self.history.ring.id, self.ring.id);
        let component = &self.components[self.mine];
        node.out.trace(|| Trace::Transitional {
            old,
            new,
            members: self
                .ring
                .members
                .iter()
                .filter(|p| component.members.contains(&p.node))
                .copied()
                .collect(),
            obligation: component.obligation.iter().copied().collect(),
        });
        let place = Place {
            configuration: Configuration::Transitional { old, new },
            ordinal: boundary,
            origin: node.me,
            frame: 0,
        };
        let mut outputs = Vec::new();
        node.groups.transitional(&change, &mut outputs);
        emit(node, place, false, outputs);
        self.deliver_in_transitional_configuration(node, boundary);
        node.out.trace(|| Trace::Regular { ring: new, members: self.ring.members.clone() });
        let tables = if tables.is_empty() {
            vec![node.groups.snapshot(&change.together)]
        } else {
            debug_assert!(tables[self.mine] == node.groups.snapshot(&change.together));
            tables
        };
        self.tell_groups(node, &change, &tables);
        self.finish(node, token)
    }

    fn change(&self, ordinal: u64) -> Change {
        let component = &self.components[self.mine];
        Change {
            new: self.ring.id,
            together: component.members.clone(),
            component: self.mine,
            ordinal,
            reason: self.history.reason(&component.members, &self.ring.members),
        }
    }

    /// Everything before the first hole and before the first safe message that is not known to be held by all of the
    /// old ring. Returns the first ordinal that is left.
    fn deliver_in_old_configuration(&mut self, node: &mut Node) -> u64 {
        let component = &self.components[self.mine];
        let ring = &self.history.ring;
        let mut next = ring.delivered + 1;
        while next < component.hole
            && let Some(held) = ring.store.get(next)
            && (!held.safe || next <= component.safe_line)
        {
            deliver(node, &ring.members, Configuration::Regular(ring.id), next, held);
            next += 1;
        }
        next
    }

    fn deliver_in_transitional_configuration(&mut self, node: &mut Node, boundary: u64) {
        let component = &self.components[self.mine];
        let ring = &self.history.ring;
        let configuration = Configuration::Transitional { old: ring.id, new: self.ring.id };
        for ordinal in boundary..=component.high {
            if let Some(held) = ring.store.get(ordinal)
                && component.is_held(ordinal)
                && component.is_deliverable(ordinal, held.origin)
            {
                deliver(node, &ring.members, configuration, ordinal, held);
            }
        }
    }

    fn tell_groups(&self, node: &mut Node, change: &Change, tables: &[Snapshot]) {
        let mut outputs = Vec::new();
        node.groups.install(change, tables, &mut outputs);
        let place = Place {
            configuration: Configuration::Regular(self.ring.id),
            ordinal: change.ordinal,
            origin: node.me,
            frame: 0,
        };
        emit(node, place, false, outputs);
    }

    fn finish(mut self: Box<Self>, node: &mut Node, token: Token) -> State {
        node.queue.restart_unfinished();
        node.out.stats.configurations_installed += 1;
        node.out.event(Event::State {
            from: "recovery",
            to: "operational",
            cause: self.history.cause.clone(),
        });
        node.out.event(Event::Installed {
            ring: self.ring.id,
            members: self.ring.members.clone(),
            cause: self.history.cause.clone(),
            took_us: node.now.since(self.history.left_at).as_micros() as u64,
            multicast: self.ring.multicast,
        });
        let last = token.last_recovery.unwrap_or(0);
        self.ring.delivered = self.ring.delivered.max(last);
        let token = (!self.ring.is_alone()).then_some(token);
        Operational::enter(node, self.ring, token)
    }
}

/// The component's table as it will be once everything that remains of the old ring is delivered.
pub(super) fn table_to_come(recovery: &Recovery, node: &Node) -> Snapshot {
    let component = &recovery.components[recovery.mine];
    let ring = &recovery.history.ring;
    let mut groups = node.groups.clone();
    let mut ignored = Vec::new();
    for ordinal in ring.delivered + 1..=component.high {
        if let Some(held) = ring.store.get(ordinal)
            && component.is_held(ordinal)
            && component.is_deliverable(ordinal, held.origin)
            && let Some(origin) = ring.members.iter().find(|p| p.node == held.origin)
        {
            let configuration = Configuration::Regular(ring.id);
            let place = Place { configuration, ordinal, origin: *origin, frame: 0 };
            groups.packet(place, held.safe, &held.content, &mut ignored);
            ignored.clear();
        }
    }
    groups.snapshot(&component.members)
}
