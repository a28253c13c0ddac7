//! The step from the old configuration to the new one. Everybody of a component computes the same
//! from the plan, so everybody delivers the same messages, in the same configurations, in the same
//! order (axioms C2, C3, C5 and VS). The plan has this node (C1), and nobody installs it before all
//! have it, so that the others do as well (C6).

use super::Recovery;
use crate::event::{Cause, Event};
use crate::group::{Change, Place, Snapshot};
use crate::id::{Configuration, Process};
use crate::node::Node;
use crate::planted::{self, planted};
use crate::state::deliver::{deliver, emit};
use crate::state::gather::Failure;
use crate::state::transitions::{At, Why};
use crate::state::{Operational, State};
use crate::trace::Trace;
use crate::wire::{Gone, Token};

impl Recovery {
    pub(super) fn install(self: Box<Self>, node: &mut Node, token: Token) -> State {
        let tables = if self.components.len() > 1 { self.work.tables() } else { Some(Vec::new()) };
        // Everybody holds every packet; one that cannot be read, or a piece of a table, is a
        // member's bug, not to be built upon. Nor is another table of the own component than this
        // node has.
        let is_ours = |tables: &Vec<Snapshot>| {
            let mut mine = tables.get(self.mine).into_iter();
            planted::any() || mine.all(|table| *table == table_to_come(&self, node))
        };
        let Some(tables) = tables.filter(|t| self.work.is_complete() && is_ours(t)) else {
            node.out.stats.dropped_malformed += 1;
            return self.abort(node, Failure::of(Cause::Contradiction));
        };
        let remaining = self.components[self.mine].remaining(&self.history.ring);
        if planted!("fragments_cleared_early") {
            node.groups.forget_fragments();
        }
        let (regular, transitional) = self.configurations();
        let ordinal = token.last_recovery.unwrap_or(0);
        if let Some(keeper) = &mut node.contract {
            keeper.moves_to(&self.ring.members);
        }
        // What is delivered may say why the ring is left.
        self.deliver_remaining(node, regular, &remaining.regular);
        self.signal_transition(node, &self.change(node, ordinal));
        self.deliver_remaining(node, transitional, &remaining.transitional);
        let change = self.change(node, ordinal);
        let new = self.ring.id;
        node.out.trace(|| Trace::Regular { ring: new, members: self.ring.members.clone() });
        let tables = if tables.is_empty() || planted!("table_of_own_component") {
            vec![node.groups.snapshot(&change.together)]
        } else {
            let same = tables[self.mine] == node.groups.snapshot(&change.together);
            assert!(same || planted::any(), "this component's table is not what this node has");
            tables
        };
        self.tell_groups(node, &change, &tables);
        self.finish(node, token)
    }

    fn signal_transition(&self, node: &mut Node, change: &Change) {
        let component = &self.components[self.mine];
        node.out.trace(|| Trace::Transitional {
            old: self.history.ring.id,
            new: self.ring.id,
            members: self
                .ring
                .members
                .iter()
                .filter(|p| {
                    component.members.contains(&p.node) || planted!("transitional_of_the_new_ring")
                })
                .copied()
                .collect(),
            obligation: component.obligation.iter().copied().collect(),
            safe_line: component.safe_line,
        });
        let mut outputs = Vec::new();
        node.groups.transitional(change, &mut outputs);
        emit(node.me, (&mut node.out, node.contract.as_deref_mut(), node.now), outputs);
    }

    fn change(&self, node: &Node, ordinal: u64) -> Change {
        let component = &self.components[self.mine];
        let keeper = node.contract.as_ref();
        Change {
            new: self.ring.id,
            together: component.members.clone(),
            component: self.mine,
            ordinal,
            is_demotion: keeper.is_some_and(|k| k.parts(&component.members).is_some()),
            reason: self.history.reason(node, &component.members, &self.ring.members),
        }
    }

    /// Hands on what remains of the old ring, in the given configuration.
    fn deliver_remaining(&self, node: &mut Node, configuration: Configuration, ordinals: &[u64]) {
        let ring = &self.history.ring;
        for ordinal in ordinals {
            if let Some(held) = ring.store.get(*ordinal) {
                deliver(node, &ring.members, (configuration, self.mine), *ordinal, held);
            }
        }
    }

    fn configurations(&self) -> (Configuration, Configuration) {
        let (old, new) = (self.history.ring.id, self.ring.id);
        (Configuration::Regular(old), Configuration::Transitional { old, new })
    }

    fn tell_groups(&self, node: &mut Node, change: &Change, tables: &[Snapshot]) {
        let mut outputs = Vec::new();
        node.groups.install(change, tables, &mut outputs);
        emit(node.me, (&mut node.out, node.contract.as_deref_mut(), node.now), outputs);
    }

    /// Whoever left, started again, or was put out, was not lost.
    fn note_losses(&self, node: &mut Node) {
        let has_ended = |p: &Process| {
            let gone = self.history.dead.get(p);
            matches!(gone, Some(Gone::Left | Gone::Restarted | Gone::Demoted(_)))
        };
        for member in &self.history.ring.members {
            if !self.ring.has_member(*member) && !has_ended(member) {
                node.flaps.lost(member.node, node.now);
            }
        }
    }

    fn finish(mut self: Box<Self>, node: &mut Node, token: Token) -> State {
        if !planted!("fragments_not_restarted") {
            node.queue.restart_unfinished();
        }
        self.note_losses(node);
        node.out.stats.configurations_installed += 1;
        node.moved(At::Operational, Why::Complete, &self.history.cause);
        node.out.event(Event::Installed {
            ring: self.ring.id,
            members: self.ring.members.clone(),
            cause: self.history.cause.clone(),
            took_us: node.now.since(self.history.left_at).as_micros() as u64,
            multicast: self.ring.multicast,
        });
        let last = token.last_recovery.unwrap_or(0);
        self.ring.delivered = self.ring.delivered.max(last);
        Operational::enter(node, self.ring)
    }
}

/// The component's table as it will be once everything that remains of the old ring is delivered.
pub(super) fn table_to_come(recovery: &Recovery, node: &Node) -> Snapshot {
    let component = &recovery.components[recovery.mine];
    if planted!("table_of_now") {
        return node.groups.snapshot(&component.members);
    }
    let ring = &recovery.history.ring;
    let remaining = component.remaining(ring);
    let (regular, transitional) = recovery.configurations();
    let regular = remaining.regular.iter().map(|n| (*n, regular));
    let transitional = remaining.transitional.iter().map(|n| (*n, transitional));
    let mut groups = node.groups.clone();
    for (ordinal, configuration) in regular.chain(transitional) {
        if let Some(held) = ring.store.get(ordinal)
            && let Some(origin) = ring.members.iter().find(|p| p.node == held.origin)
        {
            let origin = *origin;
            let component = recovery.mine;
            let place = Place { configuration, ordinal, origin, frame: 0, component };
            groups.packet(place, &held.content, |_, _, _| {});
        }
    }
    groups.snapshot(&component.members)
}
